//! Crossing shards is merging, by watermark (DESIGN D5).
//!
//! One [`Relay`] per logical cluster and resource, made when somebody first watches and dropped some time after the last
//! one left. It subscribes once to every shard and merges their streams ([`shards::merge`]), while slots move and shards die.
//! Its [`fan`] keeps one ring of recent events and feeds two indexes ([`index`]) of watchers: those of one slot with what
//! arrives, the others with what every shard has passed. A [`watcher`] has a bounded queue; a [`feed`] is its end of it, which
//! begins with what the ring and the merger hold. What is sent is encoded once ([`form`]).
//!
//! Invariants: a watcher's events are in version order, each once, none missing; nothing waits for a watcher; a watch of one
//! slot waits for no shard but the slot's; neither the death nor the move of a shard ends a watch.

mod fan;
mod feed;
mod form;
mod index;
mod metrics;
mod watcher;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use api::ambient::Ambient;
use api::slot::Slot;
use api::version::EPOCH_UNIX_MICROS;
use api::{Resource, ResourceId, Status, Version};
use futures_util::future::join_all;
use hashbrown::HashMap;
use parking_lot::Mutex;
use shards::Topology;
use shards::merge::{Merger, Merging, Sources, drive};
use shards::service::VERSION_WAIT;
use smol_str::SmolStr;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use fan::Fan;
pub(crate) use feed::Feed;
use form::Relayed;
pub(crate) use form::{Form, Shape};
use metrics::Gauges;
pub(crate) use metrics::RelayMetrics;
use watcher::{Bound, Watcher};
pub(crate) use watcher::{End, Filter};

/// How often shards are shown a version that somebody waits for: nobody answers to that, so it may be lost on the way.
const SHOW_AGAIN: Duration = Duration::from_millis(250);

/// What relays may keep and for how long.
#[derive(Clone, Debug)]
pub struct RelayLimits {
    /// How long an event stays in a ring.
    pub window: Duration,
    /// How many bytes of objects a relay keeps alive at most, whatever their age: its ring, and what waits for shards
    /// that have not passed it.
    pub bytes: usize,
    /// How many events wait for one watcher before its stream is closed; and no more than `bytes` of them.
    pub queue: usize,
    /// How often an idle stream's watermark is moved, and rings are pruned.
    pub tick: Duration,
    /// How long a relay without watchers stays.
    pub idle: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(300),
            bytes: 32 << 20,
            queue: 8192,
            tick: Duration::from_secs(10),
            idle: Duration::from_secs(300),
        }
    }
}

/// What a watch must wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The owner of that slot alone.
    One(Slot),
    /// All of them.
    Everywhere,
}

/// The relays of a gateway.
pub(crate) struct Relays {
    topology: Topology,
    ambient: Ambient,
    limits: RelayLimits,
    metrics: RelayMetrics,
    shutdown: CancellationToken,
    relays: Mutex<HashMap<(SmolStr, ResourceId), Arc<Relay>>>,
}

impl Relays {
    pub(crate) fn new(
        topology: Topology,
        ambient: Ambient,
        limits: RelayLimits,
        metrics: RelayMetrics,
        shutdown: CancellationToken,
    ) -> Self {
        Self { topology, ambient, limits, metrics, shutdown, relays: Mutex::default() }
    }

    /// Ordered events behind `from`. 410 where the relay no longer holds them, 503 where a shard that it needs has been
    /// away since the relay began.
    pub(crate) async fn follow(
        &self,
        cluster: &SmolStr,
        resource: &Arc<Resource>,
        reach: Reach,
        from: Version,
        filter: Filter,
    ) -> Result<Feed, Status> {
        loop {
            let relay = self.relay(cluster, resource);
            let ready = tokio::time::timeout(VERSION_WAIT, relay.ready(reach)).await;
            match ready {
                Err(_) => return Err(absent()),
                Ok(Readiness::Closed) if self.shutdown.is_cancelled() => {
                    return Err(Status::unavailable("the server is shutting down"));
                }
                // It was idle, and is being replaced.
                Ok(Readiness::Closed) => self.forget(&relay),
                Ok(Readiness::Open { floor }) if from < floor => return Err(feed::expired(from, floor)),
                Ok(Readiness::Open { .. }) => {
                    if reach == Reach::Everywhere {
                        relay.show(from);
                    }
                    return Ok(Feed::new(relay, reach, from, filter));
                }
            }
        }
    }

    pub(crate) fn relay(&self, cluster: &SmolStr, resource: &Arc<Resource>) -> Arc<Relay> {
        let key = (cluster.clone(), resource.id);
        let mut relays = self.relays.lock();
        // A kind that is defined anew has other versions: who watches begins again, as with the reference.
        if let Some(relay) = relays.get(&key).filter(|relay| !Arc::ptr_eq(&relay.resource, resource)) {
            relay.stop.cancel();
        }
        relays.retain(|_, relay| !relay.stop.is_cancelled());
        relays.entry(key).or_insert_with(|| Relay::start(self, cluster.clone(), resource.clone())).clone()
    }

    fn forget(&self, closed: &Arc<Relay>) {
        self.relays.lock().retain(|_, relay| !Arc::ptr_eq(relay, closed));
    }
}

/// 503: somebody who is needed does not answer, or there is nobody.
fn absent() -> Status {
    Status::unavailable("the watch cannot start: a shard does not answer")
}

enum Readiness {
    Open { floor: Version },
    Closed,
}

/// One resource's events, from all shards.
pub(crate) struct Relay {
    pub(crate) resource: Arc<Resource>,
    topology: Topology,
    sources: Sources,
    ambient: Ambient,
    limits: RelayLimits,
    /// Encodings made, for all watchers together.
    pub(crate) encodings: AtomicU64,
    changed: Notify,
    stop: CancellationToken,
    state: Mutex<State>,
}

struct State {
    merger: Merger<Relayed>,
    fan: Fan,
    gauges: Gauges,
    closed: bool,
    /// How many wait for the mark to move.
    awaiting: usize,
    /// Since when (time of this boot) nobody has watched.
    idle_since: Option<Duration>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relay({})", self.resource.id_name)
    }
}

impl Merging for Relay {
    type Item = Relayed;
    type Sink = Fan;

    fn merge<R>(&self, act: impl FnOnce(&mut Merger<Relayed>, &mut Fan) -> R) -> R {
        let mut guard = self.state.lock();
        let State { merger, fan, gauges, awaiting, .. } = &mut *guard;
        let answer = act(merger, fan);
        fan.prune(merger, self.oldest(), self.limits.bytes);
        let arrived = std::mem::take(&mut fan.arrived);
        gauges.note(arrived, merger.cost(), merger.mark(), merger.newest(), || self.ambient.clock.boot());
        let (woken, ended) = (std::mem::take(&mut fan.woken), std::mem::take(&mut fan.ended));
        let changed = std::mem::take(&mut fan.changed) || *awaiting > 0;
        drop(guard);
        for watcher in woken {
            watcher.waker.wake();
        }
        for (watcher, end) in ended {
            watcher.close(end);
        }
        if changed {
            self.changed.notify_waiters();
        }
        answer
    }

    fn sources(&self) -> &Sources {
        &self.sources
    }
}

/// Somebody who waits for the mark to move.
struct Awaiting<'a>(&'a Relay);

impl<'a> Awaiting<'a> {
    fn begin(relay: &'a Relay) -> Self {
        relay.state.lock().awaiting += 1;
        Self(relay)
    }
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().awaiting -= 1;
    }
}

impl Relay {
    fn start(relays: &Relays, cluster: SmolStr, resource: Arc<Resource>) -> Arc<Self> {
        let limits = relays.limits.clone();
        // No more than a ring holds, so that a watcher that is too slow can resume.
        let bound = Bound { events: limits.queue, bytes: limits.bytes };
        let state = State {
            merger: Merger::default(),
            fan: Fan::new(resource.clone(), bound),
            gauges: relays.metrics.of(&crate::resource_labels(&cluster, &resource, 0)),
            closed: false,
            awaiting: 0,
            idle_since: None,
        };
        let relay = Arc::new(Self {
            sources: Sources::new(cluster, resource.id),
            resource,
            topology: relays.topology.clone(),
            ambient: relays.ambient.clone(),
            limits,
            encodings: AtomicU64::new(0),
            changed: Notify::new(),
            stop: relays.shutdown.child_token(),
            state: Mutex::new(state),
        });
        tokio::spawn(drive(relay.clone(), relay.topology.clone(), relay.stop.clone()));
        tokio::spawn(relay.clone().keep());
        relay
    }

    /// Waits until `look` finds something.
    async fn wait_for<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.state.lock()) {
                return found;
            }
            changed.await;
        }
    }

    async fn ready(&self, reach: Reach) -> Readiness {
        self.wait_for(|state| match state.fan.floor_of(reach) {
            _ if state.closed => Some(Readiness::Closed),
            floor => floor.map(|floor| Readiness::Open { floor }),
        })
        .await
    }

    /// Waits until every shard has promised that nothing at or below `version` will follow. 503 where one does not.
    async fn pass(&self, version: Version) -> Result<(), Status> {
        let _awaiting = Awaiting::begin(self);
        let passed = self.wait_for(|state| (state.merger.mark() >= version || state.closed).then_some(()));
        let show = async {
            loop {
                self.show(version);
                tokio::time::sleep(SHOW_AGAIN).await;
            }
        };
        let passed = tokio::time::timeout(VERSION_WAIT, async {
            tokio::select! {
                biased;
                () = passed => {}
                () = show => {}
            }
        });
        passed.await.map_err(|_| absent())
    }

    /// Shows every shard a version that one of them has released: what they write from now on lies behind it.
    fn show(&self, version: Version) {
        if self.state.lock().merger.mark() < version {
            self.sources.advance_all(version);
        }
    }

    /// Takes a watcher out of the index.
    fn detach(&self, bucket: &index::Bucket, watcher: &Arc<Watcher>) {
        self.state.lock().fan.index(watcher.reach).remove(bucket, watcher);
    }

    /// Events before this are older than the window.
    fn oldest(&self) -> Version {
        let window = i64::try_from(self.limits.window.as_micros()).unwrap_or(i64::MAX);
        let micros = self.ambient.clock.wall_micros().saturating_sub(EPOCH_UNIX_MICROS).saturating_sub(window);
        Version::new(u64::try_from(micros).unwrap_or(0), 0)
    }

    /// Moves idle streams' watermarks, so that bookmarks stay young, and ends with the relay.
    async fn keep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.limits.tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            let watched = self.merge(|_, fan| fan.is_watched());
            {
                let mut state = self.state.lock();
                let now = self.ambient.clock.boot();
                state.idle_since = if watched { None } else { state.idle_since.or(Some(now)) };
                if state.idle_since.is_some_and(|since| now.saturating_sub(since) >= self.limits.idle) {
                    break;
                }
            }
            if watched {
                let map = self.topology.current();
                let members = map.members().iter();
                let clocks = members.map(|member| tokio::time::timeout(VERSION_WAIT, member.service.clock()));
                let clocks = join_all(clocks).await;
                self.sources.advance_all(clocks.into_iter().flatten().flatten().max().unwrap_or_default());
            }
        }
        self.close();
    }

    fn close(&self) {
        self.stop.cancel();
        let mut state = self.state.lock();
        state.closed = true;
        state.fan.close(&End::Closed);
        drop(state);
        self.changed.notify_waiters();
    }
}
