//! The commit loop: one batch after another becomes durable, and what happens when the store does not say so.
//!
//! Strict writes are flushed at once, which means with whatever queued while the last commit ran; relaxed ones wait for
//! the next strict write or for a timer. A batch writes entries of the slots' logs (`log`) and is fenced by the
//! epochs of the ordinal and of the slots it writes to. An unknown outcome is settled by committing the very same batch
//! again: it is applied at most once.

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use store::{Batch, BatchId, Fence, SharedStore, StoreError, Write};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::Logs;
use crate::claim;
use crate::keys::{self, Epoch};
use crate::layout::Layout;
use crate::log::Entry;
use crate::metrics::Metrics;
use crate::sequencer::{Loss, Pending, Sequencer, Written};

/// How long a batch is tried again while the store cannot be reached.
const UNREACHABLE: Duration = Duration::from_secs(5);
/// How long a batch of unknown outcome is committed again: well within the time that a store remembers batches.
const UNSETTLED: Duration = Duration::from_secs(40);
/// First and longest pause between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// Whether a shard may still answer; what its process must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It serves.
    Serving,
    /// Another owner has taken over its ordinal or one of its slots.
    Fenced,
    /// The store lost what it had acknowledged, or may have: the process must exit.
    Broken(String),
}

/// What the loop works on.
pub(crate) struct Committer {
    pub(crate) store: SharedStore,
    pub(crate) ambient: Ambient,
    pub(crate) epoch: Epoch,
    /// How long a relaxed write may wait.
    pub(crate) relaxed_flush: Duration,
    pub(crate) layout: Arc<Layout>,
    /// How much of the logs there is.
    pub(crate) logs: Logs,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) metrics: Metrics,
}

enum Outcome {
    Committed,
    Failed(String),
    /// There was no room for it.
    Full(String),
    Lost(Health, Loss),
}

impl Committer {
    /// Runs until `shutdown`, then flushes what is pending.
    pub(crate) async fn run(&self, sequencer: &Sequencer, shutdown: CancellationToken) {
        loop {
            let last = self.wait(sequencer, &shutdown).await;
            // Writers that are about to be done ride along: what a batch costs is about the same for one and for many.
            tokio::task::yield_now().await;
            while let Some(batch) = sequencer.take() {
                if !self.commit(sequencer, batch).await {
                    return;
                }
                if !last && !sequencer.is_filled().1 {
                    break;
                }
            }
            if last {
                sequencer.lose();
                return;
            }
        }
    }

    /// Waits until there is something to write; answers whether this is the last round.
    async fn wait(&self, sequencer: &Sequencer, shutdown: &CancellationToken) -> bool {
        let mut deadline = None;
        loop {
            let filled = sequencer.filled.notified();
            let (filled_any, urgent) = sequencer.is_filled();
            if urgent {
                return false;
            }
            let now = tokio::time::Instant::now();
            if filled_any {
                deadline.get_or_insert(now + self.relaxed_flush);
            }
            let until = deadline.unwrap_or(now + Duration::from_secs(3600));
            tokio::select! {
                biased;
                () = filled => {}
                () = tokio::time::sleep_until(until) => if deadline.is_some() { return false },
                () = shutdown.cancelled() => return true,
            }
        }
    }

    /// Makes one batch durable and publishes it, or fails it. Answers whether the shard goes on.
    async fn commit(&self, sequencer: &Sequencer, pending: Pending) -> bool {
        let started = self.ambient.clock.boot();
        let outcome = self.settle(&pending).await;
        let took = self.ambient.clock.boot().saturating_sub(started);
        self.metrics.committed(took, pending.writes.len(), matches!(outcome, Outcome::Committed));
        let ordinal = self.epoch.ordinal;
        match outcome {
            Outcome::Committed => {
                self.logs.note(&self.layout, &pending.writes);
                if pending.adds() && sequencer.has_room_again() {
                    tracing::info!(ordinal, "the store has room again");
                }
                sequencer.committed(&pending);
                true
            }
            Outcome::Full(reason) => {
                // Reads go on, and what they wait for is no client's write.
                let stored = match pending.ceiling {
                    Some(ceiling) => {
                        claim::store_ceiling(&self.store, &self.ambient, self.epoch, ceiling).await.is_ok()
                    }
                    None => false,
                };
                let reason: Arc<str> = format!("the store is full: {reason}").into();
                if sequencer.has_no_room(pending.ceiling.filter(|_| stored), &reason) {
                    tracing::warn!(ordinal, %reason, "writes are refused until there is room again");
                }
                sequencer.failed(&pending, Loss::Failed(reason));
                true
            }
            Outcome::Failed(reason) => {
                tracing::warn!(ordinal, writes = pending.writes.len(), reason, "a batch was not stored");
                sequencer.failed(&pending, Loss::Failed(reason.into()));
                true
            }
            Outcome::Lost(health, loss) => {
                tracing::error!(ordinal, ?health, "the shard stops serving");
                sequencer.lose();
                sequencer.failed(&pending, loss);
                self.health.send_replace(health);
                false
            }
        }
    }

    fn batch(&self, pending: &Pending) -> Batch {
        let epoch = self.epoch.encode();
        let mut fences = Vec::with_capacity(pending.slots.len() + 1);
        fences.push(Fence { key: keys::ordinal_owner(self.epoch.ordinal), expected: Some(epoch.clone()) });
        let slots = pending.slots.iter();
        fences.extend(slots.map(|slot| Fence { key: keys::slot_owner(*slot), expected: Some(epoch.clone()) }));
        let mut writes = Vec::with_capacity(pending.writes.len() + 1);
        writes.extend(pending.writes.iter().map(|write| self.entry(write)));
        if let Some(ceiling) = pending.ceiling {
            writes.push(Write::Put(keys::ceiling(self.epoch.ordinal), keys::encode_version(ceiling)));
        }
        Batch { id: BatchId(self.ambient.entropy.next_u128()), fences, writes, adds: pending.adds() }
    }

    fn entry(&self, write: &Written) -> Write {
        let (table, event) = (self.layout.table(write.table), &write.event);
        let entry = Entry {
            request: write.request,
            code: write.code,
            operation: write.operation,
            id_name: &table.resource.id_name,
            namespace: &event.object.namespace,
            name: &event.object.name,
        };
        let tail: &[u8] = if event.deleted { &[] } else { event.object.stored() };
        Write::Put(keys::entry(event.slot, &table.cluster, table.class, event.version), entry.encode(tail))
    }

    async fn settle(&self, pending: &Pending) -> Outcome {
        let batch = self.batch(pending);
        let mut pause = Pause::new(&self.ambient, UNREACHABLE);
        let reason = loop {
            match self.store.commit(batch.clone()).await {
                Ok(()) => return Outcome::Committed,
                Err(StoreError::Unavailable(_)) if pause.next().await => {}
                Err(StoreError::Unavailable(reason) | StoreError::TooLarge(reason)) => return Outcome::Failed(reason),
                Err(StoreError::Full(reason)) => return Outcome::Full(reason),
                Err(StoreError::Fenced { .. }) => return Outcome::Lost(Health::Fenced, Loss::NotOwner),
                Err(StoreError::Broken(reason)) => return broken(reason),
                Err(StoreError::Unknown(reason)) => break reason,
            }
        };
        // From here on a try that says that nothing happened says nothing about the first one.
        let mut pause = Pause::new(&self.ambient, UNSETTLED);
        while pause.next().await {
            match self.store.commit(batch.clone()).await {
                Ok(()) => return Outcome::Committed,
                Err(StoreError::Fenced { .. }) => return Outcome::Lost(Health::Fenced, Loss::NotOwner),
                Err(StoreError::Broken(reason) | StoreError::TooLarge(reason)) => return broken(reason),
                Err(StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::Unknown(_)) => {}
            }
        }
        broken(reason)
    }
}

/// Whether the batch happened cannot be found out: nothing that is derived from it may be answered.
fn broken(reason: String) -> Outcome {
    let loss = Loss::Unknown(reason.as_str().into());
    Outcome::Lost(Health::Broken(reason), loss)
}

/// Pauses that grow, until it has taken too long.
pub(crate) struct Pause<'a> {
    ambient: &'a Ambient,
    until: tokio::time::Instant,
    next: Duration,
}

impl<'a> Pause<'a> {
    pub(crate) fn new(ambient: &'a Ambient, within: Duration) -> Self {
        Self { ambient, until: tokio::time::Instant::now() + within, next: BACKOFF.0 }
    }

    /// Sleeps; false when there is no time for another try.
    pub(crate) async fn next(&mut self) -> bool {
        if tokio::time::Instant::now() + self.next > self.until {
            return false;
        }
        // Between half and all of it, so that shards of one store do not come back together.
        let jitter = self.ambient.entropy.next_u64() % 512;
        tokio::time::sleep(self.next / 2 + self.next * jitter as u32 / 1024).await;
        self.next = (self.next * 2).min(BACKOFF.1);
        true
    }
}
