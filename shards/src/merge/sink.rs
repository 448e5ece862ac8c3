//! What a merger and its users say to each other.

use std::sync::Arc;

use api::Version;
use api::slot::SlotSet;

use crate::service::Event;

/// One subscription's source: a number that the driver never uses twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u64);

/// A request for history that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FetchId(pub u64);

/// What a source is to be asked for: everything in `slots` behind `from`.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Whom to ask.
    pub source: SourceId,
    /// About which slots.
    pub slots: Arc<SlotSet>,
    /// Behind which version.
    pub from: Version,
}

/// An event as its user keeps it.
pub trait Item: Clone {
    /// Wraps an event that is kept.
    fn of(event: Arc<Event>) -> Self;
    /// The event.
    fn event(&self) -> &Event;
    /// Bytes that it keeps alive.
    fn cost(&self) -> usize {
        self.event().object.cost()
    }
}

impl Item for Arc<Event> {
    fn of(event: Arc<Event>) -> Self {
        event
    }

    fn event(&self) -> &Event {
        self
    }
}

/// What a copy that follows slots knows of its own gaps: from which version on a list makes up for them.
#[derive(Clone, Debug, Default)]
pub struct Gaps {
    opened: SlotSet,
    needs: Version,
}

impl Gaps {
    /// These slots are followed behind `floor` ([`Sink::opened`]).
    pub fn opened(&mut self, slots: &SlotSet, floor: Version) {
        self.opened = self.opened.union(slots);
        self.needs = self.needs.max(floor);
    }

    /// Something at or below `floor` will not come ([`Sink::lost`]).
    pub fn lost(&mut self, floor: Version) {
        self.needs = self.needs.max(floor);
    }

    /// Whether every slot is followed.
    pub fn are_bounded(&self) -> bool {
        self.opened == SlotSet::full()
    }

    /// A list of an older version than this may miss something that does not come either.
    pub fn needs(&self) -> Version {
        self.needs
    }
}

/// Who uses what a merger finds out.
pub trait Sink<E> {
    /// The next event of its slot. Between slots there is no order.
    fn arrived(&mut self, item: &E);
    /// The next event of all.
    fn released(&mut self, item: E);
    /// What is known of these slots begins behind `floor`.
    fn opened(&mut self, slots: &SlotSet, floor: Version);
    /// Some of what happened in these slots at or below `floor` will never be known. Everything behind it will.
    fn lost(&mut self, slots: &SlotSet, floor: Version);
    /// Whether anybody waits for events of all slots.
    fn needs_all(&self) -> bool;
}
