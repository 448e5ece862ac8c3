//! One shard: the slots it owns, what it keeps of them, and its answers.

use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::ambient::Ambient;
use api::slot::{SLOTS, Slot, SlotSet};
use api::{Registry, ResourceId, Status, Version};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use ipnet::Ipv4Net;
use parking_lot::RwLock;
use smol_str::SmolStr;
use store::{SharedStore, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::authorization::{Authorizer, Mode};
use crate::checkpoint::Logs;
use crate::claim::{self, Taken};
use crate::clock::HybridClock;
use crate::commit::{Committer, Health};
use crate::contents;
use crate::conversion::Conversions;
use crate::follow::Followed;
use crate::keys::Epoch;
use crate::layout::Layout;
use crate::lease::Lease;
use crate::metrics::{Metrics, ShardMetrics};
use crate::moves::Moves;
use crate::recent::Recent;
use crate::sequencer::{Sequencer, TableId};
use crate::service::{
    Answer, History, HistoryRequest, ListPage, ListRequest, Request, ShardError, ShardService, SubscribeRequest,
    Subscription, Verb,
};
use crate::table::Table;
use crate::topology::Topology;
use crate::verbs::{Converted, Row};
use crate::webhooks::{Memo, Webhooks};
use crate::{verbs, watch as watching};

/// What can be set about a shard.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// How long events of strict kinds are kept for watchers and consistent lists.
    pub retention: Duration,
    /// The same for relaxed kinds (node Leases, Events).
    pub relaxed_retention: Duration,
    /// Bytes of events kept for one resource, whichever ends first.
    pub retention_bytes: usize,
    /// Bytes of the logs of all slots, whichever ends first. A log outlives its retention by as much again.
    pub log_bytes: usize,
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
    /// Loopback, link-local and other internal addresses, networks and hosts that webhooks may have.
    pub webhook_allow: Vec<String>,
    /// Who is asked whether somebody may, where admission needs to know (`--authorization-mode`).
    pub authorization: Vec<Mode>,
    /// What Pods may ask for where Namespaces do not say, and who is exempt.
    pub pod_security: api::pod_security::Configuration,
}

impl Default for ShardOptions {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(300),
            relaxed_retention: Duration::from_secs(30),
            retention_bytes: 16 << 20,
            log_bytes: 128 << 20,
            relaxed_flush: Duration::from_millis(200),
            service_cidr: Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 96, 0, 0), 12),
            node_ports: 30_000..=32_767,
            not_ready_toleration_seconds: 300,
            unreachable_toleration_seconds: 300,
            event_ttl: Duration::from_secs(3600),
            repair_after: Duration::from_secs(300),
            webhook_allow: Vec::new(),
            authorization: vec![Mode::Rbac],
            pod_security: Default::default(),
        }
    }
}

/// What a shard is made of.
pub struct ShardConfig {
    /// Its number: the low bits of every version it issues.
    pub ordinal: u16,
    /// The slots it owns, each of them in every cluster.
    pub slots: Vec<Slot>,
    /// The logical clusters that it serves from the beginning; others join when they are first asked for.
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
    /// The store was written by an older program, from before a release.
    #[error(
        "the data is of format version {found}, which no release has written, and this program knows version {known}: \
         start with an empty data directory"
    )]
    OldFormat {
        /// What the store says.
        found: u32,
        /// What this program writes.
        known: u32,
    },
    /// A backup is being restored into it.
    #[error("a backup is being restored into this store, or was and did not come to its end: restore it again")]
    Restoring,
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
    pub(crate) ambient: Ambient,
    pub(crate) registry: Arc<Registry>,
    pub(crate) options: ShardOptions,
    pub(crate) layout: Arc<Layout>,
    pub(crate) sequencer: Arc<Sequencer>,
    pub(crate) committer: Committer,
    pub(crate) moves: Moves,
    recent: Recent,
    lease: Arc<Lease>,
    /// Holds this shard as well: given up at the end of [`Shard::run`], so that the store is closed.
    topology: RwLock<Option<Arc<Topology>>>,
    pub(crate) followed: Followed,
    pub(crate) webhooks: Webhooks,
    pub(crate) conversions: Conversions,
    /// Since it follows anything; ends with that.
    pub(crate) authorizer: RwLock<Option<Arc<Authorizer>>>,
    this: Weak<Shard>,
}

/// Bytes of custom objects that are kept in other versions than the stored one, for those who write in these.
const CONVERSIONS: usize = 8 << 20;

impl Shard {
    /// Claims the ordinal and the slots, whoever has them, and reads what is in them.
    pub async fn open(config: ShardConfig) -> Result<Arc<Self>, OpenError> {
        check_config(&config)?;
        let slots = config.slots.iter().copied().collect();
        let now = HybridClock::new(config.ambient.clock.clone(), config.ordinal, Version::ZERO).now();
        let taken = claim::take(&config.store, &config.ambient, config.ordinal, &slots, now).await?;
        Self::with(config, &slots, taken).await
    }

    /// Opens without slots, under an epoch that membership has taken the ordinal with; see [`Shard::adopt`].
    pub async fn open_under(config: ShardConfig, epoch: Epoch) -> Result<Arc<Self>, OpenError> {
        check_config(&config)?;
        if !config.slots.is_empty() || config.ordinal != epoch.ordinal {
            return Err(OpenError::Config("a member gets its slots one after another".to_owned()));
        }
        let now = HybridClock::new(config.ambient.clock.clone(), config.ordinal, Version::ZERO).now();
        let taken = claim::taken(&config.store, &config.ambient, epoch, now).await?;
        Self::with(config, &SlotSet::new(), taken).await
    }

    async fn with(config: ShardConfig, slots: &SlotSet, taken: Taken) -> Result<Arc<Self>, OpenError> {
        let ShardConfig { ordinal, slots: _, clusters, ambient, registry, store, options, metrics } = config;
        let Taken { epoch, floor, first } = taken;
        let mut clock = HybridClock::new(ambient.clock.clone(), ordinal, floor);
        let ceiling = clock.next_ceiling();
        claim::store_ceiling(&store, &ambient, epoch, ceiling).await?;
        clock.stored(ceiling);
        let layout = Arc::new(Layout::new(registry.clone(), &options, first, &clusters));
        let lease = Arc::new(Lease::endless(ambient.clock.clone()));
        let followed = Followed::default();
        let recent = Recent::new(ambient.clock.clone());
        let now = clock.now();
        let loaded = contents::load(&layout, &store, slots, now).await?;
        let committer = Committer {
            store,
            ambient: ambient.clone(),
            epoch,
            relaxed_flush: options.relaxed_flush,
            layout: layout.clone(),
            logs: Logs::default(),
            health: watch::Sender::new(Health::Serving),
            metrics: Metrics::new(metrics, ordinal),
        };
        let shard = Arc::new_cyclic(|this| Self {
            followed,
            webhooks: Webhooks::default(),
            conversions: Conversions::new(CONVERSIONS),
            authorizer: RwLock::default(),
            recent,
            sequencer: Arc::new(Sequencer::new(clock, layout.clone(), lease.clone())),
            ambient,
            registry,
            options,
            layout,
            committer,
            moves: Moves::default(),
            lease,
            topology: RwLock::default(),
            this: this.clone(),
        });
        shard.take_in(loaded, slots, now);
        Ok(shard)
    }

    /// Until when it may answer: for ever, unless membership says otherwise.
    pub fn lease(&self) -> Arc<Lease> {
        self.lease.clone()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.committer.metrics
    }

    /// What its batches are fenced by.
    pub fn epoch(&self) -> Epoch {
        self.committer.epoch
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
        tasks.spawn(async move {
            crate::follow::run(&this, stop).await;
            None
        });
        let (this, stop) = (self.handle(), background.clone());
        tasks.spawn(async move {
            crate::definitions::run(&this, stop).await;
            None
        });
        let (this, stop) = (self.handle(), background.clone());
        tasks.spawn(async move { stop.run_until_cancelled(crate::admission::service::repair(&this)).await });
        let (this, stop) = (self.handle(), background.clone());
        let metrics = self.committer.metrics.clone();
        tasks.spawn(async move { stop.run_until_cancelled(crate::housekeeping::run(&this, &metrics)).await });
        let (this, stop) = (self.handle(), background.clone());
        tasks.spawn(async move { stop.run_until_cancelled(crate::checkpoint::run(&this)).await });
        let (this, stop) = (self.handle(), background.clone());
        tasks.spawn(async move { stop.run_until_cancelled(crate::quota::keeper::run(&this)).await });
        self.committer.run(&self.sequencer, shutdown).await;
        background.cancel();
        self.layout.tables().for_each(Table::disconnect);
        while tasks.join_next().await.is_some() {}
        self.topology.write().take();
    }

    pub(crate) fn handle(&self) -> Arc<Self> {
        self.this.upgrade().expect("somebody calls a method, so it is alive")
    }

    /// Whether the shard serves; changes at most once, for good.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.committer.health.subscribe()
    }

    /// Waits for the shards to be connected.
    pub(crate) async fn connected(&self) -> Arc<Topology> {
        loop {
            match self.topology() {
                Ok(topology) => return topology,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Every shard, once they are connected.
    pub(crate) fn topology(&self) -> Result<Arc<Topology>, Status> {
        self.topology.read().clone().ok_or_else(|| Status::unavailable("this shard does not know its peers"))
    }

    /// The table of a resource of a cluster. Gateways answer for it that there is such a cluster.
    pub(crate) fn table_id(&self, cluster: &str, resource: ResourceId) -> Result<TableId, Status> {
        let at = self.layout.ensure(cluster)?;
        self.layout.table_id(at, resource)
    }

    /// What a request is about, as this shard knows it now.
    pub(crate) fn row(&self, request: &Request) -> Result<Row, Status> {
        let table = self.table_id(&request.cluster, request.resource)?;
        let resource = self.registry.row(&request.cluster, request.resource);
        let undefined = || Status::unavailable("this shard has not heard yet how that kind is defined");
        Ok(Row {
            table,
            resource: resource.ok_or_else(undefined)?,
            reviews: Memo::default(),
            converted: Converted::default(),
        })
    }

    pub(crate) fn table(&self, id: TableId) -> &Table {
        self.layout.table(id)
    }

    /// Takes all that this shard's slots hold of a logical cluster out of the store and out of memory. Nobody may ask for that
    /// id any more, and it must never be used again. May be called again after an error.
    pub async fn drop_cluster(&self, cluster: &str) -> Result<(), StoreError> {
        crate::checkpoint::drop_cluster(self, cluster).await
    }

    /// The slots that this shard answers for.
    pub fn owned(&self) -> Arc<SlotSet> {
        self.sequencer.owned()
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

fn check_config(config: &ShardConfig) -> Result<(), OpenError> {
    let ShardConfig { ordinal, slots, clusters, .. } = config;
    if *ordinal >= api::version::MAX_ORDINALS {
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
