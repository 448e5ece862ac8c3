//! `shard`: one shard, which takes its share of the slots among all that live over the same store.
//!
//! A process lives as a member until it is told to stop. When others took it for dead, after a pause or a cut network, all that
//! it had in memory is worth nothing: that life ends and the next one begins, under a new epoch, with the same store, address
//! and counters (`life.rs`). The process itself ends when the store is broken, or when its ordinal is another's.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use api::Registry;
use api::ambient::Ambient;
use prometheus_client::registry::Registry as MetricsRegistry;
use shards::membership::{self, Ended, JoinError};
use shards::{ShardMetrics, ShardOptions};
use store::{SharedStore, StoreError, StoreUrl};
use tokio_util::sync::CancellationToken;
use wire::{Identity, Role};

use crate::api_server::{Plan, options};
use crate::cli::ShardArgs;
use crate::data_dir::DataDir;
use crate::progress::Progress;
use crate::{Failure, ambient, parts, storage};

mod health;
mod life;

use health::ShardHealth;
use life::Life;

/// Between two tries to join again while the store cannot be reached.
const AGAIN: Duration = Duration::from_millis(200);
const JOINING: &str = "the shard is joining the others";

pub(crate) async fn run(args: ShardArgs) -> Result<ExitCode, Failure> {
    let mut stop = parts::stop_signal()?;
    let leaving = CancellationToken::new();
    tokio::spawn({
        let leaving = leaving.clone();
        async move {
            stop.recv().await;
            leaving.cancel();
        }
    });
    let mut metrics = MetricsRegistry::default();
    let progress = Progress::start();
    let serving = CancellationToken::new();
    let health = ShardHealth::serve(args.health_listen, serving.clone())?;
    tracing::info!("http://{}/readyz tells how the start goes", health.address);
    let opening = Process::open(&args, &mut metrics, &progress, health, serving);
    // The store may be out of reach for hours.
    let Some(process) = leaving.run_until_cancelled(opening).await else { return Ok(ExitCode::SUCCESS) };
    let process = process?;
    process.health.expose(metrics);
    progress.step("joining the shards");
    tokio::spawn({
        let (serving, identity) = (process.serving.clone(), process.identity.clone());
        async move { serving.run_until_cancelled(identity.keep_fresh()).await }
    });
    let mut life = process.begin().await?;
    let mut word = "serves";
    let outcome = loop {
        let (ordinal, address, health) = (life.ordinal(), process.address, process.health.address);
        progress.line(format!("shard {ordinal} {word} at {address}; http://{health}/readyz"));
        let ended = life.run(&leaving).await;
        // What is pending is flushed, and at last the lease is anybody's.
        let flushed = life.flush().await;
        match ended {
            Ended::Drained(departure) => {
                let left = match flushed {
                    true => departure.leave().await.map_err(Failure::from),
                    false => Err("the shard could not flush in time: its lease is left to run out".into()),
                };
                life.end().await;
                break left.map(|()| ExitCode::SUCCESS);
            }
            Ended::Fenced => {
                life.end().await;
                match leaving.run_until_cancelled(process.begin_again()).await {
                    // It owned nothing any more.
                    None => break Ok(ExitCode::SUCCESS),
                    Some(Ok(next)) => (life, word) = (next, "serves again, as a new member,"),
                    Some(Err(error)) => break Err(error),
                }
            }
            Ended::Broken(reason) => {
                life.end().await;
                break Err(format!("the store is broken: {reason}").into());
            }
        }
    };
    process.serving.cancel();
    progress.finish();
    outcome
}

/// What outlasts a life.
struct Process {
    ambient: Ambient,
    registry: Arc<Registry>,
    identity: Identity,
    store: SharedStore,
    options: ShardOptions,
    metrics: ShardMetrics,
    wanted: membership::Identity,
    /// Stays open, so that whoever comes between two lives waits.
    listener: std::net::TcpListener,
    address: SocketAddr,
    url: StoreUrl,
    health: ShardHealth,
    /// Ends /readyz and its like.
    serving: CancellationToken,
}

impl Process {
    async fn open(
        args: &ShardArgs,
        metrics: &mut MetricsRegistry,
        progress: &Progress,
        health: ShardHealth,
        serving: CancellationToken,
    ) -> Result<Self, Failure> {
        let ambient = ambient::machine();
        let registry = Plan::check(&args.store)?.registry;
        DataDir::prepare(&args.store.data_dir)?;
        let identity = Identity::ensure(&args.store.internal_ca(), Role::Shard, &ambient)?;
        let listener =
            gateway::tls::listen(args.listen).map_err(|error| format!("--listen {}: {error}", args.listen))?;
        let address = listener.local_addr()?;
        let url = args.store.url();
        progress.step("opening the store");
        let waiting = |why| health.waiting(format!("the shard waits for its store: {why}"));
        let store = storage::open_patiently(&url, Some(&identity), &ambient, waiting).await?;
        health.waiting(JOINING.to_owned());
        let wanted = membership::Identity {
            ordinal: args.ordinal,
            addresses: vec![args.advertise.clone().unwrap_or_else(|| address.to_string()).into()],
            build: env!("CARGO_PKG_VERSION").into(),
            only_process: storage::is_own(&url),
        };
        Ok(Self {
            options: options(&args.store),
            metrics: ShardMetrics::register(metrics),
            health,
            serving,
            url,
            ambient,
            registry,
            identity,
            store,
            wanted,
            listener,
            address,
        })
    }

    async fn begin(&self) -> Result<Life, Failure> {
        let life = Life::begin(self).await?;
        self.health.running(life.member(), &self.url);
        Ok(life)
    }

    /// The next life, as soon as the store can be reached. An error is for good: another has the ordinal, for one.
    async fn begin_again(&self) -> Result<Life, Failure> {
        self.health.waiting(JOINING.to_owned());
        loop {
            let error = match self.begin().await {
                Ok(life) => return Ok(life),
                Err(error) => error,
            };
            if !is_passing(&error) {
                return Err(error);
            }
            tracing::debug!(%error, "the shard cannot join again yet");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Whether trying again may help.
fn is_passing(failure: &Failure) -> bool {
    let store = |error: &StoreError| !matches!(error, StoreError::Broken(_) | StoreError::TooLarge(_));
    let open = |error: &shards::OpenError| match error {
        shards::OpenError::Store(error) => store(error),
        shards::OpenError::Contended => true,
        _ => false,
    };
    if let Some(error) = failure.downcast_ref::<JoinError>() {
        return match error {
            JoinError::Store(error) => store(error),
            JoinError::Open(error) => open(error),
            JoinError::Contended => true,
            _ => false,
        };
    }
    failure.downcast_ref::<shards::OpenError>().is_some_and(open)
        || failure.downcast_ref::<StoreError>().is_some_and(store)
}
