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

use api::Version;
use api::slot::{Slot, SlotSet};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use store::StoreError;

use crate::claim::{self, SecureError};
use crate::contents::{self, Loaded, Shelf};
use crate::keys::Epoch;
use crate::service::ShardError;
use crate::shard::{OpenError, Shard};

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

impl Shard {
    /// Gives slots to another member. Requests for them are answered `NotOwner` from the moment that this is called.
    pub async fn release(&self, slots: &SlotSet, heir: Epoch) -> Result<Handed, MoveError> {
        let _alone = self.prefetched.lock().await;
        if !slots.difference(&self.owned()).is_empty() {
            return Err(MoveError::NotOwner);
        }
        if let Err(error) = self.sequencer.stop_writes(slots).await {
            self.sequencer.resume_writes(slots);
            return Err(MoveError::Pending(error));
        }
        let (left, floor, watermarks) = self.sequencer.let_go(slots);
        let tables = self.tables.iter().zip(watermarks);
        let shelves: Vec<Shelf> = tables.map(|(table, watermark)| table.release(left.clone(), watermark)).collect();
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
                let watermarks = self.sequencer.rise(floor).await.map_err(MoveError::Pending)?;
                self.shelve(shelves, slots, &watermarks, self.sequencer.now());
                Err(match error {
                    StoreError::Fenced { .. } => MoveError::NotOwner,
                    other => MoveError::Store(other),
                })
            }
        }
    }

    /// Reads slots that are to come, while their owner still serves them.
    pub async fn prefetch(&self, slots: &SlotSet) -> Result<(), MoveError> {
        let wanted = slots.difference(&self.owned());
        let now = self.sequencer.now();
        let loaded = contents::load(&self.layout, &self.committer.store, &wanted, now).await?;
        self.prefetched.lock().await.extend(loaded);
        Ok(())
    }

    /// Forgets what was read of slots that do not come after all.
    pub async fn forget(&self, slots: &SlotSet) {
        self.prefetched.lock().await.retain(|slot, _| !slots.contains(*slot));
    }

    /// Serves slots that were handed to this shard, or that nobody owns: those of fenced members, and fresh ones. What it
    /// serves already is left alone.
    pub async fn adopt(&self, slots: &SlotSet) -> Result<(), MoveError> {
        let mut prefetched = self.prefetched.lock().await;
        let slots = &slots.difference(&self.owned());
        if slots.is_empty() {
            return Ok(());
        }
        let store = &self.committer.store;
        let floor = claim::secure(store, &self.ambient, self.epoch(), slots).await?;
        let now = self.sequencer.now();
        let known: Vec<(Slot, Loaded)> =
            slots.iter().filter_map(|slot| Some((slot, prefetched.remove(&slot)?))).collect();
        let caught_up = stream::iter(known.into_iter().map(|(slot, mut loaded)| async move {
            let complete = contents::catch_up(&self.layout, store, slot, &mut loaded, now).await?;
            Ok::<_, OpenError>(complete.then_some((slot, loaded)))
        }));
        let caught_up: Vec<_> = caught_up.buffered(AT_ONCE).try_collect().await?;
        let mut loaded: BTreeMap<Slot, Loaded> = caught_up.into_iter().flatten().collect();
        let missing: SlotSet = slots.iter().filter(|slot| !loaded.contains_key(slot)).collect();
        loaded.extend(contents::load(&self.layout, store, &missing, now).await?);
        let watermarks = self.sequencer.rise(floor).await.map_err(MoveError::Pending)?;
        self.take_in(loaded, slots, &watermarks, now);
        drop(prefetched);
        Ok(())
    }

    /// Gives the tables what was loaded, and serves it.
    pub(crate) fn take_in(
        &self,
        loaded: BTreeMap<Slot, Loaded>,
        slots: &SlotSet,
        watermarks: &[Version],
        now: Version,
    ) {
        for (slot, loaded) in &loaded {
            self.committer.logs.insert(*slot, &loaded.logs);
            self.recent().note(loaded.requests.iter().copied());
        }
        self.shelve(contents::shelve(&self.layout, loaded.into_values()), slots, watermarks, now);
    }

    fn shelve(&self, shelves: Vec<Shelf>, slots: &SlotSet, watermarks: &[Version], now: Version) {
        let all = std::sync::Arc::new(self.owned().union(slots));
        for ((table, shelf), watermark) in self.tables.iter().zip(shelves).zip(watermarks) {
            table.adopt(shelf, all.clone(), *watermark, now);
        }
        self.sequencer.take_in(slots);
    }
}
