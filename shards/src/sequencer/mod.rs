//! Who decides the order of writes (DESIGN D3): one short critical section per shard.
//!
//! A write is computed outside, from the newest *pending* state ([`Sequencer::newest`]), and handed in as a [`Proposal`]
//! that names what it was computed from. [`Sequencer::propose`] checks that this is still the newest, gives it a version
//! and appends it to the open batch. [`crate::commit`] makes batches durable one after another.
//!
//! Invariants:
//! - versions strictly increase along batches and within them;
//! - the overlay holds exactly what the batches that are not yet published change;
//! - whoever answers from the overlay, a refusal too, first waits for the [`Ticket`] of its batch;
//! - a failed batch takes every later one with it, and the overlay is empty afterwards;
//! - which slots the shard owns changes under the same lock: no write is given a place in a slot that has left;
//! - nothing gets a place that passes a quota ([`mod@books`]).

mod books;
mod pending;
mod room;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use api::object::Draft;
use api::resource::Durability;
use api::slot::{SLOTS, Slot, SlotSet};
use api::{Object, Version};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::HybridClock;
use crate::layout::Layout;
use crate::lease::Lease;
use crate::log::Operation;
use crate::service::{Event, ShardError};
use crate::table::{Key, Table};
use books::Books;
use room::Full;

pub(crate) use books::{Charged, Known, Place, Revision};
pub(crate) use pending::{Loss, Pending, Ticket, Written};

/// How old the oldest pending write may be when another one is acknowledged early: with the time until the next look at it, a
/// crash takes less than a second's worth of relaxed writes (DESIGN D6).
const EARLY: Duration = Duration::from_millis(800);

/// Index into a shard's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TableId(pub(crate) u32);

/// The newest state of an object, pending or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Newest {
    pub(crate) object: Option<Arc<Object>>,
    /// The batch that an answer derived from this must wait for.
    pub(crate) ticket: Option<Ticket>,
}

/// Another object's state that a proposal was derived from.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) table: TableId,
    pub(crate) key: Key,
    pub(crate) version: Option<Version>,
}

/// What a proposal does.
#[derive(Debug)]
pub(crate) enum Change {
    Put(Draft),
    Delete,
}

/// One write, and what it was derived from.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) table: TableId,
    pub(crate) key: Key,
    pub(crate) slot: Slot,
    pub(crate) durability: Durability,
    /// The version of the state that it replaces; `None`: there was none.
    pub(crate) base: Option<Version>,
    pub(crate) guards: Vec<Guard>,
    pub(crate) change: Change,
    /// Who asks, and what is answered: stored with the write.
    pub(crate) request: u128,
    pub(crate) code: u16,
    pub(crate) operation: Operation,
    /// Whose quotas it is held to; `None` for what does not live with its namespace.
    pub(crate) place: Option<Place>,
    /// What the object takes of them, if there are any.
    pub(crate) charged: Option<Charged>,
    pub(crate) revision: Revision,
}

/// What became of a proposal.
#[derive(Debug)]
pub(crate) enum Sequenced {
    /// It has its place. For a deletion the object is the last state at the version of the deletion.
    Done {
        object: Arc<Object>,
        ticket: Ticket,
        /// The answer need not wait for the ticket: relaxed, and below the stored ceiling.
        early: bool,
    },
    /// Something that it was derived from has changed, or there is no quota for it any more: derive it again.
    Moved,
    /// The open batch is full: wait for this one and propose again.
    Full(Ticket),
}

/// What the commit loop keeps of a batch that the sequencer still counts as pending.
struct InFlight {
    number: u64,
    first: HashMap<TableId, Version>,
    slots: BTreeSet<Slot>,
    ceiling: Option<Version>,
    ticket: Ticket,
}

/// A pending state (`None`: gone) and the number of its batch.
type Overlaid = (Option<Arc<Object>>, u64);

struct Inner {
    clock: HybridClock,
    /// What is answered for.
    owned: Arc<SlotSet>,
    /// Of those, what is about to leave: nothing is written there any more.
    leaving: SlotSet,
    /// How often each slot was taken in.
    taken: Box<[u32]>,
    overlay: HashMap<(TableId, Key), Overlaid>,
    open: Pending,
    in_flight: Option<InFlight>,
    /// Watermarks that gateways asked for and that are not true yet.
    wanted: BTreeMap<TableId, Version>,
    lost: bool,
    /// Since a batch found no room.
    full: Option<Full>,
    books: Books,
}

/// See the module.
pub(crate) struct Sequencer {
    inner: Mutex<Inner>,
    lease: Arc<Lease>,
    layout: Arc<Layout>,
    /// Rung when the open batch has something in it, or somebody waits for it.
    pub(crate) filled: Notify,
    /// Rung when an account of quotas has to be drawn up, or when one was.
    pub(crate) unsettled: Notify,
    pub(crate) drawn: Notify,
    /// How many of them there are.
    accounts: Arc<AtomicUsize>,
}

impl Sequencer {
    /// One that owns no slots yet.
    pub(crate) fn new(clock: HybridClock, layout: Arc<Layout>, lease: Arc<Lease>) -> Self {
        let books = Books::default();
        let accounts = books.counter();
        let inner = Inner {
            clock,
            owned: Arc::default(),
            leaving: SlotSet::new(),
            taken: vec![0; usize::from(SLOTS)].into(),
            overlay: HashMap::new(),
            open: Pending::new(1),
            in_flight: None,
            wanted: BTreeMap::new(),
            lost: false,
            full: None,
            books,
        };
        let (filled, unsettled, drawn) = Default::default();
        Self { inner: Mutex::new(inner), lease, layout, filled, unsettled, drawn, accounts }
    }

    /// Nothing at or below it is pending in any table.
    pub(crate) fn settled(&self) -> Version {
        self.inner.lock().settled()
    }

    /// The newest state of an object.
    pub(crate) fn newest(&self, table: TableId, key: &Key) -> Newest {
        let pending = self.inner.lock().pending(table, key);
        // What is not pending is published already, or was never changed.
        pending.unwrap_or_else(|| Newest { object: self.layout.table(table).get(key), ticket: None })
    }

    /// Gives a proposal its place.
    pub(crate) fn propose(&self, proposal: Proposal) -> Result<Sequenced, ShardError> {
        let mut inner = self.inner.lock();
        if inner.lost || !inner.owned.contains(proposal.slot) || inner.leaving.contains(proposal.slot) {
            return Err(ShardError::NotOwner);
        }
        if matches!(proposal.change, Change::Put(_)) {
            inner.check_room()?;
        }
        if inner.open.is_full() {
            let ticket = inner.in_flight.as_ref().map_or_else(|| inner.open.ticket(), |batch| batch.ticket.clone());
            drop(inner);
            self.filled.notify_one();
            return Ok(Sequenced::Full(ticket));
        }
        let base = self.newest_locked(&inner, proposal.table, &proposal.key);
        if base.as_ref().map(|object| object.version) != proposal.base {
            return Ok(Sequenced::Moved);
        }
        for guard in &proposal.guards {
            let have = self.newest_locked(&inner, guard.table, &guard.key);
            if have.map(|object| object.version) != guard.version {
                return Ok(Sequenced::Moved);
            }
        }
        let Ok(entry) = self.entry(&mut inner, &proposal) else { return Ok(Sequenced::Moved) };
        let was_empty = inner.open.is_empty();
        let urgent = inner.append(proposal, base);
        if let Some(entry) = entry {
            self.enter(&mut inner, entry);
        }
        let (object, early) = (inner.open.writes.last().expect("appended").event.object.clone(), !urgent);
        let ticket = inner.open.ticket();
        drop(inner);
        if was_empty || urgent {
            self.filled.notify_one();
        }
        Ok(Sequenced::Done { object, ticket, early })
    }

    fn newest_locked(&self, inner: &Inner, table: TableId, key: &Key) -> Option<Arc<Object>> {
        match inner.overlay.get(&(table, key.clone())) {
            Some((object, _)) => object.clone(),
            None => self.layout.table(table).get(key),
        }
    }

    /// At or above every version that was released.
    pub(crate) fn clock(&self) -> Version {
        let inner = self.inner.lock();
        inner.clock.last().min(inner.clock.durable())
    }

    /// Wall time as a version.
    pub(crate) fn now(&self) -> Version {
        self.inner.lock().clock.now()
    }

    /// Nothing at or below it will be published in this table any more.
    pub(crate) fn released(&self, table: TableId) -> Version {
        self.inner.lock().released(table)
    }

    /// Raises the clock; the ticket is for the ceiling that must be stored before `version` may be released.
    pub(crate) fn raise(&self, version: Version) -> Option<Ticket> {
        let mut inner = self.inner.lock();
        inner.clock.observe(version);
        if version <= inner.clock.durable() {
            if inner.clock.is_near() && inner.open.ceiling.is_none() && inner.in_flight.is_none() {
                // Nobody waits for it yet: it rides along or goes with the next timer.
                inner.open.ceiling = Some(inner.clock.next_ceiling());
                drop(inner);
                self.filled.notify_one();
            }
            return None;
        }
        if let Some(batch) = &inner.in_flight
            && batch.ceiling.is_some_and(|ceiling| ceiling >= version)
        {
            return Some(batch.ticket.clone());
        }
        inner.open.ceiling = Some(inner.clock.next_ceiling());
        inner.open.urgent = true;
        let ticket = inner.open.ticket();
        drop(inner);
        self.filled.notify_one();
        Some(ticket)
    }

    /// The batch that holds the table's last pending write at or below `version`, made urgent.
    pub(crate) fn flush(&self, table: TableId, version: Version) -> Option<Ticket> {
        let mut inner = self.inner.lock();
        if inner.open.first.get(&table).is_some_and(|first| *first <= version) {
            inner.open.urgent = true;
            let ticket = inner.open.ticket();
            drop(inner);
            self.filled.notify_one();
            return Some(ticket);
        }
        let batch = inner.in_flight.as_ref()?;
        batch.first.get(&table).filter(|first| **first <= version)?;
        Some(batch.ticket.clone())
    }

    /// Notes that subscribers of the table want a watermark of at least `version`; answers it when it is true already.
    pub(crate) fn want(&self, table: TableId, version: Version) -> Option<Version> {
        let mut inner = self.inner.lock();
        let released = inner.released(table);
        if released >= version {
            return Some(released);
        }
        let wanted = inner.wanted.entry(table).or_default();
        *wanted = version.max(*wanted);
        None
    }

    /// Whether the open batch holds anything, and whether somebody waits for it.
    pub(crate) fn is_filled(&self) -> (bool, bool) {
        let inner = self.inner.lock();
        (!inner.open.is_empty(), inner.open.urgent || inner.open.is_full())
    }

    /// Takes the open batch out, to be written. There must be none in flight.
    pub(crate) fn take(&self) -> Option<Pending> {
        let mut inner = self.inner.lock();
        assert!(inner.in_flight.is_none(), "batches are written one after another");
        if inner.open.is_empty() {
            inner.open.urgent = false;
            return None;
        }
        self.state(&mut inner);
        let next = Pending::new(inner.open.number + 1);
        let mut batch = std::mem::replace(&mut inner.open, next);
        if inner.clock.is_near() || batch.ceiling.is_some() {
            batch.ceiling = Some(inner.clock.next_ceiling());
        }
        inner.in_flight = Some(InFlight {
            number: batch.number,
            first: std::mem::take(&mut batch.first),
            slots: batch.slots.clone(),
            ceiling: batch.ceiling,
            ticket: batch.ticket(),
        });
        Some(batch)
    }

    /// The batch is durable: publishes it, then lets its waiters go.
    pub(crate) fn committed(&self, batch: &Pending) {
        let mut tables: BTreeMap<TableId, Vec<Arc<Event>>> = BTreeMap::new();
        for write in &batch.writes {
            tables.entry(write.table).or_default().push(write.event.clone());
        }
        let (watermarks, now) = {
            let mut inner = self.inner.lock();
            if let Some(ceiling) = batch.ceiling {
                inner.clock.stored(ceiling);
            }
            let watermarks: Vec<Version> = tables.keys().map(|table| inner.released_after(*table)).collect();
            (watermarks, inner.clock.now())
        };
        if !self.lease.is_valid() {
            // What happened has happened; but who may not answer promises nothing either.
            self.layout.tables().for_each(Table::disconnect);
        }
        for ((table, events), watermark) in tables.iter().zip(watermarks) {
            self.layout.table(*table).publish(events, watermark, now);
        }
        let promises = self.inner.lock().forget(batch.number);
        for (table, watermark) in promises {
            self.layout.table(table).promise(watermark);
        }
        batch.settle(Ok(()));
    }

    /// The batch did not happen, or nobody knows: it and everything pending after it is dropped.
    pub(crate) fn failed(&self, batch: &Pending, loss: Loss) {
        let open = self.drop_pending(false);
        batch.settle(Err(loss.clone()));
        // What was not even begun did not happen.
        let later = match loss {
            Loss::Unknown(_) => Loss::NotOwner,
            other => other,
        };
        open.settle(Err(later));
    }

    /// Another owner has taken over, the store is broken, or the shard shuts down: nothing is accepted any more.
    pub(crate) fn lose(&self) {
        self.drop_pending(true).settle(Err(Loss::NotOwner));
    }

    fn drop_pending(&self, lost: bool) -> Pending {
        let mut inner = self.inner.lock();
        inner.lost |= lost;
        let next = Pending::new(inner.open.number + 1);
        inner.overlay.clear();
        inner.in_flight = None;
        self.lose_books(&mut inner);
        std::mem::replace(&mut inner.open, next)
    }

    /// Fails once the shard may no longer answer.
    pub(crate) fn check_serving(&self) -> Result<(), ShardError> {
        let lost = self.inner.lock().lost || !self.lease.is_valid();
        if lost { Err(ShardError::NotOwner) } else { Ok(()) }
    }

    /// Whether no write is pending.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        let inner = self.inner.lock();
        inner.overlay.is_empty() && inner.open.writes.is_empty()
    }
}

impl Inner {
    fn pending(&self, table: TableId, key: &Key) -> Option<Newest> {
        let (object, number) = self.overlay.get(&(table, key.clone()))?;
        Some(Newest { object: object.clone(), ticket: self.ticket_of(*number) })
    }

    /// The batch of that number, as long as it is pending.
    fn ticket_of(&self, number: u64) -> Option<Ticket> {
        match &self.in_flight {
            Some(batch) if batch.number == number => Some(batch.ticket.clone()),
            _ => (self.open.number == number).then(|| self.open.ticket()),
        }
    }

    /// Appends a checked proposal; answers whether its writer waits for the batch.
    fn append(&mut self, proposal: Proposal, base: Option<Arc<Object>>) -> bool {
        let Proposal { table, key, slot, durability, change, request, code, operation, .. } = proposal;
        let version = self.clock.issue();
        let (object, deleted) = match change {
            Change::Put(draft) => (Arc::new(draft.seal(version)), false),
            Change::Delete => {
                let old = base.as_ref().expect("only what exists is deleted");
                (Arc::new(old.at_version(version)), true)
            }
        };
        let number = self.open.number;
        self.overlay.insert((table, key), ((!deleted).then(|| object.clone()), number));
        self.open.bytes += object.stored().len() + pending::WRITE_OVERHEAD;
        self.open.slots.insert(slot);
        self.open.first.entry(table).or_insert(version);
        let event = Arc::new(Event { version, slot, object, old: base, deleted });
        self.open.writes.push(Written { table, event, request, code, operation });
        let strict = durability == Durability::Strict || version > self.clock.durable();
        // What there may be no room for is not acknowledged early, nor anything while the store does not answer.
        let urgent = strict || self.full.is_some() || self.is_behind(version);
        self.open.urgent |= urgent;
        urgent
    }

    /// Whether something has been pending for so long that more must not be acknowledged early.
    fn is_behind(&self, version: Version) -> bool {
        version.micros().saturating_sub(self.settled().micros()) > EARLY.as_micros() as u64
    }

    fn settled(&self) -> Version {
        let first = self.open.first.values().chain(self.in_flight.iter().flat_map(|batch| batch.first.values()));
        first.min().map_or(self.clock.last(), |first| first.before())
    }

    fn released(&self, table: TableId) -> Version {
        let in_flight = self.in_flight.as_ref().and_then(|batch| batch.first.get(&table));
        match in_flight {
            Some(first) => first.before().min(self.clock.durable()),
            None => self.released_after(table),
        }
    }

    /// The same, once the batch in flight is published.
    fn released_after(&self, table: TableId) -> Version {
        let last = self.open.first.get(&table).map_or(self.clock.last(), |first| first.before());
        last.min(self.clock.durable())
    }

    /// A batch is published: its changes are no longer pending. Answers the watermarks that are true now.
    fn forget(&mut self, number: u64) -> Vec<(TableId, Version)> {
        self.overlay.retain(|_, (_, at)| *at != number);
        self.in_flight = None;
        let wanted = std::mem::take(&mut self.wanted);
        let (met, open): (BTreeMap<_, _>, _) =
            wanted.into_iter().partition(|(table, version)| self.released(*table) >= *version);
        self.wanted = open;
        met.keys().map(|table| (*table, self.released(*table))).collect()
    }
}
