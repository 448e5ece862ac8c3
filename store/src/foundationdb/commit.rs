//! Committing: once or not at all, whatever the network does.
//!
//! An attempt is one transaction. It reads, serialisably, the header, the batch's id and the fences, and then writes the
//! batch and the id. FoundationDB may not be able to say what became of it (`commit_unknown_result` after a process of the
//! cluster died, for one). Then the next attempt settles it, without waiting for the first:
//!
//! - If it finds the id, the batch is applied.
//! - If it does not, both attempts read the id's key and write it, so at most one of them commits: should the first one still
//!   be under way, one of them meets a conflict and begins anew, and finds the id.
//! - If a fence does not hold, the first attempt, for which it held, cannot commit any more: the fence's key was changed
//!   behind its read version.
//!
//! The same reasoning holds for a caller that commits the batch again after [`StoreError::Unknown`]. That is returned only when
//! the deadline comes before an attempt has settled it.

use std::sync::atomic::{AtomicBool, Ordering};

use foundationdb::options::TransactionOption;
use foundationdb::{FdbError, Transaction};
use futures_util::future::{try_join, try_join_all};

use super::{Cluster, Failure};
use crate::layout::Stored;
use crate::memory::printable;
use crate::recent::is_the_same;
use crate::{Batch, Fence, StoreError, Write};

/// What an attempt found before it wrote anything.
pub(super) enum Found {
    /// The batch was applied before, or its id belongs to another: the answer.
    Applied(Result<(), StoreError>),
    /// Everything is in the transaction: it may be committed.
    Ready,
}

impl Cluster {
    pub(super) async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        // Whether there was an attempt of which nobody knows what became of it.
        let unsettled = AtomicBool::new(false);
        let outcome = tokio::time::timeout(self.deadline, self.settle(batch, &unsettled)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(StoreError::Unavailable(self.silent(self.deadline))));
        match outcome {
            Err(StoreError::Unavailable(reason)) if unsettled.into_inner() => Err(StoreError::Unknown(reason)),
            outcome => outcome,
        }
    }

    async fn settle(&self, batch: &Batch, unsettled: &AtomicBool) -> Result<(), StoreError> {
        let fingerprint = batch.fingerprint();
        let mut transaction = self.begin()?;
        loop {
            match self.prepare(&transaction, batch, fingerprint).await {
                Ok(Found::Applied(answer)) => return answer,
                Ok(Found::Ready) => {
                    let before = unsettled.swap(true, Ordering::Relaxed);
                    let Err(error) = transaction.commit().await else { return Ok(()) };
                    if surely_not_committed(*error) {
                        unsettled.store(before, Ordering::Relaxed);
                    } else {
                        self.unknown_results.fetch_add(1, Ordering::Relaxed);
                    }
                    let next = error.on_error().await.and_then(|transaction| self.prepared(transaction));
                    transaction = next.map_err(|error| self.unavailable(error))?;
                }
                Err(failure) => transaction = self.again(transaction, failure).await?,
            }
        }
    }

    pub(super) async fn prepare(
        &self,
        transaction: &Transaction,
        batch: &Batch,
        fingerprint: u64,
    ) -> Result<Found, Failure> {
        let guess = self.generation.load(Ordering::Relaxed);
        let fences = batch.fences.iter().map(|fence| self.holds(transaction, fence));
        let (generation, found, fences) = {
            let (guessed, fences) = try_join(self.applied(transaction, batch, guess), try_join_all(fences)).await?;
            match guessed {
                (generation, found) if generation == guess => (generation, found, fences),
                // Another generation has begun. Both reads are of one moment, so the second one does not fail.
                (generation, _) => (generation, self.applied(transaction, batch, generation).await?.1, fences),
            }
        };
        self.generation.store(generation, Ordering::Relaxed);
        if let Some(found) = found {
            return Ok(Found::Applied(is_the_same(batch, fingerprint, found)));
        }
        if let Some(failed) = fences.iter().position(|holds| !holds) {
            return Err(StoreError::Fenced { key: printable(&batch.fences[failed].key) }.into());
        }
        for write in &batch.writes {
            self.write(transaction, write)?;
        }
        transaction.set(&self.layout.applied(generation, batch.id), &fingerprint.to_be_bytes());
        Ok(Found::Ready)
    }

    /// The present generation, and the fingerprint that stands under the batch's id in the guessed one or that before.
    async fn applied(
        &self,
        transaction: &Transaction,
        batch: &Batch,
        guess: u64,
    ) -> Result<(u64, Option<u64>), Failure> {
        let header = transaction.get(&self.layout.header(), false);
        let now = transaction.get(&self.layout.applied(guess, batch.id), false);
        let before = transaction.get(&self.layout.applied(guess.saturating_sub(1), batch.id), false);
        let (header, (now, before)) = try_join(header, try_join(now, before)).await?;
        let header = self.decode_header(header.as_deref())?;
        // What is no fingerprint is none that fits.
        let found = now.or(before).map(|found| found.as_ref().try_into().map_or(0, u64::from_be_bytes));
        Ok((header.generation, found))
    }

    async fn holds(&self, transaction: &Transaction, fence: &Fence) -> Result<bool, Failure> {
        let entry = transaction.get(&self.layout.data(&fence.key), false).await?;
        let (entry, expected) = match (entry, &fence.expected) {
            (None, None) => return Ok(true),
            (Some(entry), Some(expected)) => (entry, expected),
            _ => return Ok(false),
        };
        let stored = self.decode(&fence.key, &entry)?;
        // Pieces only change together with their entry, which the transaction has read: they need no conflict of their own.
        Ok(stored.len() == expected.len() && self.whole(transaction, &fence.key, stored).await? == expected)
    }

    fn write(&self, transaction: &Transaction, write: &Write) -> Result<(), FdbError> {
        let layout = &self.layout;
        match write {
            Write::Put(key, value) => {
                self.clear_pieces(transaction, layout.pieces_of(key))?;
                let (entry, pieces) = Stored::encode(value);
                for (number, piece) in pieces.enumerate() {
                    transaction.set_option(TransactionOption::NextWriteNoWriteConflictRange)?;
                    transaction.set(&layout.piece(key, number as u16), piece);
                }
                transaction.set(&layout.data(key), &entry);
            }
            Write::Delete(key) => {
                self.clear_pieces(transaction, layout.pieces_of(key))?;
                transaction.clear(&layout.data(key));
            }
            Write::DeleteRange(from, to) if from < to => {
                self.clear_pieces(transaction, (layout.pieces(from), layout.pieces(to)))?;
                transaction.clear_range(&layout.data(from), &layout.data(to));
            }
            Write::DeleteRange(..) => {}
        }
        Ok(())
    }

    /// Nobody reads pieces without their entry, whose change is what others conflict with.
    fn clear_pieces(&self, transaction: &Transaction, range: (Vec<u8>, Vec<u8>)) -> Result<(), FdbError> {
        transaction.set_option(TransactionOption::NextWriteNoWriteConflictRange)?;
        transaction.clear_range(&range.0, &range.1);
        Ok(())
    }
}

/// Whether a failed commit left nothing behind and will not. What is not known for sure counts as unknown.
fn surely_not_committed(error: FdbError) -> bool {
    // 2000 to 2999: the client refused to send it.
    error.is_retryable_not_committed() || (2000..3000).contains(&error.code())
}
