//! Wires the API together: data directory -> store -> shards -> gateway, or a gateway alone to shards of other processes.
//! What it does is in those crates.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::Registry;
use api::ambient::Ambient;
use api::builtin::{self, RuntimeConfig};
use api::slot::{SLOTS, Slot};
use gateway::pki::{Pki, write_private};
use gateway::{Gateway, GatewayConfig, KubeletAccess, Tokens};
use prometheus_client::registry::Registry as MetricsRegistry;
use shards::membership::Mapping;
use shards::rpc::client::{Calling, Seeds, Ways};
use shards::service::ShardService;
use shards::topology::{Topology, owner_of};
use shards::{Bootstrap, Health, Shard, ShardConfig, ShardMetrics, ShardOptions};
use smol_str::SmolStr;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::{Identity, Role};

use crate::cli::{ApiArgs, ShardsAt, StoreArgs};
use crate::data_dir::DataDir;
use crate::progress::Progress;
use crate::{Failure, storage};

/// The logical cluster that a process serves unless it is told of others (DESIGN D11).
pub(crate) const CLUSTER: &str = "default";
/// How long the last commits of a stop may take.
pub(crate) const FLUSH: Duration = Duration::from_secs(1);

/// How long a gateway that starts waits for shards of other processes.
const FOUND: Duration = Duration::from_secs(60);

/// Shards that run in this process, or the way to those of others.
pub(crate) struct Shards {
    pub(crate) topology: Topology,
    pub(crate) metrics: ShardMetrics,
    pub(crate) data: DataDir,
    /// None where others run them.
    shards: Vec<Arc<Shard>>,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

/// What a start needs that can be checked before anything is written.
pub(crate) struct Plan {
    args: StoreArgs,
    pub(crate) registry: Arc<Registry>,
}

impl Plan {
    /// Checks the flags.
    pub(crate) fn check(args: &StoreArgs) -> Result<Self, Failure> {
        let runtime =
            RuntimeConfig::parse(&args.runtime_config).map_err(|error| format!("--runtime-config: {error}"))?;
        Ok(Self { args: args.clone(), registry: Arc::new(builtin::registry(&runtime)) })
    }
}

impl Shards {
    /// Opens the store and loads its objects.
    pub(crate) async fn start(
        plan: Plan,
        count: u16,
        ambient: &Ambient,
        metrics: &mut MetricsRegistry,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let Plan { args, registry } = plan;
        let data = DataDir::prepare(&args.data_dir)?;
        progress.step("opening the store");
        // May repair after a crash, which takes a while for a large store.
        let store = storage::open(&args.url(), None, ambient).await?;
        progress.step("loading shards");
        let metrics = ShardMetrics::register(metrics);
        let mut slots = vec![Vec::new(); usize::from(count)];
        for slot in (0..SLOTS).map(Slot) {
            slots[usize::from(owner_of(slot, usize::from(count)))].push(slot);
        }
        let opening = slots.into_iter().enumerate().map(|(ordinal, slots)| {
            Shard::open(ShardConfig {
                ordinal: ordinal as u16,
                slots,
                clusters: vec![SmolStr::new_static(CLUSTER)],
                ambient: ambient.clone(),
                registry: registry.clone(),
                store: store.clone(),
                options: options(&args),
                metrics: metrics.clone(),
            })
        });
        let shards = futures_util::future::try_join_all(opening).await?;
        let services = shards.iter().map(|shard| shard.clone() as Arc<dyn ShardService>).collect();
        let topology = Topology::fixed(services);
        let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
        for shard in &shards {
            shard.connect(topology.clone());
            let (shard, shutdown) = (shard.clone(), shutdown.clone());
            tasks.spawn(async move { shard.run(shutdown).await });
        }
        let running = Self { topology, metrics, data, shards, tasks, shutdown };
        Ok(running)
    }

    /// Finds the shards of other processes, and waits until every slot has an owner.
    pub(crate) async fn find(
        plan: Plan,
        seeds: Seeds,
        ambient: &Ambient,
        metrics: &mut MetricsRegistry,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let Plan { args, registry } = plan;
        let data = DataDir::prepare(&args.data_dir)?;
        let identity = Identity::ensure(&args.internal_ca(), Role::Gateway, ambient)?;
        progress.step("looking for shards");
        let shutdown = CancellationToken::new();
        tokio::spawn({
            let (stop, identity) = (shutdown.clone(), identity.clone());
            async move { stop.run_until_cancelled(identity.keep_fresh()).await }
        });
        let ways = Ways::new(Calling::new(identity, registry, ambient.clone()), None);
        let mapping = Mapping::new(ways.clone());
        let topology = mapping.topology();
        let (stop, from) = (shutdown.clone(), seeds.clone());
        tokio::spawn(async move { stop.run_until_cancelled(ways.follow(&from, &mapping)).await });
        let metrics = ShardMetrics::register(metrics);
        let complete = async {
            let mut map = topology.current();
            while !map.is_complete() {
                map = topology.newer_than(map.generation).await;
            }
        };
        if tokio::time::timeout(FOUND, complete).await.is_err() {
            let known = topology.current().members().len();
            let why = format!(
                "--shards: {known} shards were found, and some slots have no owner after {} s",
                FOUND.as_secs()
            );
            return Err(why.into());
        }
        Ok(Self { topology, metrics, data, shards: Vec::new(), tasks: JoinSet::new(), shutdown })
    }

    /// Waits until a shard can no longer serve: the process must exit then.
    pub(crate) async fn lost(&self) -> Failure {
        if self.shards.is_empty() {
            // Others look after theirs.
            return std::future::pending().await;
        }
        let waits = self.shards.iter().map(|shard| {
            let mut health = shard.health();
            Box::pin(async move {
                let lost = health.wait_for(|health| *health != Health::Serving).await;
                lost.map_or(Health::Fenced, |health| health.clone())
            })
        });
        match futures_util::future::select_all(waits).await.0 {
            Health::Broken(reason) => {
                format!("the store is broken and nothing it holds can be trusted: {reason}").into()
            }
            _ => "another process has taken this one's shards over".into(),
        }
    }

    /// Flushes what is pending and lets the store go.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FLUSH, all).await.is_err() {
            tracing::warn!("the shards did not stop in time: the next start replays what they had acknowledged");
        }
    }
}

fn cores() -> u16 {
    std::thread::available_parallelism().map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX))
}

pub(crate) fn options(args: &StoreArgs) -> ShardOptions {
    ShardOptions {
        retention: args.event_retention,
        service_cidr: args.service_cluster_ip_range,
        node_ports: args.service_node_port_range.clone(),
        not_ready_toleration_seconds: args.default_not_ready_toleration_seconds,
        unreachable_toleration_seconds: args.default_unreachable_toleration_seconds,
        webhook_allow: args.webhook_allow.clone(),
        authorization: args.authorization_mode.clone(),
        pod_security: args.pod_security_config.clone().unwrap_or_default(),
        ..ShardOptions::default()
    }
}

/// A whole API: gateway and shards in this process.
pub(crate) struct ApiServer {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) shards: Shards,
    pub(crate) pki: Pki,
    pub(crate) address: SocketAddr,
    pub(crate) kubeconfig: PathBuf,
    listener: TcpListener,
}

impl ApiServer {
    /// Starts everything but the listening socket's service (see [`ApiServer::serve`]). Checks what can be checked
    /// before it writes anything.
    pub(crate) async fn start(
        args: &ApiArgs,
        allowed_internal: Vec<String>,
        ambient: &Ambient,
        metrics: &mut MetricsRegistry,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let plan = Plan::check(&args.store)?;
        let tokens = match &args.token_auth_file {
            Some(file) => Tokens::load(file)?,
            None => Tokens::default(),
        };
        let listener =
            gateway::tls::listen(args.listen).map_err(|error| format!("--listen {}: {error}", args.listen))?;
        let address = listener.local_addr()?;
        let registry = plan.registry.clone();
        let reachable = reachable(address);
        let shards = match &args.shards {
            Some(ShardsAt::There(seeds)) => Shards::find(plan, seeds.clone(), ambient, metrics, progress).await?,
            Some(ShardsAt::Here(count)) => Shards::start(plan, *count, ambient, metrics, progress).await?,
            None => Shards::start(plan, cores(), ambient, metrics, progress).await?,
        };
        let service_cidr = args.store.service_cluster_ip_range;
        let bootstrap = Bootstrap {
            cluster: SmolStr::new_static(CLUSTER),
            registry: registry.clone(),
            ambient: ambient.clone(),
            service_cidr,
            advertise: Some((endpoint(reachable), address.port())),
        };
        bootstrap.run(&shards.topology).await?;
        progress.step("making keys and certificates");
        let names = [address.ip().to_string(), first_address(service_cidr).to_string()];
        let certificates = args.cert_dir.as_deref().unwrap_or(shards.data.path());
        let pki = Pki::ensure(certificates, &names, ambient)?;
        let kubeconfig = shards.data.file("kubeconfig");
        write_private(&kubeconfig, &pki.kubeconfig(&format!("https://{reachable}"))?)?;
        let config = GatewayConfig {
            cluster: SmolStr::new_static(CLUSTER),
            cluster_domain: args.cluster_domain.clone(),
            service_cidr,
            tokens,
            authorization: args.store.authorization_mode.clone(),
            client_ca: Some(pki.ca()),
            kubelets: KubeletAccess {
                identity: Some((pki.kubelet_client().certificate, pki.kubelet_client().key)),
                ca: args.kubelet_certificate_authority.clone(),
                allowed_internal: args.allow_internal.iter().cloned().chain(allowed_internal).collect(),
            },
            webhook_allow: args.store.webhook_allow.clone(),
            advertise: reachable.to_string(),
            ..GatewayConfig::default()
        };
        let gateway = Gateway::new(config, shards.topology.clone(), registry, ambient.clone(), metrics);
        Ok(Self { gateway, shards, pki, address, kubeconfig, listener })
    }

    /// Serves HTTPS until `shutdown`.
    pub(crate) fn serve(&self, shutdown: CancellationToken) -> Result<tokio::task::JoinHandle<()>, Failure> {
        let (gateway, listener, tls) = (self.gateway.clone(), self.listener.try_clone()?, self.pki.server());
        Ok(tokio::spawn(async move {
            if let Err(error) = gateway.serve(listener, tls, shutdown).await {
                tracing::error!(%error, "the gateway stopped serving");
            }
        }))
    }

    /// The line to paste.
    pub(crate) fn export_line(&self) -> String {
        format!("export KUBECONFIG={}", self.kubeconfig.display())
    }
}

/// The address under which this machine reaches a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    reachable
}

/// Where the `kubernetes` Service leads: the reference does not take loopback addresses, but a laptop has no other.
fn endpoint(reachable: SocketAddr) -> Ipv4Addr {
    match reachable.ip() {
        std::net::IpAddr::V4(address) => address,
        std::net::IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
    }
}

fn first_address(services: ipnet::Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(services.network()).saturating_add(1))
}
