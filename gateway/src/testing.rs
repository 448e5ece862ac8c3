//! What this crate's tests share: a clock, randomness, real shards over memory whose streams a test can hold up, and
//! short ways to ask a gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use api::ambient::{Ambient, Clock, Entropy};
use api::builtin::{RuntimeConfig, registry};
use api::resource::ResourceId;
use api::slot::{SLOTS, Slot, SlotSet};
use api::{Registry, Value, Version};
use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use http::{Method, Request, Response};
use parking_lot::Mutex;
use serde_json::json;
use shards::service::{
    Answer, History, HistoryRequest, ListPage, ListRequest, ShardError, ShardService, SubscribeRequest, Subscription,
    UserInfo,
};
use shards::topology::{Member, SlotMap, Topology, owner_of};
use shards::{Shard, ShardConfig, ShardMetrics, ShardOptions, bootstrap, latest};
use store::memory::MemoryStore;
use store::testing::FaultyStore;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{Gateway, GatewayConfig};

/// The machine's clock, moved.
pub(crate) struct Shifted {
    pub(crate) by_micros: i64,
}

impl Clock for Shifted {
    #[expect(clippy::disallowed_methods, reason = "this is a test's clock")]
    fn wall_micros(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(since.as_micros()).unwrap() + self.by_micros
    }

    fn boot(&self) -> Duration {
        Duration::from_micros(self.wall_micros() as u64)
    }
}

/// SplitMix64.
struct Mixed(AtomicU64);

impl Entropy for Mixed {
    fn next_u64(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub(crate) fn ambient() -> Ambient {
    Ambient { clock: Arc::new(Shifted { by_micros: 0 }), entropy: Arc::new(Mixed(AtomicU64::new(1))) }
}

/// A shard whose streams can be paused and cut, and that can fall silent.
pub(crate) struct Gate {
    pub(crate) shard: Arc<Shard>,
    paused: watch::Sender<bool>,
    /// History is not answered.
    withheld: watch::Sender<bool>,
    cut: Mutex<CancellationToken>,
    dead: AtomicBool,
    /// Another shard has its slots, whether it knows or not.
    robbed: AtomicBool,
}

impl Gate {
    fn new(shard: Arc<Shard>) -> Self {
        Self {
            shard,
            paused: watch::Sender::new(false),
            withheld: watch::Sender::new(false),
            cut: Mutex::default(),
            dead: AtomicBool::new(false),
            robbed: AtomicBool::new(false),
        }
    }

    /// Answers nothing any more. What its streams have sent may still arrive.
    pub(crate) fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), ShardError> {
        match self.dead.load(Ordering::Relaxed) {
            true => Err(ShardError::Unreachable("it is dead".to_owned())),
            false => Ok(()),
        }
    }

    pub(crate) fn withhold_history(&self, withheld: bool) {
        self.withheld.send_replace(withheld);
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// Ends every subscription.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.cut.lock()).cancel();
    }
}

impl ShardService for Gate {
    fn execute(&self, request: shards::service::Request) -> BoxFuture<'_, Result<Answer, ShardError>> {
        async move {
            self.check()?;
            self.shard.execute(request).await
        }
        .boxed()
    }

    fn clock(&self) -> BoxFuture<'_, Result<Version, ShardError>> {
        async move {
            self.check()?;
            self.shard.clock().await
        }
        .boxed()
    }

    fn list(&self, request: ListRequest) -> BoxFuture<'_, Result<ListPage, ShardError>> {
        async move {
            self.check()?;
            self.shard.list(request).await
        }
        .boxed()
    }

    fn subscribe(&self, request: SubscribeRequest) -> BoxFuture<'_, Result<Subscription, ShardError>> {
        async move {
            self.check()?;
            let Subscription { from, slots, mut deliveries } = self.shard.subscribe(request).await?;
            let (sender, receiver) = mpsc::channel(64);
            let (mut paused, cut) = (self.paused.subscribe(), self.cut.lock().clone());
            let forward = async move {
                while let Some(delivery) = deliveries.recv().await {
                    if paused.wait_for(|paused| !paused).await.is_err() || sender.send(delivery).await.is_err() {
                        return;
                    }
                }
            };
            tokio::spawn(async move { cut.run_until_cancelled(forward).await });
            Ok(Subscription { from, slots, deliveries: receiver })
        }
        .boxed()
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<History, ShardError>> {
        async move {
            let mut withheld = self.withheld.subscribe();
            withheld.wait_for(|withheld| !withheld).await.expect("the gate holds the sender");
            self.check()?;
            self.shard.history(request).await
        }
        .boxed()
    }

    fn advance(&self, cluster: &str, resource: ResourceId, version: Version) {
        if self.check().is_ok() {
            self.shard.advance(cluster, resource, version);
        }
    }
}

/// Shards, and a gateway to them.
pub(crate) struct Cluster {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) gates: Vec<Arc<Gate>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Arc<FaultyStore>,
    maps: latest::Sender<Arc<SlotMap>>,
    stop: CancellationToken,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Cluster {
    pub(crate) async fn start(shards: usize) -> Self {
        Self::with(shards, GatewayConfig::default()).await
    }

    pub(crate) async fn with(count: usize, config: GatewayConfig) -> Self {
        let (ambient, registry) = (ambient(), Arc::new(registry(&RuntimeConfig::default())));
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new()), 1));
        let stop = CancellationToken::new();
        let mut opened = Vec::new();
        for ordinal in 0..count {
            let slots = (0..SLOTS).map(Slot).filter(|slot| usize::from(owner_of(*slot, count)) == ordinal).collect();
            opened.push(open(ordinal as u16, slots, &ambient, &registry, &store).await);
        }
        let gates: Vec<Arc<Gate>> = opened.iter().map(|shard| Arc::new(Gate::new(shard.clone()))).collect();
        let maps = latest::Sender::new(Arc::new(map_of(&gates, 0)));
        let topology = Topology::following(maps.subscribe());
        for shard in opened {
            shard.connect(topology.clone());
            let stop = stop.clone();
            tokio::spawn(async move { shard.run(stop).await });
        }
        let cidr = ShardOptions::default().service_cidr;
        bootstrap(&topology, &registry, &ambient, "default", cidr).await.unwrap();
        let mut metrics = prometheus_client::registry::Registry::default();
        let gateway = Gateway::new(config, topology, registry.clone(), ambient, &mut metrics);
        gateway.expose_metrics(Arc::new(metrics));
        Self { gateway, gates, registry, store, maps, stop }
    }

    /// Tells the gateway and the shards who lives and owns what.
    fn publish(&self) {
        let next = self.maps.get().generation + 1;
        self.maps.send_replace(Arc::new(map_of(&self.gates, next)));
    }

    /// Slots change hands while both shards serve.
    pub(crate) async fn move_slots(&self, slots: &SlotSet, from: usize, to: usize) {
        let (from, to) = (&self.gates[from].shard, &self.gates[to].shard);
        to.prefetch(slots).await.unwrap();
        from.release(slots, to.epoch()).await.unwrap();
        to.adopt(slots).await.unwrap();
        self.publish();
    }

    /// A dead shard is fenced, and another one has its slots.
    pub(crate) async fn take_over(&self, dead: usize, heir: usize) {
        let slots = self.gates[dead].shard.owned();
        let ambient = &self.gateway.inner.ambient;
        drop(open(dead as u16, Vec::new(), ambient, &self.registry, &self.store).await);
        self.gates[heir].shard.adopt(&slots).await.unwrap();
        self.gates[dead].robbed.store(true, Ordering::Relaxed);
        self.publish();
    }

    /// A namespace of that shard, made.
    pub(crate) async fn namespace_on(&self, shard: usize) -> String {
        for at in 0.. {
            let name = format!("on-{shard}-{at}");
            let slot = api::slot::of_namespace("default", &name);
            if usize::from(owner_of(slot, self.gates.len())) == shard {
                self.create("/api/v1/namespaces", &json!({ "metadata": { "name": name } })).await;
                return name;
            }
        }
        unreachable!("every shard owns some slot")
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.gateway.handle(request, Some(Arc::new(master()))).await
    }

    /// Method, path and body to code and body.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("content-type", kind).body(body).unwrap();
        read(self.send(request).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, &Value::Null).await
    }

    /// The body of an answer that is no JSON.
    pub(crate) async fn text(&self, path: &str) -> String {
        let response = self.send(Request::get(path).body(Body::empty()).unwrap()).await;
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    pub(crate) async fn create(&self, path: &str, body: &Value) -> Value {
        let (code, answer) = self.ask(Method::POST, path, body).await;
        assert_eq!(code, 201, "{answer}");
        answer
    }

    pub(crate) async fn config_map(&self, namespace: &str, name: &str) -> Value {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        self.create(&path, &json!({ "metadata": { "name": name } })).await
    }

    /// An open watch; panics unless it starts.
    pub(crate) async fn watch(&self, path: &str) -> Watch {
        let response = self.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 200, "{path}");
        Watch { body: response.into_body().into_data_stream(), buffer: Vec::new() }
    }
}

async fn open(
    ordinal: u16,
    slots: Vec<Slot>,
    ambient: &Ambient,
    registry: &Arc<Registry>,
    store: &Arc<FaultyStore>,
) -> Arc<Shard> {
    let config = ShardConfig {
        ordinal,
        slots,
        clusters: vec!["default".into()],
        ambient: ambient.clone(),
        registry: registry.clone(),
        store: store.clone(),
        options: ShardOptions::default(),
        metrics: ShardMetrics::default(),
    };
    Shard::open(config).await.unwrap()
}

fn map_of(gates: &[Arc<Gate>], generation: u64) -> SlotMap {
    let alive = gates.iter().enumerate().filter(|(_, gate)| gate.check().is_ok());
    let member = |(ordinal, gate): (usize, &Arc<Gate>)| Member {
        ordinal: ordinal as u16,
        service: gate.clone(),
        slots: if gate.robbed.load(Ordering::Relaxed) { Arc::default() } else { gate.shard.owned() },
    };
    SlotMap::new(generation, alive.map(member).collect())
}

pub(crate) fn master() -> UserInfo {
    UserInfo { name: "admin".into(), groups: vec!["system:masters".into()], ..UserInfo::default() }
}

pub(crate) async fn read(response: Response<Body>) -> (u16, Value) {
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (code, serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into()))
}

pub(crate) fn version_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// Lines of a watch.
pub(crate) struct Watch {
    body: BodyDataStream,
    buffer: Vec<u8>,
}

impl Watch {
    /// The next event; `None` at the end of the stream. Panics where neither comes.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        tokio::time::timeout(Duration::from_secs(10), self.read_line()).await.expect("an event, or the end")
    }

    async fn read_line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let piece: Bytes = match self.body.next().await {
                Some(piece) => piece.unwrap(),
                None if self.buffer.is_empty() => return None,
                None => panic!("the stream ended within an event"),
            };
            self.buffer.extend_from_slice(&piece);
        }
    }

    /// Type, name and version of the next event.
    pub(crate) async fn event(&mut self) -> (String, String, u64) {
        let event = self.next().await.expect("another event");
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        (event["type"].as_str().unwrap().to_owned(), name, version_of(&event["object"]))
    }

    /// Whether nothing comes for a moment.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(200), self.read_line()).await.is_err()
    }
}
