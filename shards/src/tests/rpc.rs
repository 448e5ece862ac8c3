//! What only happens between processes: calls that are given up, late, too many, or cut off, and callers who may not.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::wire::{BoxedIo, Dial, Role, Timing};
use api::builtin::{RuntimeConfig, registry};
use api::slot::{Slot, SlotSet};
use api::{Registry, ResourceId};
use api::{Status, Version};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::RoutesBuilder;

use super::cluster::ambient;
use super::wire::{Listening, Memory, identity, memory, offer};
use crate::membership::{MapSource, Mapping, Peer, PeerError, Pin, Roster, RosterMember, Standing};
use crate::rpc::client::{Calling, RemoteMember, RemoteShard, Ways};
use crate::rpc::server::{OfferedMember, Pins};
use crate::service::*;

/// A shard that answers when the test lets it, and counts.
#[derive(Default)]
struct Held {
    started: AtomicUsize,
    ended: Arc<AtomicUsize>,
    something: Arc<Notify>,
    let_go: Notify,
}

/// Counts when it is dropped.
struct Counting(Arc<AtomicUsize>, Arc<Notify>);

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.notify_one();
    }
}

impl Held {
    async fn until(&self, mut done: impl FnMut(&Self) -> bool) {
        let wait = async {
            while !done(self) {
                self.something.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it comes to that");
    }

    fn counts(&self) -> (usize, usize) {
        (self.started.load(Ordering::SeqCst), self.ended.load(Ordering::SeqCst))
    }
}

impl ShardService for Held {
    fn execute(&self, _: Request) -> BoxFuture<'_, Result<Answer, ShardError>> {
        async move {
            self.started.fetch_add(1, Ordering::SeqCst);
            self.something.notify_one();
            let _counting = Counting(self.ended.clone(), self.something.clone());
            self.let_go.notified().await;
            Err(Status::bad_request("let go").into())
        }
        .boxed()
    }

    fn clock(&self) -> BoxFuture<'_, Result<Version, ShardError>> {
        ready(Ok(Version(7))).boxed()
    }

    fn list(&self, _: ListRequest) -> BoxFuture<'_, Result<ListPage, ShardError>> {
        pending().boxed()
    }

    fn subscribe(&self, _: SubscribeRequest) -> BoxFuture<'_, Result<Subscription, ShardError>> {
        ready(Err(ShardError::NotOwner)).boxed()
    }

    fn history(&self, _: HistoryRequest) -> BoxFuture<'_, Result<History, ShardError>> {
        ready(Err(ShardError::NotOwner)).boxed()
    }

    fn advance(&self, _: &str, _: ResourceId, _: Version) {}
}

/// The way to a listener that can be replaced, and frozen.
#[derive(Clone, Default)]
struct Road(Arc<Mutex<Option<Memory>>>, Arc<watch::Sender<bool>>);

impl Dial for Road {
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxedIo>> {
        async move {
            let dialled = self.0.lock().as_ref().map(|memory| memory.dial(address).now_or_never());
            let mut far = dialled.flatten().ok_or(io::ErrorKind::ConnectionRefused)??;
            let (near, mut middle) = tokio::io::duplex(64 << 10);
            let mut frozen = self.1.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut middle, &mut far) => {}
                    // Neither bytes nor an end come through any more.
                    () = async { drop(frozen.wait_for(|frozen| *frozen).await) } => pending().await,
                }
            });
            Ok(Box::new(near) as BoxedIo)
        }
        .boxed()
    }
}

struct Place {
    held: Arc<Held>,
    road: Road,
    registry: Arc<Registry>,
    calling: Calling,
    serving: Option<AbortOnDropHandle<()>>,
}

impl Place {
    fn new() -> Self {
        let registry = Arc::new(registry(&RuntimeConfig::default()));
        let road = Road::default();
        let mut calling = Calling::new(identity(Role::Gateway), registry.clone(), ambient(3));
        calling.dial = Arc::new(road.clone());
        let mut place = Self { held: Arc::default(), road, registry, calling, serving: None };
        place.serve();
        place
    }

    fn serve(&mut self) {
        let (dial, listening) = memory();
        *self.road.0.lock() = Some(dial);
        self.serving = Some(offer(self.held.clone(), &self.registry, listening));
    }

    fn cut(&mut self) {
        *self.road.0.lock() = None;
        self.serving = None;
    }

    fn remote(&self) -> Arc<RemoteShard> {
        Arc::new(RemoteShard::new("somewhere:1", &self.calling).unwrap())
    }

    fn delete(&self) -> Request {
        Request {
            id: 1,
            cluster: "default".into(),
            resource: self.registry.named("pods").unwrap().id,
            served: 0,
            subresource: "".into(),
            namespace: "default".into(),
            name: "a".into(),
            user: Arc::default(),
            verb: Verb::Delete { options: DeleteOptions::default() },
        }
    }

    fn call(&self, remote: &Arc<RemoteShard>) -> tokio::task::JoinHandle<Result<Answer, ShardError>> {
        let (remote, request) = (remote.clone(), self.delete());
        tokio::spawn(async move { remote.execute(request).await })
    }
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_an_answer_stops_the_shard() {
    let place = Place::new();
    let remote = place.remote();
    let call = place.call(&remote);
    place.held.until(|held| held.counts() == (1, 0)).await;
    call.abort();
    place.held.until(|held| held.counts() == (1, 1)).await;
    assert_eq!(remote.clock().await.unwrap(), Version(7), "the others go on");
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_lost_and_given_up() {
    let mut place = Place::new();
    place.calling.deadline = Duration::from_secs(3);
    let remote = place.remote();
    let began = Instant::now();
    let late = place.call(&remote).await.unwrap();
    assert!(matches!(&late, Err(ShardError::Lost(why)) if why == "no answer within 3s"), "{late:?}");
    assert!(began.elapsed() < Duration::from_secs(4));
    place.held.until(|held| held.counts() == (1, 1)).await;
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_the_window_wait_their_turn() {
    let mut place = Place::new();
    place.calling.window = 3;
    let remote = place.remote();
    let calls: Vec<_> = (0..5).map(|_| place.call(&remote)).collect();
    place.held.until(|held| held.counts().0 == 3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(place.held.counts(), (3, 0));
    place.held.let_go.notify_one();
    place.held.until(|held| held.counts() == (4, 1)).await;
    for _ in 0..4 {
        place.held.until(|held| held.counts().0 - held.counts().1 > 0).await;
        place.held.let_go.notify_one();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for call in calls {
        assert!(matches!(call.await.unwrap(), Err(ShardError::Status(status)) if status.message() == "let go"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_lost_and_what_was_not_is_unreachable() {
    let mut place = Place::new();
    let remote = place.remote();
    let call = place.call(&remote);
    place.held.until(|held| held.counts().0 == 1).await;
    place.cut();
    assert!(matches!(call.await.unwrap(), Err(ShardError::Lost(_))));
    let unsent = remote.execute(place.delete()).await;
    assert!(matches!(unsent, Err(ShardError::Unreachable(_))), "{unsent:?}");
    let streamed =
        remote.subscribe(SubscribeRequest { cluster: "default".into(), resource: place.delete().resource, from: None });
    assert!(matches!(streamed.await, Err(ShardError::Unreachable(_))));

    place.serve();
    let back = async {
        while remote.clock().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), back).await.expect("it connects again by itself");
}

/// One that stands still takes connections, and answers on none: a new one says nothing for long.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_member_that_was_taken_for_dead() {
    let place = Place::new();
    let ways = Ways::new(place.calling.clone(), None);
    let mapping = Mapping::new(ways.clone());
    mapping.update(&told(1, [Slot(7)].into_iter().collect()));
    let owner = mapping.topology().current().owner(Slot(7)).unwrap().service.clone();
    let call = tokio::spawn({
        let (owner, request) = (owner.clone(), place.delete());
        async move { owner.execute(request).await }
    });
    place.held.until(|held| held.counts().0 == 1).await;
    let began = Instant::now();
    mapping.update(&Roster { number: 2, ..Roster::default() });
    assert!(matches!(call.await.unwrap(), Err(ShardError::Lost(_))));
    assert!(began.elapsed() < Duration::from_millis(10), "{:?}", began.elapsed());
    assert_eq!(owner.clock().await.unwrap(), Version(7), "it may come back");
}

#[tokio::test(start_paused = true)]
async fn a_silent_shard_is_noticed() {
    let place = Place::new();
    let remote = place.remote();
    let call = place.call(&remote);
    place.held.until(|held| held.counts().0 == 1).await;
    let began = Instant::now();
    place.road.1.send_replace(true);
    let lost = call.await.unwrap();
    assert!(matches!(lost, Err(ShardError::Lost(_))), "{lost:?}");
    let noticed = began.elapsed();
    let Timing { ping_every, ping_timeout, .. } = Timing::default();
    assert!(noticed <= ping_every + ping_timeout + Duration::from_millis(100), "after {noticed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_given_up_stops() {
    let place = Place::new();
    let remote = place.remote();
    let resource = place.delete().resource;
    let request = ListRequest {
        slots: ListSlots::Exactly(Arc::new(SlotSet::full())),
        cluster: "default".into(),
        resource,
        namespace: "".into(),
        selector: Arc::default(),
        at: None,
        after: Some(("a".into(), "b".into())),
        limit: 3,
    };
    assert!(tokio::time::timeout(Duration::from_secs(5), remote.list(request.clone())).await.is_err());
    assert!(matches!(remote.list(request).await, Err(ShardError::Lost(why)) if why.contains("no answer within")));
    assert_eq!(remote.clock().await.unwrap(), Version(7));
}

#[tokio::test(start_paused = true)]
async fn stores_do_not_call_shards() {
    let mut place = Place::new();
    place.calling.identity = identity(Role::Store);
    let remote = place.remote();
    let refused = loop {
        match remote.clock().await {
            Err(ShardError::Unreachable(why)) if why.contains("and the caller is a store") => break why,
            Err(ShardError::Unreachable(_) | ShardError::Lost(_)) => {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(refused.contains("this service is for gateway, shard, admin only"), "{refused}");
}

/// A member of which the test says everything.
struct Told {
    rosters: watch::Sender<Arc<Roster>>,
    asked: Mutex<Vec<String>>,
}

impl MapSource for Told {
    fn follow(&self) -> BoxFuture<'_, Result<watch::Receiver<Arc<Roster>>, ShardError>> {
        ready(Ok(self.rosters.subscribe())).boxed()
    }
}

impl Peer for Told {
    fn prefetch(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        self.asked.lock().push(format!("prefetch {slots}"));
        ready(Ok(())).boxed()
    }

    fn adopt(&self, _: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        ready(Err(PeerError("not now".to_owned()))).boxed()
    }
}

impl Pins for Told {
    fn pin(&self, slots: SlotSet, pin: Option<Pin>) -> BoxFuture<'_, Result<(), String>> {
        self.asked.lock().push(format!("pin {slots} {:?}", pin.map(|pin| pin.to)));
        ready(Ok(())).boxed()
    }
}

fn told(number: u64, slots: SlotSet) -> Arc<Roster> {
    let member = RosterMember {
        ordinal: 1,
        incarnation: 2,
        addresses: vec!["somewhere:1".into()],
        standing: Standing::Serving,
        slots: Arc::new(slots),
    };
    Arc::new(Roster { number, members: vec![member], ..Roster::default() })
}

fn offer_member(member: &Arc<Told>, listening: Listening) -> AbortOnDropHandle<()> {
    let shutdown = CancellationToken::new();
    let mut routes = RoutesBuilder::default();
    let (source, peer, pins) = (member.clone(), member.clone(), member.clone());
    OfferedMember { source, peer, pins, shutdown: shutdown.clone() }.add_to(&mut routes);
    let shard = identity(Role::Shard);
    let serving = ::wire::serve::serve(listening, &shard, routes.routes(), Timing::default(), shutdown).unwrap();
    AbortOnDropHandle::new(tokio::spawn(serving))
}

#[tokio::test(start_paused = true)]
async fn a_gateway_follows_the_map_wherever_it_is_told() {
    let place = Place::new();
    let member = Arc::new(Told { rosters: watch::Sender::new(told(1, SlotSet::full())), asked: Mutex::default() });
    let (dial, listening) = memory();
    *place.road.0.lock() = Some(dial);
    let serving = offer_member(&member, listening);
    let ways = Ways::new(place.calling.clone(), None);
    let mapping = Arc::new(Mapping::new(ways.clone()));
    let topology = mapping.topology();
    let _following = AbortOnDropHandle::new(tokio::spawn(async move {
        ways.follow(&"somewhere:1".parse().unwrap(), &mapping).await;
    }));
    let first = topology.newer_than(0).await;
    assert!(first.is_complete());
    let few: SlotSet = [Slot(5)].into_iter().collect();
    member.rosters.send_replace(told(2, few.clone()));
    let second = topology.newer_than(first.generation).await;
    assert_eq!(*second.members()[0].slots, few);
    assert!(Arc::ptr_eq(&first.members()[0].service, &second.members()[0].service), "one way to one shard");
    // The source dies, and another one is there.
    drop(serving);
    let (dial, listening) = memory();
    *place.road.0.lock() = Some(dial);
    let _serving = offer_member(&member, listening);
    let third = topology.newer_than(second.generation).await;
    assert_eq!(*third.members()[0].slots, few);
}

#[tokio::test(start_paused = true)]
async fn members_and_operators_ask_what_is_theirs() {
    let mut place = Place::new();
    let member = Arc::new(Told { rosters: watch::Sender::new(told(1, SlotSet::full())), asked: Mutex::default() });
    let (dial, listening) = memory();
    *place.road.0.lock() = Some(dial);
    let _serving = offer_member(&member, listening);
    let few: Arc<SlotSet> = Arc::new([Slot(5), Slot(6)].into_iter().collect());
    let mut way = |role| {
        place.calling.identity = identity(role);
        RemoteMember::new("somewhere:1", &place.calling).unwrap()
    };
    let (gateway, shard, admin) = (way(Role::Gateway), way(Role::Shard), way(Role::Admin));
    let pin = Pin { to: 3, namespace: "".into(), alone: false };
    shard.prefetch(few.clone()).await.unwrap();
    assert_eq!(shard.adopt(few.clone()).await.unwrap_err().0, "not now");
    admin.pin(&few, Some(&pin)).await.unwrap();
    for refused in [gateway.prefetch(few.clone()).await, gateway.pin(&few, None).await, shard.pin(&few, None).await] {
        let why = refused.unwrap_err().0;
        assert!(why.contains("this call is for"), "{why}");
    }
    assert_eq!(*member.asked.lock(), ["prefetch 5-6", "pin 5-6 Some(3)"]);
}
