//! What a member is doing: fences, adoptions and moves, beside the loop that decided them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::slot::SlotSet;
use store::StoreError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::directory::{Directory, HeldLease};
use super::fence::fence;
use super::holder::HoldError;
use super::member::Member;
use super::peer::Peer;
use crate::keys::Epoch;

/// Adoptions at once.
const ADOPTIONS: usize = 4;
/// Slots that move in one batch: at first, and at most.
const BATCH: (usize, usize) = (32, 128);
/// While slots move nobody writes to them. Batches that take longer than the second get smaller, those that take less than the
/// first get larger. Fewer than [`LEAST`] would not help: what they take is waiting for the store and the heir, and a busy machine
/// would never be done.
const STOP: (Duration, Duration) = (Duration::from_millis(12), Duration::from_millis(35));
const LEAST: usize = 16;
/// How long nothing is tried again after it has failed.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a member that did not take slots is left alone.
const REFUSED: Duration = Duration::from_millis(500);
/// How long an heir may take to read ahead, and to serve what it was given.
const HEIR: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(5));

/// How a job ended.
enum Done {
    Fenced(u16, Result<(), StoreError>),
    /// How long it took.
    Adopted(SlotSet, Result<Duration, HoldError>),
    /// How long the slots were nobody's to write to.
    Moved(u16, SlotSet, Result<Duration, MoveError>),
}

/// Why slots were not moved.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    /// Nothing has happened.
    #[error("it does not take them: {0}")]
    Refused(String),
    #[error(transparent)]
    Hold(#[from] HoldError),
}

/// Those that run.
pub(super) struct Jobs {
    member: Arc<Member>,
    running: JoinSet<Done>,
    slots: SlotSet,
    adoptions: usize,
    fencing: BTreeSet<u16>,
    moving: BTreeSet<u16>,
    refused: BTreeMap<u16, Instant>,
    paused: Option<Instant>,
    batch: usize,
    broken: Option<String>,
}

impl Jobs {
    pub(super) fn new(member: &Arc<Member>) -> Self {
        Self {
            member: member.clone(),
            running: JoinSet::new(),
            slots: SlotSet::new(),
            adoptions: 0,
            fencing: BTreeSet::new(),
            moving: BTreeSet::new(),
            refused: BTreeMap::new(),
            paused: None,
            batch: BATCH.0,
            broken: None,
        }
    }

    /// Slots that something is being done about.
    pub(super) fn slots(&self) -> &SlotSet {
        &self.slots
    }

    /// Members that get no slots now.
    pub(super) fn not_now(&mut self) -> BTreeSet<u16> {
        let now = Instant::now();
        self.refused.retain(|_, until| *until > now);
        self.moving.iter().chain(self.refused.keys()).copied().collect()
    }

    /// Slots that move in one batch.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// Why the process must exit.
    pub(super) fn broken(&mut self) -> Option<String> {
        self.broken.take()
    }

    /// Waits for one to end, and takes note of all that have; for ever when there is none.
    pub(super) async fn finished(&mut self) {
        let Some(first) = self.running.join_next().await else { return std::future::pending().await };
        self.note(first);
        while let Some(more) = self.running.try_join_next() {
            self.note(more);
        }
    }

    fn note(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let ordinal = self.member.ordinal();
        match done {
            Ok(Done::Fenced(dead, outcome)) => {
                self.fencing.remove(&dead);
                match outcome {
                    Ok(()) => {
                        self.member.metrics.fenced();
                        tracing::warn!(ordinal, dead, "a shard is dead and was fenced: its slots are taken over");
                    }
                    // It lives, or another one did it.
                    Err(StoreError::Fenced { .. }) => {}
                    Err(error) => self.failed(&error.into()),
                }
            }
            Ok(Done::Adopted(slots, outcome)) => {
                self.adoptions -= 1;
                self.slots = self.slots.difference(&slots);
                match outcome {
                    Ok(took) => {
                        self.member.metrics.taken_over(slots.len(), took);
                        let took_ms = took.as_millis() as u64;
                        tracing::info!(ordinal, slots = slots.len(), took_ms, "slots are served here now");
                    }
                    Err(error) => self.failed(&error),
                }
            }
            Ok(Done::Moved(heir, slots, outcome)) => {
                self.moving.remove(&heir);
                self.slots = self.slots.difference(&slots);
                match outcome {
                    Ok(stopped) => self.moved(heir, &slots, stopped),
                    Err(MoveError::Refused(reason)) => {
                        tracing::info!(ordinal, heir, reason, "a shard does not take slots now");
                        self.refused.insert(heir, Instant::now() + REFUSED);
                    }
                    Err(MoveError::Hold(error)) => self.failed(&error),
                }
            }
            Err(error) => self.broken = Some(format!("a job of membership ended badly: {error}")),
        }
    }

    fn moved(&mut self, heir: u16, slots: &SlotSet, stopped: Duration) {
        let (ordinal, stopped_ms) = (self.member.ordinal(), stopped.as_millis() as u64);
        self.member.metrics.moved(slots.len(), stopped);
        tracing::info!(ordinal, heir, slots = slots.len(), stopped_ms, "slots have moved");
        if stopped > STOP.1 {
            self.batch = (self.batch / 2).max(LEAST);
        } else if stopped < STOP.0 {
            self.batch = (self.batch * 2).min(BATCH.1);
        }
    }

    fn failed(&mut self, error: &HoldError) {
        if let HoldError::Broken(reason) = error {
            self.broken = Some(reason.clone());
        }
        tracing::info!(ordinal = self.member.ordinal(), %error, "slots are tried again later");
        self.paused = Some(Instant::now() + PAUSE);
    }

    fn is_paused(&self) -> bool {
        self.paused.is_some_and(|until| Instant::now() < until)
    }

    /// Fences a member by the lease that was seen.
    pub(super) fn fence(&mut self, dead: u16, seen: Option<HeldLease>) {
        if self.is_paused() || !self.fencing.insert(dead) {
            return;
        }
        let member = self.member.clone();
        self.running.spawn(async move {
            let outcome = fence(&*member.store, &member.ambient, dead, seen.as_ref()).await;
            Done::Fenced(dead, outcome)
        });
    }

    /// Takes and serves slots.
    pub(super) fn adopt(&mut self, slots: SlotSet) {
        if self.is_paused() || self.adoptions == ADOPTIONS {
            return;
        }
        self.adoptions += 1;
        self.slots = self.slots.union(&slots);
        let member = self.member.clone();
        self.running.spawn(async move {
            let began = member.ambient.clock.boot();
            let outcome = member.holder.adopt(Arc::new(slots.clone())).await;
            let took = member.ambient.clock.boot().saturating_sub(began);
            Done::Adopted(slots, outcome.map(|()| took))
        });
    }

    /// Moves slots to another member.
    pub(super) fn give(&mut self, heir: u16, slots: SlotSet, directory: &Directory) {
        let (Some(held), Some(epoch)) = (directory.pulse.leases.get(&heir), directory.ordinals.get(&heir)) else {
            return;
        };
        if self.is_paused() || !self.moving.insert(heir) {
            return;
        }
        self.slots = self.slots.union(&slots);
        let (member, peer) = (self.member.clone(), self.member.peers.peer(heir, &held.lease));
        let epoch = *epoch;
        self.running.spawn(async move {
            let outcome = give(&member, peer, epoch, Arc::new(slots.clone())).await;
            Done::Moved(heir, slots, outcome)
        });
    }
}

async fn give(
    member: &Member,
    peer: Option<Arc<dyn Peer>>,
    heir: Epoch,
    slots: Arc<SlotSet>,
) -> Result<Duration, MoveError> {
    let peer = peer.ok_or_else(|| MoveError::Refused("there is no way to it".to_owned()))?;
    match tokio::time::timeout(HEIR.0, peer.prefetch(slots.clone())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(MoveError::Refused(error.to_string())),
        Err(_) => return Err(MoveError::Refused("it does not answer".to_owned())),
    }
    let began = member.ambient.clock.boot();
    member.holder.release(slots.clone(), heir).await?;
    // From here on the records say that they are the heir's: it finds that out by itself if this call does not reach it.
    match tokio::time::timeout(HEIR.1, peer.adopt(slots)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::info!(heir = heir.ordinal, %error, "a shard that was given slots has yet to serve them")
        }
        Err(_) => tracing::info!(heir = heir.ordinal, "a shard that was given slots does not answer"),
    }
    Ok(member.ambient.clock.boot().saturating_sub(began))
}
