//! One shard: the slots it owns, what it keeps of them, and its answers.

use std::ops::{Bound, RangeInclusive};
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::ambient::Ambient;
use api::resource::{Registry, Resource, ResourceId, Spread};
use api::slot::{SLOTS, Slot, SlotSet};
use api::{Object, Status, Version};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use ipnet::Ipv4Net;
use parking_lot::{Mutex, RwLock};
use smol_str::SmolStr;
use store::{SharedStore, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::claim::Claim;
use crate::clock::HybridClock;
use crate::commit::{Committer, Health};
use crate::follow::Followed;
use crate::keys;
use crate::metrics::{Metrics, ShardMetrics};
use crate::recent::Recent;
use crate::sequencer::{Sequencer, TableId};
use crate::service::{
    Answer, History, HistoryRequest, ListPage, ListRequest, Request, ShardError, ShardService, SubscribeRequest,
    Subscription, Verb,
};
use crate::table::{Retention, Table};
use crate::topology::Topology;
use crate::{verbs, watch as watching};

/// Pairs that one page of the first scan holds.
const SCAN: usize = 1024;

/// What can be set about a shard.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// How long events of strict kinds are kept for watchers and consistent lists.
    pub retention: Duration,
    /// The same for relaxed kinds (node Leases, Events).
    pub relaxed_retention: Duration,
    /// Bytes of events kept for one resource, whichever ends first.
    pub retention_bytes: usize,
    /// How long a relaxed write may wait to become durable.
    pub relaxed_flush: Duration,
    /// Where ClusterIPs come from.
    pub service_cidr: Ipv4Net,
    /// Where node ports come from.
    pub node_ports: RangeInclusive<u16>,
    /// Seconds that a Pod stays on a node that is not ready, unless it says otherwise.
    pub not_ready_toleration_seconds: i64,
    /// Seconds that a Pod stays on a node that is unreachable, unless it says otherwise.
    pub unreachable_toleration_seconds: i64,
    /// How long an Event is kept after it was last written.
    pub event_ttl: Duration,
    /// How old a reservation without its Service must be before it is freed.
    pub repair_after: Duration,
}

impl Default for ShardOptions {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(300),
            relaxed_retention: Duration::from_secs(30),
            retention_bytes: 16 << 20,
            relaxed_flush: Duration::from_millis(200),
            service_cidr: Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 96, 0, 0), 12),
            node_ports: 30_000..=32_767,
            not_ready_toleration_seconds: 300,
            unreachable_toleration_seconds: 300,
            event_ttl: Duration::from_secs(3600),
            repair_after: Duration::from_secs(300),
        }
    }
}

/// What a shard is made of.
pub struct ShardConfig {
    /// Its number: the low bits of every version it issues.
    pub ordinal: u16,
    /// The slots it owns, each of them in every cluster.
    pub slots: Vec<Slot>,
    /// The logical clusters it serves.
    pub clusters: Vec<SmolStr>,
    /// Time and randomness.
    pub ambient: Ambient,
    /// The kinds.
    pub registry: Arc<Registry>,
    /// Where it all lies.
    pub store: SharedStore,
    /// What can be set.
    pub options: ShardOptions,
    /// What it counts; shared by the shards of a process.
    pub metrics: ShardMetrics,
}

/// Why a shard did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store was written by a newer program.
    #[error("the data is of format version {found}, and this program knows versions up to {known}")]
    Format {
        /// What the store says.
        found: String,
        /// What this program writes.
        known: u32,
    },
    /// Others keep claiming the same slots.
    #[error("other shards keep claiming the same slots or the same ordinal")]
    Contended,
    /// The configuration contradicts itself.
    #[error("a shard cannot be made of this: {0}")]
    Config(String),
    /// What was read makes no sense.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// See the module. Handed around as `Arc<Shard>`; [`Shard::run`] must run for anything to be written.
pub struct Shard {
    owned: Arc<SlotSet>,
    clusters: Vec<SmolStr>,
    pub(crate) ambient: Ambient,
    pub(crate) registry: Arc<Registry>,
    pub(crate) options: ShardOptions,
    pub(crate) tables: Arc<[Table]>,
    pub(crate) sequencer: Arc<Sequencer>,
    committer: Committer,
    recent: Recent,
    /// Holds this shard as well: given up at the end of [`Shard::run`], so that the store is closed.
    topology: RwLock<Option<Arc<Topology>>>,
    pub(crate) followed: Followed,
    this: Weak<Shard>,
}

impl Shard {
    /// Claims the slots, and reads what is in them.
    pub async fn open(config: ShardConfig) -> Result<Arc<Self>, OpenError> {
        let ShardConfig { ordinal, slots, clusters, ambient, registry, store, options, metrics } = config;
        check_config(ordinal, &slots, &clusters)?;
        let (claim, floor) = Claim::take(&store, &ambient, ordinal, slots.clone().into()).await?;
        let mut clock = HybridClock::new(ambient.clock.clone(), ordinal, floor);
        let ceiling = clock.next_ceiling();
        claim.store_ceiling(&store, &ambient, ceiling).await?;
        clock.stored(ceiling);
        let owned: Arc<SlotSet> = Arc::new(slots.iter().copied().collect());
        let tables = new_tables(&registry, &clusters, &options, clock.last());
        for (at, cluster) in clusters.iter().enumerate() {
            let mine = &tables[at * registry.iter().count()..];
            load(&store, cluster, &owned, &registry, mine).await?;
        }
        let metrics = Metrics::new(metrics, ordinal);
        let committer = Committer {
            store,
            ambient: ambient.clone(),
            ordinal,
            relaxed_flush: options.relaxed_flush,
            claim: Mutex::new(claim),
            health: watch::Sender::new(Health::Serving),
            metrics,
        };
        Ok(Arc::new_cyclic(|this| Self {
            owned,
            followed: Followed::new(&registry, clusters.len(), ambient.clock.clone()),
            clusters,
            recent: Recent::new(ambient.clock.clone()),
            ambient,
            registry,
            options,
            sequencer: Arc::new(Sequencer::new(clock, tables.clone())),
            tables,
            committer,
            topology: RwLock::default(),
            this: this.clone(),
        }))
    }

    /// Introduces every shard, this one included. Before the first request.
    pub fn connect(&self, topology: Topology) {
        *self.topology.write() = Some(Arc::new(topology));
    }

    /// Commits, follows configuration and repairs until `shutdown`, or until the shard may no longer serve (see
    /// [`Shard::health`]). What was pending at `shutdown` is flushed.
    pub async fn run(&self, shutdown: CancellationToken) {
        let background = shutdown.child_token();
        let mut tasks = JoinSet::new();
        // Tasks of their own: commits wait for none of them.
        let (this, stop) = (self.handle(), background.clone());
        tasks.spawn(async move { stop.run_until_cancelled(crate::follow::run(&this)).await });
        let (this, stop) = (self.handle(), background.clone());
        tasks.spawn(async move { stop.run_until_cancelled(crate::admission::service::repair(&this)).await });
        let (this, stop) = (self.handle(), background.clone());
        let metrics = self.committer.metrics.clone();
        tasks.spawn(async move { stop.run_until_cancelled(crate::housekeeping::run(&this, &metrics)).await });
        self.committer.run(&self.sequencer, shutdown).await;
        background.cancel();
        self.tables.iter().for_each(Table::disconnect);
        while tasks.join_next().await.is_some() {}
        self.topology.write().take();
    }

    fn handle(&self) -> Arc<Self> {
        self.this.upgrade().expect("somebody calls a method, so it is alive")
    }

    /// Whether the shard serves; changes at most once, for good.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.committer.health.subscribe()
    }

    /// Every shard, once they are connected.
    pub(crate) fn topology(&self) -> Result<Arc<Topology>, Status> {
        self.topology.read().clone().ok_or_else(|| Status::unavailable("this shard does not know its peers"))
    }

    /// The table of a resource of a cluster.
    pub(crate) fn table_id(&self, cluster: &str, resource: ResourceId) -> Result<TableId, Status> {
        let at = self.clusters.iter().position(|name| name == cluster).ok_or_else(Status::unknown_path)?;
        let rows = self.tables.len() / self.clusters.len();
        Ok(TableId((at * rows + usize::from(resource.0)) as u32))
    }

    pub(crate) fn table(&self, id: TableId) -> &Table {
        &self.tables[id.0 as usize]
    }

    /// Position of a cluster among those that the shard serves.
    pub(crate) fn cluster_at(&self, cluster: &str) -> Option<usize> {
        self.clusters.iter().position(|name| name == cluster)
    }

    pub(crate) fn clusters(&self) -> &[SmolStr] {
        &self.clusters
    }

    /// Whether this shard writes that slot.
    pub(crate) fn owns(&self, slot: Slot) -> bool {
        self.owned.contains(slot)
    }

    /// The slots that this shard writes.
    pub(crate) fn owned(&self) -> Arc<SlotSet> {
        self.owned.clone()
    }

    /// Sends requests for a slot of somebody else away.
    pub(crate) fn check_owned(&self, slot: Slot) -> Result<(), ShardError> {
        if self.owns(slot) { Ok(()) } else { Err(ShardError::NotOwner) }
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }
}

impl ShardService for Shard {
    fn execute(&self, request: Request) -> BoxFuture<'_, Result<Answer, ShardError>> {
        if matches!(request.verb, Verb::Get { .. }) {
            return async move { verbs::get::execute(self, &request).await }.boxed();
        }
        let this = self.handle();
        // A task of its own: who drops the future gives up the answer, not the write.
        // Boxed, because it is large, and a spawned future is moved several times.
        let task = tokio::spawn(Box::pin(async move { verbs::execute(&this, &request).await }));
        let ended = |error: tokio::task::JoinError| match error.is_panic() {
            true => Status::internal(error),
            // The runtime is ending under it: whether the write happens is for the next start to say.
            false => Status::unavailable("the shard is shutting down"),
        };
        task.map(move |joined| joined.unwrap_or_else(|error| Err(ended(error).into()))).boxed()
    }

    fn clock(&self) -> BoxFuture<'_, Result<Version, ShardError>> {
        ready(self.sequencer.check_serving().map(|()| self.sequencer.clock())).boxed()
    }

    fn list(&self, request: ListRequest) -> BoxFuture<'_, Result<ListPage, ShardError>> {
        verbs::list::list(self, request).boxed()
    }

    fn subscribe(&self, request: SubscribeRequest) -> BoxFuture<'_, Result<Subscription, ShardError>> {
        ready(watching::subscribe(self, &request)).boxed()
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<History, ShardError>> {
        ready(watching::history(self, &request)).boxed()
    }

    fn advance(&self, cluster: &str, resource: ResourceId, version: Version) {
        watching::advance(self, cluster, resource, version);
    }
}

fn check_config(ordinal: u16, slots: &[Slot], clusters: &[SmolStr]) -> Result<(), OpenError> {
    if ordinal >= api::version::MAX_ORDINALS {
        return Err(OpenError::Config(format!("ordinal {ordinal} is not below {}", api::version::MAX_ORDINALS)));
    }
    if let Some(slot) = slots.iter().find(|slot| slot.0 >= SLOTS) {
        return Err(OpenError::Config(format!("slot {} is not below {SLOTS}", slot.0)));
    }
    match clusters.iter().find(|cluster| cluster.is_empty() || cluster.contains('\0')) {
        Some(_) => Err(OpenError::Config("a cluster's name is empty or holds a zero byte".to_owned())),
        None if clusters.is_empty() => Err(OpenError::Config("there is no cluster to serve".to_owned())),
        None => Ok(()),
    }
}

fn new_tables(registry: &Registry, clusters: &[SmolStr], options: &ShardOptions, floor: Version) -> Arc<[Table]> {
    let of_cluster = |cluster: &SmolStr| {
        let make = |resource: &Arc<Resource>| {
            let relaxed = resource.relaxed || matches!(resource.spread, Spread::NameIn(_));
            let age = if relaxed { options.relaxed_retention } else { options.retention };
            let retention = Retention { age, bytes: options.retention_bytes };
            Table::new(resource.clone(), cluster.clone(), retention, floor)
        };
        registry.iter().map(make).collect::<Vec<_>>()
    };
    clusters.iter().flat_map(of_cluster).collect()
}

/// Reads the objects of the owned slots. Pages run over what others own as long as that is little, and jump otherwise.
async fn load(
    store: &SharedStore,
    cluster: &str,
    owned: &SlotSet,
    registry: &Registry,
    tables: &[Table],
) -> Result<(), OpenError> {
    let next_owned = |from: u16| (from..SLOTS).find(|slot| owned.contains(Slot(*slot)));
    let end = keys::cluster_end(cluster);
    let Some(first) = next_owned(0) else { return Ok(()) };
    let mut from = Bound::Included(keys::slot_start(cluster, first));
    loop {
        let page = store.scan(from, end.clone(), SCAN).await?;
        let mut last = None;
        for (key, tail) in &page.pairs {
            let (slot, id_name) = keys::parse_object(cluster, key)
                .ok_or_else(|| OpenError::Damaged(format!("unknown key {}", keys::printable(key))))?;
            last = Some((key.clone(), slot));
            if !owned.contains(slot) {
                continue;
            }
            let Some(resource) = registry.named(id_name) else {
                // A kind that is switched off: what is stored of it stays, and is served when it is switched on again.
                continue;
            };
            let object = decode(resource, tail.clone(), key)?;
            tables[usize::from(resource.id.0)].load(Arc::new(object));
        }
        from = match last {
            Some((key, slot)) if page.more => match next_owned(slot.0) {
                Some(next) if next > slot.0 => Bound::Included(keys::slot_start(cluster, next)),
                Some(_) => Bound::Excluded(key),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
    }
}

fn decode(resource: &Resource, tail: Bytes, key: &[u8]) -> Result<Object, OpenError> {
    let damaged = |error: api::object::Damaged| OpenError::Damaged(format!("{}: {error}", keys::printable(key)));
    Object::load(resource, tail).map_err(damaged)
}
