//! What deciding costs: one scheduling cycle on 5,000 nodes, and 5,000 pods of many owners and templates.

use std::sync::Arc;

use client::fake::manual_ambient;
use client::{Change, Members};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use scheduler::engine::Engine;
use scheduler::view::{NodeView, PodView};
use serde_json::{Value, json};

const NODES: usize = 5000;
const PODS: usize = 5000;
const TEMPLATES: usize = 100;

fn node(number: usize) -> Value {
    let name = format!("node-{number}");
    json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": format!("zone-{}", number % 3),
        }},
        "spec": {"taints": if number.is_multiple_of(50) { json!([{"key": "dedicated", "effect": "NoSchedule"}]) } else { json!([]) }},
        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "110"}},
    })
}

/// A pod of a template, and of a ReplicaSet or of nobody: only the former is spread.
fn pod(number: usize, milli: usize, owner: Option<usize>) -> Arc<PodView> {
    let name = format!("pod-{number}");
    let owners: Vec<Value> = owner
        .map(|owner| {
            let uid = format!("2d8c4b8e-0000-4000-8000-{owner:012}");
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": uid, "controller": true})
        })
        .into_iter()
        .collect();
    let document = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "ownerReferences": owners},
        "spec": {
            "schedulerName": "default-scheduler",
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "containers": [{"name": "c", "resources": {"requests": {"cpu": format!("{milli}m"), "memory": "64Mi"}}}],
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
            ],
        },
    });
    Arc::new(serde_json::from_value(document).expect("a pod"))
}

fn engine() -> Engine {
    let mut engine = Engine::new("default-scheduler", manual_ambient(), Arc::default());
    let members = Members { identities: ["one".to_owned()].as_slice().into(), own: "one".to_owned() };
    let view = |number| -> Arc<NodeView> { Arc::new(serde_json::from_value(node(number)).expect("a node")) };
    let nodes: Vec<_> = (0..NODES).map(view).collect();
    engine.members_changed(&members, &nodes, &[]);
    engine.wake();
    engine
}

fn place(engine: &mut Engine, pod: &Arc<PodView>) {
    engine.pod_changed(&Change::Added(pod.clone()));
    assert_eq!(engine.decide(1).len(), 1);
    engine.pod_changed(&Change::Deleted(pod.clone()));
}

fn cycle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cycle on 5,000 nodes");
    for (name, owner, siblings) in [("nobody's", None, 0), ("replica", Some(0), 0), ("1,001st replica", Some(0), 1000)]
    {
        let mut ready = engine();
        for number in 0..siblings {
            ready.pod_changed(&Change::Added(pod(1 + number, 100, owner)));
        }
        while !ready.decide(PODS).is_empty() {}
        let known = pod(0, 100, owner);
        group.bench_function(format!("known class, {name}"), |bench| bench.iter(|| place(&mut ready, &known)));
    }
    let mut ready = engine();
    let mut number = 0;
    let mut fresh = || {
        number += 1;
        // A class is long forgotten when its turn comes again, and no pod is larger than a node.
        pod(number, 100 + number % 7000, Some(number))
    };
    group.bench_function("new class", |bench| {
        bench.iter_batched(&mut fresh, |pod| place(&mut ready, &pod), BatchSize::PerIteration);
    });
    group.finish();
}

fn rollout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("5,000 pods on 5,000 nodes");
    group.sample_size(10);
    type Of = fn(usize) -> (usize, Option<usize>);
    let cases: [(&str, Of); 4] = [
        ("100 templates, nobody's", |number| (50 + number % TEMPLATES, None)),
        ("100 templates of an owner each", |number| (50 + number % TEMPLATES, Some(number % TEMPLATES))),
        ("one template, 100 owners", |number| (50, Some(number % TEMPLATES))),
        ("one template, one owner", |_| (50, Some(0))),
    ];
    for (name, of) in cases {
        let make = |number| {
            let (milli, owner) = of(number);
            pod(number, milli, owner)
        };
        let pods: Vec<_> = (0..PODS).map(make).collect();
        let queued = || {
            let mut engine = engine();
            for pod in &pods {
                engine.pod_changed(&Change::Added(pod.clone()));
            }
            engine
        };
        group.bench_function(name, |bench| {
            bench.iter_batched(
                queued,
                |mut engine| {
                    let batches = std::iter::from_fn(|| Some(engine.decide(PODS).len()).filter(|count| *count > 0));
                    assert_eq!(batches.sum::<usize>(), PODS);
                    engine
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, cycle, rollout);
criterion_main!(benches);
