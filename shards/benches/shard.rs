//! One shard over a store in memory: what a 3 kB Pod costs on its way in, and what it costs to show many of them.
//!
//! `decode`, `admit` (a dry run: decode, default, admit, validate), `encode`, `sequence` (a write up to its
//! acknowledgement; of 64 at once, so that batches fill; also beside a namespace that has a quota, and under one), `list`
//! (20,000 Pods) and `fan-out` (a change to 50 streams).

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::ambient::{Ambient, Clock, Entropy};
use api::builtin::{RuntimeConfig, registry};
use api::codec;
use api::object::Draft;
use api::resource::ResourceId;
use api::selector::{FieldSelector, Selector};
use api::slot::{SLOTS, Slot, SlotSet};
use api::version::EPOCH_UNIX_MICROS;
use api::{Registry, Value, Version};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use shards::service::*;
use shards::{Shard, ShardConfig, ShardMetrics, ShardOptions, Topology};
use smol_str::SmolStr;
use store::memory::MemoryStore;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const PODS: usize = 20_000;
const STREAMS: usize = 50;
const AT_ONCE: usize = 64;

struct Uptime(tokio::time::Instant);

impl Clock for Uptime {
    fn wall_micros(&self) -> i64 {
        EPOCH_UNIX_MICROS + 50_000_000_000_000 + self.0.elapsed().as_micros() as i64
    }

    fn boot(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Different every time, and nothing more.
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }
}

struct Bench {
    runtime: Runtime,
    shard: Arc<Shard>,
    registry: Arc<Registry>,
    ambient: Ambient,
    names: AtomicU64,
}

impl Bench {
    /// A stream of a resource from now on.
    fn follow(&self, resource: ResourceId) -> Subscription {
        self.runtime.block_on(async {
            let from = Some(self.shard.clock().await.expect("it serves"));
            let request = SubscribeRequest { cluster: "default".into(), resource, from };
            self.shard.subscribe(request).await.expect("in the window")
        })
    }

    fn new() -> Self {
        let runtime = Runtime::new().expect("threads can be started");
        let clock = Arc::new(Uptime(tokio::time::Instant::now()));
        let ambient = Ambient { clock, entropy: Arc::new(Counter(AtomicU64::new(1))) };
        let registry = Arc::new(registry(&RuntimeConfig::default()));
        let shard = runtime.block_on(start(&registry, &ambient));
        Self { runtime, shard, registry, ambient, names: AtomicU64::new(0) }
    }

    fn request(&self, id_name: &str, namespace: &str, name: &str, verb: Verb) -> Request {
        Request {
            id: self.ambient.entropy.next_u128(),
            cluster: "default".into(),
            resource: self.registry.named(id_name).expect("a built-in kind").id,
            served: 0,
            subresource: SmolStr::default(),
            namespace: namespace.into(),
            name: name.into(),
            user: Arc::default(),
            verb,
        }
    }

    fn create(&self, id_name: &str, body: &Value, dry_run: bool) -> Request {
        let text = |field: &str| body["metadata"][field].as_str().unwrap_or_default();
        let verb = Verb::Create {
            body: Bytes::from(body.to_string()),
            format: Format::Json,
            options: WriteOptions { dry_run, ..WriteOptions::default() },
            uid: format!("{:032x}", self.ambient.entropy.next_u128()),
        };
        self.request(id_name, text("namespace"), text("name"), verb)
    }

    fn new_pod(&self, dry_run: bool) -> Request {
        self.create("pods", &pod(self.names.fetch_add(1, Ordering::Relaxed)), dry_run)
    }

    fn must(&self, request: Request) -> Answer {
        self.runtime.block_on(self.shard.execute(request)).expect("it is allowed")
    }

    /// Adds Pods until there are that many.
    fn fill(&self, count: usize) {
        let pods: Vec<Request> = (0..count).map(|_| self.new_pod(false)).collect();
        for some in pods.chunks(512) {
            let all = some.iter().map(|request| self.shard.execute(request.clone()));
            for answer in self.runtime.block_on(futures_util::future::join_all(all)) {
                answer.expect("it is allowed");
            }
        }
    }
}

async fn start(registry: &Arc<Registry>, ambient: &Ambient) -> Arc<Shard> {
    let config = ShardConfig {
        ordinal: 0,
        slots: (0..SLOTS).map(Slot).collect(),
        clusters: vec!["default".into()],
        ambient: ambient.clone(),
        registry: registry.clone(),
        store: Arc::new(MemoryStore::new()),
        options: ShardOptions::default(),
        metrics: ShardMetrics::default(),
    };
    let cidr = config.options.service_cidr;
    let shard = Shard::open(config).await.expect("the store is empty");
    let topology = Topology::fixed(vec![shard.clone() as Arc<dyn ShardService>]);
    shard.connect(topology.clone());
    let running = shard.clone();
    tokio::spawn(async move { running.run(CancellationToken::new()).await });
    shards::bootstrap(&topology, registry, ambient, "default", cidr).await.expect("the cluster is new");
    shard
}

/// About 3 kB, as a Deployment's Pod is once it runs.
fn pod(number: u64) -> Value {
    let env: Vec<Value> = (0..12)
        .map(|at| json!({"name": format!("SETTING_{at}"), "value": format!("a value of some length {at}")}))
        .collect();
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example.com/team/web:1.21", "imagePullPolicy": "IfNotPresent", "env": env,
            "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "200m", "memory": "256Mi"}},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        })
    };
    json!({
        "metadata": {
            "name": format!("web-7d9c8b6f5d-{number:08}"), "namespace": "default",
            "labels": {"app": "web", "pod-template-hash": "7d9c8b6f5d", "tier": "front"},
            "annotations": {"example.com/checksum": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        },
        "spec": {
            "nodeName": format!("node-{}", number % 500),
            "containers": [container("web"), container("sidecar")],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "web", "effect": "NoSchedule"}],
        },
    })
}

fn way_in(criterion: &mut Criterion) {
    let bench = Bench::new();
    bench.must(bench.create(
        "serviceaccounts",
        &json!({"metadata": {"name": "default", "namespace": "default"}}),
        false,
    ));
    let resource = bench.registry.named("pods").expect("a built-in kind").clone();
    let body = pod(0).to_string();
    let decode = || codec::decode(resource.stored_shape(), body.as_bytes(), codec::Format::Json).expect("a pod");
    let mut group = criterion.benchmark_group("pod");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decode", |bencher| bencher.iter(|| black_box(decode())));
    group.bench_function("admit", |bencher| {
        bencher.iter_batched(|| bench.new_pod(true), |request| bench.must(request), BatchSize::SmallInput);
    });
    let document = decode().value;
    group.bench_function("encode", |bencher| {
        bencher.iter(|| black_box(Draft::new(&resource, &document).seal(Version::new(1 << 45, 0))));
    });
    group.throughput(Throughput::Elements(AT_ONCE as u64));
    for (name, namespace) in [
        ("sequence", None),
        ("sequence beside a quota", Some("kube-public")),
        ("sequence under a quota", Some("default")),
    ] {
        if let Some(namespace) = namespace {
            let spec =
                json!({"hard": {"pods": "1000000000", "requests.cpu": "1000000000", "limits.memory": "1000000Ti"}});
            let quota = json!({"metadata": {"name": "q", "namespace": namespace}, "spec": spec});
            bench.must(bench.create("resourcequotas", &quota, false));
        }
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (0..AT_ONCE).map(|_| bench.new_pod(false)).collect::<Vec<_>>(),
                |requests| {
                    let all = requests.into_iter().map(|request| bench.shard.execute(request));
                    bench.runtime.block_on(futures_util::future::join_all(all))
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn way_out(criterion: &mut Criterion) {
    let bench = Bench::new();
    bench.must(bench.create(
        "serviceaccounts",
        &json!({"metadata": {"name": "default", "namespace": "default"}}),
        false,
    ));
    bench.fill(PODS);
    let resource = bench.registry.named("pods").expect("a built-in kind").clone();
    let list = |fields: &str| ListRequest {
        slots: ListSlots::Exactly(Arc::new(SlotSet::full())),
        cluster: "default".into(),
        resource: resource.id,
        namespace: SmolStr::default(),
        selector: Arc::new(Selector {
            fields: FieldSelector::parse(fields, &resource).expect("a field of pods"),
            ..Selector::default()
        }),
        at: None,
        after: None,
        limit: usize::MAX,
    };
    let mut group = criterion.benchmark_group("list");
    group.bench_function("20000 pods", |bencher| {
        bencher.iter(|| bench.runtime.block_on(bench.shard.list(list(""))).expect("in the window").objects.len());
    });
    group.bench_function("one node's pods", |bencher| {
        let one = "spec.nodeName=node-7";
        bencher.iter(|| bench.runtime.block_on(bench.shard.list(list(one))).expect("in the window").objects.len());
    });
    group.finish();

    let mut streams: Vec<_> = (0..STREAMS).map(|_| bench.follow(resource.id)).collect();
    let mut group = criterion.benchmark_group("watch");
    group.throughput(Throughput::Elements((STREAMS * AT_ONCE) as u64));
    group.bench_function("fan-out", |bencher| {
        bencher.iter_batched(
            || (0..AT_ONCE).map(|_| bench.new_pod(false)).collect::<Vec<_>>(),
            |requests| {
                bench.runtime.block_on(async {
                    let all = requests.into_iter().map(|request| bench.shard.execute(request));
                    futures_util::future::join_all(all).await;
                });
                streams.iter_mut().for_each(|stream| while stream.deliveries.try_recv().is_ok() {});
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, way_in, way_out);
criterion_main!(benches);
