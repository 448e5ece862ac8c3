//! A lane: one ordered stream of events, its ring of recent ones, and its watchers.

use std::collections::VecDeque;
use std::sync::Arc;

use api::{Resource, Version};

use super::form::Relayed;
use super::index::Index;
use super::watcher::{Bound, End, Watcher};

/// Either a shard's stream or the merged one.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// Whether `floor` and `mark` mean anything yet.
    pub(crate) ready: bool,
    /// In order; everything in `(floor, mark]` and nothing else.
    ring: VecDeque<Arc<Relayed>>,
    /// Events at or below are gone.
    pub(crate) floor: Version,
    /// Nothing at or below will follow.
    pub(crate) mark: Version,
    /// What the ring keeps alive, in bytes.
    cost: usize,
    pub(crate) index: Index,
}

impl Lane {
    /// Starts, or starts again behind a gap, at `floor`. Whoever watched across the gap is taken out.
    pub(crate) fn open(&mut self, floor: Version) -> Vec<Arc<Watcher>> {
        self.ring.clear();
        self.cost = 0;
        (self.ready, self.floor, self.mark) = (true, floor, floor);
        self.index.drain()
    }

    /// Appends an event and queues it for those who want it. Who must be woken is added to `woken`.
    pub(crate) fn append(
        &mut self,
        resource: &Resource,
        relayed: Arc<Relayed>,
        bound: Bound,
        woken: &mut Vec<Arc<Watcher>>,
    ) {
        self.index.each(resource, &relayed.event, |watcher| {
            if watcher.push(&relayed, bound) {
                woken.push(watcher.clone());
            }
        });
        self.mark = self.mark.max(relayed.event.version);
        self.cost += cost(&relayed);
        self.ring.push_back(relayed);
    }

    /// Events behind `position`, and whether they were all.
    pub(crate) fn behind(&self, position: Version, limit: usize) -> (impl Iterator<Item = &Arc<Relayed>>, bool) {
        let start = self.ring.partition_point(|relayed| relayed.event.version <= position);
        let end = self.ring.len().min(start.saturating_add(limit));
        (self.ring.range(start..end), end == self.ring.len())
    }

    /// Forgets events older than `oldest`, and as many more as `max_cost` demands.
    pub(crate) fn prune(&mut self, oldest: Version, max_cost: usize) {
        while let Some(first) = self.ring.front()
            && (first.event.version < oldest || self.cost > max_cost)
        {
            self.floor = first.event.version;
            self.cost -= cost(first);
            self.ring.pop_front();
        }
    }

    /// Ends everybody's stream.
    pub(crate) fn close(&mut self, end: &End) {
        for watcher in self.index.drain() {
            watcher.close(end.clone());
        }
    }
}

fn cost(relayed: &Relayed) -> usize {
    // The event, its pointers and its place in the shard's own ring.
    relayed.event.object.cost() + 128
}
