//! What a Pod of 3 kB costs: its way in (decode, default, validate, encode), and server-side apply of it.
//!
//! `apply/same` applies what is applied already, as controllers do all day; `apply/change` changes one image; `apply/create`
//! begins with nothing; `apply/two` applies one part of a Pod whose other part a kubelet has written.

use std::hint::black_box;
use std::sync::Arc;

use api::apply::{Sent, Tracking};
use api::builtin::{RuntimeConfig, registry};
use api::codec::{self, Format};
use api::document::Document;
use api::object::Draft;
use api::resource::Resource;
use api::status::Causes;
use api::{Value, Version, names};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;

const NOW: &str = "2026-01-02T03:04:05Z";

/// As a Deployment's Pod is written.
fn pod(image: &str) -> Value {
    let env: Vec<Value> = (0..12)
        .map(|at| json!({"name": format!("SETTING_{at}"), "value": format!("a value of some length {at}")}))
        .collect();
    let container = |name: &str| {
        json!({
            "name": name, "image": image, "imagePullPolicy": "IfNotPresent", "env": env,
            "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "200m", "memory": "256Mi"}},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-7d9c8b6f5d-00000001", "namespace": "default",
            "labels": {"app": "web", "pod-template-hash": "7d9c8b6f5d", "tier": "front"},
            "annotations": {"example.com/checksum": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        },
        "spec": {
            "nodeName": "node-1", "containers": [container("web"), container("sidecar")], "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "web", "effect": "NoSchedule"}],
        },
    })
}

fn pods() -> Arc<Resource> {
    registry(&RuntimeConfig::default()).named("pods").expect("a built-in kind").clone()
}

/// Decode, default, validate and encode: what a creation does to a Pod, without admission.
fn way_in(resource: &Resource, body: &[u8]) -> usize {
    let mut document = codec::decode(resource.stored_shape(), body, Format::Json).expect("a Pod").value;
    document.remove(&["kind"]);
    document.remove(&["apiVersion"]);
    let (strategy, mut causes) = (&resource.strategy, Causes::default());
    strategy.default(&mut document);
    strategy.prepare_create(&mut document);
    strategy.validate(&document, &mut causes);
    strategy.validate_create(&document, &mut causes);
    names::validate_metadata(&document, true, |name| strategy.validate_name(name), &mut causes);
    assert!(causes.is_empty(), "{causes:?}");
    Draft::new(resource, &document).seal(Version::new(1 << 45, 0)).stored().len()
}

/// A stored Pod whose managedFields are those of who applied it.
fn applied(resource: &Resource, manager: &str, live: Option<&Value>, config: &Value) -> Value {
    let tracking = Tracking::of(resource, &resource.served[0], "", manager, NOW);
    let applied = tracking.apply(live, config, false).expect("nobody minds");
    let mut document = applied.document;
    document.remove(&["kind"]);
    document.remove(&["apiVersion"]);
    resource.strategy.default(&mut document);
    document.set(&["metadata", "managedFields"], applied.managers);
    Draft::new(resource, &document).seal(Version::new(1 << 45, 0)).working_copy()
}

/// The same behind what a kubelet says about it.
fn with_status(resource: &Resource, mut live: Value) -> Value {
    let before = live.remove(&["metadata", "managedFields"]).unwrap_or_default();
    let old = live.clone();
    let condition = |of: &str| json!({"type": of, "status": "True", "lastTransitionTime": NOW});
    let conditions = ["Ready", "Initialized", "ContainersReady", "PodScheduled"].map(condition);
    live.set(
        &["status"],
        json!({
            "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "hostIP": "10.1.0.1", "startTime": NOW,
            "conditions": conditions,
        }),
    );
    let tracking = Tracking::of(resource, &resource.served[0], "status", "kubelet", NOW);
    let text = tracking.update(before.as_str().unwrap_or_default(), &old, &live, Sent::Nothing);
    live.set(&["metadata", "managedFields"], text);
    live
}

fn bench(criterion: &mut Criterion) {
    let resource = pods();
    let (config, other) = (pod("registry.example.com/team/web:1.21"), pod("registry.example.com/team/web:1.22"));
    let body = config.to_string();
    let mut group = criterion.benchmark_group("pod");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("in", |bencher| bencher.iter(|| black_box(way_in(&resource, body.as_bytes()))));
    group.finish();

    let live = applied(&resource, "one", None, &config);
    let running = with_status(&resource, live.clone());
    let mut group = criterion.benchmark_group("apply");
    let mut case = |name: &str, manager: &str, live: Option<&Value>, config: &Value| {
        let text = config.to_string();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let config = codec::plain(text.as_bytes()).expect("a document").value;
                let tracking = Tracking::of(&resource, &resource.served[0], "", manager, NOW);
                black_box(tracking.apply(live, &config, true).expect("nobody minds"))
            });
        });
    };
    case("create", "one", None, &config);
    case("same", "one", Some(&running), &config);
    case("change", "one", Some(&running), &other);
    let label = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-7d9c8b6f5d-00000001", "namespace": "default", "labels": {"color": "blue"}},
    });
    case("two", "two", Some(&running), &label);
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
