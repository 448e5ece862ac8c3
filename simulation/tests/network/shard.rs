//! A shard's host: what `shardplane shard` wires together, on turmoil's network.

use std::sync::Arc;
use std::time::Duration;

use ::shards::membership::{Ended, Identity, MapSource, Mapping, Member, register};
use ::shards::rpc::client::{Calling, Ways};
use ::shards::rpc::server::{Offered, OfferedMember};
use ::shards::service::ShardService;
use ::shards::{Health, Shard, ShardConfig, ShardMetrics};
use ::store::SharedStore;
use simulation::TIMING as LEASES;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use wire::store::{RemoteOptions, RemoteStore};
use wire::{Link, Role};

use crate::net::TIMING;
use crate::setup::{Host, PORT, STORE, Setup, Start, address};

/// Between two tries to follow the directory.
const FOLLOW_AGAIN: Duration = Duration::from_millis(10);
/// Between two tries to join.
const JOIN_AGAIN: Duration = Duration::from_millis(40);
/// How long the last commits of a stop may take.
const FLUSH: Duration = Duration::from_millis(200);

/// Life after life, until one leaves because it is told to, or there can be no further one.
pub(crate) async fn run(setup: Arc<Setup>, host: Arc<Host>, start: Start, ordinal: u16) -> turmoil::Result {
    let identity = setup.identity(Role::Shard, &start.ambient)?;
    let dial = Arc::new(start.network.clone());
    let link = Link::new(&address(STORE), Role::Store, &identity, dial, TIMING, &start.ambient)?;
    let store: SharedStore = Arc::new(RemoteStore::new(link, RemoteOptions::default()));
    let calling = setup.calling(identity, &start);
    let process = Process { setup, name: host.name.clone(), ordinal, start, calling, store };
    loop {
        match process.live().await {
            Ok(Some(end)) => {
                *host.ended.lock() = Some(end);
                return Ok(());
            }
            Ok(None) => {}
            // The store cannot be reached, or its former start seems to live: whoever started it would start it again.
            Err(_) => tokio::time::sleep(JOIN_AGAIN).await,
        }
    }
}

type Failure = Box<dyn std::error::Error>;

/// What outlasts a life.
struct Process {
    setup: Arc<Setup>,
    name: String,
    ordinal: u16,
    start: Start,
    calling: Calling,
    store: SharedStore,
}

/// From taking an ordinal to losing or leaving it.
struct Life {
    shard: Arc<Shard>,
    member: Arc<Member>,
    /// Ends the shard's own loops.
    stop: CancellationToken,
    running: JoinHandle<()>,
    /// Ends what is served to others.
    serving: CancellationToken,
    served: JoinHandle<()>,
}

impl Process {
    /// One life; how the process ends with it, if it does.
    async fn live(&self) -> Result<Option<String>, Failure> {
        let mut life = self.begin().await?;
        let ended = life.run(&self.start.leaving).await;
        life.stop.cancel();
        let flushed = tokio::time::timeout(FLUSH, &mut life.running).await.is_ok();
        life.running.abort();
        life.serving.cancel();
        let end = match ended {
            Ended::Drained(departure) if flushed => Some(match departure.leave().await {
                Ok(()) => "it has left".to_owned(),
                Err(error) => format!("it could not give its lease back: {error}"),
            }),
            Ended::Drained(_) => Some("it could not flush in time".to_owned()),
            Ended::Fenced => None,
            Ended::Broken(reason) => Some(format!("the store is broken: {reason}")),
        };
        if tokio::time::timeout(FLUSH, &mut life.served).await.is_err() {
            life.served.abort();
            // Its port is free again when it is gone.
            let _ = life.served.await;
        }
        Ok(end)
    }

    async fn begin(&self) -> Result<Life, Failure> {
        let Self { setup, calling, store, .. } = self;
        let ambient = &self.start.ambient;
        let wanted = Identity {
            ordinal: Some(self.ordinal),
            addresses: vec![address(&self.name).into()],
            build: "simulated".into(),
            only_process: false,
        };
        let registration = register(store, ambient, &LEASES, &wanted).await?;
        let config = ShardConfig {
            ordinal: registration.ordinal,
            slots: Vec::new(),
            clusters: vec!["default".into()],
            ambient: ambient.clone(),
            registry: setup.registry.clone(),
            store: store.clone(),
            options: setup.options.clone(),
            metrics: ShardMetrics::default(),
        };
        let shard = Shard::open_under(config, registration.epoch()).await?;
        let service: Arc<dyn ShardService> = shard.clone();
        let ways = Ways::new(calling.clone(), Some((registration.ordinal, service.clone())));
        let member = Member::of(&shard, registration, store.clone(), LEASES, ways.clone());
        let (stop, serving) = (CancellationToken::new(), CancellationToken::new());
        let mut routes = RoutesBuilder::default();
        Offered::new(service, setup.registry.clone(), serving.clone()).add_to(&mut routes);
        OfferedMember::new(&member, serving.clone()).add_to(&mut routes);
        let listener = self.start.network.listen(PORT).await?;
        let served = wire::serve::serve(listener, &calling.identity, routes.routes(), TIMING, serving.clone())?;
        let mapping = Mapping::new(ways);
        shard.connect(mapping.topology());
        tokio::spawn(follow_own(member.clone(), mapping, stop.clone()));
        let running = tokio::spawn({
            let (shard, stop) = (shard.clone(), stop.clone());
            async move { shard.run(stop).await }
        });
        Ok(Life { shard, member, stop, running, serving, served: tokio::spawn(served) })
    }
}

impl Life {
    /// Until it is lost or, after `leaving`, has given its slots away.
    async fn run(&self, leaving: &CancellationToken) -> Ended {
        let (member, leaving) = (self.member.clone(), leaving.clone());
        let mut membership = tokio::spawn(async move { member.run(leaving).await });
        let mut health = self.shard.health();
        let lost =
            async { health.wait_for(|health| *health != Health::Serving).await.map_or(Health::Fenced, |h| h.clone()) };
        let ended = tokio::select! {
            biased;
            ended = &mut membership => ended.unwrap_or_else(|error| Ended::Broken(error.to_string())),
            lost = lost => match lost {
                Health::Broken(reason) => Ended::Broken(reason),
                _ => Ended::Fenced,
            },
        };
        membership.abort();
        ended
    }
}

/// Keeps this process's own slot map up to date.
async fn follow_own(member: Arc<Member>, mapping: Mapping, stop: CancellationToken) {
    let following = async {
        loop {
            if let Ok(rosters) = member.follow().await {
                mapping.follow(rosters).await;
            }
            tokio::time::sleep(FOLLOW_AGAIN).await;
        }
    };
    stop.run_until_cancelled(following).await;
}
