//! Starting all controllers of one member.

use std::sync::Arc;

use api::ambient::Ambient;
use client::{Client, Members, Recorder};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::cluster_role_aggregation::ClusterRoleAggregation;
use crate::config::ControllersConfig;
use crate::deployment::Deployments;
use crate::discovery::Discovery;
use crate::endpoint_slice::EndpointSlices;
use crate::garbage_collector::GarbageCollector;
use crate::informers::Informers;
use crate::metrics::Metrics;
use crate::namespace::Namespaces;
use crate::node_ipam::{BadRange, CidrSet, NodeIpam};
use crate::node_lifecycle::NodeLifecycle;
use crate::pod_gc::PodGc;
use crate::reconcile::{Controller, Loop};
use crate::replica_set::ReplicaSets;
use crate::root_ca::RootCa;
use crate::service_account::ServiceAccounts;
use crate::share::{Share, while_elected};
use crate::taint_eviction::TaintEviction;

/// All controllers of one member.
pub struct Controllers;

/// Controllers that run.
pub struct ControllersHandle {
    metrics: Metrics,
    task: JoinHandle<()>,
}

impl ControllersHandle {
    /// Shows the controllers' metrics in a registry.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Waits until every controller has ended, which they do at shutdown.
    pub async fn ended(self) {
        // A panic of the task has been printed by the panic hook; there is nothing left to wait for.
        let _ = self.task.await;
    }
}

/// What every controller is made of.
#[derive(Clone)]
struct World {
    client: Client,
    informers: Arc<Informers>,
    config: Arc<ControllersConfig>,
    share: Share,
    metrics: Metrics,
    ambient: Ambient,
    shutdown: CancellationToken,
}

impl Controllers {
    /// Starts them all; they run until `shutdown`. `membership` says which members there are: this one works on its
    /// share. Returns at once, and fails only for a range of Nodes that cannot be cut.
    pub fn start(
        client: Client,
        config: ControllersConfig,
        membership: watch::Receiver<Members>,
        ambient: Ambient,
        shutdown: CancellationToken,
    ) -> Result<ControllersHandle, BadRange> {
        let ranges = NodeIpam::ranges(&config.node_ipam)?;
        let metrics = Metrics::default();
        let informers = Informers::start(&client, &shutdown);
        let share = Share::new(membership);
        let config = Arc::new(config);
        let world = World { client, informers, config, share, metrics: metrics.clone(), ambient, shutdown };
        let task = tokio::spawn(world.run(ranges));
        Ok(ControllersHandle { metrics, task })
    }
}

impl World {
    async fn run(self, ranges: CidrSet) {
        tokio::select! {
            () = self.informers.synced() => {}
            () = self.shutdown.cancelled() => return,
        }
        tracing::debug!("the controllers' caches are filled");
        let discovery = Discovery::new(self.named("garbage-collector"));
        let mut parts = JoinSet::new();
        parts.spawn(self.clone().workloads());
        parts.spawn(self.clone().namespaces(discovery.clone()));
        parts.spawn(self.clone().root_ca());
        parts.spawn(self.clone().node_ipam(ranges));
        parts.spawn(self.clone().node_lifecycle());
        parts.spawn(self.clone().taint_eviction());
        parts.spawn(self.clone().pod_gc());
        parts.spawn(self.clone().role_aggregation());
        parts.spawn(self.garbage(discovery));
        while parts.join_next().await.is_some() {}
    }

    /// The client under a controller's name, as audit logs and managed fields show it.
    fn named(&self, controller: &str) -> Client {
        self.client.named(&format!("shardplane-controllers/{} {controller}", env!("CARGO_PKG_VERSION")))
    }

    fn recorder(&self, component: &str) -> Recorder {
        Recorder::start(self.named(component), component, "", self.shutdown.clone())
    }

    fn work(&self, workers: usize, shutdown: &CancellationToken) -> Loop {
        Loop {
            workers,
            deadline: self.config.reconcile_deadline,
            share: self.share.clone(),
            metrics: self.metrics.clone(),
            clock: self.ambient.clock.clone(),
            shutdown: shutdown.clone(),
        }
    }

    async fn run_one<C: Controller>(self, controller: Arc<C>, workers: usize) {
        self.work(workers, &self.shutdown).run(controller).await;
    }

    async fn workloads(self) {
        let (informers, concurrency) = (self.informers.clone(), self.config.concurrency);
        let name = "deployment-controller";
        let deployments = Deployments::new(self.named(name), informers.clone(), self.recorder(name));
        let name = "replicaset-controller";
        let replica_sets = ReplicaSets::new(self.named(name), informers.clone(), self.recorder(name));
        let name = "endpoint-slice-controller";
        let (most, batch) = (self.config.max_endpoints_per_slice, self.config.endpoint_updates_batch_period);
        let metrics = self.metrics.clone();
        let slices = EndpointSlices::new(self.named(name), informers, self.recorder(name), metrics, most, batch);
        tokio::join!(
            self.clone().run_one(deployments, concurrency.deployment),
            self.clone().run_one(replica_sets, concurrency.replica_set),
            self.clone().run_one(slices, concurrency.endpoint_slice),
        );
    }

    async fn namespaces(self, discovery: Arc<Discovery>) {
        let (informers, concurrency) = (self.informers.clone(), self.config.concurrency);
        let accounts = ServiceAccounts::new(self.named("service-account-controller"), informers.clone());
        let grace = self.config.namespace_deletion_grace_period;
        let namespaces = Namespaces::new(self.named("namespace-controller"), informers, discovery, grace);
        tokio::join!(
            self.clone().run_one(accounts, concurrency.service_account),
            self.clone().run_one(namespaces, concurrency.namespace),
        );
    }

    async fn root_ca(self) {
        let Some(bundle) = self.config.root_ca.clone() else { return };
        let client = self.named("root-ca-cert-publisher");
        let publisher = RootCa::new(client, self.informers.clone(), bundle, self.shutdown.clone());
        tokio::select! {
            () = publisher.synced() => {}
            () = self.shutdown.cancelled() => return,
        }
        let workers = self.config.concurrency.service_account;
        self.run_one(publisher, workers).await;
    }

    async fn node_ipam(self, ranges: CidrSet) {
        if !self.config.node_ipam.allocate {
            return;
        }
        let name = "cidrAllocator";
        let recorder = self.recorder(name);
        let world = self.clone();
        let term = move |end: CancellationToken| {
            let (informers, metrics) = (world.informers.clone(), world.metrics.clone());
            let ipam = NodeIpam::new(world.named(name), informers, recorder.clone(), metrics, ranges.clone());
            world.work(world.config.concurrency.node_ipam, &end).run(ipam)
        };
        while_elected(self.share, "node_ipam", self.shutdown, term).await;
    }

    async fn node_lifecycle(self) {
        let name = "node-controller";
        let recorder = self.recorder(name);
        let world = self.clone();
        let term = move |end: CancellationToken| {
            let (informers, metrics, config) =
                (world.informers.clone(), world.metrics.clone(), world.config.node_lifecycle);
            let lifecycle = NodeLifecycle::new(world.named(name), informers, recorder.clone(), metrics, config);
            lifecycle.run(world.work(world.config.concurrency.node_lifecycle, &end), end)
        };
        while_elected(self.share, "node_lifecycle", self.shutdown, term).await;
    }

    async fn taint_eviction(self) {
        let name = "taint-eviction-controller";
        let (informers, metrics) = (self.informers.clone(), self.metrics.clone());
        let eviction = TaintEviction::new(self.named(name), informers, self.recorder(name), metrics);
        let workers = self.config.concurrency.taint_eviction;
        self.run_one(eviction, workers).await;
    }

    async fn pod_gc(self) {
        let client = self.named("pod-garbage-collector");
        let (config, deadline) = (self.config.pod_gc, self.config.reconcile_deadline);
        let pod_gc = PodGc::new(client, self.informers.clone(), self.metrics.clone(), config, deadline);
        while_elected(self.share, "pod_gc", self.shutdown, move |end| pod_gc.clone().run(end)).await;
    }

    async fn role_aggregation(self) {
        let world = self.clone();
        let term = move |end: CancellationToken| {
            let client = world.named("clusterrole-aggregation-controller");
            let aggregation = ClusterRoleAggregation::new(client, end.clone());
            let work = world.work(1, &end);
            async move {
                tokio::select! {
                    () = aggregation.synced() => {}
                    () = end.cancelled() => return,
                }
                work.run(aggregation).await;
            }
        };
        while_elected(self.share, "clusterrole_aggregation", self.shutdown, term).await;
    }

    async fn garbage(self, discovery: Arc<Discovery>) {
        if !self.config.garbage_collector {
            return;
        }
        let name = "garbage-collector-controller";
        let recorder = self.recorder(name);
        let world = self.clone();
        let term = move |end: CancellationToken| {
            let (client, informers) = (world.named(name), world.informers.clone());
            let collector = GarbageCollector::new(client, informers, discovery.clone(), recorder.clone());
            let work = world.work(world.config.concurrency.garbage_collector, &end);
            collector.run(work, world.config.discovery_period, end)
        };
        while_elected(self.share, "garbage_collector", self.shutdown, term).await;
    }
}
