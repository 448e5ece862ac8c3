//! Crossing shards is merging, by watermark (DESIGN D5).
//!
//! One [`Relay`] per logical cluster and resource, made when somebody first watches and dropped some time after the last
//! one left. It subscribes once to every shard ([`source`]). Each shard's stream is a [`lane`] of its own, for watches
//! that lie in one slot; one more lane merges them all: it releases an event when every shard has passed it, and the
//! relay shows the event's version to the laggards so that they do. A lane fans out by [`index`] to the bounded queues of
//! its [`watcher`]s and keeps a ring of recent events for those who come later ([`feed`]). What is sent is encoded once
//! ([`form`]).
//!
//! Invariants: a lane's events are in version order, each once, none missing; nothing waits for a watcher; a lane of one
//! shard waits for no other shard.

mod feed;
mod form;
mod index;
mod lane;
mod source;
mod watcher;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use api::ambient::Ambient;
use api::version::EPOCH_UNIX_MICROS;
use api::{Resource, ResourceId, Status, Version};
use futures_util::future::join_all;
use hashbrown::HashMap;
use parking_lot::Mutex;
use shards::Topology;
use shards::service::{Delivery, ShardService, VERSION_WAIT};
use smol_str::SmolStr;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use feed::Feed;
use form::Relayed;
pub(crate) use form::{Form, Shape};
use lane::Lane;
use source::Source;
use watcher::{Bound, Watcher};
pub(crate) use watcher::{End, Filter};

/// What relays may keep and for how long.
#[derive(Clone, Debug)]
pub struct RelayLimits {
    /// How long an event stays in a ring.
    pub window: Duration,
    /// How many bytes of objects the ring of all shards together keeps alive at most, whatever their age. Where there
    /// are several, the ring of one of them has half of it: one namespace may be all that changes.
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
    /// The shard of that number alone.
    Shard(usize),
    /// All of them.
    Everywhere,
}

/// The relays of a gateway.
pub(crate) struct Relays {
    topology: Topology,
    ambient: Ambient,
    limits: RelayLimits,
    shutdown: CancellationToken,
    relays: Mutex<HashMap<(SmolStr, ResourceId), Arc<Relay>>>,
}

impl Relays {
    pub(crate) fn new(topology: Topology, ambient: Ambient, limits: RelayLimits, shutdown: CancellationToken) -> Self {
        Self { topology, ambient, limits, shutdown, relays: Mutex::default() }
    }

    /// Ordered events behind `from`. 410 where the relay no longer holds them, 503 where a shard that it needs is away.
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
            let lane = relay.lane(reach);
            let ready = tokio::time::timeout(VERSION_WAIT, relay.ready(lane)).await;
            match ready {
                Err(_) => return Err(Status::unavailable("the watch cannot start: a shard does not answer")),
                Ok(Readiness::Closed) if self.shutdown.is_cancelled() => {
                    return Err(Status::unavailable("the server is shutting down"));
                }
                // It was idle, and is being replaced.
                Ok(Readiness::Closed) => self.forget(&relay),
                Ok(Readiness::Open { floor }) if from < floor => return Err(feed::expired(from, floor)),
                Ok(Readiness::Open { .. }) => return Ok(Feed::new(relay, lane, from, filter)),
            }
        }
    }

    pub(crate) fn relay(&self, cluster: &SmolStr, resource: &Arc<Resource>) -> Arc<Relay> {
        let key = (cluster.clone(), resource.id);
        let mut relays = self.relays.lock();
        relays.retain(|_, relay| !relay.stop.is_cancelled());
        let start = || {
            let stop = self.shutdown.child_token();
            Relay::start(cluster.clone(), resource.clone(), &self.topology, &self.ambient, &self.limits, stop)
        };
        relays.entry(key).or_insert_with(start).clone()
    }

    fn forget(&self, closed: &Arc<Relay>) {
        self.relays.lock().retain(|_, relay| !Arc::ptr_eq(relay, closed));
    }
}

enum Readiness {
    Open { floor: Version },
    Closed,
}

/// One resource's events, from all shards.
pub(crate) struct Relay {
    cluster: SmolStr,
    pub(crate) resource: Arc<Resource>,
    shards: Vec<Arc<dyn ShardService>>,
    ambient: Ambient,
    limits: RelayLimits,
    /// Encodings made, for all watchers together.
    pub(crate) encodings: AtomicU64,
    changed: Notify,
    stop: CancellationToken,
    state: Mutex<State>,
}

struct State {
    sources: Vec<Source>,
    /// One per shard, then, where there are several, the merged one.
    lanes: Vec<Lane>,
    closed: bool,
    /// Since when (time of this boot) nobody has watched.
    idle_since: Option<Duration>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relay({}/{})", self.cluster, self.resource.id_name)
    }
}

impl Relay {
    fn start(
        cluster: SmolStr,
        resource: Arc<Resource>,
        topology: &Topology,
        ambient: &Ambient,
        limits: &RelayLimits,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let map = topology.current();
        let shards: Vec<_> = map.members().iter().map(|member| member.service.clone()).collect();
        let count = shards.len();
        let lanes = if count == 1 { 1 } else { count + 1 };
        let state = State {
            sources: (0..count).map(|_| Source::default()).collect(),
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            closed: false,
            idle_since: None,
        };
        let relay = Arc::new(Self {
            cluster,
            resource,
            shards,
            ambient: ambient.clone(),
            limits: limits.clone(),
            encodings: AtomicU64::new(0),
            changed: Notify::new(),
            stop,
            state: Mutex::new(state),
        });
        for shard in 0..count {
            tokio::spawn(source::follow(relay.clone(), shard));
        }
        tokio::spawn(relay.clone().keep());
        relay
    }

    fn lane(&self, reach: Reach) -> usize {
        match reach {
            Reach::Shard(shard) => shard,
            Reach::Everywhere if self.shards.len() == 1 => 0,
            Reach::Everywhere => self.shards.len(),
        }
    }

    async fn ready(&self, lane: usize) -> Readiness {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.state.lock();
                if state.closed {
                    return Readiness::Closed;
                }
                let lane = &state.lanes[lane];
                if lane.ready {
                    return Readiness::Open { floor: lane.floor };
                }
            }
            changed.await;
        }
    }

    /// Takes a watcher out of the index.
    fn detach(&self, lane: usize, bucket: &index::Bucket, watcher: &Arc<Watcher>) {
        self.state.lock().lanes[lane].index.remove(bucket, watcher);
    }

    /// A shard's stream begins, or begins again, behind `from`.
    fn opened(&self, shard: usize, from: Version) {
        let mut state = self.state.lock();
        if state.lanes[shard].ready && state.lanes[shard].mark == from {
            // What it was shown before may not have reached the stream that ended.
            state.sources[shard].shown = Version::ZERO;
            drop(state);
            return self.nudge();
        }
        let gap = state.lanes[shard].ready;
        let mut lost = state.lanes[shard].open(from);
        state.sources[shard].open(from);
        if state.merges() && state.sources.iter().all(|source| source.ready) {
            let floor = state.sources.iter().map(|source| source.floor).max().unwrap_or_default();
            let merged = state.lanes.len() - 1;
            let floor = floor.max(state.lanes[merged].mark);
            lost.extend(state.lanes[merged].open(floor));
        }
        drop(state);
        if gap {
            tracing::info!(resource = self.resource.id_name, shard, "a shard no longer holds what a relay missed");
        }
        for watcher in lost {
            watcher.close(End::Expired(feed::expired(watcher.from, from)));
        }
        self.changed.notify_waiters();
    }

    /// Takes in what a shard sent, wakes whoever waits for it, and shows the laggards how far others are.
    fn apply(&self, shard: usize, deliveries: &mut Vec<Delivery>) {
        let mut woken = Vec::new();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let merges = state.merges();
        let mut events_came = false;
        for Delivery { events, watermark, .. } in deliveries.drain(..) {
            events_came |= !events.is_empty();
            for event in events {
                let relayed = Arc::new(Relayed::new(event));
                if merges {
                    state.sources[shard].push(relayed.clone());
                }
                state.lanes[shard].append(&self.resource, relayed, self.bound(shard), &mut woken);
            }
            state.lanes[shard].mark = state.lanes[shard].mark.max(watermark);
        }
        let mark = state.lanes[shard].mark;
        state.sources[shard].mark = mark;
        let oldest = self.oldest();
        state.lanes[shard].prune(oldest, self.bytes(shard));
        let mut laggards = Vec::new();
        if merges {
            let merged = state.release(&self.resource, self.bound(self.shards.len()), &mut woken);
            state.lanes[merged].prune(oldest, self.bytes(merged));
            if state.sources[shard].cost > self.limits.bytes {
                state.give_up_merging();
            }
            if events_came && state.lanes[merged].index.len() > 0 {
                laggards = state.laggards(mark);
            }
        }
        drop(guard);
        for watcher in woken {
            watcher.waker.wake();
        }
        for laggard in laggards {
            self.shards[laggard].advance(&self.cluster, self.resource.id, mark);
        }
    }

    /// Makes sure that a merged lane which somebody watches comes to release what is pending.
    fn nudge(&self) {
        let mut state = self.state.lock();
        if !state.merges() || state.lanes[state.sources.len()].index.len() == 0 {
            return;
        }
        let mark = state.sources.iter().map(|source| source.mark).max().unwrap_or_default();
        let laggards = state.laggards(mark);
        drop(state);
        for laggard in laggards {
            self.shards[laggard].advance(&self.cluster, self.resource.id, mark);
        }
    }

    /// What the ring of a lane may keep alive.
    fn bytes(&self, lane: usize) -> usize {
        let one_of_several = self.shards.len() > 1 && lane < self.shards.len();
        if one_of_several { self.limits.bytes / 2 } else { self.limits.bytes }
    }

    /// What may wait for a watcher of a lane: no more than a ring holds, so that one that is too slow can resume.
    fn bound(&self, lane: usize) -> Bound {
        Bound { events: self.limits.queue, bytes: self.bytes(lane) }
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
                () = self.stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            let oldest = self.oldest();
            let watched = {
                let mut state = self.state.lock();
                for (at, lane) in state.lanes.iter_mut().enumerate() {
                    lane.prune(oldest, self.bytes(at));
                }
                let watched = state.lanes.iter().any(|lane| lane.index.len() > 0);
                let now = self.ambient.clock.boot();
                state.idle_since = if watched { None } else { state.idle_since.or(Some(now)) };
                if state.idle_since.is_some_and(|since| now.saturating_sub(since) >= self.limits.idle) {
                    break;
                }
                watched
            };
            if watched {
                let clocks = join_all(self.shards.iter().map(|shard| shard.clock())).await;
                let now = clocks.into_iter().flatten().max().unwrap_or_default();
                for shard in &self.shards {
                    shard.advance(&self.cluster, self.resource.id, now);
                }
            }
        }
        self.close();
    }

    fn close(&self) {
        self.stop.cancel();
        let mut state = self.state.lock();
        state.closed = true;
        for lane in &mut state.lanes {
            lane.close(&End::Closed);
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl State {
    fn merges(&self) -> bool {
        self.sources.len() > 1
    }

    /// Moves what every shard has passed into the merged lane, whose number it returns.
    fn release(&mut self, resource: &Resource, bound: Bound, woken: &mut Vec<Arc<Watcher>>) -> usize {
        let merged = self.sources.len();
        let lane = &mut self.lanes[merged];
        if !lane.ready {
            return merged;
        }
        let low = self.sources.iter().map(|source| source.mark).min().unwrap_or_default();
        while let Some(first) =
            self.sources.iter_mut().filter(|source| source.next().is_some()).min_by_key(|s| s.next())
            && first.next().is_some_and(|version| version <= low)
            && let Some(relayed) = first.pop()
        {
            if relayed.event.version > lane.floor {
                lane.append(resource, relayed, bound, woken);
            }
        }
        lane.mark = lane.mark.max(low);
        merged
    }

    /// Shards that keep the merged lane below `mark` and have not been told yet.
    fn laggards(&mut self, mark: Version) -> Vec<usize> {
        let behind = self.sources.iter_mut().enumerate().filter(|(_, source)| source.mark.max(source.shown) < mark);
        behind
            .map(|(shard, source)| {
                source.shown = mark;
                shard
            })
            .collect()
    }

    /// A shard has been silent for so long that the others' events do not fit any more: whoever needs all of them
    /// starts again behind them. Watches that lie in one shard go on.
    fn give_up_merging(&mut self) {
        let dropped = self.sources.iter_mut().filter_map(Source::forget).max().unwrap_or_default();
        let merged = self.sources.len();
        let floor = dropped.max(self.lanes[merged].mark);
        tracing::warn!("a shard has been silent for too long: watches across shards start again");
        for watcher in self.lanes[merged].open(floor) {
            watcher.close(End::Slow);
        }
    }
}
