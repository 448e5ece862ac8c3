//! Which member each slot should be at: rendezvous hashing over those that may be given slots, and pins.
//!
//! A pure function of the directory, so that all who read the same one agree. A member that goes moves only its own slots, one
//! that comes takes only what it is to own. Over 4096 slots the fullest of 3 members has a few percent more than the mean,
//! of 16 about 15 %, of 64 about 30 % (a test holds the bounds); weights would buy little and cost agreement.

use std::collections::{BTreeMap, BTreeSet};

use api::slot::{Slot, SlotSet, rendezvous};

use super::directory::Directory;
use super::records::Pin;

/// Where every slot should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets(Vec<Option<u16>>);

impl Targets {
    /// By what the directory says.
    pub fn of(directory: &Directory) -> Self {
        Self::over(&directory.eligible(), &directory.pins, directory.slots())
    }

    /// Over those members. A pin to one that is not among them does not count.
    pub(crate) fn over(members: &BTreeSet<u16>, pins: &BTreeMap<Slot, Pin>, slots: impl Iterator<Item = Slot>) -> Self {
        let pins: BTreeMap<Slot, &Pin> =
            pins.iter().filter(|(_, pin)| members.contains(&pin.to)).map(|(slot, pin)| (*slot, pin)).collect();
        let alone: BTreeSet<u16> = pins.values().filter(|pin| pin.alone).map(|pin| pin.to).collect();
        let mut names: Vec<Name> = members.difference(&alone).map(|ordinal| Name::new(*ordinal)).collect();
        if names.is_empty() {
            // Somebody has to.
            names = members.iter().map(|ordinal| Name::new(*ordinal)).collect();
        }
        let target = |slot: Slot| match pins.get(&slot) {
            Some(pin) => Some(pin.to),
            None => rendezvous(u64::from(slot.0), &names).map(|name| name.ordinal),
        };
        Self(slots.map(target).collect())
    }

    /// Where that slot should be; `None` when nobody may be given slots.
    pub fn of_slot(&self, slot: Slot) -> Option<u16> {
        self.0.get(usize::from(slot.0)).copied().flatten()
    }

    /// Every slot and where it should be.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, Option<u16>)> + '_ {
        (0..).map(Slot).zip(self.0.iter().copied())
    }

    /// What should be at that member.
    pub fn at(&self, ordinal: u16) -> SlotSet {
        self.iter().filter(|(_, target)| *target == Some(ordinal)).map(|(slot, _)| slot).collect()
    }
}

/// A member as it is hashed.
struct Name {
    ordinal: u16,
    text: String,
}

impl Name {
    fn new(ordinal: u16) -> Self {
        Self { ordinal, text: ordinal.to_string() }
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use api::slot::SLOTS;
    use smol_str::SmolStr;

    use super::*;

    fn members(ordinals: impl IntoIterator<Item = u16>) -> BTreeSet<u16> {
        ordinals.into_iter().collect()
    }

    fn pinned(members: &BTreeSet<u16>, pins: &BTreeMap<Slot, Pin>) -> Targets {
        Targets::over(members, pins, (0..SLOTS).map(Slot))
    }

    fn over(members: &BTreeSet<u16>) -> Targets {
        pinned(members, &BTreeMap::new())
    }

    #[test]
    fn members_that_come_and_go_move_only_their_own() {
        for count in [1, 2, 3, 8] {
            let (few, many) = (over(&members(0..count)), over(&members(0..=count)));
            for slot in (0..SLOTS).map(Slot) {
                let (before, after) = (few.of_slot(slot), many.of_slot(slot));
                assert!(before == after || after == Some(count), "{slot:?} went from {before:?} to {after:?}");
            }
        }
        assert_eq!(over(&members([])).of_slot(Slot(0)), None);
    }

    #[test]
    fn it_is_where_routing_of_a_fixed_number_of_shards_looks() {
        let targets = over(&members(0..3));
        assert!((0..SLOTS).map(Slot).all(|slot| targets.of_slot(slot) == Some(crate::topology::owner_of(slot, 3))));
    }

    #[test]
    fn the_fullest_member_has_little_more_than_the_mean() {
        for (count, bound) in [(2, 1.05), (3, 1.06), (5, 1.10), (10, 1.15), (16, 1.20), (64, 1.40)] {
            let targets = over(&members(0..count));
            let largest = (0..count).map(|ordinal| targets.at(ordinal).len()).max().unwrap();
            let ratio = largest as f64 / (f64::from(SLOTS) / f64::from(count));
            println!("{count} members: the fullest has {ratio:.3} of the mean");
            assert!(ratio <= bound, "{count} members: {ratio:.3}");
        }
    }

    #[test]
    fn pins_count_while_their_member_lives() {
        let pin = |to, alone| Pin { to, namespace: SmolStr::default(), alone };
        let pins = BTreeMap::from([(Slot(5), pin(2, false)), (Slot(6), pin(9, false))]);
        let targets = pinned(&members(0..3), &pins);
        assert_eq!(targets.of_slot(Slot(5)), Some(2));
        let plain = over(&members(0..3));
        assert!((0..SLOTS).map(Slot).all(|slot| slot == Slot(5) || targets.of_slot(slot) == plain.of_slot(slot)));

        let pins = BTreeMap::from([(Slot(5), pin(2, true)), (Slot(6), pin(2, false))]);
        let targets = pinned(&members(0..3), &pins);
        assert_eq!(targets.at(2).to_string(), "5-6", "it owns what is pinned to it and nothing else");
        assert_eq!(pinned(&members([2]), &pins).at(2).len(), usize::from(SLOTS), "unless there is nobody else");
        assert_eq!(pinned(&members(0..2), &pins), over(&members(0..2)), "its pins go with it");
    }
}
