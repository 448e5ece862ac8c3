//! Configuration that admission reads, followed over all shards (DESIGN D3): each shard keeps a copy of every peer's
//! part, and knows how old it is.
//!
//! Invariant: [`Followed::ready`] passes only while every peer was heard from within [`STALE`]; what depends on the
//! configuration answers 503 otherwise. Later kinds (CRDs, webhooks, policies) are rows of [`Kind`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use api::resource::Registry;
use api::{Object, Status};
use futures_util::future::join_all;
use parking_lot::RwLock;
use smol_str::SmolStr;

use crate::service::{Delivery, ListRequest, ListSlots, ShardError, SubscribeRequest};
use crate::shard::Shard;
use crate::topology::Member;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A copy of one peer's part.
#[derive(Default)]
struct Mirror {
    objects: BTreeMap<SmolStr, Arc<Object>>,
    /// Boot time of the last sign of life; `None` before the first.
    heard: Option<Duration>,
}

/// Copies of one kind in one cluster, by peer.
type Mirrors = RwLock<Vec<Mirror>>;

/// See the module.
pub(crate) struct Followed {
    /// By cluster, then by kind; `None` where the kind is not served.
    mirrors: Vec<[Option<Mirrors>; Kind::ALL.len()]>,
    clock: Arc<dyn Clock>,
}

impl Followed {
    pub(crate) fn new(registry: &Registry, clusters: usize, clock: Arc<dyn Clock>) -> Self {
        let of_kind = |kind: Kind| registry.named(kind.id_name()).map(|_| Mirrors::default());
        Self { mirrors: (0..clusters).map(|_| Kind::ALL.map(of_kind)).collect(), clock }
    }

    fn of(&self, call: Call<'_>, kind: Kind) -> Option<&Mirrors> {
        self.mirrors.get(call.shard.cluster_at(&call.request.cluster)?)?[kind as usize].as_ref()
    }

    /// The newest known state of one object.
    pub(crate) fn get(&self, call: Call<'_>, kind: Kind, name: &str) -> Option<Arc<Object>> {
        let mirrors = self.of(call, kind)?.read();
        mirrors.iter().find_map(|mirror| mirror.objects.get(name).cloned())
    }

    /// The newest known state of all of them.
    pub(crate) fn all(&self, call: Call<'_>, kind: Kind) -> Vec<Arc<Object>> {
        let Some(mirrors) = self.of(call, kind) else { return Vec::new() };
        mirrors.read().iter().flat_map(|mirror| mirror.objects.values().cloned()).collect()
    }

    /// Waits a little for every peer to have been heard from; 503 otherwise.
    pub(crate) async fn ready(&self, call: Call<'_>, kind: Kind) -> Result<(), Status> {
        let Some(mirrors) = self.of(call, kind) else { return Ok(()) };
        let deadline = tokio::time::Instant::now() + READY_WAIT;
        while !self.is_fresh(mirrors) {
            if tokio::time::Instant::now() >= deadline {
                let why = format!("{} are not synced yet, or not heard of for {} s", kind.id_name(), STALE.as_secs());
                return Err(Status::unavailable(why));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn is_fresh(&self, mirrors: &Mirrors) -> bool {
        let now = self.clock.boot();
        let mirrors = mirrors.read();
        let heard = |mirror: &Mirror| mirror.heard.is_some_and(|heard| now.saturating_sub(heard) <= STALE);
        !mirrors.is_empty() && mirrors.iter().all(heard)
    }
}

/// Follows every kind of every cluster on every peer, for ever.
pub(crate) async fn run(shard: &Shard) {
    let topology = loop {
        match shard.topology() {
            Ok(topology) => break topology,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    };
    let members = topology.current();
    let members = members.members();
    let mut streams = Vec::new();
    for (at, cluster) in shard.clusters().iter().enumerate() {
        for kind in Kind::ALL {
            let Some(mirrors) = &shard.followed.mirrors[at][kind as usize] else { continue };
            *mirrors.write() = members.iter().map(|_| Mirror::default()).collect();
            for (peer_at, peer) in members.iter().enumerate() {
                streams.push(follow(shard, cluster, kind, mirrors, peer_at, peer));
            }
        }
    }
    join_all(streams).await;
}

async fn follow(shard: &Shard, cluster: &SmolStr, kind: Kind, mirrors: &Mirrors, peer_at: usize, peer: &Member) {
    loop {
        if let Err(error) = follow_once(shard, cluster, kind, mirrors, peer_at, peer).await {
            tracing::debug!(peer = peer_at, kind = kind.id_name(), %error, "a peer cannot be followed");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn follow_once(
    shard: &Shard,
    cluster: &SmolStr,
    kind: Kind,
    mirrors: &Mirrors,
    peer_at: usize,
    peer: &Member,
) -> Result<(), ShardError> {
    let resource = shard.registry.named(kind.id_name()).expect("only kinds of the registry have mirrors").id;
    let everything = ListRequest {
        slots: ListSlots::Exactly(peer.slots.clone()),
        cluster: cluster.clone(),
        resource,
        namespace: SmolStr::default(),
        selector: Arc::default(),
        at: None,
        after: None,
        limit: usize::MAX,
    };
    let page = peer.service.list(everything).await?;
    let from = SubscribeRequest { cluster: cluster.clone(), resource, from: Some(page.version) };
    let mut subscription = peer.service.subscribe(from).await?;
    {
        let mut mirrors = mirrors.write();
        let mirror = &mut mirrors[peer_at];
        mirror.objects = page.objects.into_iter().map(|object| (object.name.clone(), object)).collect();
        mirror.heard = Some(shard.ambient.clock.boot());
    }
    let mut probe = tokio::time::interval(PROBE);
    loop {
        tokio::select! {
            biased;
            delivery = subscription.deliveries.recv() => match delivery {
                Some(delivery) => apply(shard, mirrors, peer_at, &delivery),
                None => return Ok(()),
            },
            _ = probe.tick() => peer.service.advance(cluster, resource, shard.sequencer.now()),
        }
    }
}

fn apply(shard: &Shard, mirrors: &Mirrors, peer_at: usize, delivery: &Delivery) {
    let mut mirrors = mirrors.write();
    let mirror = &mut mirrors[peer_at];
    for event in &delivery.events {
        if event.deleted {
            mirror.objects.remove(&event.object.name);
        } else {
            mirror.objects.insert(event.object.name.clone(), event.object.clone());
        }
    }
    mirror.heard = Some(shard.ambient.clock.boot());
}
