//! What a merger may say, held against what really happened.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use api::Version;
use api::slot::{Slot, SlotSet};

use crate::merge::{Merger, Sink};
use crate::service::Event;

/// Slots that move together: one of them has the events.
pub(super) const BLOCKS: usize = 5;

pub(super) fn block_of(slot: Slot) -> usize {
    usize::from(slot.0) % BLOCKS
}

pub(super) fn slots_of(block: usize) -> SlotSet {
    (0..api::slot::SLOTS).map(Slot).filter(|slot| block_of(*slot) == block).collect()
}

#[derive(Clone, Default)]
struct Known {
    /// Everything behind it that is not in `gaps` must arrive.
    opened: Option<Version>,
    /// The last that arrived.
    last: Version,
    gaps: Vec<(Version, Version)>,
    covered: Version,
}

impl Known {
    fn demands(&self, version: Version) -> bool {
        self.opened.is_some_and(|floor| version > floor)
            && !self.gaps.iter().any(|(from, to)| *from < version && version <= *to)
    }
}

/// Hears a merger and remembers the first thing that it should not have said.
#[derive(Default)]
pub(super) struct Checker {
    /// Every committed event, by version, with its block.
    pub(super) truth: BTreeMap<Version, usize>,
    known: [Known; BLOCKS],
    arrived: BTreeSet<Version>,
    released: BTreeSet<Version>,
    mark: Version,
    /// Events at or below may be missing from what is released.
    shed: Version,
    pub(super) problem: Option<String>,
    pub(super) gaps: usize,
}

impl Checker {
    fn wrong(&mut self, what: impl FnOnce() -> String) {
        if self.problem.is_none() {
            self.problem = Some(what());
        }
    }

    /// A shard commits an event.
    pub(super) fn commit(&mut self, version: Version, block: usize) {
        let known = &self.known[block];
        if version <= known.covered || version <= self.mark {
            let (covered, mark) = (known.covered, self.mark);
            self.wrong(|| {
                format!("{version} in {block} follows, though {covered} was covered and {mark} was the mark")
            });
        }
        if self.truth.insert(version, block).is_some() {
            self.wrong(|| format!("the world is wrong: {version} twice"));
        }
    }

    pub(super) fn shed(&mut self, floor: Version) {
        self.shed = self.shed.max(floor);
    }

    /// Holds the merger's promises against the truth, as far as they have changed.
    pub(super) fn check(&mut self, merger: &Merger<Arc<Event>>) {
        for block in 0..BLOCKS {
            let Some(covered) = merger.covered(Slot(block as u16)) else { continue };
            let before = self.known[block].covered;
            if covered < before {
                self.wrong(|| format!("{block} was covered up to {before}, and now to {covered}"));
            }
            self.known[block].covered = covered;
            let promised = self.truth.range((Excluded(before), Included(covered.max(before))));
            let missing = promised
                .filter(|(_, of)| **of == block)
                .map(|(version, _)| *version)
                .find(|version| self.known[block].demands(*version) && !self.arrived.contains(version));
            if let Some(version) = missing {
                self.wrong(|| format!("{block} is covered up to {covered}, but {version} has not arrived"));
            }
        }
        let (before, mark) = (self.mark, merger.mark());
        if mark < before {
            self.wrong(|| format!("the mark went back from {before} to {mark}"));
        }
        self.mark = mark;
        let promised = self.truth.range((Excluded(before), Included(mark.max(before))));
        let missing = promised.map(|(version, block)| (*version, *block)).find(|(version, block)| {
            self.known[*block].demands(*version) && *version > self.shed && !self.released.contains(version)
        });
        if let Some((version, _)) = missing {
            self.wrong(|| format!("the mark is {mark}, but {version} was not released"));
        }
        // Whoever comes to the present of a slot now finds what has arrived.
        let behind = mark.max(self.shed);
        for block in 0..BLOCKS {
            let held: Vec<Version> =
                merger.held(Slot(block as u16), behind).iter().map(|event| event.version).collect();
            let since = self.arrived.range(next(behind)..).filter(|version| self.truth.get(version) == Some(&block));
            if !since.copied().eq(held.iter().copied()) {
                self.wrong(|| format!("{held:?} are held of {block}, and not what has arrived"));
            }
        }
    }

    /// The last event of a block.
    pub(super) fn last_of(&self, block: usize) -> Version {
        self.truth.iter().rev().find(|(_, of)| **of == block).map_or(Version::ZERO, |(version, _)| *version)
    }
}

impl Sink<Arc<Event>> for Checker {
    fn arrived(&mut self, item: &Arc<Event>) {
        let (version, block) = (item.version, block_of(item.slot));
        let known = &self.known[block];
        let skipped = self.truth.range(next(known.last)..version.max(next(known.last)));
        let skipped = skipped.filter(|(_, of)| **of == block).map(|(version, _)| *version);
        let skipped = skipped.into_iter().find(|version| known.demands(*version));
        if version <= known.last || self.truth.get(&version) != Some(&block) {
            let last = known.last;
            self.wrong(|| format!("{version} arrived in {block} behind {last}"));
        } else if let Some(skipped) = skipped {
            self.wrong(|| format!("{version} arrived in {block} without {skipped}"));
        }
        if !self.arrived.insert(version) {
            self.wrong(|| format!("{version} arrived twice"));
        }
        let known = &mut self.known[block];
        known.last = known.last.max(version);
    }

    fn released(&mut self, item: Arc<Event>) {
        let version = item.version;
        if self.released.last().is_some_and(|last| *last >= version) {
            self.wrong(|| format!("{version} was released too late"));
        }
        if !self.arrived.contains(&version) || version <= self.shed {
            self.wrong(|| format!("{version} was released though it has not arrived, or was given up"));
        }
        self.released.insert(version);
    }

    fn opened(&mut self, slots: &SlotSet, floor: Version) {
        for block in (0..BLOCKS).filter(|block| slots.contains(Slot(*block as u16))) {
            let known = &mut self.known[block];
            let twice = known.opened.replace(floor).is_some();
            known.last = floor;
            if twice {
                self.wrong(|| format!("{block} was opened twice"));
            }
        }
    }

    fn lost(&mut self, slots: &SlotSet, floor: Version) {
        self.gaps += 1;
        for block in (0..BLOCKS).filter(|block| slots.contains(Slot(*block as u16))) {
            let known = &mut self.known[block];
            known.gaps.push((known.last, floor));
        }
    }

    fn needs_all(&self) -> bool {
        true
    }
}

fn next(version: Version) -> Version {
    Version(version.0 + 1)
}
