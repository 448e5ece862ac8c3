//! The commit loop: one batch after another becomes durable, and what happens when the store does not say so.
//!
//! Strict writes are flushed at once, which means with whatever queued while the last commit ran; relaxed ones wait for
//! the next strict write or for a timer. Every batch is fenced by the epochs of the ordinal and of the slots it writes
//! to, and leaves its id in the ordinal's marker, so that an unknown outcome is settled: the shard claims its slots again
//! under a new epoch, which keeps the batch from happening later, and then reads the marker.

use std::time::Duration;

use api::ambient::Ambient;
use bytes::Bytes;
use parking_lot::Mutex;
use store::{Batch, BatchId, Fence, SharedStore, StoreError, Write};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::claim::Claim;
use crate::keys;
use crate::metrics::Metrics;
use crate::sequencer::{Pending, Sequencer};

/// How long a batch is tried again while the store cannot be reached.
const UNREACHABLE: Duration = Duration::from_secs(5);
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
    pub(crate) ordinal: u16,
    /// How long a relaxed write may wait.
    pub(crate) relaxed_flush: Duration,
    pub(crate) claim: Mutex<Claim>,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) metrics: Metrics,
}

enum Outcome {
    Committed,
    Failed(String),
    Lost(Health),
}

impl Committer {
    /// Runs until `shutdown`, then flushes what is pending.
    pub(crate) async fn run(&self, sequencer: &Sequencer, shutdown: CancellationToken) {
        loop {
            let last = self.wait(sequencer, &shutdown).await;
            while let Some(batch) = sequencer.take() {
                if !self.commit(sequencer, batch).await {
                    return;
                }
                if !last && !sequencer.is_filled().1 {
                    break;
                }
            }
            if last {
                sequencer.lose("it is shutting down");
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
        let id = self.ambient.entropy.next_u128();
        let batch = self.batch(id, &pending);
        let started = self.ambient.clock.boot();
        let outcome = self.settle(id, batch, &pending).await;
        let took = self.ambient.clock.boot().saturating_sub(started);
        self.metrics.committed(took, pending.events.len(), matches!(outcome, Outcome::Committed));
        match outcome {
            Outcome::Committed => {
                sequencer.committed(&pending);
                true
            }
            Outcome::Failed(reason) => {
                tracing::warn!(ordinal = self.ordinal, writes = pending.events.len(), reason, "a batch was not stored");
                sequencer.failed(&pending, &reason);
                true
            }
            Outcome::Lost(health) => {
                tracing::error!(ordinal = self.ordinal, ?health, "the shard stops serving");
                sequencer.lose("its store or its slots are lost");
                sequencer.failed(&pending, "the shard lost its store or its slots");
                self.health.send_replace(health);
                false
            }
        }
    }

    fn batch(&self, id: u128, pending: &Pending) -> Batch {
        let epoch = self.claim.lock().epoch();
        let mut fences = Vec::with_capacity(pending.slots.len() + 1);
        fences.push(Fence { key: keys::ordinal_owner(self.ordinal), expected: Some(epoch.clone()) });
        let slots = pending.slots.iter();
        fences.extend(slots.map(|slot| Fence { key: keys::slot_owner(*slot), expected: Some(epoch.clone()) }));
        let mut writes = Vec::with_capacity(pending.writes.len() + 2);
        writes.extend(pending.writes.iter().cloned());
        writes.push(Write::Put(keys::marker(self.ordinal), Bytes::copy_from_slice(&id.to_be_bytes())));
        if let Some(ceiling) = pending.ceiling {
            let value = Bytes::copy_from_slice(&ceiling.0.to_be_bytes());
            writes.push(Write::Put(keys::ceiling(self.ordinal), value));
        }
        Batch { id: BatchId(id), fences, writes }
    }

    async fn settle(&self, id: u128, mut batch: Batch, pending: &Pending) -> Outcome {
        let mut pause = Pause::new(&self.ambient);
        loop {
            match self.store.commit(batch).await {
                Ok(()) => return Outcome::Committed,
                Err(StoreError::Unavailable(_)) if pause.next().await => {
                    // Nothing happened, so the same writes are tried again, under an id of their own.
                    batch = self.batch(id, pending);
                    batch.id = BatchId(self.ambient.entropy.next_u128());
                }
                Err(StoreError::Unavailable(reason) | StoreError::TooLarge(reason)) => return Outcome::Failed(reason),
                Err(StoreError::Fenced { .. }) => return Outcome::Lost(Health::Fenced),
                Err(StoreError::Broken(reason)) => return Outcome::Lost(Health::Broken(reason)),
                Err(StoreError::Unknown(reason)) => return self.settle_unknown(id, reason).await,
            }
        }
    }

    async fn settle_unknown(&self, id: u128, reason: String) -> Outcome {
        let mut claim = self.claim.lock().clone();
        let mut pause = Pause::new(&self.ambient);
        let renewed = loop {
            match claim.renew(&self.store, &self.ambient).await {
                Err(error) if error.is_retryable() && pause.next().await => {}
                other => break other,
            }
        };
        match renewed {
            Ok(()) => {}
            Err(StoreError::Fenced { .. }) => return Outcome::Lost(Health::Fenced),
            // Whether the batch happened cannot be found out: nothing that is derived from it may be answered.
            Err(error) => return Outcome::Lost(Health::Broken(format!("{reason}; then: {error}"))),
        }
        *self.claim.lock() = claim;
        let marker = loop {
            match self.store.get(keys::marker(self.ordinal)).await {
                Err(error) if error.is_retryable() && pause.next().await => {}
                other => break other,
            }
        };
        match marker {
            Ok(marker) if marker.as_deref() == Some(&id.to_be_bytes()[..]) => Outcome::Committed,
            Ok(_) => Outcome::Failed(reason),
            Err(error) => Outcome::Lost(Health::Broken(format!("{reason}; then: {error}"))),
        }
    }
}

/// Pauses that grow, until it has taken too long.
pub(crate) struct Pause<'a> {
    ambient: &'a Ambient,
    until: tokio::time::Instant,
    next: Duration,
}

impl<'a> Pause<'a> {
    pub(crate) fn new(ambient: &'a Ambient) -> Self {
        Self { ambient, until: tokio::time::Instant::now() + UNREACHABLE, next: BACKOFF.0 }
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
