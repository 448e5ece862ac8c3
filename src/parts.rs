//! Each part alone: what a process of a larger installation runs, and what works for anybody's cluster.

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use axum::http::StatusCode;
use client::Client;
use client::https::{HttpsFactory, HttpsOptions};
use prometheus_client::registry::Registry as MetricsRegistry;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api_server::ApiServer;
use crate::cli::{ApiArgs, ClusterArgs, ControllersPart, Fidelity, KubeletPart, LoadtestPart, SchedulerPart};
use crate::cluster::{self, Memberships, ServerAccess};
use crate::progress::Progress;
use crate::{Failure, ambient};

/// Ctrl-C, or what a service manager sends.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

/// Starts listening for the signals that end this process in good order.
pub(crate) fn stop_signal() -> Result<Stop, Failure> {
    Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
}

impl Stop {
    /// Waits for one of them.
    pub(crate) async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// `gateway`: the API alone.
pub(crate) async fn gateway(args: ApiArgs) -> Result<ExitCode, Failure> {
    let mut stop = stop_signal()?;
    let (ambient, progress) = (ambient::machine(), Progress::start());
    let mut metrics = MetricsRegistry::default();
    let server = ApiServer::start(&args, None, &ambient, &mut metrics, &progress).await?;
    server.gateway.expose_metrics(Arc::new(metrics));
    let serving = CancellationToken::new();
    let served = server.serve(serving.clone())?;
    progress.say(&server.export_line());
    progress.line(format!("serving https://{}", server.address));
    let outcome = tokio::select! {
        () = stop.recv() => Ok(ExitCode::SUCCESS),
        lost = server.shards.lost() => Err(lost),
    };
    serving.cancel();
    served.await?;
    server.shards.stop().await;
    progress.finish();
    outcome
}

/// What `/metrics` answers.
pub(crate) fn exposition(metrics: &MetricsRegistry) -> (StatusCode, String) {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, metrics) {
        Ok(()) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// A way to make clients of the cluster that the flags name.
pub(crate) fn factory(args: &ClusterArgs, options: HttpsOptions) -> Result<HttpsFactory, Failure> {
    let target = client::kubeconfig::load(args.kubeconfig.as_deref(), args.context.as_deref())?;
    Ok(HttpsFactory::new(&target, options)?)
}

/// One client with a few connections, for a part that works on its own behalf.
pub(crate) fn client(args: &ClusterArgs, agent: &str, ambient: &Ambient) -> Result<Client, Failure> {
    let options = HttpsOptions { connections: 4, ..HttpsOptions::new(ambient.clone()) };
    Ok(Client::new(factory(args, options)?.transport(), agent, ambient.clone()))
}

/// `scheduler`, for the cluster that the flags name.
pub(crate) async fn scheduler(part: SchedulerPart) -> Result<ExitCode, Failure> {
    let mut stop = stop_signal()?;
    let client = client(&part.cluster, AGENTS[0], &ambient::machine())?;
    let (shutdown, mut metrics) = (CancellationToken::new(), MetricsRegistry::default());
    let identity = identity(&client);
    let mut memberships = Memberships::default();
    let running =
        cluster::start_schedulers(&client, &part.scheduler, &identity, &mut memberships, &mut metrics, &shutdown)
            .await?;
    tracing::info!("{} schedulers are running as {identity}-0 and on", running.len());
    stop.recv().await;
    shutdown.cancel();
    for scheduler in running {
        scheduler.stop().await;
    }
    memberships.released().await;
    Ok(ExitCode::SUCCESS)
}

/// `controllers`, for the cluster that the flags name.
pub(crate) async fn controllers(part: ControllersPart) -> Result<ExitCode, Failure> {
    let mut stop = stop_signal()?;
    let client = client(&part.cluster, AGENTS[1], &ambient::machine())?;
    let (shutdown, mut metrics) = (CancellationToken::new(), MetricsRegistry::default());
    let read = |file: &std::path::PathBuf| {
        std::fs::read_to_string(file).map_err(|error| format!("--root-ca-file {}: {error}", file.display()))
    };
    let root_ca = part.root_ca_file.as_ref().map(read).transpose()?;
    let config = cluster::controllers_config(&part.controllers, None, root_ca);
    let identity = identity(&client);
    let mut memberships = Memberships::default();
    let running =
        cluster::start_controllers(&client, config, &identity, &mut memberships, &mut metrics, &shutdown).await?;
    tracing::info!("controllers are running as {identity}");
    stop.recv().await;
    shutdown.cancel();
    running.ended().await;
    memberships.released().await;
    Ok(ExitCode::SUCCESS)
}

/// `kubelet`: a fleet over the wire, for the cluster that the flags name.
pub(crate) async fn kubelet(part: KubeletPart) -> Result<ExitCode, Failure> {
    let mut stop = stop_signal()?;
    let ambient = ambient::machine();
    let config = cluster::fleet_config(&part.fleet, Fidelity::Wire)?;
    let target = client::kubeconfig::load(part.cluster.kubeconfig.as_deref(), part.cluster.context.as_deref())?;
    let clients = cluster::wire_clients(&target, &ambient)?;
    let control = client(&part.cluster, AGENTS[2], &ambient)?;
    let (shutdown, mut metrics) = (CancellationToken::new(), MetricsRegistry::default());
    let listener = TcpListener::bind(part.kubelet_listen)
        .map_err(|error| format!("--kubelet-listen {}: {error}", part.kubelet_listen))?;
    let access = ServerAccess { listener, files: None, client_ca: part.client_ca_file.clone() };
    let fleet = cluster::start_fleet(config, clients, control, access, &mut metrics, &shutdown)?;
    let progress = Progress::start();
    let show = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        while (fleet.counters().ready.get() as usize) < part.fleet.nodes {
            ticks.tick().await;
            progress.count("nodes ready", fleet.counters().ready.get() as usize, part.fleet.nodes);
        }
        progress.line(format!("{} nodes ready, over the wire", part.fleet.nodes));
        cluster::stop_some(&fleet, &part.fleet).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = stop.recv() => {}
        () = show => {}
    }
    shutdown.cancel();
    fleet.stopped().await;
    progress.finish();
    Ok(ExitCode::SUCCESS)
}

/// How the parts name themselves to servers.
const AGENTS: [&str; 3] = [
    concat!("shardplane-scheduler/", env!("CARGO_PKG_VERSION")),
    concat!("shardplane-controllers/", env!("CARGO_PKG_VERSION")),
    concat!("shardplane-fleet/", env!("CARGO_PKG_VERSION")),
];

/// A name for this process among its kind: the machine's, which a Pod of a StatefulSet keeps over restarts.
fn identity(client: &Client) -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    let clean: String = name.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '-' }).collect();
    match clean.trim_matches('-') {
        "" => format!("member-{:08x}", client.ambient().entropy.next_u64() >> 32),
        name => name.to_owned(),
    }
}

/// `loadtest`.
#[allow(clippy::print_stdout, reason = "the report is the data that this command is for")]
pub(crate) async fn loadtest(part: LoadtestPart) -> Result<ExitCode, Failure> {
    let ambient = ambient::machine();
    let streams = (part.load.concurrency as usize).div_ceil(usize::from(part.load.connections)).max(100);
    let options = HttpsOptions { streams, ..HttpsOptions::new(ambient.clone()) };
    let factory = factory(&part.cluster, options)?;
    let transports = (0..part.load.connections).map(|_| factory.transport()).collect();
    let mut stop = stop_signal()?;
    let report = tokio::select! {
        report = loadtest::run(&part.load, transports, ambient) => report?,
        () = stop.recv() => return Err("stopped; what the run made is still there, labelled loadtest.shardplane.dev/run".into()),
    };
    if part.load.json {
        println!("{}", report.to_value());
    } else {
        print!("{report}");
    }
    Ok(if report.has_failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
