//! Wires what works on a cluster: controllers, schedulers and the fleet, for `up` and for each part alone.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use client::https::{HttpsFactory, HttpsOptions};
use client::kubeconfig::Target;
use client::{Client, Members, Membership, MembershipOptions};
use controllers::{
    Controllers, ControllersConfig, ControllersHandle, NodeIpamConfig, NodeLifecycleConfig, PodGcConfig,
};
use ipnet::Ipv4Net;
use kubelet::{Fleet, FleetConfig, Identity, Latency, Server, ServerOptions};
use prometheus_client::registry::Registry as MetricsRegistry;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use scheduler::{Feeds, Scheduler, SchedulerConfig};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Failure;
use crate::cli::{ControllersArgs, Fidelity, FleetArgs, SchedulerArgs};

/// A worker whose Lease has not changed for so long is dead: what kube-controller-manager's leader election takes.
const TTL: Duration = Duration::from_secs(15);
/// No action of a worker takes effect later than this after it was begun.
const DEADLINE: Duration = Duration::from_secs(5);

fn member(group: &str, identity: String) -> MembershipOptions {
    MembershipOptions { group: group.to_owned(), identity, ttl: TTL, deadline: DEADLINE }
}

/// Flags to configuration.
pub(crate) fn controllers_config(
    args: &ControllersArgs,
    service_cidr: Option<Ipv4Net>,
    root_ca: Option<String>,
) -> ControllersConfig {
    let defaults = ControllersConfig::default();
    ControllersConfig {
        node_ipam: NodeIpamConfig {
            cluster_cidr: args.cluster_cidr,
            node_mask: args.node_cidr_mask_size,
            service_cidr: service_cidr.or(defaults.node_ipam.service_cidr),
            ..defaults.node_ipam
        },
        node_lifecycle: NodeLifecycleConfig {
            monitor_period: args.node_monitor_period,
            monitor_grace_period: args.node_monitor_grace_period,
            startup_grace_period: args.node_startup_grace_period,
            eviction_rate: args.node_eviction_rate,
            ..defaults.node_lifecycle
        },
        pod_gc: PodGcConfig { terminated_threshold: args.terminated_pod_gc_threshold, ..defaults.pod_gc },
        root_ca,
        ..defaults
    }
}

/// The memberships of this process.
#[derive(Default)]
pub(crate) struct Memberships(Vec<watch::Receiver<Members>>);

impl Memberships {
    async fn join(
        &mut self,
        client: &Client,
        options: MembershipOptions,
        shutdown: &CancellationToken,
    ) -> Result<watch::Receiver<Members>, Failure> {
        let members = Membership::join(client.clone(), options, shutdown.clone()).await?;
        self.0.push(members.clone());
        Ok(members)
    }

    /// Waits, after a shutdown, until every Lease is given back, so that others need not wait for it to run out.
    pub(crate) async fn released(self) {
        for mut members in self.0 {
            while members.changed().await.is_ok() {}
        }
    }
}

/// Starts one member that runs all controllers for its share.
pub(crate) async fn start_controllers(
    client: &Client,
    config: ControllersConfig,
    identity: &str,
    memberships: &mut Memberships,
    metrics: &mut MetricsRegistry,
    shutdown: &CancellationToken,
) -> Result<ControllersHandle, Failure> {
    let options = member("shardplane-controllers", identity.to_owned());
    let members = memberships.join(client, options, shutdown).await?;
    let handle = Controllers::start(client.clone(), config, members, client.ambient().clone(), shutdown.clone())?;
    handle.register(metrics);
    Ok(handle)
}

/// Starts schedulers that share one view of pods and nodes, and, with others like them, the nodes.
pub(crate) async fn start_schedulers(
    client: &Client,
    args: &SchedulerArgs,
    identity: &str,
    memberships: &mut Memberships,
    metrics: &mut MetricsRegistry,
    shutdown: &CancellationToken,
) -> Result<Vec<Scheduler>, Failure> {
    let config = SchedulerConfig {
        scheduler_name: args.scheduler_name.clone(),
        metrics: scheduler::Metrics::register(metrics),
        bind_deadline: DEADLINE,
        ..SchedulerConfig::default()
    };
    let feeds = Feeds::start(client, shutdown);
    let mut schedulers = Vec::new();
    for number in 0..args.schedulers {
        let options = member("shardplane-scheduler", format!("{identity}-{number}"));
        let members = memberships.join(client, options, shutdown).await?;
        let (client, feeds, ambient) = (client.clone(), feeds.clone(), client.ambient().clone());
        schedulers.push(Scheduler::start(client, config.clone(), feeds, members, ambient, shutdown));
    }
    Ok(schedulers)
}

/// Flags to configuration, checked before anything starts.
pub(crate) fn fleet_config(args: &FleetArgs, fidelity: Fidelity) -> Result<FleetConfig, Failure> {
    let base = match fidelity {
        Fidelity::Wire => FleetConfig::wire(args.nodes),
        Fidelity::InProcess => FleetConfig::in_process(args.nodes),
    };
    if args.lease_interval.is_zero() {
        return Err("--lease-interval 0s: a kubelet that renews without a pause is none".into());
    }
    let config = FleetConfig {
        name_prefix: args.node_prefix.clone(),
        zones: usize::from(args.zones),
        cpu: args.node_cpu.clone(),
        memory: args.node_memory.clone(),
        pods: args.node_pods,
        pod_start: args.pod_start_latency.map_or(base.pod_start, Latency::around),
        lease_interval: args.lease_interval,
        // As a kubelet's: 40 s and 10 s. Whole seconds, so short intervals get one second at least.
        lease_duration: (args.lease_interval * 4).max(Duration::from_secs(1)),
        ..base
    };
    config.validate().map_err(|error| format!("the fleet cannot be like that: {error}"))?;
    Ok(config)
}

/// How each kubelet reaches the API.
pub(crate) type ClientFor = Arc<dyn Fn(&str) -> Client + Send + Sync>;

/// Connections over TLS, one for each kubelet, under the identity of a kubeconfig.
pub(crate) fn wire_clients(target: &Target, ambient: &Ambient) -> Result<ClientFor, Failure> {
    let factory = HttpsFactory::new(target, HttpsOptions::new(ambient.clone()))?;
    let ambient = ambient.clone();
    Ok(Arc::new(move |node| {
        Client::new(factory.transport(), &format!("kubelet/v1.36.0 (shardplane; {node})"), ambient.clone())
    }))
}

/// Who the kubelets' server is, and whose clients it answers.
pub(crate) struct ServerAccess {
    pub(crate) listener: TcpListener,
    /// Certificate and key, PEM; its own where there are none.
    pub(crate) files: Option<(std::path::PathBuf, std::path::PathBuf)>,
    /// CA of the clients, PEM.
    pub(crate) client_ca: Option<std::path::PathBuf>,
}

/// Starts the kubelets and their server. `control` may watch all nodes: it carries the annotation that stops a kubelet.
pub(crate) fn start_fleet(
    mut config: FleetConfig,
    clients: ClientFor,
    control: Client,
    access: ServerAccess,
    metrics: &mut MetricsRegistry,
    shutdown: &CancellationToken,
) -> Result<Fleet, Failure> {
    let identity = match &access.files {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
            Identity::Given(certificates(certificate)?, key)
        }
        None => Identity::SelfSigned(vec![access.listener.local_addr()?.ip().to_string(), "localhost".to_owned()]),
    };
    let client_ca = access.client_ca.as_deref().map(certificates).transpose()?;
    let options = ServerOptions { listener: access.listener, identity, client_ca };
    let server = Server::start(options, config.logs.clone(), shutdown.clone())?;
    config.address = server.address().ip();
    config.port = server.address().port();
    let ambient = control.ambient().clone();
    config.control = Some(control);
    let fleet = Fleet::start(config, move |node| clients(node), ambient, shutdown.clone());
    fleet.counters().register(metrics);
    Ok(fleet)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let failed = |error| format!("{}: {error}", path.display());
    let all = CertificateDer::pem_file_iter(path).map_err(failed)?;
    Ok(all.collect::<Result<Vec<_>, _>>().map_err(failed)?)
}

/// Stops as many kubelets as were asked for, when their time has come.
pub(crate) async fn stop_some(fleet: &Fleet, args: &FleetArgs) {
    if args.stop_nodes == 0 {
        return;
    }
    tokio::time::sleep(args.stop_after).await;
    let stopped = args.stop_nodes.min(args.nodes);
    for number in 0..stopped {
        let name = fleet.config().node_name(number);
        if let Err(error) = fleet.stop_node(&name) {
            tracing::warn!(%error, "a kubelet could not be stopped");
        }
    }
    tracing::info!("{stopped} kubelets stopped, as --stop-nodes asks");
}
