//! What a merger tells a relay: a ring of recent events, where what is known begins, and who is fed with what.

use std::collections::VecDeque;
use std::sync::Arc;

use api::slot::SlotSet;
use api::{Resource, Version};
use shards::merge::{Item, Merger, Sink};

use super::Reach;
use super::feed::expired;
use super::form::Relayed;
use super::index::Index;
use super::watcher::{Bound, End, Watcher};

pub(crate) struct Fan {
    resource: Arc<Resource>,
    /// What may wait for one watcher.
    bound: Bound,
    /// Released events, in order. What has arrived and is not released yet is with the merger.
    ring: VecDeque<Relayed>,
    /// Bytes that the ring keeps alive.
    cost: usize,
    /// Everything at or below is gone.
    floor: Version,
    /// Slots of which something is known.
    opened: SlotSet,
    /// Slots of which less is known than of others: everything behind a version.
    floors: Vec<(SlotSet, Version)>,
    /// Watchers of one slot each, fed with what arrives.
    narrow: Index,
    /// The others, fed with what is released.
    wide: Index,
    /// To be woken.
    pub(super) woken: Vec<Arc<Watcher>>,
    /// Taken out, to be told why.
    pub(super) ended: Vec<(Arc<Watcher>, End)>,
    /// Whether more slots are known, or less of them.
    pub(super) changed: bool,
    /// Events that have arrived and were not counted yet.
    pub(super) arrived: u64,
}

impl Fan {
    pub(super) fn new(resource: Arc<Resource>, bound: Bound) -> Self {
        Self {
            resource,
            bound,
            ring: VecDeque::new(),
            cost: 0,
            floor: Version::ZERO,
            opened: SlotSet::new(),
            floors: Vec::new(),
            narrow: Index::default(),
            wide: Index::default(),
            woken: Vec::new(),
            ended: Vec::new(),
            changed: false,
            arrived: 0,
        }
    }

    /// Behind which version everything is known; `None` while some of it is not known at all.
    pub(super) fn floor_of(&self, reach: Reach) -> Option<Version> {
        let (known, concerns): (bool, &dyn Fn(&SlotSet) -> bool) = match reach {
            Reach::One(slot) => (self.opened.contains(slot), &move |slots| slots.contains(slot)),
            Reach::Everywhere => (self.opened == SlotSet::full(), &|_| true),
        };
        let floors = self.floors.iter().filter(|(slots, _)| concerns(slots)).map(|(_, floor)| *floor);
        known.then(|| floors.fold(self.floor, Version::max))
    }

    pub(super) fn index(&mut self, reach: Reach) -> &mut Index {
        match reach {
            Reach::One(_) => &mut self.narrow,
            Reach::Everywhere => &mut self.wide,
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.narrow.len() + self.wide.len() > 0
    }

    /// Released events behind `position`, and whether they were all.
    pub(super) fn behind(&self, position: Version, limit: usize) -> (impl Iterator<Item = &Relayed>, bool) {
        let start = self.ring.partition_point(|relayed| relayed.version() <= position);
        let end = self.ring.len().min(start.saturating_add(limit));
        (self.ring.range(start..end), end == self.ring.len())
    }

    /// Forgets events older than `oldest`, and as many more as `limit` demands of the bytes that the ring and the merger
    /// keep alive together. What is released goes first. Where a shard has been silent for so long that what waits for it
    /// does not fit either, whoever needs all of it starts again behind that; watches of one slot go on.
    pub(super) fn prune(&mut self, merger: &mut Merger<Relayed>, oldest: Version, limit: usize) {
        while let Some(first) = self.ring.front()
            && (first.version() < oldest || self.cost + merger.cost() > limit)
        {
            self.floor = first.version();
            self.cost -= first.cost();
            self.ring.pop_front();
        }
        if merger.cost() > limit
            && let Some(floor) = merger.shed(limit)
        {
            self.floor = floor;
            let late = self.wide.extract(|watcher| watcher.from < floor);
            if !late.is_empty() {
                tracing::warn!("a shard has been silent for too long: watches across shards start again");
            }
            self.ended.extend(late.into_iter().map(|watcher| (watcher, End::Slow)));
        }
        if !self.floors.is_empty() {
            self.floors.retain(|(_, floor)| *floor > self.floor);
        }
    }

    /// Ends everybody's stream.
    pub(super) fn close(&mut self, end: &End) {
        for watcher in self.narrow.drain().into_iter().chain(self.wide.drain()) {
            watcher.close(end.clone());
        }
    }
}

fn feed(index: &Index, resource: &Resource, item: &Relayed, bound: Bound, woken: &mut Vec<Arc<Watcher>>) {
    index.each(resource, item.event(), |watcher| {
        if watcher.push(item, bound) {
            woken.push(watcher.clone());
        }
    });
}

impl Sink<Relayed> for Fan {
    fn arrived(&mut self, item: &Relayed) {
        self.arrived += 1;
        if self.narrow.len() > 0 {
            feed(&self.narrow, &self.resource, item, self.bound, &mut self.woken);
        }
    }

    fn released(&mut self, item: Relayed) {
        feed(&self.wide, &self.resource, &item, self.bound, &mut self.woken);
        self.cost += item.cost();
        self.ring.push_back(item);
    }

    fn opened(&mut self, slots: &SlotSet, floor: Version) {
        self.opened = self.opened.union(slots);
        self.floors.push((slots.clone(), floor));
        self.changed = true;
    }

    fn lost(&mut self, slots: &SlotSet, floor: Version) {
        tracing::info!(resource = %self.resource.id_name, %slots, "the shards no longer hold what a relay missed");
        self.floors.push((slots.clone(), floor));
        self.changed = true;
        let concerned = |watcher: &Watcher| match watcher.reach {
            Reach::One(slot) => slots.contains(slot),
            Reach::Everywhere => true,
        };
        let gone = |watcher: &Watcher| watcher.from < floor && concerned(watcher);
        let lost = self.narrow.extract(gone).into_iter().chain(self.wide.extract(gone));
        for watcher in lost {
            let end = End::Expired(expired(watcher.from, floor));
            self.ended.push((watcher, end));
        }
    }

    fn needs_all(&self) -> bool {
        self.wide.len() > 0
    }
}
