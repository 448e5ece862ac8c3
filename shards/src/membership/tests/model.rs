//! A shard as membership sees one, with one number in each slot, and the rules that it must never be seen to break.
//!
//! The number of a slot is the version of its last write, so it may only grow, whoever writes it: it grows across owners by
//! ceilings and floors alone, because each writer's clock is wrong in its own way.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::Version;
use api::ambient::Ambient;
use api::slot::{Slot, SlotSet};
use api::version::EPOCH_UNIX_MICROS;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use store::memory::MemoryStore;
use store::{Batch, BatchId, Fence, Store, StoreError, Write};

use super::world::Link;
use crate::claim::{self, SecureError};
use crate::keys::{self, Epoch};
use crate::membership::holder::{HoldError, SlotHolder};

/// Slots of the model.
pub(super) const SLOTS: u16 = 24;
/// How far a writer's ceiling lies ahead of what it writes, in microseconds.
const AHEAD: u64 = 2_000_000;

fn number(slot: Slot) -> Bytes {
    Bytes::from(format!("\u{1}{:04}", slot.0))
}

/// Everything that an all-knowing observer sees.
#[derive(Default)]
pub(super) struct Arena {
    pub(super) store: MemoryStore,
    holders: Mutex<Vec<Weak<ModelHolder>>>,
    highest: Mutex<BTreeMap<Bytes, Version>>,
    violations: Mutex<Vec<String>>,
    /// How often a slot came to be served somewhere.
    pub(super) adopted: std::sync::atomic::AtomicU64,
    /// Answers that were given.
    pub(super) answers: std::sync::atomic::AtomicU64,
}

impl Arena {
    pub(super) fn violation(&self, text: String) {
        self.violations.lock().push(text);
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.violations.lock().clone()
    }

    fn alive(&self) -> Vec<Arc<ModelHolder>> {
        let mut holders = self.holders.lock();
        holders.retain(|holder| holder.strong_count() > 0);
        let alive = holders.iter().filter_map(Weak::upgrade);
        alive.filter(|holder| !holder.closed.load(Ordering::Relaxed)).collect()
    }

    /// Who believes that they may serve the slot.
    pub(super) fn believers(&self, slot: Slot) -> Vec<u16> {
        let serves = |holder: &&Arc<ModelHolder>| holder.may_serve() && holder.state.lock().numbers.contains_key(&slot);
        self.alive().iter().filter(serves).map(|holder| holder.epoch.ordinal).collect()
    }

    /// What somebody begins to believe can only be wrong from that moment on.
    fn check_believers(&self, slots: impl Iterator<Item = Slot>) {
        for slot in slots {
            let believers = self.believers(slot);
            if believers.len() > 1 {
                self.violation(format!("slot {} is served by {believers:?} at once", slot.0));
            }
        }
    }

    /// Everything that must hold at every moment.
    pub(super) fn check(&self) {
        self.check_believers((0..SLOTS).map(Slot));
        let mut highest = self.highest.lock();
        for (key, value) in self.store.snapshot() {
            let grows = keys::slot_of_floor(&key).is_some() || key.first() == Some(&1);
            let Some(now) = keys::decode_version(&value).filter(|_| grows) else { continue };
            let before = highest.insert(key.clone(), now);
            if before.is_some_and(|before| before > now) {
                self.violation(format!("{} fell", keys::printable(&key)));
            }
        }
    }
}

/// See the module.
pub(super) struct ModelHolder {
    arena: Arc<Arena>,
    link: Arc<Link>,
    ambient: Ambient,
    pub(super) epoch: Epoch,
    state: Mutex<State>,
    /// Set when the process has ended.
    closed: AtomicBool,
    /// A planted bug: it does not look at its lease.
    careless: bool,
}

#[derive(Default)]
struct State {
    /// What it serves.
    numbers: BTreeMap<Slot, Version>,
    /// Being written: what is in memory is older than what may be stored.
    writing: SlotSet,
    until: Duration,
    last: Version,
    ceiling: Version,
}

impl ModelHolder {
    pub(super) async fn open(
        arena: &Arc<Arena>,
        link: &Arc<Link>,
        ambient: &Ambient,
        epoch: Epoch,
        careless: bool,
    ) -> Result<Arc<Self>, StoreError> {
        let floor = link.get(keys::ceiling(epoch.ordinal)).await?;
        let last = floor.as_deref().and_then(keys::decode_version).unwrap_or(Version::ZERO);
        let holder = Arc::new(Self {
            arena: arena.clone(),
            link: link.clone(),
            ambient: ambient.clone(),
            epoch,
            state: Mutex::new(State { last, ..State::default() }),
            closed: AtomicBool::new(false),
            careless,
        });
        arena.holders.lock().push(Arc::downgrade(&holder));
        Ok(holder)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn may_serve(&self) -> bool {
        let valid = self.careless || self.ambient.clock.boot() < self.state.lock().until;
        valid && !self.closed.load(Ordering::Relaxed)
    }

    fn random(&self, bound: u64) -> u64 {
        self.ambient.entropy.next_u64() % bound
    }

    /// Commits the very same batch until it is known what became of it: one that may still happen is not set aside.
    async fn settle(&self, fences: Vec<Fence>, writes: Vec<Write>) -> Result<(), StoreError> {
        let batch = Batch { id: BatchId(self.ambient.entropy.next_u128()), fences, writes, adds: false };
        let mut unknown = false;
        loop {
            match self.link.commit(batch.clone()).await {
                Err(StoreError::Unknown(_)) => unknown = true,
                Err(StoreError::Unavailable(_)) if unknown => {}
                settled => return settled,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn fences(&self, slots: impl Iterator<Item = Slot>) -> Vec<Fence> {
        let own = Some(self.epoch.encode());
        let slots = slots.map(|slot| Fence { key: keys::slot_owner(slot), expected: own.clone() });
        let ordinal = Fence { key: keys::ordinal_owner(self.epoch.ordinal), expected: own.clone() };
        std::iter::once(ordinal).chain(slots).collect()
    }

    /// Reads and writes for ever, as clients make a shard do.
    pub(super) async fn work(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_millis(5 + self.random(30))).await;
            self.link.thawed().await;
            if self.closed.load(Ordering::Relaxed) {
                return;
            }
            let slots: Vec<Slot> = self.state.lock().numbers.keys().copied().collect();
            let Some(slot) = (!slots.is_empty()).then(|| slots[self.random(slots.len() as u64) as usize]) else {
                continue;
            };
            if self.random(2) == 0 { self.read(slot) } else { self.write(slot).await }
        }
    }

    /// An answer from memory is right if nobody can have written since.
    fn read(&self, slot: Slot) {
        let answer = {
            let state = self.state.lock();
            if state.writing.contains(slot) {
                return;
            }
            state.numbers.get(&slot).copied()
        };
        if !self.may_serve() {
            return;
        }
        let stored = self.arena.store.get(number(slot)).now_or_never().expect("a map answers at once");
        let truth = stored.expect("a map does not fail").as_deref().and_then(keys::decode_version);
        self.arena.answers.fetch_add(1, Ordering::Relaxed);
        if answer != truth.or(Some(Version::ZERO)) {
            let me = self.epoch.ordinal;
            self.arena.violation(format!("shard {me} answers {answer:?} of slot {}, and it is {truth:?}", slot.0));
        }
    }

    async fn write(&self, slot: Slot) {
        let (next, ceiling) = {
            let mut state = self.state.lock();
            if !state.numbers.contains_key(&slot) || state.writing.contains(slot) {
                return;
            }
            state.writing.insert(slot);
            let wall = u64::try_from(self.ambient.clock.wall_micros() - EPOCH_UNIX_MICROS).unwrap_or(0);
            let next = Version::new(wall.max(state.last.micros() + 1), self.epoch.ordinal);
            state.last = next;
            let ceiling = (next >= state.ceiling).then(|| Version::new(next.micros() + AHEAD, self.epoch.ordinal));
            (next, ceiling)
        };
        let mut writes = vec![Write::Put(number(slot), keys::encode_version(next))];
        if let Some(ceiling) = ceiling {
            writes.push(Write::Put(keys::ceiling(self.epoch.ordinal), keys::encode_version(ceiling)));
        }
        let outcome = self.settle(self.fences([slot].into_iter()), writes).await;
        let mut state = self.state.lock();
        state.writing.remove(slot);
        match outcome {
            Ok(()) => {
                if let Some(mine) = state.numbers.get_mut(&slot) {
                    *mine = next;
                }
                state.ceiling = state.ceiling.max(ceiling.unwrap_or(Version::ZERO));
            }
            Err(StoreError::Unavailable(_)) => {}
            // Not its any more, or nobody knows: it is read again if it is.
            Err(_) => drop(state.numbers.remove(&slot)),
        }
    }

    async fn read_numbers(&self, slots: &SlotSet) -> Result<BTreeMap<Slot, Version>, HoldError> {
        let page = self.link.scan(Bound::Included(number(Slot(0))), number(Slot(SLOTS)), usize::from(SLOTS)).await?;
        let stored: BTreeMap<Bytes, Bytes> = page.pairs.into_iter().collect();
        let version = |key: Bytes| stored.get(&key).and_then(|value| keys::decode_version(value));
        Ok(slots.iter().map(|slot| (slot, version(number(slot)).unwrap_or(Version::ZERO))).collect())
    }
}

impl SlotHolder for ModelHolder {
    fn serving(&self) -> Arc<SlotSet> {
        Arc::new(self.state.lock().numbers.keys().copied().collect())
    }

    fn serve_until(&self, until: Duration) {
        self.state.lock().until = until;
        self.arena.check_believers(self.serving().iter());
    }

    fn prefetch(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), HoldError>> {
        async move { self.read_numbers(&slots).await.map(drop) }.boxed()
    }

    fn forget(&self, _: &SlotSet) {}

    fn release(&self, slots: Arc<SlotSet>, heir: Epoch) -> BoxFuture<'_, Result<(), HoldError>> {
        async move {
            self.state.lock().numbers.retain(|slot, _| !slots.contains(*slot));
            while !self.state.lock().writing.intersection(&slots).is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let floor = self.state.lock().last;
            let store = self.link.shared();
            let handed = claim::hand_over(&store, &self.ambient, self.epoch, &slots, heir, floor);
            Ok(handed.await?)
        }
        .boxed()
    }

    fn adopt(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), HoldError>> {
        async move {
            // Those that it serves are left alone: what is in memory is what holds.
            let new = slots.difference(&self.serving());
            let secured = claim::secure(&self.link.shared(), &self.ambient, self.epoch, &new).await;
            let floor = secured.map_err(|error| match error {
                SecureError::Living(slot) => HoldError::Later(format!("slot {} is another's", slot.0)),
                SecureError::Store(error) => error.into(),
            })?;
            let numbers = self.read_numbers(&new).await?;
            let mut state = self.state.lock();
            state.last = state.last.max(floor.ceil());
            for (slot, number) in numbers {
                // Another call for the same slots may have been faster.
                if !state.writing.contains(slot) {
                    state.numbers.entry(slot).or_insert(number);
                    self.arena.adopted.fetch_add(1, Ordering::Relaxed);
                }
            }
            drop(state);
            self.arena.check_believers(slots.iter());
            Ok(())
        }
        .boxed()
    }
}
