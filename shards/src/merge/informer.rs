//! A copy of one resource from all shards that follows what happens, and knows how old it is.
//!
//! It is a list cut at one version, and every event behind it: as events arrive, because each object has a slot, and within
//! a slot they are in order. How old the copy is follows from the mark alone: up to there it misses nothing of any slot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use api::resource::ResourceId;
use api::slot::SlotSet;
use api::{Object, Version};
use futures_util::future::{join_all, try_join_all};
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::driver::{Merging, Sources, drive};
use super::machine::Merger;
use super::sink::{Gaps, Sink};
use crate::latest;
use crate::service::{Event, ListRequest, ListSlots, ShardError};
use crate::topology::Topology;

/// How often the shards are asked for a sign of life.
const PROBE: Duration = Duration::from_millis(1500);
/// Pause before a list is tried again.
const AGAIN: Duration = Duration::from_millis(50);
/// Bytes of events that wait for a shard which says nothing: they have been applied, only the order over all slots waits.
const HELD: usize = 1 << 20;

/// Namespace (empty for cluster-scoped kinds) and name.
type Key = (SmolStr, SmolStr);

/// See the module.
pub struct Informer {
    cluster: SmolStr,
    resource: ResourceId,
    topology: Topology,
    clock: Arc<dyn Clock>,
    sources: Sources,
    state: Mutex<State>,
    changed: Notify,
    /// Grows with each change of the copy, and as it becomes fresher.
    revision: latest::Sender<u64>,
}

struct State {
    merger: Merger<Arc<Event>>,
    mirror: Mirror,
    /// A version that some shard had reached, and when (time of this boot) it was asked.
    probe: Option<(Version, Duration)>,
    /// When the copy was last known to miss nothing.
    heard: Option<Duration>,
}

impl State {
    /// Takes note if the copy has come as far as was asked.
    fn look_at_probe(&mut self) {
        if let Some((version, asked)) = self.probe
            && self.merger.mark() >= version
            && self.mirror.is_whole()
        {
            (self.heard, self.probe) = (Some(asked), None);
        }
    }
}

/// The objects, and what must be known to keep them whole.
#[derive(Default)]
pub struct Mirror {
    objects: BTreeMap<Key, Arc<Object>>,
    /// The version of the list that `objects` began with; `None` before the first.
    listed: Option<Version>,
    gaps: Gaps,
    /// Events since a list was asked for, while one is.
    since: Option<Vec<Arc<Event>>>,
    /// How often something changed.
    changes: u64,
}

impl Mirror {
    fn apply(&mut self, event: &Event) {
        self.changes += 1;
        let key = (event.object.namespace.clone(), event.object.name.clone());
        if event.deleted {
            self.objects.remove(&key);
        } else {
            self.objects.insert(key, event.object.clone());
        }
    }

    fn is_whole(&self) -> bool {
        self.listed.is_some_and(|listed| listed >= self.gaps.needs())
    }
}

impl Sink<Arc<Event>> for Mirror {
    fn arrived(&mut self, event: &Arc<Event>) {
        if let Some(since) = &mut self.since {
            since.push(event.clone());
        }
        if self.listed.is_some_and(|listed| event.version > listed) {
            self.apply(event);
        }
    }

    fn released(&mut self, _: Arc<Event>) {}

    fn opened(&mut self, slots: &SlotSet, floor: Version) {
        self.gaps.opened(slots, floor);
    }

    fn lost(&mut self, _: &SlotSet, floor: Version) {
        self.gaps.lost(floor);
    }

    fn needs_all(&self) -> bool {
        false
    }
}

impl Merging for Informer {
    type Item = Arc<Event>;
    type Sink = Mirror;

    fn merge<R>(&self, act: impl FnOnce(&mut Merger<Arc<Event>>, &mut Mirror) -> R) -> R {
        let mut state = self.state.lock();
        let State { merger, mirror, .. } = &mut *state;
        let before = (mirror.gaps.needs(), mirror.gaps.are_bounded());
        let seen = (merger.mark(), mirror.changes);
        let answer = act(merger, mirror);
        merger.shed(HELD);
        state.look_at_probe();
        let State { merger, mirror, .. } = &*state;
        if seen != (merger.mark(), mirror.changes) {
            self.revision.send_if_modified(|revision| {
                *revision += 1;
                true
            });
        }
        if before != (mirror.gaps.needs(), mirror.gaps.are_bounded()) {
            self.changed.notify_one();
        }
        answer
    }

    fn sources(&self) -> &Sources {
        &self.sources
    }
}

impl Informer {
    /// Follows a resource once it is told to [`Informer::run`].
    pub fn new(topology: Topology, cluster: SmolStr, resource: ResourceId, clock: Arc<dyn Clock>) -> Arc<Self> {
        let state = State { merger: Merger::default(), mirror: Mirror::default(), probe: None, heard: None };
        Arc::new(Self {
            sources: Sources::new(cluster.clone(), resource),
            cluster,
            resource,
            topology,
            clock,
            state: Mutex::new(state),
            changed: Notify::new(),
            revision: latest::Sender::new(0),
        })
    }

    /// Follows until it is told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let keeping = stop.run_until_cancelled(async { tokio::join!(self.keep_listed(), self.keep_probing()) });
        tokio::join!(drive(self.clone(), self.topology.clone(), stop.clone()), keeping);
    }

    /// The newest known state of one object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.state.lock().mirror.objects.get(&(namespace.into(), name.into())).cloned()
    }

    /// The newest known state of all of them, in key order.
    pub fn all(&self) -> Vec<Arc<Object>> {
        self.state.lock().mirror.objects.values().cloned().collect()
    }

    /// For how long something may have happened that the copy does not show; `None` before it is whole.
    pub fn age(&self) -> Option<Duration> {
        let heard = self.state.lock().heard?;
        Some(self.clock.boot().saturating_sub(heard))
    }

    /// How often the copy has changed, and how many objects it holds; `None` before it is whole.
    pub fn glance(&self) -> Option<(u64, usize)> {
        let state = self.state.lock();
        state.mirror.is_whole().then(|| (state.mirror.changes, state.mirror.objects.len()))
    }

    /// Up to which version the copy misses nothing; `None` before it is whole.
    pub fn mark(&self) -> Option<Version> {
        let state = self.state.lock();
        state.mirror.is_whole().then(|| state.merger.mark())
    }

    /// Changes with the copy, and as its mark moves.
    pub fn revision(&self) -> latest::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Waits until the copy shows all that was acknowledged before this was called. It may take as long as a shard is away:
    /// callers give it a deadline.
    pub async fn catch_up(&self) {
        let mut revision = self.revision();
        let map = self.topology.current();
        let clocks = loop {
            match try_join_all(map.members().iter().map(|member| member.service.clock())).await {
                Ok(clocks) => break clocks,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        };
        let now = clocks.into_iter().max().unwrap_or_default();
        loop {
            if self.mark().is_some_and(|mark| mark >= now) {
                return;
            }
            self.sources.advance_all(now);
            // Whoever was not there yet is shown the version again.
            let _ = tokio::time::timeout(AGAIN, revision.changed()).await;
        }
    }

    /// Lists whenever what was listed is not enough to go on from.
    async fn keep_listed(&self) {
        loop {
            let must = {
                let mut state = self.state.lock();
                let mirror = &mut state.mirror;
                let must = mirror.gaps.are_bounded() && !mirror.is_whole();
                mirror.since = must.then(Vec::new);
                must
            };
            if !must {
                self.changed.notified().await;
                continue;
            }
            match self.list().await {
                Ok((version, objects)) => {
                    self.listed(version, objects);
                    self.probe().await;
                }
                Err(error) => {
                    tracing::debug!(%error, "configuration cannot be listed yet");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn listed(&self, version: Version, objects: Vec<Arc<Object>>) {
        let mut state = self.state.lock();
        let mirror = &mut state.mirror;
        let keyed = |object: Arc<Object>| ((object.namespace.clone(), object.name.clone()), object);
        mirror.objects = objects.into_iter().map(keyed).collect();
        mirror.listed = Some(version);
        mirror.changes += 1;
        self.revision.send_if_modified(|revision| {
            *revision += 1;
            true
        });
        for event in mirror.since.take().unwrap_or_default() {
            if event.version > version {
                mirror.apply(&event);
            }
        }
    }

    /// Everything, cut at the highest of all clocks.
    async fn list(&self) -> Result<(Version, Vec<Arc<Object>>), ShardError> {
        let map = self.topology.current();
        if !map.is_complete() {
            return Err(ShardError::NotOwner);
        }
        let clocks = try_join_all(map.members().iter().map(|member| member.service.clock())).await?;
        let at = clocks.into_iter().max().unwrap_or_default();
        let pages = try_join_all(map.members().iter().map(|member| {
            member.service.list(ListRequest {
                slots: ListSlots::Exactly(member.slots.clone()),
                cluster: self.cluster.clone(),
                resource: self.resource,
                namespace: SmolStr::default(),
                selector: Arc::default(),
                at: Some(at),
                after: None,
                limit: usize::MAX,
            })
        }));
        Ok((at, pages.await?.into_iter().flat_map(|page| page.objects).collect()))
    }

    /// Asks now and then for a sign of life.
    async fn keep_probing(&self) {
        let mut ticks = tokio::time::interval(PROBE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.probe().await;
        }
    }

    /// Asks how far shards are, and has all of them say when they have come that far.
    async fn probe(&self) {
        let asked = self.clock.boot();
        let map = self.topology.current();
        let clocks = join_all(map.members().iter().map(|member| member.service.clock())).await;
        let Some(now) = clocks.into_iter().flatten().max() else { return };
        {
            let mut state = self.state.lock();
            // One that is not answered yet says more about the past than a new one.
            state.probe.get_or_insert((now, asked));
            // Where clocks stand still, as after a restart until they have caught up, nobody has anything new to say.
            state.look_at_probe();
        }
        self.sources.advance_all(now);
    }
}
