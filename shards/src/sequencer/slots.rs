//! Which slots the shard owns: changed under the sequencer's lock, so that no write is given a place in one that has left.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::Version;
use api::slot::{Slot, SlotSet};

use super::Sequencer;
use crate::service::ShardError;

/// A slot as it was owned at one moment: what is derived from it holds while it was not given up since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    slot: Slot,
    taken: u32,
}

impl Sequencer {
    /// The slots that are answered for.
    pub(crate) fn owned(&self) -> Arc<SlotSet> {
        self.inner.lock().owned.clone()
    }

    /// Holds on to a slot that the shard owns and may answer for.
    pub(crate) fn hold(&self, slot: Slot) -> Result<Hold, ShardError> {
        let inner = self.inner.lock();
        if inner.lost || !inner.owned.contains(slot) || !self.lease.is_valid() {
            return Err(ShardError::NotOwner);
        }
        Ok(Hold { slot, taken: inner.taken[usize::from(slot.0)] })
    }

    /// Whether the slot was the shard's all the time, and it may still answer. Looked at after the answer was taken.
    pub(crate) fn check(&self, hold: Hold) -> Result<(), ShardError> {
        let now = self.hold(hold.slot)?;
        if now.taken == hold.taken { Ok(()) } else { Err(ShardError::NotOwner) }
    }

    /// From now on nothing is written to these slots. Waits for what is pending there.
    pub(crate) async fn stop_writes(&self, slots: &SlotSet) -> Result<(), ShardError> {
        loop {
            let ticket = {
                let mut inner = self.inner.lock();
                inner.leaving = inner.leaving.union(slots);
                let any = |of: &BTreeSet<Slot>| of.iter().any(|slot| slots.contains(*slot));
                if any(&inner.open.slots) {
                    inner.open.urgent = true;
                    Some(inner.open.ticket())
                } else {
                    inner.in_flight.as_ref().filter(|batch| any(&batch.slots)).map(|batch| batch.ticket.clone())
                }
            };
            let Some(ticket) = ticket else { return Ok(()) };
            self.filled.notify_one();
            match ticket.wait().await {
                Ok(()) | Err(ShardError::Status(_)) => {}
                Err(lost) => return Err(lost),
            }
        }
    }

    /// Writes may go on: the slots stay after all.
    pub(crate) fn resume_writes(&self, slots: &SlotSet) {
        let mut inner = self.inner.lock();
        inner.leaving = inner.leaving.difference(slots);
    }

    /// Stops answering for slots that nothing is written to any more. Answers what is left, and a version at or above every
    /// one that was released for them.
    pub(crate) fn let_go(&self, slots: &SlotSet) -> (Arc<SlotSet>, Version) {
        let mut inner = self.inner.lock();
        inner.owned = Arc::new(inner.owned.difference(slots));
        inner.leaving = inner.leaving.difference(slots);
        inner.books.close(slots);
        self.drawn.notify_waiters();
        (inner.owned.clone(), inner.clock.last().min(inner.clock.durable()))
    }

    /// Makes every later version higher than `floor`, and waits until nothing at or below it is pending and a ceiling above
    /// it is stored: the watermarks of all tables are at or above it then.
    pub(crate) async fn rise(&self, floor: Version) -> Result<(), ShardError> {
        self.reach(floor).await?;
        loop {
            let ticket = {
                let mut inner = self.inner.lock();
                if inner.settled() >= floor {
                    return Ok(());
                }
                match &inner.in_flight {
                    Some(batch) => batch.ticket.clone(),
                    None => {
                        inner.open.urgent = true;
                        inner.open.ticket()
                    }
                }
            };
            self.filled.notify_one();
            ticket.wait().await?;
        }
    }

    /// From now on the shard answers for these slots as well. Their tables have them.
    pub(crate) fn take_in(&self, slots: &SlotSet) {
        let mut inner = self.inner.lock();
        inner.owned = Arc::new(inner.owned.union(slots));
        slots.iter().for_each(|slot| inner.taken[usize::from(slot.0)] += 1);
        self.open_books(&mut inner, slots);
    }
}
