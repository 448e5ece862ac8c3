//! What a call costs when gateway and shard are two processes: CPU time for each request, of both sides together, as a
//! function call and over TLS on loopback. Renewals of Leases and reads of a 3 kB Pod, 64 and 1,000 at once.
//!
//! Criterion's unit is wall time; here it is CPU time (`CLOCK_PROCESS_CPUTIME_ID`), so "time" is what one request costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::Registry;
use api::ambient::{Ambient, Clock, Entropy};
use api::builtin::{RuntimeConfig, registry};
use api::slot::{SLOTS, Slot};
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use shards::rpc::client::{Calling, RemoteShard};
use shards::rpc::server::Offered;
use shards::service::*;
use shards::{Shard, ShardConfig, ShardMetrics, ShardOptions, Topology};
use store::memory::MemoryStore;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use wire::{Identity, Role, Timing};

const NODES: usize = 1000;
const LEASES: &str = "leases.coordination.k8s.io";
const NAMESPACE: &str = "kube-node-lease";

/// The machine's, for certificates and versions.
struct Machine(tokio::time::Instant);

impl Clock for Machine {
    #[expect(clippy::disallowed_methods, reason = "a bench is its own binary")]
    fn wall_micros(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
    }

    fn boot(&self) -> Duration {
        self.0.elapsed()
    }
}

struct Counter(AtomicU64);

impl Entropy for Counter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

struct Bench {
    runtime: Runtime,
    registry: Arc<Registry>,
    ambient: Ambient,
    user: Arc<UserInfo>,
    ways: [(&'static str, Arc<dyn ShardService>); 2],
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let runtime = Runtime::new().expect("threads can be started");
        let _inside = runtime.enter();
        let clock = Arc::new(Machine(tokio::time::Instant::now()));
        let ambient = Ambient { clock, entropy: Arc::new(Counter(AtomicU64::new(1))) };
        let registry = Arc::new(registry(&RuntimeConfig::default()));
        let directory = tempfile::tempdir().expect("there is room");
        let identity = |role| Identity::ensure(directory.path(), role, &ambient).expect("a directory of our own");
        let shard = runtime.block_on(start(&registry, &ambient));
        let mut routes = RoutesBuilder::default();
        Offered::new(shard.clone(), registry.clone(), CancellationToken::new()).add_to(&mut routes);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("loopback is there");
        let address = listener.local_addr().expect("it is bound").to_string();
        let own = identity(Role::Shard);
        let serving = wire::serve::serve(listener, &own, routes.routes(), Timing::default(), CancellationToken::new());
        runtime.spawn(serving.expect("a good certificate"));
        let calling = Calling::new(identity(Role::Gateway), registry.clone(), ambient.clone());
        let remote = Arc::new(RemoteShard::new(&address, &calling).expect("a good certificate"));
        let groups = ["system:nodes", "system:authenticated"].map(str::to_owned).into();
        let user = UserInfo { name: "system:node:node-1234".to_owned(), groups, ..UserInfo::default() };
        Self {
            ways: [("in process", shard), ("over TLS", remote)],
            _directory: directory,
            registry,
            ambient,
            user: Arc::new(user),
            runtime,
        }
    }

    fn request(&self, id_name: &str, namespace: &str, name: &str, verb: Verb) -> Request {
        Request {
            id: self.ambient.entropy.next_u128(),
            cluster: "default".into(),
            resource: self.registry.named(id_name).expect("a built-in kind").id,
            served: 0,
            subresource: "".into(),
            namespace: namespace.into(),
            name: name.into(),
            user: self.user.clone(),
            verb,
        }
    }

    fn lease(&self, node: usize) -> Request {
        let name = format!("node-{node}");
        let body = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": "2026-11-22T12:00:00.000000Z"},
        });
        let (body, format, options) = (Bytes::from(body.to_string()), Format::Json, WriteOptions::default());
        let uid = format!("{:032x}", self.ambient.entropy.next_u128());
        self.request(LEASES, NAMESPACE, &name, Verb::Create { body, format, options, uid })
    }

    fn renewal(&self, at: usize) -> Request {
        let body = json!({"spec": {"renewTime": format!("2026-11-22T12:00:00.{:06}Z", at % 1_000_000)}});
        let (body, patch, options) = (Bytes::from(body.to_string()), PatchType::Merge, WriteOptions::default());
        self.request(
            LEASES,
            NAMESPACE,
            &format!("node-{}", at % NODES),
            Verb::Patch { body, patch, options, uid: String::new() },
        )
    }

    fn pod(&self) -> Request {
        let container = |at: usize| {
            let env: Vec<_> = (0..12).map(|at| json!({"name": format!("VARIABLE_{at}"), "value": "a value"})).collect();
            json!({"name": format!("c{at}"), "image": "nginx:1.21", "env": env})
        };
        let body = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "pod", "namespace": "default", "labels": {"app": "web"}},
            "spec": {"containers": [container(0), container(1)]},
        });
        let (body, format, options) = (Bytes::from(body.to_string()), Format::Json, WriteOptions::default());
        let uid = format!("{:032x}", self.ambient.entropy.next_u128());
        self.request("pods", "default", "pod", Verb::Create { body, format, options, uid })
    }

    /// CPU time that so many calls take, of which `at_once` are under way at a time.
    fn cost(&self, way: usize, calls: u64, at_once: usize, make: impl Fn(usize) -> Request) -> Duration {
        let service = &self.ways[way].1;
        // Made before, for a gateway makes them in any case.
        let mut requests: Vec<Vec<Request>> = vec![Vec::new(); at_once];
        (0..calls as usize).for_each(|at| requests[at % at_once].push(make(at)));
        self.runtime.block_on(async {
            let before = cpu();
            let workers: Vec<_> = requests
                .into_iter()
                .map(|requests| {
                    let service = service.clone();
                    tokio::spawn(async move {
                        for request in requests {
                            service.execute(request).await.expect("it is allowed");
                        }
                    })
                })
                .collect();
            for worker in workers {
                worker.await.expect("it does not panic");
            }
            cpu() - before
        })
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
    let bootstrap = shards::Bootstrap {
        cluster: "default".into(),
        registry: registry.clone(),
        ambient: ambient.clone(),
        service_cidr: cidr,
        advertise: None,
        trust: None,
    };
    bootstrap.run(&topology).await.expect("a fresh cluster takes them");
    shard
}

fn wire(criterion: &mut Criterion) {
    let bench = Bench::new();
    let must =
        |request| bench.runtime.block_on(async { bench.ways[0].1.execute(request).await }).expect("it is allowed");
    let account = json!({"metadata": {"name": "default", "namespace": "default"}});
    let verb = Verb::Create {
        body: Bytes::from(account.to_string()),
        format: Format::Json,
        options: WriteOptions::default(),
        uid: "0-1".to_owned(),
    };
    must(bench.request("serviceaccounts", "default", "default", verb));
    must(bench.pod());
    (0..NODES).for_each(|node| _ = must(bench.lease(node)));
    for at_once in [64, 1000] {
        let mut group = criterion.benchmark_group(format!("CPU of a call, {at_once} at once"));
        for (way, (name, _)) in bench.ways.iter().enumerate() {
            group.bench_function(format!("renew a Lease, {name}"), |bencher| {
                bencher.iter_custom(|calls| bench.cost(way, calls, at_once, |at| bench.renewal(at)));
            });
            group.bench_function(format!("get a Pod, {name}"), |bencher| {
                let get = |_| bench.request("pods", "default", "pod", Verb::Get { version: None });
                bencher.iter_custom(|calls| bench.cost(way, calls, at_once, get));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, wire);
criterion_main!(benches);
