//! Forgetting the ids of batches, without a clock that two machines would have to share.
//!
//! Ids are kept by generation, a number in the header. A batch reads the header in its own transaction, looks for its id in
//! this generation and the one before, and writes it into this one; so when the generation changes, attempts that are under
//! way conflict and begin anew. A store that has seen the same generation for [`AGE`] by its own clock begins the next one
//! and clears those before the last two. So an id is there for at least `AGE`, and forgetting costs one cleared range,
//! whatever the number of ids. If two stores want to begin the next one, one of them finds it begun.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foundationdb::Transaction;

use super::{Cluster, Failure};
use crate::layout::Header;
use crate::{REMEMBERED, StoreError};

/// How long a generation lasts at least. The rest beyond what is promised covers the longest call.
const AGE: Duration = REMEMBERED.saturating_mul(2);

/// Runs as long as the store is open.
pub(super) async fn forget_in_time(cluster: Weak<Cluster>, mut seen: u64) {
    loop {
        tokio::time::sleep(AGE).await;
        let Some(cluster) = cluster.upgrade() else { return };
        // Without an answer nothing is known, so the wait starts anew.
        if let Ok(now) = cluster.within(cluster.deadline, cluster.next_generation(seen)).await {
            seen = now;
        }
    }
}

impl Cluster {
    /// Begins the generation after `seen`, unless that has been done. Returns the present one.
    pub(super) async fn next_generation(&self, seen: u64) -> Result<u64, StoreError> {
        let mut transaction = self.begin()?;
        loop {
            match self.try_next_generation(&transaction, seen).await {
                Ok((now, false)) => {
                    self.generation.store(now, Ordering::Relaxed);
                    return Ok(now);
                }
                // Whatever became of the commit: the next look says so.
                Ok((_, true)) => match transaction.commit().await {
                    Ok(committed) => {
                        transaction = self.prepared(committed.reset()).map_err(|error| self.unavailable(error))?;
                    }
                    Err(error) => {
                        let next = error.on_error().await.and_then(|transaction| self.prepared(transaction));
                        transaction = next.map_err(|error| self.unavailable(error))?;
                    }
                },
                Err(failure) => transaction = self.again(transaction, failure).await?,
            }
        }
    }

    async fn try_next_generation(&self, transaction: &Transaction, seen: u64) -> Result<(u64, bool), Failure> {
        let header = transaction.get(&self.layout.header(), false).await?;
        let header = self.decode_header(header.as_deref())?;
        if header.generation != seen {
            return Ok((header.generation, false));
        }
        let next = Header { generation: seen + 1, ..header };
        transaction.set(&self.layout.header(), &next.encode());
        let (from, to) = self.layout.applied_before(seen);
        transaction.clear_range(&from, &to);
        Ok((next.generation, true))
    }
}
