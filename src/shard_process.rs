//! `shard`: one shard, which takes its share of the slots among all that live over the same store.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry as MetricsRegistry;
use shards::membership::{self, Ended, Member};
use shards::membership::{MapSource, Mapping};
use shards::rpc::client::{Calling, Ways};
use shards::rpc::server::{Offered, OfferedMember};
use shards::service::ShardService;
use shards::{Health, Shard, ShardConfig, ShardMetrics};
use smol_str::SmolStr;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use wire::{Identity, Role};

use crate::api_server::{CLUSTER, Plan, options};
use crate::cli::ShardArgs;
use crate::data_dir::DataDir;
use crate::progress::Progress;
use crate::shard_health::ShardHealth;
use crate::{Failure, ambient, parts, storage};

/// Between two tries to follow the directory.
const AGAIN: Duration = Duration::from_millis(50);

pub(crate) async fn run(args: ShardArgs) -> Result<ExitCode, Failure> {
    let mut stop = parts::stop_signal()?;
    let mut metrics = MetricsRegistry::default();
    let progress = Progress::start();
    let serving = CancellationToken::new();
    let health = ShardHealth::serve(args.health_listen, serving.clone())?;
    tracing::info!("http://{}/readyz tells how the start goes", health.address);
    let process = tokio::select! {
        process = Process::start(&args, &mut metrics, &progress, &health, serving) => process?,
        // The store may be out of reach for hours.
        () = stop.recv() => return Ok(ExitCode::SUCCESS),
    };
    let Process { shard, member, serving, address, .. } = &process;
    health.running(member.clone(), metrics, &args.store.url());
    progress.line(format!("shard {} serves at {address}; http://{}/readyz", member.ordinal(), health.address));

    // Membership first gives the slots away, while the shard still serves them.
    let leaving = CancellationToken::new();
    let mut membership = tokio::spawn({
        let (member, leaving) = (member.clone(), leaving.clone());
        async move { member.run(leaving).await }
    });
    let mut health = shard.health();
    let lost =
        async { health.wait_for(|health| *health != Health::Serving).await.map_or(Health::Fenced, |h| h.clone()) };
    let told_to_stop = async {
        stop.recv().await;
        leaving.cancel();
        std::future::pending().await
    };
    let outcome = tokio::select! {
        ended = &mut membership => ended?,
        lost = lost => match lost {
            Health::Broken(reason) => Ended::Broken(reason),
            _ => Ended::Fenced,
        },
        ended = told_to_stop => ended,
    };
    membership.abort();
    // What is pending is flushed, then the connections end, and at last the lease is anybody's.
    let flushed = process.stop_shard().await;
    serving.cancel();
    let outcome = match outcome {
        Ended::Drained(departure) if flushed => {
            departure.leave().await.map(|()| ExitCode::SUCCESS).map_err(Failure::from)
        }
        Ended::Drained(_) => Err("the shard could not flush in time: its lease is left to run out".into()),
        Ended::Fenced => Err(format!(
            "shard {} was taken for dead, and others have its slots: start it again to join them",
            member.ordinal()
        )
        .into()),
        Ended::Broken(reason) => Err(format!("the store is broken: {reason}").into()),
    };
    process.finish().await;
    progress.finish();
    outcome
}

/// Keeps this process's own slot map up to date.
async fn follow_own(member: Arc<Member>, mapping: Mapping, stop: CancellationToken) {
    let following = async {
        loop {
            match member.follow().await {
                Ok(rosters) => mapping.follow(rosters).await,
                Err(error) => tracing::debug!(%error, "the directory cannot be read"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    stop.run_until_cancelled(following).await;
}

struct Process {
    shard: Arc<Shard>,
    member: Arc<Member>,
    address: SocketAddr,
    /// Ends the shard's own loops.
    stop: CancellationToken,
    running: parking_lot::Mutex<Option<JoinHandle<()>>>,
    /// Ends what is served to others.
    serving: CancellationToken,
    served: JoinHandle<()>,
}

impl Process {
    async fn start(
        args: &ShardArgs,
        metrics: &mut MetricsRegistry,
        progress: &Progress,
        health: &ShardHealth,
        serving: CancellationToken,
    ) -> Result<Self, Failure> {
        let ambient = ambient::machine();
        let registry = Plan::check(&args.store)?.registry;
        DataDir::prepare(&args.store.data_dir)?;
        let identity = Identity::ensure(&args.store.internal_ca(), Role::Shard, &ambient)?;
        let listener =
            gateway::tls::listen(args.listen).map_err(|error| format!("--listen {}: {error}", args.listen))?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let url = args.store.url();
        progress.step("opening the store");
        let waiting = |why| health.waiting(format!("the shard waits for its store: {why}"));
        let store = storage::open_patiently(&url, Some(&identity), &ambient, waiting).await?;
        health.waiting("the shard is joining the others".to_owned());
        progress.step("joining the shards");
        let timing = membership::Timing::default();
        let wanted = membership::Identity {
            ordinal: args.ordinal,
            addresses: vec![args.advertise.clone().unwrap_or_else(|| address.to_string()).into()],
            build: env!("CARGO_PKG_VERSION").into(),
            only_process: storage::is_own(&url),
        };
        let registration = membership::register(&store, &ambient, &timing, &wanted).await?;
        let config = ShardConfig {
            ordinal: registration.ordinal,
            slots: Vec::new(),
            clusters: vec![SmolStr::new_static(CLUSTER)],
            ambient: ambient.clone(),
            registry: registry.clone(),
            store: store.clone(),
            options: options(&args.store),
            metrics: ShardMetrics::register(metrics),
        };
        let shard = Shard::open_under(config, registration.epoch()).await?;
        let calling = Calling::new(identity.clone(), registry.clone(), ambient.clone());
        let service: Arc<dyn ShardService> = shard.clone();
        let ways = Ways::new(calling.clone(), Some((registration.ordinal, service.clone())));
        let member = Member::of(&shard, registration, store, timing, ways.clone());
        let stop = CancellationToken::new();
        let mapping = Mapping::new(ways);
        shard.connect(mapping.topology());
        tokio::spawn(follow_own(member.clone(), mapping, stop.clone()));
        let mut routes = RoutesBuilder::default();
        Offered::new(service, registry, serving.clone()).add_to(&mut routes);
        OfferedMember::new(&member, serving.clone()).add_to(&mut routes);
        let served = wire::serve::serve(listener, &identity, routes.routes(), calling.timing, serving.clone())?;
        let running = tokio::spawn({
            let (shard, stop) = (shard.clone(), stop.clone());
            async move { shard.run(stop).await }
        });
        let running = parking_lot::Mutex::new(Some(running));
        Ok(Self { shard, member, address, stop, running, serving, served: tokio::spawn(served) })
    }

    /// Flushes what is pending; answers whether that is done.
    async fn stop_shard(&self) -> bool {
        self.stop.cancel();
        let Some(running) = self.running.lock().take() else { return true };
        tokio::time::timeout(crate::api_server::FLUSH, running).await.is_ok()
    }

    async fn finish(self) {
        self.serving.cancel();
        let _ = tokio::time::timeout(crate::api_server::FLUSH, self.served).await;
    }
}
