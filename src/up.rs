//! `up`: a whole cluster in one process.

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use client::Client;
use controllers::ControllersHandle;
use gateway::Gateway;
use kubelet::{Fleet, FleetConfig};
use prometheus_client::registry::Registry as MetricsRegistry;
use scheduler::Scheduler;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api_server::ApiServer;
use crate::cli::{Fidelity, UpArgs};
use crate::cluster::{self, Memberships, ServerAccess};
use crate::in_process::InProcess;
use crate::progress::Progress;
use crate::status_line::StatusLine;
use crate::{Failure, ambient, parts};

/// How long clients and connections may take to end; the store's flush comes after it, and all of it within 2 s.
const ENDING: Duration = Duration::from_millis(1000);

/// Starts everything in the order in which it depends on each other, and stops it the other way round.
pub(crate) async fn run(args: UpArgs) -> Result<ExitCode, Failure> {
    let mut stop = parts::stop_signal()?;
    let ambient = ambient::machine();
    let began = ambient.clock.boot();
    let progress = Progress::start();
    let mut metrics = MetricsRegistry::default();
    let fleet_config = cluster::fleet_config(&args.fleet, args.fidelity)?;

    // The fleet's kubelets are on loopback, where a gateway does not go by itself (DESIGN D12): it is told of this one port.
    let kubelets =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("no port for kubelets: {error}"))?;
    let fleet_address = if args.fleet.nodes > 0 { Some(kubelets.local_addr()?) } else { None };
    let server = ApiServer::start(&args.api, fleet_address, &ambient, &mut metrics, &progress).await?;
    let (serving, working) = (CancellationToken::new(), CancellationToken::new());
    let served = server.serve(serving.clone())?;
    progress.say(&server.export_line());
    let took = (ambient.clock.boot() - began).as_millis();
    tracing::info!("serving https://{} after {took} ms", server.address);

    let workers = Workers { server: &server, metrics: &mut metrics, shutdown: &working, ambient: &ambient };
    let cluster = workers.start(&args, (fleet_config, kubelets), &progress).await?;
    server.gateway.expose_metrics(Arc::new(metrics));

    let outcome = tokio::select! {
        never = show(&cluster, &args, &progress) => match never {},
        () = stop.recv() => Ok(ExitCode::SUCCESS),
        lost = server.shards.lost() => Err(lost),
    };
    let stopping = ambient.clock.boot();
    progress.step("stopping");
    working.cancel();
    serving.cancel();
    server.gateway.stop();
    end(served, cluster).await;
    server.shards.stop().await;
    progress.finish();
    tracing::info!("stopped within {} ms", (ambient.clock.boot() - stopping).as_millis());
    outcome
}

enum Never {}

/// The display while it runs, and the failures that were asked for.
async fn show(cluster: &Cluster, args: &UpArgs, progress: &Progress) -> Never {
    let Cluster { status, fleet, .. } = cluster;
    let nodes = args.fleet.nodes;
    if nodes > 0 {
        status.nodes_ready(nodes, progress).await;
        tracing::info!("{nodes} nodes are ready");
    }
    let fail = async {
        if let Some(fleet) = fleet {
            cluster::stop_some(fleet, &args.fleet).await;
        }
        std::future::pending().await
    };
    tokio::select! {
        () = status.run(progress) => {}
        () = fail => {}
    }
    std::future::pending().await
}

/// Waits for what was told to end: all at once, and not for long. What is late is only ended the hard way, like by a
/// crash, and nothing acknowledged depends on it.
async fn end(served: JoinHandle<()>, cluster: Cluster) {
    let Cluster { fleet, controllers, schedulers, memberships, .. } = cluster;
    let kubelets = async {
        if let Some(fleet) = &fleet {
            fleet.stopped().await;
        }
        tracing::debug!("the kubelets have ended");
    };
    let scheduling = async {
        futures_util::future::join_all(schedulers.into_iter().map(Scheduler::stop)).await;
        tracing::debug!("the schedulers have ended");
    };
    let controlling = async {
        controllers.ended().await;
        memberships.released().await;
        tracing::debug!("the controllers have ended");
    };
    let serving = async {
        if let Err(error) = served.await {
            tracing::error!(%error, "the gateway ended badly");
        }
        tracing::debug!("the gateway has ended");
    };
    let all = futures_util::future::join4(kubelets, scheduling, controlling, serving);
    if tokio::time::timeout(ENDING, all).await.is_err() {
        tracing::info!("not everything ended in time: its work goes on after the next start");
    }
}

/// What works on the cluster.
struct Cluster {
    status: StatusLine,
    fleet: Option<Fleet>,
    controllers: ControllersHandle,
    schedulers: Vec<Scheduler>,
    memberships: Memberships,
}

struct Workers<'a> {
    server: &'a ApiServer,
    metrics: &'a mut MetricsRegistry,
    shutdown: &'a CancellationToken,
    ambient: &'a api::ambient::Ambient,
}

impl Workers<'_> {
    fn client(&self, user: &str, agent: &str) -> Client {
        let transport = InProcess::as_user(&self.server.gateway, user, &[]);
        Client::new(transport, agent, self.ambient.clone())
    }

    async fn start(
        self,
        args: &UpArgs,
        (fleet, kubelets): (FleetConfig, TcpListener),
        progress: &Progress,
    ) -> Result<Cluster, Failure> {
        progress.step("starting controllers, schedulers and kubelets");
        let controllers = self.client("system:kube-controller-manager", "shardplane-controllers");
        let root_ca = Some(self.server.pki.ca_pem()?);
        let service_range = args.api.store.service_cluster_ip_range;
        let config = cluster::controllers_config(&args.controllers, Some(service_range), root_ca);
        let (memberships, shutdown) = (&mut Memberships::default(), self.shutdown);
        let controllers =
            cluster::start_controllers(&controllers, config, "up", memberships, self.metrics, shutdown).await?;
        let scheduler = self.client("system:kube-scheduler", "shardplane-scheduler");
        let schedulers =
            cluster::start_schedulers(&scheduler, &args.scheduler, "up", memberships, self.metrics, shutdown).await?;
        let memberships = std::mem::take(memberships);
        let observer = self.client("system:shardplane:status", "shardplane-status");
        let honesty = (args.fleet.nodes > 0).then(|| args.fidelity.label());
        let shard_metrics = self.server.shards.metrics.clone();
        let status = StatusLine::start(&observer, &self.server.gateway, shard_metrics, honesty, self.shutdown);
        if args.fleet.nodes == 0 {
            return Ok(Cluster { status, fleet: None, controllers, schedulers, memberships });
        }
        let clients = match args.fidelity {
            Fidelity::InProcess => self.in_process_clients(),
            Fidelity::Wire => {
                let target = client::kubeconfig::load(Some(&self.server.kubeconfig), None)?;
                cluster::wire_clients(&target, self.ambient)?
            }
        };
        let pki = &self.server.pki;
        let access = ServerAccess {
            listener: kubelets,
            files: Some((pki.fleet().certificate, pki.fleet().key)),
            client_ca: Some(pki.ca()),
        };
        let control = self.client("system:shardplane:fleet", "shardplane-fleet");
        let fleet = cluster::start_fleet(fleet, clients, control, access, self.metrics, self.shutdown)?;
        Ok(Cluster { status, fleet: Some(fleet), controllers, schedulers, memberships })
    }

    /// Each kubelet calls the gateway under its own name.
    fn in_process_clients(&self) -> cluster::ClientFor {
        let (gateway, ambient): (Arc<Gateway>, _) = (self.server.gateway.clone(), self.ambient.clone());
        Arc::new(move |node| {
            let transport = InProcess::as_user(&gateway, &format!("system:node:{node}"), &["system:nodes"]);
            Client::new(transport, "kubelet/v1.36.0 (shardplane)", ambient.clone())
        })
    }
}
