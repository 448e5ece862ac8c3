//! Configuration that admission reads, followed over all shards (DESIGN D3): each shard keeps a copy that is put together
//! from every peer's part, and knows how old it is.
//!
//! Invariant: [`Followed::ready`] passes only while every peer was heard from within [`STALE`]; what depends on the
//! configuration answers 503 otherwise. Later kinds (CRDs, webhooks, policies) are rows of [`Kind`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use api::slot::{SLOTS, Slot, SlotSet};
use api::{Object, Status, Version};
use parking_lot::RwLock;
use smol_str::SmolStr;
use tokio::task::{AbortHandle, JoinSet};

use crate::service::{Delivery, ListPage, ListRequest, ListSlots, ShardError, ShardService, SubscribeRequest};
use crate::shard::Shard;
use crate::topology::{Member, SlotMap, Topology};
use crate::verbs::Call;

/// A copy that is older than this answers nothing.
const STALE: Duration = Duration::from_secs(5);
/// How often a peer is asked for a sign of life.
const PROBE: Duration = Duration::from_millis(1500);
/// How long a write waits for a copy that is not there yet.
const READY_WAIT: Duration = Duration::from_secs(2);
/// Pause before a peer is followed again.
const AGAIN: Duration = Duration::from_millis(50);

/// What is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Namespaces,
    PriorityClasses,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Namespaces, Self::PriorityClasses];

    pub(crate) fn id_name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::PriorityClasses => "priorityclasses.scheduling.k8s.io",
        }
    }
}

/// A copy of one kind in one cluster, put together from all peers.
///
/// While a slot moves, what is known of it stays until its new owner has told all of it. A peer's events count only for slots
/// that are attached to it, so that a former owner's last words do not undo what its successor says.
struct Mirror {
    objects: BTreeMap<SmolStr, Arc<Object>>,
    /// By slot: whose word counts, and since which version.
    attached: Box<[Option<(u16, Version)>]>,
    /// By ordinal: boot time of the last sign of life.
    heard: BTreeMap<u16, Duration>,
}

impl Default for Mirror {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), attached: vec![None; usize::from(SLOTS)].into(), heard: BTreeMap::new() }
    }
}

type SharedMirror = Arc<RwLock<Mirror>>;

impl Mirror {
    /// All that a peer has in its slots, at one version.
    fn list(&mut self, ordinal: u16, slots: &SlotSet, page: ListPage, slot_of: impl Fn(&Object) -> Slot) {
        let mut mine = SlotSet::new();
        for slot in slots.iter() {
            let attached = &mut self.attached[usize::from(slot.0)];
            if attached.is_none_or(|(_, since)| since < page.version) {
                *attached = Some((ordinal, page.version));
                mine.insert(slot);
            }
        }
        self.objects.retain(|_, object| !mine.contains(slot_of(object)));
        let listed = page.objects.into_iter().filter(|object| mine.contains(slot_of(object)));
        self.objects.extend(listed.map(|object| (object.name.clone(), object)));
    }

    fn apply(&mut self, ordinal: u16, delivery: &Delivery) {
        for event in &delivery.events {
            if !self.is_attached(event.slot, ordinal) {
                continue;
            }
            if event.deleted {
                self.objects.remove(&event.object.name);
            } else {
                self.objects.insert(event.object.name.clone(), event.object.clone());
            }
        }
    }

    fn is_attached(&self, slot: Slot, ordinal: u16) -> bool {
        self.attached[usize::from(slot.0)].is_some_and(|(owner, _)| owner == ordinal)
    }
}

/// See the module.
pub(crate) struct Followed {
    /// By the cluster's position and the kind.
    mirrors: RwLock<BTreeMap<(usize, Kind), SharedMirror>>,
    clock: Arc<dyn Clock>,
    /// Boot time since when some slot has no owner.
    orphaned: RwLock<Option<Duration>>,
}

impl Followed {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { mirrors: RwLock::default(), clock, orphaned: RwLock::default() }
    }

    /// `None` where the kind is not served.
    fn of(&self, call: Call<'_>, kind: Kind) -> Option<SharedMirror> {
        call.shard.registry.named(kind.id_name())?;
        Some(self.mirror(call.shard.layout.cluster_at(&call.request.cluster)?, kind))
    }

    fn mirror(&self, cluster_at: usize, kind: Kind) -> SharedMirror {
        if let Some(mirror) = self.mirrors.read().get(&(cluster_at, kind)) {
            return mirror.clone();
        }
        self.mirrors.write().entry((cluster_at, kind)).or_default().clone()
    }

    /// The newest known state of one object.
    pub(crate) fn get(&self, call: Call<'_>, kind: Kind, name: &str) -> Option<Arc<Object>> {
        self.of(call, kind)?.read().objects.get(name).cloned()
    }

    /// The newest known state of all of them.
    pub(crate) fn all(&self, call: Call<'_>, kind: Kind) -> Vec<Arc<Object>> {
        let Some(mirror) = self.of(call, kind) else { return Vec::new() };
        mirror.read().objects.values().cloned().collect()
    }

    /// Waits a little for every peer to have been heard from; 503 otherwise.
    pub(crate) async fn ready(&self, call: Call<'_>, kind: Kind) -> Result<(), Status> {
        let Some(mirror) = self.of(call, kind) else { return Ok(()) };
        let deadline = tokio::time::Instant::now() + READY_WAIT;
        while !self.is_fresh(call.shard, &mirror) {
            if tokio::time::Instant::now() >= deadline {
                let why = format!("{} are not synced yet, or not heard of for {} s", kind.id_name(), STALE.as_secs());
                return Err(Status::unavailable(why));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn is_fresh(&self, shard: &Shard, mirror: &RwLock<Mirror>) -> bool {
        let Ok(topology) = shard.topology() else { return false };
        let now = self.clock.boot();
        let recent = |heard: Duration| now.saturating_sub(heard) <= STALE;
        let (map, mirror) = (topology.current(), mirror.read());
        let heard = |member: &Member| {
            member.slots.is_empty() || mirror.heard.get(&member.ordinal).is_some_and(|heard| recent(*heard))
        };
        map.members().iter().all(heard) && self.orphaned.read().is_none_or(recent)
    }

    /// Takes note of who is there.
    fn know(&self, map: &SlotMap) {
        let since = (!map.is_complete()).then(|| self.orphaned.read().unwrap_or_else(|| self.clock.boot()));
        *self.orphaned.write() = since;
        for mirror in self.mirrors.read().values() {
            mirror.write().heard.retain(|ordinal, _| map.member(*ordinal).is_some());
        }
    }
}

/// The tasks that follow one peer, by the cluster's position and the kind.
type Followers = BTreeMap<(usize, Kind), AbortHandle>;

/// Follows every kind of every cluster on every peer, whoever that is, for ever.
pub(crate) async fn run(shard: &Shard) {
    let topology = loop {
        match shard.topology() {
            Ok(topology) => break topology,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    };
    let mut tasks = JoinSet::new();
    let mut followed: BTreeMap<u16, (Arc<dyn ShardService>, Followers)> = BTreeMap::new();
    let mut growth = shard.layout.growth();
    loop {
        let (map, clusters) = (topology.current(), *growth.borrow_and_update());
        shard.followed.know(&map);
        followed.retain(|ordinal, (service, handles)| {
            let stays = map.member(*ordinal).is_some_and(|member| Arc::ptr_eq(&member.service, service));
            if !stays {
                handles.values().for_each(AbortHandle::abort);
            }
            stays
        });
        for member in map.members() {
            let fresh = || (member.service.clone(), Followers::new());
            let (_, handles) = followed.entry(member.ordinal).or_insert_with(fresh);
            let kinds = Kind::ALL.into_iter().filter(|kind| shard.registry.named(kind.id_name()).is_some());
            for (kind, at) in kinds.flat_map(|kind| (0..clusters).map(move |at| (kind, at))) {
                let (shard, topology, ordinal) = (shard.handle(), topology.clone(), member.ordinal);
                handles
                    .entry((at, kind))
                    .or_insert_with(|| tasks.spawn(async move { follow(&shard, &topology, at, kind, ordinal).await }));
            }
        }
        tokio::select! {
            _ = topology.newer_than(map.generation) => {}
            _ = growth.changed() => {}
        }
        while tasks.try_join_next().is_some() {}
    }
}

async fn follow(shard: &Shard, topology: &Topology, cluster_at: usize, kind: Kind, ordinal: u16) {
    let mirror = &*shard.followed.mirror(cluster_at, kind);
    let cluster = &shard.layout.cluster(cluster_at);
    loop {
        let map = topology.current();
        let Some(member) = map.member(ordinal) else {
            // It ends with the next map, unless that has the member again.
            topology.newer_than(map.generation).await;
            continue;
        };
        if let Err(error) = follow_once(shard, cluster, kind, mirror, member).await {
            tracing::debug!(peer = ordinal, kind = kind.id_name(), %error, "a peer cannot be followed");
        }
        // Its slots may be others by then.
        let _ = tokio::time::timeout(AGAIN, topology.newer_than(map.generation)).await;
    }
}

async fn follow_once(
    shard: &Shard,
    cluster: &SmolStr,
    kind: Kind,
    mirror: &RwLock<Mirror>,
    peer: &Member,
) -> Result<(), ShardError> {
    let resource = shard.registry.named(kind.id_name()).expect("only kinds of the registry have mirrors");
    let everything = ListRequest {
        slots: ListSlots::Exactly(peer.slots.clone()),
        cluster: cluster.clone(),
        resource: resource.id,
        namespace: SmolStr::default(),
        selector: Arc::default(),
        at: None,
        after: None,
        limit: usize::MAX,
    };
    let page = peer.service.list(everything).await?;
    let from = SubscribeRequest { cluster: cluster.clone(), resource: resource.id, from: Some(page.version) };
    let mut subscription = peer.service.subscribe(from).await?;
    let hear = |mirror: &mut Mirror| {
        mirror.heard.insert(peer.ordinal, shard.ambient.clock.boot());
    };
    {
        let mut mirror = mirror.write();
        let slot_of = |object: &Object| resource.slot(cluster, &object.namespace, &object.name);
        mirror.list(peer.ordinal, &peer.slots, page, slot_of);
        hear(&mut mirror);
    }
    // What has come between the list and the stream is in neither.
    if *subscription.slots != *peer.slots {
        return Ok(());
    }
    let mut probe = tokio::time::interval(PROBE);
    loop {
        tokio::select! {
            biased;
            delivery = subscription.deliveries.recv() => {
                let Some(delivery) = delivery else { return Ok(()) };
                let mut mirror = mirror.write();
                mirror.apply(peer.ordinal, &delivery);
                hear(&mut mirror);
                // What was there before in slots that have come is for a list to say.
                let has_come = |slots: &SlotSet| slots.iter().any(|slot| !mirror.is_attached(slot, peer.ordinal));
                if delivery.slots.as_deref().is_some_and(has_come) {
                    return Ok(());
                }
            }
            _ = probe.tick() => peer.service.advance(cluster, resource.id, shard.sequencer.now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_former_owner_do_not_count() {
        let mut mirror = Mirror::default();
        let page = |version| ListPage { version: Version(version), objects: Vec::new(), remaining: 0 };
        let slot: SlotSet = [Slot(3)].into_iter().collect();
        mirror.list(1, &slot, page(10), |_| Slot(3));
        assert!(mirror.is_attached(Slot(3), 1));
        mirror.list(2, &slot, page(20), |_| Slot(3));
        mirror.list(1, &slot, page(15), |_| Slot(3));
        assert!(mirror.is_attached(Slot(3), 2), "what was listed before counts less");
    }
}
