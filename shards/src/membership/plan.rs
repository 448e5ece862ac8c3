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
