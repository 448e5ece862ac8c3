//! The batches that were applied lately, so that none is applied twice.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use crate::{Batch, BatchId, REMEMBERED, StoreError};

/// Ids in the groups in which they were applied, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    fingerprints: HashMap<BatchId, u64>,
    groups: VecDeque<(Instant, Vec<BatchId>)>,
}

impl Recent {
    /// The answer to a batch that was applied before.
    pub(crate) fn answer(&self, batch: &Batch, fingerprint: u64) -> Option<Result<(), StoreError>> {
        self.fingerprints.get(&batch.id).map(|found| is_the_same(batch, fingerprint, *found))
    }

    /// Remembers batches that were applied just now.
    pub(crate) fn add(&mut self, now: Instant, group: impl IntoIterator<Item = (BatchId, u64)>) {
        let group = group.into_iter().map(|(id, fingerprint)| {
            self.fingerprints.insert(id, fingerprint);
            id
        });
        self.groups.push_back((now, group.collect()));
    }

    /// Forgets what is old enough, and says how many groups that were.
    pub(crate) fn forget(&mut self, now: Instant) -> usize {
        let mut forgotten = 0;
        while let Some((at, group)) = self.groups.front()
            && now.duration_since(*at) > REMEMBERED
        {
            for id in group {
                self.fingerprints.remove(id);
            }
            self.groups.pop_front();
            forgotten += 1;
        }
        forgotten
    }
}

/// An id that two different batches share would make one of them vanish: that is said aloud.
pub(crate) fn is_the_same(batch: &Batch, fingerprint: u64, found: u64) -> Result<(), StoreError> {
    if fingerprint == found {
        return Ok(());
    }
    let id = batch.id.0;
    Err(StoreError::Broken(format!("the batch id {id:032x} was used for another batch: ids must be unique for ever")))
}
