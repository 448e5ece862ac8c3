//! What a member does next: a pure function of what it knows.
//!
//! The view is of a directory that was read after everything that this member did before, so what the records and the shard say
//! differently is left to do, not under way.

use std::collections::{BTreeMap, BTreeSet};

use api::slot::{Slot, SlotSet};

use super::assign::Targets;
use super::directory::Directory;
use super::records::Standing;

/// Slots that are taken, loaded and served in one piece.
const PIECE: usize = 256;

/// What a member knows.
pub(crate) struct View<'a> {
    /// Its ordinal.
    pub(crate) me: u16,
    /// Of its lease.
    pub(crate) incarnation: u128,
    /// As it was read last.
    pub(crate) directory: &'a Directory,
    /// Where slots should be by that.
    pub(crate) targets: &'a Targets,
    /// Members that were silent for the TTL.
    pub(crate) silent: &'a BTreeSet<u16>,
    /// What the shard serves, its lease set aside.
    pub(crate) serving: &'a SlotSet,
    /// Slots that something is being done about.
    pub(crate) busy: &'a SlotSet,
    /// Members that get no slots now: they are getting some, or did not answer lately.
    pub(crate) not_now: &'a BTreeSet<u16>,
    /// Slots that move in one batch.
    pub(crate) batch: usize,
    /// Whether the own lease is valid: who does not know that of itself judges nobody.
    pub(crate) valid: bool,
    /// Whether the process is to end.
    pub(crate) leaving: bool,
}

/// What a member does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The lease is another's, or nobody's: end.
    Stop,
    /// Fence a member that is dead, or an ordinal that holds no lease.
    Fence(u16),
    /// Take slots that nobody owns, or serve those whose records name this member already.
    Adopt(SlotSet),
    /// Give slots to another member.
    Move {
        /// Who gets them.
        heir: u16,
        /// Which.
        slots: SlotSet,
    },
    /// Nothing is left to give away, or nobody to give it to.
    Leave,
}

/// See the module.
pub(crate) fn plan(view: &View<'_>) -> Vec<Action> {
    let directory = view.directory;
    let own = directory.pulse.leases.get(&view.me).filter(|held| held.lease.incarnation == view.incarnation);
    let Some(own) = own else { return vec![Action::Stop] };
    let mut actions = Vec::new();
    if view.valid {
        let silent = view.silent.iter().filter(|ordinal| directory.pulse.leases.contains_key(ordinal));
        let dead = silent.copied().chain(directory.unleased()).filter(|ordinal| *ordinal != view.me);
        actions.extend(dead.map(Action::Fence));
    }
    let mut adopt = SlotSet::new();
    let (mut moves, mut left) = (BTreeMap::<u16, SlotSet>::new(), false);
    for (slot, target) in view.targets.iter().filter(|(slot, _)| !view.busy.contains(*slot)) {
        if directory.owner(slot) == Some(view.me) {
            match target {
                Some(heir) if heir != view.me => {
                    left = true;
                    // A shard that does not serve a slot cannot flush it: it reads it first.
                    let todo = if view.serving.contains(slot) { moves.entry(heir).or_default() } else { &mut adopt };
                    todo.insert(slot);
                }
                _ if !view.serving.contains(slot) => drop(adopt.insert(slot)),
                _ => {}
            }
        } else if view.valid && target == Some(view.me) && directory.is_orphan(slot) {
            adopt.insert(slot);
        }
    }
    actions.extend(pieces(&adopt, PIECE).map(Action::Adopt));
    for (heir, slots) in moves.into_iter().filter(|(heir, _)| !view.not_now.contains(heir)) {
        actions.extend(pieces(&slots, view.batch).next().map(|slots| Action::Move { heir, slots }));
    }
    // Once the others can read it: before that, targets were made as if it stayed.
    let leaving = view.leaving && own.lease.standing == Standing::Draining;
    if leaving && !left && view.busy.is_empty() {
        actions.push(Action::Leave);
    }
    actions
}

/// A set in pieces of a size.
fn pieces(slots: &SlotSet, size: usize) -> impl Iterator<Item = SlotSet> {
    let all: Vec<Slot> = slots.iter().collect();
    let pieces: Vec<SlotSet> = all.chunks(size.max(1)).map(|piece| piece.iter().copied().collect()).collect();
    pieces.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Epoch;
    use crate::membership::directory::HeldLease;
    use crate::membership::records::Lease;

    const SLOTS: u16 = 60;

    fn epoch(ordinal: u16) -> Epoch {
        Epoch { count: 1, ordinal, incarnation: u128::from(ordinal) }
    }

    fn stand(directory: &mut Directory, ordinal: u16, standing: &str) {
        let text = format!(r#"{{"incarnation":"{ordinal:x}","renewals":1,"standing":"{standing}"}}"#);
        let held = HeldLease { lease: Lease::decode(text.as_bytes()).unwrap(), raw: text.into() };
        directory.pulse.leases.insert(ordinal, held);
        directory.ordinals.insert(ordinal, epoch(ordinal));
    }

    /// Members 0 and 1 that serve, and who owns all of it.
    fn directory(owner: Option<u16>) -> Directory {
        let mut directory = Directory::empty(SLOTS);
        (0..2).for_each(|ordinal| stand(&mut directory, ordinal, "Serving"));
        directory.owners.fill(owner.map(epoch));
        directory
    }

    /// What member 0 knows beside the directory.
    struct Known {
        silent: BTreeSet<u16>,
        not_now: BTreeSet<u16>,
        busy: SlotSet,
        valid: bool,
        leaving: bool,
    }

    fn known() -> Known {
        let (silent, not_now) = (BTreeSet::new(), BTreeSet::new());
        Known { silent, not_now, busy: SlotSet::new(), valid: true, leaving: false }
    }

    /// What member 0 does.
    fn planned(directory: &Directory, serving: &SlotSet, known: &Known) -> Vec<Action> {
        plan(&View {
            me: 0,
            incarnation: 0,
            directory,
            targets: &Targets::of(directory),
            silent: &known.silent,
            serving,
            busy: &known.busy,
            not_now: &known.not_now,
            batch: 10,
            valid: known.valid,
            leaving: known.leaving,
        })
    }

    fn all() -> SlotSet {
        (0..SLOTS).map(Slot).collect()
    }

    #[test]
    fn it_takes_what_nobody_owns_and_gives_what_is_anothers() {
        let mine = Targets::of(&directory(None)).at(0);
        let (none, unsure) = (SlotSet::new(), Known { valid: false, ..known() });
        assert_eq!(planned(&directory(None), &none, &known()), [Action::Adopt(mine.clone())]);
        assert_eq!(planned(&directory(None), &none, &unsure), [], "a lease that ran out takes nothing");
        assert_eq!(planned(&directory(Some(1)), &none, &known()), [], "its owner gives them");
        let given = planned(&directory(Some(0)), &all(), &known());
        let [Action::Move { heir: 1, slots }] = &given[..] else { panic!("{given:?}") };
        assert!(slots.len() == 10 && slots.intersection(&mine).is_empty());
        let refused = Known { not_now: [1].into(), ..known() };
        let busy = Known { busy: all(), ..known() };
        assert_eq!(planned(&directory(Some(0)), &all(), &refused), []);
        // What its records say and it does not serve is read first, whoever should have it.
        assert_eq!(planned(&directory(Some(0)), &none, &known()), [Action::Adopt(all())]);
        assert_eq!(planned(&directory(Some(0)), &none, &busy), []);
    }

    #[test]
    fn the_dead_are_fenced_first_and_only_by_the_living() {
        let dead = directory(Some(1));
        let alarmed = Known { silent: [0, 1, 7].into(), ..known() };
        assert_eq!(planned(&dead, &SlotSet::new(), &alarmed), [Action::Fence(1)]);
        let unsure = Known { silent: [1].into(), valid: false, ..known() };
        assert_eq!(planned(&dead, &SlotSet::new(), &unsure), []);
        let mut fenced = dead.clone();
        fenced.pulse.leases.remove(&1);
        assert_eq!(planned(&fenced, &SlotSet::new(), &known())[..1], [Action::Fence(1)], "no lease, but not fenced");
        fenced.ordinals.insert(1, Epoch { count: 2, ..epoch(1) });
        assert_eq!(planned(&fenced, &SlotSet::new(), &known()), [Action::Adopt(all())]);
    }

    #[test]
    fn it_leaves_when_the_others_have_all() {
        let leaving = Known { leaving: true, ..known() };
        let mut last = directory(Some(1));
        assert_eq!(planned(&last, &SlotSet::new(), &leaving), [], "the others do not know yet");
        stand(&mut last, 0, "Draining");
        assert_eq!(planned(&last, &SlotSet::new(), &leaving), [Action::Leave]);
        let mut full = directory(Some(0));
        stand(&mut full, 0, "Draining");
        assert!(matches!(planned(&full, &all(), &leaving)[..], [Action::Move { heir: 1, .. }]));
        full.pulse.leases.remove(&1);
        full.ordinals.remove(&1);
        assert_eq!(planned(&full, &all(), &leaving), [Action::Leave], "there is nobody to give it to");
        full.pulse.leases.remove(&0);
        assert_eq!(planned(&full, &all(), &leaving), [Action::Stop]);
    }
}
