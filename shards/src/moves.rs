//! Slots that come and go while the shard serves (DESIGN D3, D6).
//!
//! Leaving: nothing new is written, what is pending is committed, subscribers are told, and one commit gives the slots to
//! the heir with a floor above every version that was released for them. Coming: the slots are made sure of in the store,
//! their rows and logs are read (most of that before, by [`Shard::prefetch`]), the clock rises above the floor, the tables
//! get objects and history, and subscribers are told. Only then is anything answered.
//!
//! Invariant: whoever is told that a shard has a slot from a watermark on gets every later event of it from that shard, and
//! every earlier one by [`crate::service::ShardService::history`].

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Version;
use api::slot::{Slot, SlotSet};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use store::StoreError;

use crate::claim::{self, SecureError};
use crate::contents::{self, Loaded, Shelf};
use crate::keys::Epoch;
use crate::sequencer::{Sequencer, TableId};
use crate::service::ShardError;
use crate::shard::{OpenError, Shard};
use crate::table::Table;

/// Slots that are brought up to date at once.
const AT_ONCE: usize = 32;

/// Slots that another member owns now.
#[derive(Clone, Debug)]
pub struct Handed {
    /// Which.
    pub slots: SlotSet,
    /// What the heir starts above.
    pub floor: Version,
}

/// Why slots did not move.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// They are not this shard's to give, or this shard is fenced.
    #[error("the shard does not own the slots that it was to give away")]
    NotOwner,
    /// They are another's, who is not fenced.
    #[error("slot {} belongs to a member that lives", .0.0)]
    Living(Slot),
    /// Some of them are moving already.
    #[error("some of the slots are moving already")]
    Busy,
    /// Nobody knows whose they are. The shard does not serve them; [`Shard::adopt`] finds out.
    #[error("it is unknown whose the slots are: {0}")]
    Unknown(String),
    /// What they hold makes no sense.
    #[error(transparent)]
    Damaged(OpenError),
    /// The store failed, and nothing has changed.
    #[error(transparent)]
    Store(StoreError),
    /// A write was lost on the way, and nothing has changed.
    #[error("what was pending could not be settled: {0}")]
    Pending(ShardError),
}

impl From<OpenError> for MoveError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store(error) => Self::Store(error),
            other => Self::Damaged(other),
        }
    }
}

impl From<SecureError> for MoveError {
    fn from(error: SecureError) -> Self {
        match error {
            SecureError::Living(slot) => Self::Living(slot),
            SecureError::Store(StoreError::Unknown(reason)) => Self::Unknown(reason),
            SecureError::Store(error) => Self::Store(error),
        }
    }
}

/// What the shard is doing about slots that are not at rest.
#[derive(Default)]
pub(crate) struct Moves {
    /// Slots that are leaving or coming.
    busy: Mutex<SlotSet>,
    /// What was read of slots that are to come.
    prefetched: Mutex<BTreeMap<Slot, Loaded>>,
}

impl Moves {
    fn begin(&self, slots: &SlotSet) -> Result<Moving<'_>, MoveError> {
        let mut busy = self.busy.lock();
        if !busy.intersection(slots).is_empty() {
            return Err(MoveError::Busy);
        }
        *busy = busy.union(slots);
        Ok(Moving { moves: self, slots: slots.clone() })
    }
}

/// Slots that are moving until this is dropped.
struct Moving<'a> {
    moves: &'a Moves,
    slots: SlotSet,
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        let mut busy = self.moves.busy.lock();
        *busy = busy.difference(&self.slots);
    }
}

/// Slots that nothing is written to until this is dropped, or until they have left.
struct Still<'a> {
    sequencer: &'a Sequencer,
    slots: &'a SlotSet,
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.sequencer.resume_writes(self.slots);
    }
}

impl Shard {
    /// Gives slots to another member. Writes to them are answered `NotOwner` from the moment that this is called. After an
    /// error [`Shard::owned`] says whether they are still served.
    pub async fn release(&self, slots: &SlotSet, heir: Epoch) -> Result<Handed, MoveError> {
        let _moving = self.moves.begin(slots)?;
        if !slots.difference(&self.owned()).is_empty() {
            return Err(MoveError::NotOwner);
        }
        let still = Still { sequencer: &self.sequencer, slots };
        self.sequencer.stop_writes(slots).await.map_err(MoveError::Pending)?;
        let (floor, shelves) = self.let_go(slots);
        drop(still);
        let (store, ambient) = (&self.committer.store, &self.ambient);
        match claim::hand_over(store, ambient, self.epoch(), slots, heir, floor).await {
            Ok(()) => {
                self.committer.logs.remove(slots);
                Ok(Handed { slots: slots.clone(), floor })
            }
            Err(StoreError::Unknown(reason)) => {
                self.committer.logs.remove(slots);
                Err(MoveError::Unknown(reason))
            }
            Err(error) => {
                self.sequencer.rise(floor).await.map_err(MoveError::Pending)?;
                self.shelve(|| shelves, slots, self.sequencer.now());
                Err(match error {
                    StoreError::Fenced { .. } => MoveError::NotOwner,
                    other => MoveError::Store(other),
                })
            }
        }
    }

    /// Stops serving slots, and answers a floor above everything that was released for them, and what they held.
    fn let_go(&self, slots: &SlotSet) -> (Version, Vec<Shelf>) {
        let mut turn = self.layout.turn();
        let (left, floor) = self.sequencer.let_go(slots);
        *turn = left.clone();
        self.metrics().owned(left.len());
        let release = |(id, table): (u32, &Table)| table.release(left.clone(), self.sequencer.released(TableId(id)));
        let shelves = (0..).zip(self.layout.tables()).map(release).collect();
        // Until its table has said that the slots are gone, a stream still claims them, and what it promised meanwhile must
        // lie below the floor as well.
        (floor.max(self.sequencer.clock()), shelves)
    }

    /// Reads slots that are to come, while their owner still serves them.
    pub async fn prefetch(&self, slots: &SlotSet) -> Result<(), MoveError> {
        let wanted = slots.difference(&self.owned());
        let now = self.sequencer.now();
        let loaded = contents::load(&self.layout, &self.committer.store, &wanted, now).await?;
        self.moves.prefetched.lock().extend(loaded);
        Ok(())
    }

    /// Forgets what was read of slots that do not come after all.
    pub fn forget(&self, slots: &SlotSet) {
        self.moves.prefetched.lock().retain(|slot, _| !slots.contains(*slot));
    }

    /// Serves slots that were handed to this shard, or that nobody owns: those of fenced members, and fresh ones. What it
    /// serves already is left alone. All or nothing.
    pub async fn adopt(&self, slots: &SlotSet) -> Result<(), MoveError> {
        let slots = &slots.difference(&self.owned());
        if slots.is_empty() {
            return Ok(());
        }
        let _moving = self.moves.begin(slots)?;
        let store = &self.committer.store;
        let floor = claim::secure(store, &self.ambient, self.epoch(), slots).await?;
        let now = self.sequencer.now();
        let known: Vec<(Slot, Loaded)> = {
            let mut prefetched = self.moves.prefetched.lock();
            slots.iter().filter_map(|slot| Some((slot, prefetched.remove(&slot)?))).collect()
        };
        let caught_up = stream::iter(known.into_iter().map(|(slot, mut loaded)| async move {
            let complete = contents::catch_up(&self.layout, store, slot, &mut loaded, now).await?;
            Ok::<_, OpenError>(complete.then_some((slot, loaded)))
        }));
        let caught_up: Vec<_> = caught_up.buffered(AT_ONCE).try_collect().await?;
        let mut loaded: BTreeMap<Slot, Loaded> = caught_up.into_iter().flatten().collect();
        let missing: SlotSet = slots.iter().filter(|slot| !loaded.contains_key(slot)).collect();
        loaded.extend(contents::load(&self.layout, store, &missing, now).await?);
        // Above, not at: so that nothing that this shard says has a version at which the former owner said something.
        self.sequencer.rise(Version(floor.0 + 1)).await.map_err(MoveError::Pending)?;
        self.take_in(loaded, slots, now);
        Ok(())
    }

    /// Gives the tables what was loaded, and serves it.
    pub(crate) fn take_in(&self, loaded: BTreeMap<Slot, Loaded>, slots: &SlotSet, now: Version) {
        self.committer.logs.remove(slots);
        for (slot, loaded) in &loaded {
            self.committer.logs.insert(*slot, &loaded.logs);
            self.recent().note(loaded.requests.iter().copied());
        }
        self.shelve(|| contents::shelve(&self.layout, loaded.into_values()), slots, now);
    }

    /// Nothing is pending below what the shelves hold.
    fn shelve(&self, shelves: impl FnOnce() -> Vec<Shelf>, slots: &SlotSet, now: Version) {
        let mut turn = self.layout.turn();
        let all = Arc::new(turn.union(slots));
        *turn = all.clone();
        // Clusters that were first heard of since have nothing in these slots.
        let shelves = shelves().into_iter().chain(std::iter::repeat_with(Shelf::default));
        for ((id, table), shelf) in (0..).zip(self.layout.tables()).zip(shelves) {
            table.adopt(shelf, all.clone(), self.sequencer.released(TableId(id)), now);
        }
        self.sequencer.take_in(slots);
        self.metrics().owned(all.len());
    }
}
