//! One life of a shard's process: from taking an ordinal to losing or leaving it.

use std::sync::Arc;
use std::time::Duration;

use shards::membership::{self, Ended, MapSource, Mapping, Member};
use shards::rpc::client::{Calling, Ways};
use shards::rpc::server::{Offered, OfferedMember};
use shards::service::ShardService;
use shards::{Health, Shard, ShardConfig};
use smol_str::SmolStr;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;

use super::Process;
use crate::Failure;
use crate::api_server::{CLUSTER, FLUSH};

/// Between two tries to follow the directory.
const AGAIN: Duration = Duration::from_millis(50);

pub(super) struct Life {
    shard: Arc<Shard>,
    member: Arc<Member>,
    /// Ends the shard's own loops.
    stop: CancellationToken,
    running: JoinHandle<()>,
    /// Ends what is served to others.
    serving: CancellationToken,
    served: JoinHandle<()>,
}

impl Life {
    /// Takes an ordinal, and serves what comes to it.
    pub(super) async fn begin(process: &Process) -> Result<Self, Failure> {
        let Process { ambient, registry, identity, store, .. } = process;
        let timing = membership::Timing::default();
        let registration = membership::register(store, ambient, &timing, &process.wanted).await?;
        let config = ShardConfig {
            ordinal: registration.ordinal,
            slots: Vec::new(),
            clusters: vec![SmolStr::new_static(CLUSTER)],
            ambient: ambient.clone(),
            registry: registry.clone(),
            store: store.clone(),
            options: process.options.clone(),
            metrics: process.metrics.clone(),
        };
        let shard = Shard::open_under(config, registration.epoch()).await?;
        let calling = Calling::new(identity.clone(), registry.clone(), ambient.clone());
        let service: Arc<dyn ShardService> = shard.clone();
        let ways = Ways::new(calling.clone(), Some((registration.ordinal, service.clone())));
        let member = Member::of(&shard, registration, store.clone(), timing, ways.clone());
        let (stop, serving) = (CancellationToken::new(), CancellationToken::new());
        let mut routes = RoutesBuilder::default();
        Offered::new(service, registry.clone(), serving.clone()).add_to(&mut routes);
        OfferedMember::new(&member, serving.clone()).add_to(&mut routes);
        let listener = tokio::net::TcpListener::from_std(process.listener.try_clone()?)?;
        let served = wire::serve::serve(listener, identity, routes.routes(), calling.timing, serving.clone())?;
        let mapping = Mapping::new(ways);
        shard.connect(mapping.topology());
        tokio::spawn(follow_own(member.clone(), mapping, stop.clone()));
        let running = tokio::spawn({
            let (shard, stop) = (shard.clone(), stop.clone());
            async move { shard.run(stop).await }
        });
        Ok(Self { shard, member, stop, running, serving, served: tokio::spawn(served) })
    }

    pub(super) fn ordinal(&self) -> u16 {
        self.member.ordinal()
    }

    pub(super) fn member(&self) -> Arc<Member> {
        self.member.clone()
    }

    /// Until it is lost or, after `leaving`, has given its slots away.
    pub(super) async fn run(&self, leaving: &CancellationToken) -> Ended {
        let (member, leaving) = (self.member.clone(), leaving.clone());
        // Membership first gives the slots away, while the shard still serves them.
        let mut membership = tokio::spawn(async move { member.run(leaving).await });
        let mut health = self.shard.health();
        let lost =
            async { health.wait_for(|health| *health != Health::Serving).await.map_or(Health::Fenced, |h| h.clone()) };
        let ended = tokio::select! {
            ended = &mut membership => ended.unwrap_or_else(|error| Ended::Broken(error.to_string())),
            lost = lost => match lost {
                Health::Broken(reason) => Ended::Broken(reason),
                _ => Ended::Fenced,
            },
        };
        membership.abort();
        ended
    }

    /// Flushes what is pending, and answers whether that is done; from then on nothing is served any more.
    pub(super) async fn flush(&mut self) -> bool {
        self.stop.cancel();
        let flushed = tokio::time::timeout(FLUSH, &mut self.running).await.is_ok();
        self.running.abort();
        self.serving.cancel();
        flushed
    }

    /// Ends the connections, after [`Life::flush`].
    pub(super) async fn end(mut self) {
        let _ = tokio::time::timeout(FLUSH, &mut self.served).await;
        // Who is still there must not go on asking a shard that is no more.
        self.served.abort();
    }
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
