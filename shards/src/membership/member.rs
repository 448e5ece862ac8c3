//! A member as its own process sees it: what it is made of, what others ask it, and how it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::ambient::Ambient;
use api::slot::{self, SlotSet};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use store::{SharedStore, StoreError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Timing;
use super::directory::Directory;
use super::fence::fence;
use super::holder::SlotHolder;
use super::peer::{Peer, PeerError, Peers};
use super::records::{Pin, Standing};
use super::register::Registration;
use super::renew::Holding;
use super::roster::{MapSource, Roster};
use crate::latest;
use crate::metrics::Metrics;
use crate::service::ShardError;
use crate::shard::Shard;

/// How long what was read ahead is of use.
const AHEAD: Duration = Duration::from_secs(60);
/// How often those who follow the rosters are let go if the lease has run out.
const ALIVE: Duration = Duration::from_millis(200);

/// What a member is made of.
pub(crate) struct MemberConfig {
    pub(crate) store: SharedStore,
    pub(crate) ambient: Ambient,
    pub(crate) timing: Timing,
    /// The shard that it works for.
    pub(crate) holder: Arc<dyn SlotHolder>,
    /// How it reaches the others.
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) registration: Registration,
    /// How many slots there are: [`api::slot::SLOTS`], and fewer in tests.
    pub(crate) slots: u16,
    pub(crate) metrics: Metrics,
}

/// See the module. [`Member::run`] (in `run.rs`) must run for anything to happen.
pub struct Member {
    pub(super) store: SharedStore,
    pub(super) ambient: Ambient,
    pub(super) timing: Timing,
    pub(super) holder: Arc<dyn SlotHolder>,
    pub(super) peers: Arc<dyn Peers>,
    pub(super) registration: Registration,
    /// What it wants its lease to say.
    pub(super) standing: watch::Sender<Standing>,
    /// Slots that their former owners have told it to adopt, which it is doing.
    pub(super) coming: Mutex<SlotSet>,
    /// Slots that were read ahead, and when.
    ahead: Mutex<Vec<(Instant, Arc<SlotSet>)>>,
    /// The directory has changed.
    pub(super) look: Notify,
    /// Why something did not work lately.
    trouble: Mutex<Option<String>>,
    /// Microseconds on the boot clock.
    valid_until: AtomicU64,
    rosters: latest::Sender<Arc<Roster>>,
    slots: u16,
    pub(super) metrics: Metrics,
    this: Weak<Self>,
    /// One reads at a time, so that what is published never goes back.
    reading: tokio::sync::Mutex<()>,
}

/// How a member ended.
#[derive(Debug)]
pub enum Ended {
    /// It was told to, and owns nothing any more, or found nobody to give it to. It goes on serving what it has until its
    /// shard is stopped; then [`Departure::leave`].
    Drained(Departure),
    /// Others took it for dead. Its shard must serve nothing any more; the process may register again with a new one.
    Fenced,
    /// The process must exit.
    Broken(String),
}

/// A lease that can be given back.
#[derive(Debug)]
pub struct Departure {
    store: Departing,
    ordinal: u16,
    incarnation: u128,
}

struct Departing(SharedStore, Ambient);

impl std::fmt::Debug for Departing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Departing")
    }
}

impl Departure {
    /// Gives it back, so that nobody waits for the TTL: what was still owned is anybody's from now on. Only once the shard has
    /// flushed what it had and serves no more.
    pub async fn leave(self) -> Result<(), StoreError> {
        let Departing(store, ambient) = &self.store;
        loop {
            let pulse = super::directory::Pulse::read(&**store).await?;
            // A renewal may have been under way.
            let held = pulse.leases.get(&self.ordinal).filter(|held| held.lease.incarnation == self.incarnation);
            let Some(held) = held else { return Ok(()) };
            match fence(&**store, ambient, self.ordinal, Some(held)).await {
                Err(StoreError::Fenced { .. }) => {}
                other => return other,
            }
        }
    }
}

impl Member {
    /// The member that works for a shard, which was opened under the registration's epoch.
    pub fn of(
        shard: &Arc<Shard>,
        registration: Registration,
        store: SharedStore,
        timing: Timing,
        peers: Arc<dyn Peers>,
    ) -> Arc<Self> {
        let (ambient, holder) = (shard.ambient.clone(), shard.clone());
        let metrics = shard.metrics().clone();
        Self::new(MemberConfig { store, ambient, timing, holder, peers, registration, slots: slot::in_use(), metrics })
    }

    pub(crate) fn new(config: MemberConfig) -> Arc<Self> {
        let MemberConfig { store, ambient, timing, holder, peers, registration, slots, metrics } = config;
        let member = Self {
            this: Weak::new(),
            store,
            ambient,
            timing,
            holder,
            peers,
            standing: watch::Sender::new(Standing::Serving),
            coming: Mutex::default(),
            ahead: Mutex::default(),
            look: Notify::new(),
            trouble: Mutex::default(),
            valid_until: AtomicU64::new(0),
            rosters: latest::Sender::new(Arc::new(Roster::default())),
            reading: tokio::sync::Mutex::default(),
            registration,
            slots,
            metrics,
        };
        member.renewed(&Holding::new(&member.registration));
        Arc::new_cyclic(|this| Self { this: this.clone(), ..member })
    }

    /// Pins slots, or with `None` takes their pins away.
    pub async fn pin(&self, slots: &SlotSet, pin: Option<&Pin>) -> Result<(), StoreError> {
        super::pins::pin(&*self.store, &self.ambient, slots, pin).await
    }

    /// Its number.
    pub fn ordinal(&self) -> u16 {
        self.registration.ordinal
    }

    /// Of this start of its process.
    pub fn incarnation(&self) -> u128 {
        self.registration.lease().incarnation
    }

    /// Why it serves nothing or should not: `None` when all is well. For /readyz.
    pub fn unready(&self) -> Option<String> {
        if !self.is_valid() {
            let why = self.trouble.lock().clone().unwrap_or_else(|| "it was not renewed in time".to_owned());
            return Some(format!("the lease of shard {} has run out: {why}", self.ordinal()));
        }
        match *self.standing.borrow() {
            Standing::Serving => None,
            Standing::Joining => Some(format!("shard {} is joining", self.ordinal())),
            Standing::Draining => Some(format!("shard {} gives its slots away, because it shuts down", self.ordinal())),
            Standing::ClockOff => Some(format!(
                "the clock of shard {} is over {:?} off the others': it gives its slots away until that is mended",
                self.ordinal(),
                super::skew::LIMIT
            )),
        }
    }

    /// Whether its lease is valid.
    pub fn is_valid(&self) -> bool {
        self.ambient.clock.boot().as_micros() < u128::from(self.valid_until.load(Ordering::Acquire))
    }

    pub(super) fn renewed(&self, holding: &Holding) {
        let until = holding.valid_until(&self.timing);
        let micros = u64::try_from(until.as_micros()).unwrap_or(u64::MAX);
        let before = self.valid_until.swap(micros, Ordering::AcqRel);
        if before != 0 {
            self.metrics.renewed(Duration::from_micros(micros.saturating_sub(before)));
        }
        self.holder.serve_until(until);
        *self.trouble.lock() = None;
    }

    /// From now on the shard may not answer.
    pub(super) fn lost(&self) {
        self.valid_until.store(0, Ordering::Release);
        self.holder.serve_until(Duration::ZERO);
        self.metrics.owned(0);
    }

    pub(super) fn troubled(&self, error: &StoreError) {
        let reason = error.to_string();
        let mut trouble = self.trouble.lock();
        if trouble.is_none() {
            tracing::warn!(ordinal = self.ordinal(), reason, "the directory of shards cannot be read or written");
        }
        *trouble = Some(reason);
    }

    pub(super) fn departure(&self) -> Departure {
        let (ordinal, incarnation) = (self.ordinal(), self.registration.lease().incarnation);
        Departure { store: Departing(self.store.clone(), self.ambient.clone()), ordinal, incarnation }
    }

    /// Reads the directory and publishes what it says.
    pub(super) async fn refresh(&self) -> Result<Directory, StoreError> {
        let _reading = self.reading.lock().await;
        let read = Directory::read_of(&*self.store, self.slots);
        let directory = match tokio::time::timeout(self.timing.ttl, read).await {
            Ok(directory) => directory?,
            Err(_) => return Err(StoreError::Unavailable("it did not answer in time".to_owned())),
        };
        self.rosters.send_if_modified(|roster| {
            let next = Roster::of(&directory, roster.number + 1);
            let changed = next.members != roster.members || next.generation != roster.generation;
            if changed {
                *roster = Arc::new(next);
            }
            changed
        });
        Ok(directory)
    }

    /// Lets go of what was read of slots that did not come.
    pub(super) fn forget(&self) {
        let mut ahead = self.ahead.lock();
        let old = ahead.partition_point(|(since, _)| since.elapsed() > AHEAD);
        ahead.drain(..old).for_each(|(_, slots)| self.holder.forget(&slots));
    }

    fn refused(&self) -> Option<PeerError> {
        self.unready().map(PeerError)
    }
}

impl Peer for Member {
    fn prefetch(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        async move {
            match self.refused() {
                Some(refusal) => Err(refusal),
                None => {
                    self.ahead.lock().push((Instant::now(), slots.clone()));
                    self.holder.prefetch(slots).await.map_err(|error| PeerError(error.to_string()))
                }
            }
        }
        .boxed()
    }

    fn adopt(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        async move {
            let coming = Coming::new(self, &slots);
            let adopted = self.holder.adopt(slots.clone()).await;
            drop(coming);
            self.look.notify_one();
            adopted.map_err(|error| PeerError(error.to_string()))
        }
        .boxed()
    }
}

/// Slots that are being adopted, until it is dropped.
struct Coming<'a>(&'a Member, SlotSet);

impl<'a> Coming<'a> {
    fn new(member: &'a Member, slots: &SlotSet) -> Self {
        let mut coming = member.coming.lock();
        *coming = coming.union(slots);
        Self(member, slots.clone())
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let mut coming = self.0.coming.lock();
        *coming = coming.difference(&self.1);
    }
}

impl MapSource for Member {
    fn follow(&self) -> BoxFuture<'_, Result<watch::Receiver<Arc<Roster>>, ShardError>> {
        async move {
            self.refresh().await.map_err(|error| ShardError::Unreachable(error.to_string()))?;
            let mut rosters = self.rosters.subscribe();
            let (publish, following) = watch::channel(rosters.get_and_update());
            let this = self.this.clone();
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        biased;
                        changed = rosters.changed() => match changed {
                            Ok(()) => _ = publish.send_replace(rosters.get_and_update()),
                            Err(_) => return,
                        },
                        () = publish.closed() => return,
                        () = tokio::time::sleep(ALIVE) => {}
                    }
                    // One that does not hear of changes any more lets its followers go to somebody who does.
                    if this.upgrade().is_none_or(|member| !member.is_valid()) {
                        return;
                    }
                }
            });
            Ok(following)
        }
        .boxed()
    }
}
