//! Real shards: objects are written and read while members come, die and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Registry;
use api::ambient::Ambient;
use api::status::Reason;
use api::{Object, Status, Value};
use parking_lot::Mutex;
use serde_json::json;
use store::SharedStore;
use store::memory::MemoryStore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::world::{Link, process};
use crate::membership::{
    Ended, Identity, LocalPeers, MapSource, Mapping, Member, RosterMember, Services, Timing, register,
};
use crate::service::{Format, Outcome, Request, ShardService, Verb, WriteOptions};
use crate::topology::Topology;
use crate::{Shard, ShardConfig, ShardMetrics, ShardOptions};

/// A way to the shards of this process.
#[derive(Default)]
struct Directly(Mutex<Vec<(u16, Arc<Shard>)>>);

impl Services for Directly {
    fn service(&self, member: &RosterMember) -> Option<Arc<dyn ShardService>> {
        let shards = self.0.lock();
        let found = shards.iter().rev().find(|(ordinal, _)| *ordinal == member.ordinal)?;
        Some(found.1.clone())
    }
}

struct House {
    store: MemoryStore,
    registry: Arc<Registry>,
    ambient: Ambient,
    peers: LocalPeers,
    services: Arc<Directly>,
    mapping: Arc<Mapping>,
    topology: Topology,
}

struct Running {
    member: Arc<Member>,
    shard: Arc<Shard>,
    link: Arc<Link>,
    shutdown: CancellationToken,
    process: JoinHandle<()>,
}

impl House {
    fn new() -> Self {
        let services = Arc::new(Directly::default());
        let mapping = Arc::new(Mapping::new(services.clone()));
        Self {
            store: MemoryStore::new(),
            registry: Arc::new(api::builtin::registry(&Default::default())),
            ambient: process(),
            peers: LocalPeers::default(),
            services,
            topology: mapping.topology(),
            mapping,
        }
    }

    async fn start(&self, ordinal: u16) -> Running {
        let (ambient, timing) = (process(), Timing::default());
        let link = Link::new(&self.store, u64::from(ordinal));
        link.set_latency(Duration::from_millis(2));
        let store: SharedStore = link.shared();
        let identity = Identity { ordinal: Some(ordinal), ..Identity::default() };
        let registration = register(&store, &ambient, &timing, &identity).await.unwrap();
        let config = ShardConfig {
            ordinal,
            slots: Vec::new(),
            clusters: vec!["default".into()],
            ambient,
            registry: self.registry.clone(),
            store: store.clone(),
            options: ShardOptions::default(),
            metrics: ShardMetrics::default(),
        };
        let shard = Shard::open_under(config, registration.epoch()).await.unwrap();
        shard.connect(self.topology.clone());
        self.services.0.lock().push((ordinal, shard.clone()));
        let member = Member::of(&shard, registration, store, timing, Arc::new(self.peers.clone()));
        self.peers.insert(ordinal, member.clone());
        let shutdown = CancellationToken::new();
        let process = tokio::spawn({
            let (member, shard, shutdown) = (member.clone(), shard.clone(), shutdown.clone());
            async move {
                let stop = CancellationToken::new();
                let running = {
                    let (shard, stop) = (shard.clone(), stop.clone());
                    async move { shard.run(stop).await }
                };
                let ending = async {
                    let ended = member.run(shutdown).await;
                    stop.cancel();
                    ended
                };
                if let (Ended::Drained(departure), ()) = tokio::join!(ending, running) {
                    departure.leave().await.unwrap();
                }
            }
        });
        Running { member, shard, link, shutdown, process }
    }

    /// Has one of them tell who owns what.
    async fn follow(&self, running: &Running) -> JoinHandle<()> {
        let rosters = running.member.follow().await.unwrap();
        let mapping = self.mapping.clone();
        tokio::spawn(async move { mapping.follow(rosters).await })
    }

    async fn send(&self, namespace: &str, verb: Verb) -> Result<Arc<Object>, Status> {
        let resource = self.registry.named("configmaps").unwrap();
        let request = Request {
            id: self.ambient.entropy.next_u128(),
            cluster: "default".into(),
            resource: resource.id,
            served: 0,
            subresource: "".into(),
            namespace: namespace.into(),
            name: "a".into(),
            user: Arc::default(),
            verb,
        };
        let answer = self.topology.execute(resource.slot("default", namespace, "a"), request).await?;
        match answer.outcome {
            Outcome::Object(object) => Ok(object),
            Outcome::Document(document) => panic!("a ConfigMap is no {document}"),
        }
    }

    async fn write(&self, namespace: &str, value: u64) -> Result<Arc<Object>, Status> {
        let body: Value = json!({"metadata": {"name": "a", "namespace": namespace}, "data": {"v": value.to_string()}});
        let (body, options) = (body.to_string().into(), WriteOptions::default());
        let uid =
            uuid::Builder::from_random_bytes(self.ambient.entropy.next_u128().to_be_bytes()).into_uuid().to_string();
        let verb = match value {
            0 => Verb::Create { body, format: Format::Json, options, uid },
            _ => Verb::Update { body, format: Format::Json, options, uid },
        };
        self.send(namespace, verb).await
    }
}

async fn settled(house: &House, running: &[&Running]) {
    let began = Instant::now();
    let serves = |running: &&&Running| !running.shard.owned().is_empty();
    while !house.topology.current().is_complete() || running.iter().filter(serves).count() != running.len() {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not settle");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn writes_go_on_while_members_come_die_and_go() {
    let house = Arc::new(House::new());
    let first = house.start(0).await;
    let _telling = house.follow(&first).await;
    settled(&house, &[&first]).await;
    crate::bootstrap(&house.topology, &house.registry, &house.ambient, "default", ShardOptions::default().service_cidr)
        .await
        .unwrap();
    let namespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];
    for namespace in namespaces {
        house.write(namespace, 0).await.unwrap();
    }
    let (stop, slowest) = (CancellationToken::new(), Arc::new(Mutex::new(Duration::ZERO)));
    let unknown = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn({
        let (house, stop, slowest) = (house.clone(), stop.clone(), slowest.clone());
        let unknown = unknown.clone();
        async move {
            let mut value = 0;
            let mut versions = [api::Version::ZERO; 4];
            while !stop.is_cancelled() {
                value += 1;
                for (namespace, last) in namespaces.iter().zip(&mut versions) {
                    let mut began = Instant::now();
                    let mut written = house.write(namespace, value).await;
                    if written.as_ref().is_err_and(|status| status.reason() == Reason::Timeout) {
                        // It was in a batch of the one that died: nobody knows, and its writer is told so and writes again.
                        unknown.fetch_add(1, Ordering::Relaxed);
                        began = Instant::now();
                        written = house.write(namespace, value).await;
                    }
                    let written = written.unwrap();
                    assert!(written.version > *last, "versions increase whoever writes");
                    *last = written.version;
                    let mut slowest = slowest.lock();
                    *slowest = slowest.max(began.elapsed());
                }
            }
            value
        }
    });
    let slowest_of = || std::mem::take(&mut *slowest.lock());
    tokio::time::sleep(Duration::from_secs(1)).await;
    slowest_of();

    // Scale-up.
    let second = house.start(1).await;
    let third = house.start(2).await;
    settled(&house, &[&first, &second, &third]).await;
    let took = slowest_of();
    println!("while two members came, the slowest write took {took:?}");
    assert!(took < Duration::from_millis(400), "{took:?}");

    // Death.
    third.link.cut.store(true, Ordering::Relaxed);
    third.process.abort();
    settled(&house, &[&first, &second]).await;
    let took = slowest_of();
    println!("while one was taken over, the slowest write took {took:?}");
    assert!(took < Duration::from_secs(2) + Duration::from_millis(500), "{took:?}");

    // Shutdown.
    second.shutdown.cancel();
    second.process.await.unwrap();
    settled(&house, &[&first]).await;
    let took = slowest_of();
    println!("while one shut down, the slowest write took {took:?}");
    assert!(took < Duration::from_millis(400), "{took:?}");

    stop.cancel();
    let written = writer.await.unwrap();
    assert!(unknown.load(Ordering::Relaxed) <= 1, "one died, and there is one writer");
    for namespace in namespaces {
        let read = house.send(namespace, Verb::Get { version: None }).await.unwrap();
        assert_eq!(read.document()["data"]["v"], written.to_string());
    }
}
