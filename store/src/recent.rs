//! The ids of batches that were applied lately, so that none is applied twice.

use std::collections::{HashSet, VecDeque};

use tokio::time::Instant;

use crate::{BatchId, REMEMBERED};

/// Ids in the groups in which they were applied, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    ids: HashSet<BatchId>,
    groups: VecDeque<(Instant, Vec<BatchId>)>,
}

impl Recent {
    pub(crate) fn contains(&self, id: BatchId) -> bool {
        self.ids.contains(&id)
    }

    /// Remembers batches that were applied just now.
    pub(crate) fn add(&mut self, now: Instant, group: Vec<BatchId>) {
        self.ids.extend(&group);
        self.groups.push_back((now, group));
    }

    /// Forgets what is old enough, and says how many groups that were.
    pub(crate) fn forget(&mut self, now: Instant) -> usize {
        let mut forgotten = 0;
        while let Some((at, group)) = self.groups.front()
            && now.duration_since(*at) > REMEMBERED
        {
            for id in group {
                self.ids.remove(id);
            }
            self.groups.pop_front();
            forgotten += 1;
        }
        forgotten
    }
}
