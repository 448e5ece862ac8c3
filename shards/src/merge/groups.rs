//! Slots in groups that are equally far and wait for the same, so that thousands of slots cost as much as a few sources.

use api::Version;
use api::slot::{SLOTS, Slot, SlotSet};

use super::sink::{FetchId, SourceId};

/// Who tells of a group of slots, and up to where everything of theirs has arrived.
#[derive(Debug)]
pub(super) enum Place<E> {
    /// Nothing is known of them yet.
    Unknown,
    /// Nobody tells of them.
    Orphan { covered: Version },
    /// A source does, and has told as much as it has promised.
    Attached { source: SourceId },
    /// A source does, but what it has yet to send up to `covered` is known already.
    Ahead { source: SourceId, covered: Version },
    /// A source does, but not of what happened behind `covered` up to `since`: that is asked for. What it has sent behind
    /// `since` waits in limbo.
    Fetching { source: SourceId, covered: Version, since: Version, id: FetchId, limbo: Vec<E> },
}

impl<E> Place<E> {
    pub(super) fn source(&self) -> Option<SourceId> {
        match self {
            Self::Unknown | Self::Orphan { .. } => None,
            Self::Attached { source } | Self::Ahead { source, .. } | Self::Fetching { source, .. } => Some(*source),
        }
    }

    pub(super) fn is_fetch(&self, wanted: FetchId) -> bool {
        matches!(self, Self::Fetching { id, .. } if *id == wanted)
    }

    #[cfg(test)]
    pub(super) fn limbo(&self) -> &[E] {
        match self {
            Self::Fetching { limbo, .. } => limbo,
            _ => &[],
        }
    }

    /// Whether slots of the one may join those of the other.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown, Self::Unknown) => true,
            (Self::Orphan { covered: a }, Self::Orphan { covered: b }) => a == b,
            (Self::Attached { source: a }, Self::Attached { source: b }) => a == b,
            (Self::Ahead { source: a, covered: x }, Self::Ahead { source: b, covered: y }) => (a, x) == (b, y),
            _ => false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Group<E> {
    /// Never empty.
    pub(super) slots: SlotSet,
    pub(super) place: Place<E>,
}

/// Every slot, each in one group.
#[derive(Debug)]
pub(super) struct Groups<E> {
    groups: Vec<Group<E>>,
    /// Position in `groups`, by slot.
    at: Box<[u16]>,
}

impl<E> Default for Groups<E> {
    fn default() -> Self {
        let all = Group { slots: SlotSet::full(), place: Place::Unknown };
        Self { groups: vec![all], at: vec![0; usize::from(SLOTS)].into() }
    }
}

impl<E> Groups<E> {
    pub(super) fn of(&self, slot: Slot) -> &Group<E> {
        &self.groups[usize::from(self.at[usize::from(slot.0)])]
    }

    pub(super) fn of_mut(&mut self, slot: Slot) -> &mut Group<E> {
        &mut self.groups[usize::from(self.at[usize::from(slot.0)])]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group<E>> {
        self.groups.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group<E>> {
        self.groups.iter_mut()
    }

    /// Moves slots to where others wait for the same, or to a group of their own. Answers what was in limbo for groups
    /// that no longer exist.
    pub(super) fn put(&mut self, slots: &SlotSet, place: Place<E>) -> Vec<Vec<E>> {
        for group in &mut self.groups {
            group.slots = group.slots.difference(slots);
        }
        let same = self.groups.iter().position(|group| group.place.is_same(&place));
        let at = same.unwrap_or(self.groups.len());
        match same {
            Some(at) => self.groups[at].slots = self.groups[at].slots.union(slots),
            None => self.groups.push(Group { slots: slots.clone(), place }),
        }
        slots.iter().for_each(|slot| self.at[usize::from(slot.0)] = at as u16);
        if self.groups.iter().all(|group| !group.slots.is_empty()) {
            return Vec::new();
        }
        let gone = self.groups.extract_if(.., |group| group.slots.is_empty());
        let limbos = gone.filter_map(|group| match group.place {
            Place::Fetching { limbo, .. } => Some(limbo),
            _ => None,
        });
        let limbos = limbos.collect();
        for (at, group) in self.groups.iter().enumerate() {
            group.slots.iter().for_each(|slot| self.at[usize::from(slot.0)] = at as u16);
        }
        limbos
    }

    /// A source has promised everything up to `mark`: what was ahead of it no longer is.
    pub(super) fn catch_up(&mut self, source: SourceId, mark: Version) {
        while let Some(group) = self.groups.iter().find(|group| match group.place {
            Place::Ahead { source: of, covered } => of == source && covered <= mark,
            _ => false,
        }) {
            let slots = group.slots.clone();
            self.put(&slots, Place::Attached { source });
        }
    }

    #[cfg(test)]
    pub(super) fn consistency_check(&self) {
        let mut all = SlotSet::new();
        for (at, group) in self.groups.iter().enumerate() {
            assert!(!group.slots.is_empty(), "an empty group is left");
            assert!(all.intersection(&group.slots).is_empty(), "a slot is in two groups");
            all = all.union(&group.slots);
            assert!(group.slots.iter().all(|slot| usize::from(self.at[usize::from(slot.0)]) == at));
        }
        assert_eq!(all, SlotSet::full());
    }
}
