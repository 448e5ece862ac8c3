//! Shards of one process over one store, and short ways to ask them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::ambient::{Ambient, Clock, Entropy};
use api::builtin::{RuntimeConfig, registry};
use api::selector::Selector;
use api::slot::{SLOTS, Slot, SlotSet};
use api::version::EPOCH_UNIX_MICROS;
use api::{Object, Status, Value, Version};
use api::{Registry, Resource};
use bytes::Bytes;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use super::faulty::FaultyStore;
use super::wire::Wire;
use crate::bootstrap::Bootstrap;
use crate::latest;
use crate::service::*;
use crate::topology::{Member, SlotMap, Topology, owner_of};
use crate::{MoveError, Shard, ShardConfig, ShardMetrics, ShardOptions};

/// Time that follows tokio's, so that a paused test is fast and repeatable.
struct TokioClock(tokio::time::Instant);

impl Clock for TokioClock {
    fn wall_micros(&self) -> i64 {
        EPOCH_UNIX_MICROS + 50_000_000_000_000 + self.0.elapsed().as_micros() as i64
    }

    fn boot(&self) -> Duration {
        self.0.elapsed()
    }
}

/// SplitMix64.
pub(super) struct Seeded(AtomicU64);

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Below `bound`.
    pub(super) fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

impl Entropy for Seeded {
    fn next_u64(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The seeds of a random test: those given, or the one of `SHARDPLANE_SEED`.
pub(super) fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SHARDPLANE_SEED") {
        Ok(seed) => vec![seed.parse().expect("SHARDPLANE_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

/// Shards that are called as functions.
pub(super) type Cluster = Wired<false>;

/// Shards that are called as functions or, where `WIRE` says so, over the wire.
pub(super) struct Wired<const WIRE: bool> {
    pub(super) store: FaultyStore,
    pub(super) registry: Arc<Registry>,
    pub(super) ambient: Ambient,
    pub(super) topology: Topology,
    pub(super) shards: Vec<Arc<Shard>>,
    /// How those are called that were there from the start.
    services: Vec<(Arc<Shard>, Arc<dyn ShardService>)>,
    /// Who owns what, as everybody is told.
    maps: latest::Sender<Arc<SlotMap>>,
    stop: CancellationToken,
    running: Vec<tokio::task::JoinHandle<()>>,
    options: ShardOptions,
    _wires: Vec<Wire>,
}

pub(super) fn ambient(seed: u64) -> Ambient {
    Ambient { clock: Arc::new(TokioClock(tokio::time::Instant::now())), entropy: Arc::new(Seeded::new(seed)) }
}

impl<const WIRE: bool> Wired<WIRE> {
    /// `count` shards over an empty store, with what every cluster has.
    pub(super) async fn start(count: usize) -> Self {
        let mut cluster = Self::bare(count, FaultyStore::default(), ShardOptions::default()).await;
        cluster.bootstrap().await;
        cluster
    }

    /// The same over a store that may hold something, as it is.
    pub(super) async fn bare(count: usize, store: FaultyStore, options: ShardOptions) -> Self {
        // Another process over the same store draws other numbers: batch ids are unique for ever.
        let ambient = ambient(7 + (store.commits() << 32));
        Self::with(count, store, options, ambient).await
    }

    async fn with(count: usize, store: FaultyStore, options: ShardOptions, ambient: Ambient) -> Self {
        let registry = Arc::new(registry(&RuntimeConfig::default()));
        let mut shards = Vec::new();
        for ordinal in 0..count {
            let slots = (0..SLOTS).map(Slot).filter(|slot| usize::from(owner_of(*slot, count)) == ordinal).collect();
            let config = config(ordinal as u16, slots, &store, &registry, &ambient, &options);
            shards.push(Shard::open(config).await.expect("the store is fine"));
        }
        let mut services: Vec<_> = shards.iter().map(|shard| shard.clone() as Arc<dyn ShardService>).collect();
        let mut wires = Vec::new();
        if WIRE {
            wires.extend(services.iter().map(|service| Wire::new(service.clone(), &registry, &ambient)));
            services = wires.iter().map(|wire| wire.remote.clone() as Arc<dyn ShardService>).collect();
        }
        let services: Vec<_> = shards.iter().cloned().zip(services).collect();
        let maps = latest::Sender::new(Arc::new(map(1, &shards, &services)));
        let topology = Topology::following(maps.subscribe());
        let stop = CancellationToken::new();
        let mut running = Vec::new();
        for shard in &shards {
            shard.connect(topology.clone());
            let (shard, stop) = (shard.clone(), stop.clone());
            running.push(tokio::spawn(async move { shard.run(stop).await }));
        }
        Self { store, registry, ambient, topology, shards, services, maps, stop, running, options, _wires: wires }
    }

    /// Tells everybody who owns what by now.
    pub(super) fn publish(&self) {
        let next = self.maps.get().generation + 1;
        self.maps.send_replace(Arc::new(map(next, &self.shards, &self.services)));
    }

    /// Lets whoever owns slots by the records in the store serve them, as membership does after a move that failed.
    pub(super) async fn settle(&self, slots: &SlotSet) {
        for slot in slots.iter() {
            let one: SlotSet = [slot].into_iter().collect();
            loop {
                let mut owners = self.shards.iter();
                if owners.any(|shard| shard.owned().contains(slot)) {
                    break;
                }
                for shard in &self.shards {
                    let _ = shard.adopt(&one).await;
                }
            }
        }
        self.publish();
    }

    /// Moves slots from one shard to another, as membership does.
    pub(super) async fn move_slots(&self, slots: &SlotSet, from: usize, to: usize) -> Result<(), MoveError> {
        self.shards[to].prefetch(slots).await?;
        let released = self.shards[from].release(slots, self.shards[to].epoch()).await;
        if released.is_ok() {
            self.shards[to].adopt(slots).await?;
        }
        self.publish();
        released.map(drop)
    }

    pub(super) async fn bootstrap(&mut self) {
        let options = Bootstrap {
            cluster: "default".into(),
            registry: self.registry.clone(),
            ambient: self.ambient.clone(),
            service_cidr: self.options.service_cidr,
            advertise: Some(([192, 0, 2, 1].into(), 6443)),
            trust: None,
        };
        options.run(&self.topology).await.expect("a fresh cluster takes them");
        for namespace in ["default", "kube-system"] {
            let account = serde_json::json!({"metadata": {"name": "default", "namespace": namespace}});
            self.create("serviceaccounts", &account).await.expect("the namespace is there");
        }
    }

    /// Stops cleanly and starts again over the same store.
    pub(super) async fn restart(self) -> Self {
        let count = self.shards.len();
        let (store, options, ambient) = (self.store.clone(), self.options.clone(), self.ambient.clone());
        self.stop().await;
        Self::with(count, store, options, ambient).await
    }

    /// Stops without a flush, as a crash does.
    pub(super) async fn crash(self) -> FaultyStore {
        self.running.iter().for_each(tokio::task::JoinHandle::abort);
        self.store
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        for running in self.running {
            running.await.expect("a shard does not panic");
        }
    }

    pub(super) fn resource(&self, id_name: &str) -> Arc<Resource> {
        self.registry.named_in("default", id_name).unwrap_or_else(|| panic!("{id_name} is a kind"))
    }

    pub(super) fn request(&self, id_name: &str, namespace: &str, name: &str, verb: Verb) -> Request {
        let user = UserInfo { name: "tester".to_owned(), ..UserInfo::default() };
        Request {
            id: self.ambient.entropy.next_u128(),
            cluster: "default".into(),
            resource: self.resource(id_name).id,
            served: 0,
            subresource: SmolStr::default(),
            namespace: namespace.into(),
            name: name.into(),
            user: Arc::new(user),
            verb,
        }
    }

    pub(super) async fn send(&self, request: Request) -> Result<Answer, Status> {
        let resource = self.registry.row(&request.cluster, request.resource).unwrap();
        let slot = resource.slot(&request.cluster, &request.namespace, &request.name);
        self.topology.execute(slot, request).await
    }

    pub(super) async fn create(&self, id_name: &str, body: &Value) -> Result<Arc<Object>, Status> {
        let (namespace, name) = name_of(body);
        let verb = Verb::Create {
            body: bytes(body),
            format: Format::Json,
            options: WriteOptions::default(),
            uid: uuid(&self.ambient),
        };
        object(self.send(self.request(id_name, &namespace, &name, verb)).await)
    }

    pub(super) async fn update(&self, id_name: &str, body: &Value) -> Result<Arc<Object>, Status> {
        self.update_part(id_name, "", body).await
    }

    pub(super) async fn update_part(&self, id_name: &str, part: &str, body: &Value) -> Result<Arc<Object>, Status> {
        let (namespace, name) = name_of(body);
        let verb = update_verb(&self.ambient, body);
        let mut request = self.request(id_name, &namespace, &name, verb);
        request.subresource = part.into();
        object(self.send(request).await)
    }

    pub(super) async fn merge(&self, id_name: &str, at: (&str, &str), patch: &Value) -> Result<Arc<Object>, Status> {
        let verb = Verb::Patch {
            body: bytes(patch),
            patch: PatchType::Merge,
            options: WriteOptions::default(),
            uid: String::new(),
        };
        object(self.send(self.request(id_name, at.0, at.1, verb)).await)
    }

    pub(super) async fn get(&self, id_name: &str, namespace: &str, name: &str) -> Result<Arc<Object>, Status> {
        object(self.send(self.request(id_name, namespace, name, Verb::Get { version: None })).await)
    }

    pub(super) async fn delete(
        &self,
        id_name: &str,
        at: (&str, &str),
        options: DeleteOptions,
    ) -> Result<Answer, Status> {
        self.send(self.request(id_name, at.0, at.1, Verb::Delete { options })).await
    }

    /// Every object of a namespace (empty: of all), over all shards, in order.
    pub(super) async fn list(&self, id_name: &str, namespace: &str) -> Vec<Arc<Object>> {
        let (map, mut at) = (self.topology.current(), None);
        for member in map.members() {
            at = at.max(Some(clock(&member.service).await));
        }
        let mut all = Vec::new();
        for member in map.members() {
            let slots = ListSlots::Exactly(member.slots.clone());
            let request = ListRequest { slots, at, ..self.list_request(id_name, namespace) };
            all.extend(member.service.list(request).await.expect("everybody is there").objects);
        }
        all.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        all
    }

    pub(super) fn list_request(&self, id_name: &str, namespace: &str) -> ListRequest {
        let resource = self.resource(id_name);
        ListRequest {
            slots: ListSlots::One(resource.list_slot("default", namespace).unwrap_or(Slot(0))),
            cluster: "default".into(),
            resource: resource.id,
            namespace: namespace.into(),
            selector: Arc::new(Selector::default()),
            at: None,
            after: None,
            limit: usize::MAX,
        }
    }

    /// The shard that owns a namespace's objects.
    pub(super) fn shard_of(&self, id_name: &str, namespace: &str) -> Arc<dyn ShardService> {
        let slot = self.resource(id_name).list_slot("default", namespace).expect("one slot holds them");
        self.topology.current().owner(slot).expect("every slot has an owner").service.clone()
    }

    /// A shard's stream of a resource.
    pub(super) async fn subscribe(
        &self,
        shard: &Arc<dyn ShardService>,
        id_name: &str,
        from: Option<Version>,
    ) -> Result<Subscription, Status> {
        let request = SubscribeRequest { cluster: "default".into(), resource: self.resource(id_name).id, from };
        shard.subscribe(request).await.map_err(ShardError::into_status)
    }
}

/// Shards that joined later are called as functions.
fn map(generation: u64, shards: &[Arc<Shard>], services: &[(Arc<Shard>, Arc<dyn ShardService>)]) -> SlotMap {
    let member = |shard: &Arc<Shard>| {
        let service = services.iter().find(|(of, _)| Arc::ptr_eq(of, shard)).map(|(_, service)| service.clone());
        let service = service.unwrap_or_else(|| shard.clone());
        Member { ordinal: shard.epoch().ordinal, service, slots: shard.owned() }
    };
    SlotMap::new(generation, shards.iter().map(member).collect())
}

pub(super) async fn clock(shard: &Arc<dyn ShardService>) -> Version {
    shard.clock().await.expect("it serves")
}

pub(super) fn config(
    ordinal: u16,
    slots: Vec<Slot>,
    store: &FaultyStore,
    registry: &Arc<Registry>,
    ambient: &Ambient,
    options: &ShardOptions,
) -> ShardConfig {
    ShardConfig {
        ordinal,
        slots,
        clusters: vec!["default".into()],
        ambient: ambient.clone(),
        registry: registry.clone(),
        store: Arc::new(store.clone()),
        options: options.clone(),
        metrics: ShardMetrics::default(),
    }
}

pub(super) fn update_verb(ambient: &Ambient, body: &Value) -> Verb {
    Verb::Update { body: bytes(body), format: Format::Json, options: WriteOptions::default(), uid: uuid(ambient) }
}

pub(super) fn bytes(body: &Value) -> Bytes {
    Bytes::from(body.to_string())
}

fn uuid(ambient: &Ambient) -> String {
    uuid::Builder::from_random_bytes(ambient.entropy.next_u128().to_be_bytes()).into_uuid().to_string()
}

fn name_of(body: &Value) -> (String, String) {
    let text = |field: &str| body["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

pub(super) fn object<E: Into<ShardError>>(answer: Result<Answer, E>) -> Result<Arc<Object>, Status> {
    match answer.map_err(|error| error.into().into_status())?.outcome {
        Outcome::Object(object) => Ok(object),
        Outcome::Document(document) => panic!("an object was expected, not {document}"),
    }
}

pub(super) fn document(answer: Result<Answer, Status>) -> Value {
    match answer.expect("it is allowed").outcome {
        Outcome::Document(document) => (*document).clone(),
        Outcome::Object(object) => panic!("a document was expected, not {}", object.name),
    }
}

pub(super) fn versions(objects: &[Arc<Object>]) -> Vec<Version> {
    objects.iter().map(|object| object.version).collect()
}
