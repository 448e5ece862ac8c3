//! A shard's process: what `shardplane shard` wires together, over the simulated network.

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use api::resource::ResourceId;
use api::slot::SlotSet;
use api::{Registry, Version};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use shards::membership::{
    Ended, Identity, Lease, MapSource, Mapping, Member, Peer, PeerError, Peers, Roster, RosterMember, Services, Timing,
    register,
};
use shards::service::{
    Answer, History, HistoryRequest, ListPage, ListRequest, Request, ShardError, ShardService, SubscribeRequest,
    Subscription,
};
use shards::{Health, Shard, ShardConfig, ShardMetrics, ShardOptions};
use store::SharedStore;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Bug;
use crate::call::{Failed, call, stream};
use crate::clock::{MachineClock, Standing};
use crate::disk::StoreLink;
use crate::net::{Net, Place, SHARDS};
use crate::process::Interrupt;

/// A fifth of what is usual, so that a fifth of the time is enough to see what happens.
pub const TIMING: Timing = Timing {
    ttl: Duration::from_millis(300),
    margin: Duration::from_millis(60),
    renew: Duration::from_millis(80),
    poll: Duration::from_millis(30),
    drain: Duration::from_secs(4),
};
/// Between two tries to follow the directory.
const AGAIN: Duration = Duration::from_millis(10);
/// How long the last commits of a stop may take.
const FLUSH: Duration = Duration::from_millis(200);

/// What a shard's process is made of.
pub(crate) struct ShardProcess {
    pub(crate) net: Arc<Net>,
    pub(crate) at: usize,
    pub(crate) ambient: Ambient,
    pub(crate) clock: Arc<MachineClock>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) options: ShardOptions,
    pub(crate) interrupt: Arc<Interrupt>,
    /// SIGTERM.
    pub(crate) leaving: CancellationToken,
}

impl ShardProcess {
    /// Until it ends, by itself or because it is told to; why.
    pub(crate) async fn run(self) -> String {
        match self.start().await {
            Ok((shard, member)) => self.serve(shard, member).await,
            Err(why) => why,
        }
    }

    async fn start(&self) -> Result<(Arc<Shard>, Arc<Member>), String> {
        let (net, at) = (&self.net, self.at);
        let store: SharedStore = Arc::new(StoreLink { net: net.clone(), from: at, interrupt: self.interrupt.clone() });
        let wanted = Identity {
            ordinal: Some(at as u16),
            addresses: vec![at.to_string().into()],
            build: "simulated".into(),
            only_process: false,
        };
        let registration =
            register(&store, &self.ambient, &TIMING, &wanted).await.map_err(|error| error.to_string())?;
        let mut ambient = self.ambient.clone();
        if net.bug == Bug::LeaseIgnored && at == 1 {
            ambient.clock = Arc::new(Standing(self.clock.clone()));
        }
        let config = ShardConfig {
            ordinal: registration.ordinal,
            slots: Vec::new(),
            clusters: vec!["default".into()],
            ambient,
            registry: self.registry.clone(),
            store: store.clone(),
            options: self.options.clone(),
            metrics: ShardMetrics::default(),
        };
        let shard = Shard::open_under(config, registration.epoch()).await.map_err(|error| error.to_string())?;
        let ways = Ways::new(net, at, Some((registration.ordinal, shard.clone())));
        let member = Member::of(&shard, registration, store, TIMING, ways.clone());
        let mapping = Mapping::new(ways);
        shard.connect(mapping.topology());
        tokio::spawn(follow_own(member.clone(), mapping));
        net.set_place(at, |place| {
            place.shard = Some(shard.clone());
            place.member = Some(member.clone());
        });
        Ok((shard, member))
    }

    async fn serve(&self, shard: Arc<Shard>, member: Arc<Member>) -> String {
        let stop = CancellationToken::new();
        let mut running = tokio::spawn({
            let (shard, stop) = (shard.clone(), stop.clone());
            async move { shard.run(stop).await }
        });
        let leaving = self.leaving.clone();
        let mut membership = tokio::spawn(async move { member.run(leaving).await });
        let mut health = shard.health();
        let lost = async {
            health.wait_for(|health| *health != Health::Serving).await.map_or(Health::Fenced, |health| health.clone())
        };
        let ended = tokio::select! {
            biased;
            ended = &mut membership => ended.expect("membership does not panic"),
            lost = lost => match lost {
                Health::Broken(reason) => Ended::Broken(reason),
                _ => Ended::Fenced,
            },
        };
        membership.abort();
        stop.cancel();
        let flushed = tokio::time::timeout(FLUSH, &mut running).await.is_ok();
        match ended {
            Ended::Drained(departure) if flushed => match departure.leave().await {
                Ok(()) => "it has left".to_owned(),
                Err(error) => format!("it could not give its lease back: {error}"),
            },
            Ended::Drained(_) => "it could not flush in time".to_owned(),
            Ended::Fenced => "it was fenced".to_owned(),
            Ended::Broken(reason) => format!("the store is broken: {reason}"),
        }
    }
}

async fn follow_own(member: Arc<Member>, mapping: Mapping) {
    loop {
        if let Ok(rosters) = member.follow().await {
            mapping.follow(rosters).await;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The ways from one place to all shards.
pub(crate) struct Ways {
    net: Arc<Net>,
    from: usize,
    local: Option<(u16, Arc<Shard>)>,
    remote: Vec<Arc<RemoteShard>>,
}

impl Ways {
    pub(crate) fn new(net: &Arc<Net>, from: usize, local: Option<(u16, Arc<Shard>)>) -> Arc<Self> {
        let remote = |to| {
            let (events, abandoned) = (Arc::default(), Notify::new());
            Arc::new(RemoteShard { net: net.clone(), from, to, events, abandoned })
        };
        Arc::new(Self { net: net.clone(), from, local, remote: (0..SHARDS).map(remote).collect() })
    }

    /// Keeps the slot map of `mapping` up to date, from whichever shard answers.
    pub(crate) async fn follow(&self, mapping: &Mapping) {
        loop {
            // Any of them may be the one that knows nothing new.
            let first = self.net.below(SHARDS as u64) as usize;
            for at in (0..SHARDS).map(|at| (first + at) % SHARDS) {
                if let Ok(rosters) = self.rosters(at).await {
                    mapping.follow(rosters).await;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn rosters(&self, to: usize) -> Result<watch::Receiver<Arc<Roster>>, Failed> {
        let (net, from) = (self.net.clone(), self.from);
        let work = move |place: Place| {
            async move {
                let mut rosters = place.member?.follow().await.ok()?;
                let first = rosters.borrow_and_update().clone();
                let (send, receive) = mpsc::channel(16);
                tokio::spawn(async move {
                    while rosters.changed().await.is_ok() {
                        let next = rosters.borrow_and_update().clone();
                        if send.send(next).await.is_err() {
                            return;
                        }
                    }
                });
                Some((first, stream(&net, to, from, receive)))
            }
            .boxed()
        };
        let (first, mut rosters) = call(&self.net, self.from, to, work).await?.ok_or(Failed::Unsent)?;
        let (publish, follow) = watch::channel(first);
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    biased;
                    next = rosters.recv() => next,
                    () = publish.closed() => return,
                };
                match next {
                    Some(next) => _ = publish.send(next),
                    None => return,
                }
            }
        });
        Ok(follow)
    }
}

impl Services for Ways {
    fn service(&self, member: &RosterMember) -> Option<Arc<dyn ShardService>> {
        match &self.local {
            Some((ordinal, shard)) if *ordinal == member.ordinal => Some(shard.clone()),
            _ => Some(self.remote.get(usize::from(member.ordinal))?.clone()),
        }
    }
}

impl Peers for Ways {
    fn peer(&self, ordinal: u16, _: &Lease) -> Option<Arc<dyn Peer>> {
        Some(Arc::new(RemoteMember { net: self.net.clone(), from: self.from, to: usize::from(ordinal) }))
    }
}

struct RemoteMember {
    net: Arc<Net>,
    from: usize,
    to: usize,
}

impl RemoteMember {
    async fn ask(
        &self,
        ask: impl FnOnce(Arc<Member>) -> BoxFuture<'static, Result<(), PeerError>> + Send + 'static,
    ) -> Result<(), PeerError> {
        let work = move |place: Place| match place.member {
            Some(member) => ask(member),
            None => std::future::ready(Err(PeerError("it has not joined yet".to_owned()))).boxed(),
        };
        let answer = call(&self.net, self.from, self.to, work).await;
        answer.unwrap_or_else(|failed| Err(PeerError(format!("{failed:?}"))))
    }
}

impl Peer for RemoteMember {
    fn prefetch(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        self.ask(move |member| async move { member.prefetch(slots).await }.boxed()).boxed()
    }

    fn adopt(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        self.ask(move |member| async move { member.adopt(slots).await }.boxed()).boxed()
    }
}

/// A shard of another process.
struct RemoteShard {
    net: Arc<Net>,
    from: usize,
    to: usize,
    /// Events that were told, for the planted bug.
    events: Arc<Mutex<u64>>,
    abandoned: Notify,
}

fn nobody<T: Send + 'static>() -> BoxFuture<'static, Result<T, ShardError>> {
    std::future::ready(Err(ShardError::Unreachable("it has not joined yet".to_owned()))).boxed()
}

impl RemoteShard {
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Arc<Shard>) -> BoxFuture<'static, Result<T, ShardError>> + Send + 'static,
    ) -> Result<T, ShardError> {
        let work = move |place: Place| place.shard.map_or_else(nobody, ask);
        let abandoned = self.abandoned.notified();
        let answer = tokio::select! {
            biased;
            answer = call(&self.net, self.from, self.to, work) => answer,
            () = abandoned => Err(Failed::Lost),
        };
        match answer {
            Ok(answer) => answer,
            Err(Failed::Unsent) => Err(ShardError::Unreachable("there is no connection".to_owned())),
            Err(Failed::Lost) => Err(ShardError::Lost("the connection broke".to_owned())),
        }
    }
}

impl ShardService for RemoteShard {
    fn execute(&self, mut request: Request) -> BoxFuture<'_, Result<Answer, ShardError>> {
        if self.net.bug == Bug::RequestIdsChange {
            request.id = u128::from(self.net.below(u64::MAX)) + 1;
        }
        self.ask(move |shard| async move { shard.execute(request).await }.boxed()).boxed()
    }

    fn clock(&self) -> BoxFuture<'_, Result<Version, ShardError>> {
        self.ask(move |shard| async move { shard.clock().await }.boxed()).boxed()
    }

    fn abandon(&self) {
        self.abandoned.notify_waiters();
    }

    fn list(&self, request: ListRequest) -> BoxFuture<'_, Result<ListPage, ShardError>> {
        self.ask(move |shard| async move { shard.list(request).await }.boxed()).boxed()
    }

    fn subscribe(&self, request: SubscribeRequest) -> BoxFuture<'_, Result<Subscription, ShardError>> {
        let (net, from, to, events) = (self.net.clone(), self.from, self.to, self.events.clone());
        let ask = move |shard: Arc<Shard>| {
            async move {
                let Subscription { from: behind, slots, mut deliveries } = shard.subscribe(request).await?;
                if net.bug == Bug::EventDropped {
                    let (send, receive) = mpsc::channel(64);
                    let mut whole = std::mem::replace(&mut deliveries, receive);
                    tokio::spawn(async move {
                        while let Some(mut delivery) = whole.recv().await {
                            delivery.events.retain(|_| {
                                let mut events = events.lock();
                                *events += 1;
                                *events % 40 != 0
                            });
                            if send.send(delivery).await.is_err() {
                                return;
                            }
                        }
                    });
                }
                Ok(Subscription { from: behind, slots, deliveries: stream(&net, to, from, deliveries) })
            }
            .boxed()
        };
        self.ask(ask).boxed()
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<History, ShardError>> {
        self.ask(move |shard| async move { shard.history(request).await }.boxed()).boxed()
    }

    fn advance(&self, cluster: &str, resource: ResourceId, version: Version) {
        let (cluster, from, to) = (cluster.to_owned(), self.from, self.to);
        let start = self.net.place(to).start;
        self.net.after(self.net.delay(), move |net| {
            let place = net.place(to);
            if net.is_cut(from, to) || place.start != start {
                return;
            }
            if let (Some(handle), Some(shard)) = (place.handle, place.shard) {
                handle.spawn(async move { shard.advance(&cluster, resource, version) });
            }
        });
    }
}
