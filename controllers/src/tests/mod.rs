//! All controllers together against an in-memory API, with a cranked clock and a stand-in for scheduler and kubelets.

mod garbage;
mod members;
mod nodes;
mod workloads;

use std::sync::Arc;
use std::time::Duration;

use api::Value;
use api::document::Document;
use bytes::Bytes;
use client::fake::{FakeApi, manual_ambient};
use client::{BodyStream, Client, Members, Transport, TransportError};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Controllers, ControllersConfig};

pub(super) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(super) const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
pub(super) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// The fake API with what controllers need beyond it: discovery, and generations that count changes of specs.
struct Server(FakeApi);

fn discovery(path: &str) -> Option<Value> {
    let list = |version: &str, rows: &[(&str, &str, bool)]| {
        let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
        let resources: Vec<Value> = rows
            .iter()
            .map(|(name, kind, namespaced)| json!({ "name": name, "kind": kind, "namespaced": namespaced, "verbs": verbs }))
            .collect();
        Some(json!({ "groupVersion": version, "resources": resources }))
    };
    match path {
        "/apis" => {
            let group = |name: &str| {
                let version = json!({ "groupVersion": format!("{name}/v1") });
                json!({ "name": name, "versions": [version], "preferredVersion": version })
            };
            Some(json!({ "groups": [group("apps"), group("discovery.k8s.io")] }))
        }
        "/api/v1" => list(
            "v1",
            &[
                ("pods", "Pod", true),
                ("configmaps", "ConfigMap", true),
                ("events", "Event", true),
                ("serviceaccounts", "ServiceAccount", true),
                ("services", "Service", true),
                ("nodes", "Node", false),
                ("namespaces", "Namespace", false),
            ],
        ),
        "/apis/apps/v1" => list("apps/v1", &[("deployments", "Deployment", true), ("replicasets", "ReplicaSet", true)]),
        "/apis/discovery.k8s.io/v1" => list("discovery.k8s.io/v1", &[("endpointslices", "EndpointSlice", true)]),
        _ => None,
    }
}

type Answer = BoxFuture<'static, Result<Response<BodyStream>, TransportError>>;

fn answer(value: &Value) -> Answer {
    let bytes = Bytes::from(value.to_string());
    let body = futures_util::stream::once(async move { Ok(bytes) }).boxed();
    Box::pin(async move { Ok(Response::new(body)) })
}

impl Server {
    fn delete_in_foreground(&self, request: &Request<Bytes>) -> Option<Answer> {
        let body: Value = serde_json::from_slice(request.body()).ok()?;
        if request.method() != "DELETE" || body.text(&["propagationPolicy"]) != "Foreground" {
            return None;
        }
        let mut object = self.0.object(request.uri().path())?;
        object.set(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z");
        object.set(&["metadata", "finalizers"], json!(["foregroundDeletion"]));
        self.0.put(request.uri().path(), object.clone());
        Some(answer(&object))
    }

    /// A write of a spec is a new generation.
    fn count(&self, request: Request<Bytes>) -> Request<Bytes> {
        let path = request.uri().path().to_owned();
        let Ok(mut body) = serde_json::from_slice::<Value>(request.body()) else { return request };
        if body.get("spec").is_none() || path.ends_with("/status") {
            return request;
        }
        let before = self.0.object(&path).and_then(|object| object.int(&["metadata", "generation"])).unwrap_or(0);
        body.set(&["metadata", "generation"], before + 1);
        request.map(|_| Bytes::from(body.to_string()))
    }
}

impl Transport for Server {
    fn send(&self, request: Request<Bytes>) -> Answer {
        if let Some(list) = discovery(request.uri().path()) {
            return answer(&list);
        }
        if let Some(answer) = self.delete_in_foreground(&request) {
            return answer;
        }
        let request = if request.method() == "GET" { request } else { self.count(request) };
        self.0.send(request)
    }
}

/// A cluster of one test.
pub(super) struct World {
    pub(super) api: FakeApi,
    pub(super) client: Client,
    /// End the Leases of the Nodes that [`World::running`] starts.
    pub(super) beats: Vec<CancellationToken>,
    shutdown: CancellationToken,
}

pub(super) fn members(own: &str, all: &[&str]) -> Members {
    Members { identities: all.iter().map(|name| (*name).to_owned()).collect(), own: own.to_owned() }
}

impl World {
    /// An API with namespace `default` and nobody at work.
    pub(super) fn new() -> Self {
        let api = FakeApi::new();
        let transport: Arc<dyn Transport> = Arc::new(Server(api.clone()));
        let client = Client::new(transport, "test", manual_ambient());
        let world = Self { api, client, beats: Vec::new(), shutdown: CancellationToken::new() };
        world.put(
            "/api/v1/namespaces/default",
            json!({
                "kind": "Namespace", "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" },
            }),
        );
        world
    }

    /// The same with controllers and three Nodes that run Pods.
    pub(super) async fn running() -> Self {
        let mut world = Self::new();
        world.control(watch::channel(members("a", &["a"])).1, &world.shutdown);
        for node in ["n1", "n2", "n3"] {
            world.add_node(node);
            let beat = world.heartbeat(node);
            world.beats.push(beat);
        }
        world.run_pods(&["n1", "n2", "n3"]);
        world.pass(1.0).await;
        world
    }

    /// Starts a member's controllers.
    pub(super) fn control(&self, membership: watch::Receiver<Members>, shutdown: &CancellationToken) {
        let config = ControllersConfig::default();
        let ambient = self.client.ambient().clone();
        Controllers::start(self.client.clone(), config, membership, ambient, shutdown.clone()).unwrap();
    }

    /// Lets time pass. The clock is paused, so this takes as long as the work in it.
    pub(super) async fn pass(&self, seconds: f64) {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }

    /// Waits until something holds.
    pub(super) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..6000 {
            if holds() {
                return;
            }
            self.pass(0.01).await;
        }
        panic!(
            "after a minute still not: {what}; the last requests: {:#?}",
            self.api.requests().iter().rev().take(30).collect::<Vec<_>>()
        );
    }

    pub(super) fn put(&self, path: &str, mut object: Value) {
        let parts: Vec<&str> = path.split('/').collect();
        object.set(&["metadata", "name"], parts[parts.len() - 1]);
        if let ["namespaces", namespace, _, _] = parts[parts.len() - 4..] {
            object.set(&["metadata", "namespace"], namespace);
        }
        object.set_default(&["metadata", "generation"], 1);
        object.set_default(&["apiVersion"], "v1");
        self.api.put(path, object);
    }

    /// Changes an object as a user would.
    pub(super) fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.api.object(path).unwrap();
        change(&mut object);
        let generation = object.int(&["metadata", "generation"]).unwrap_or(0);
        object.set(&["metadata", "generation"], generation + 1);
        self.api.put(path, object);
    }

    pub(super) fn add_node(&self, name: &str) {
        self.put(
            &format!("/api/v1/nodes/{name}"),
            json!({
                "kind": "Node",
                "metadata": { "labels": { "topology.kubernetes.io/zone": "z" } },
                "spec": { "taints": [{ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" }] },
                "status": { "conditions": [{ "type": "Ready", "status": "True", "lastHeartbeatTime": "t0" }] },
            }),
        );
    }

    /// Renews a Node's Lease every ten seconds until the token ends it.
    pub(super) fn heartbeat(&self, node: &str) -> CancellationToken {
        let (api, end) = (self.api.clone(), self.shutdown.child_token());
        let (path, token) =
            (format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}"), end.clone());
        let (name, clock) = (node.to_owned(), self.client.ambient().clock.clone());
        tokio::spawn(async move {
            while !token.is_cancelled() {
                let now = api::time::format_micros(clock.wall_micros());
                api.put(
                    &path,
                    json!({
                        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                        "metadata": { "name": name, "namespace": "kube-node-lease", "uid": format!("lease-{name}") },
                        "spec": { "renewTime": now },
                    }),
                );
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        });
        end
    }

    /// Binds Pods to Nodes and runs them, and ends those that are deleted.
    pub(super) fn run_pods(&self, nodes: &[&str]) {
        let (api, end) = (self.api.clone(), self.shutdown.clone());
        let nodes: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
        let clock = self.client.ambient().clock.clone();
        tokio::spawn(async move {
            let mut next = 0;
            while !end.is_cancelled() {
                for mut pod in api.collection(PODS) {
                    let path = format!("{PODS}/{}", pod.name());
                    if pod.is_deleting() {
                        api.remove(&path);
                    } else if pod.text(&["spec", "nodeName"]).is_empty() {
                        next += 1;
                        pod.set(&["spec", "nodeName"], nodes[next % nodes.len()].as_str());
                        pod.set(&["status", "phase"], "Running");
                        pod.set(&["status", "podIP"], format!("10.1.{}.{}", next / 250, next % 250 + 1));
                        let now = api::time::format_seconds(clock.wall_micros());
                        let ready = json!({ "type": "Ready", "status": "True", "lastTransitionTime": now });
                        pod.set(&["status", "conditions"], json!([ready]));
                        api.put(&path, pod);
                    }
                }
                tokio::time::sleep(Duration::from_millis(70)).await;
            }
        });
    }

    pub(super) fn deploy(&self, name: &str, replicas: i32) {
        self.put(&format!("{DEPLOYMENTS}/{name}"), json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "spec": {
                "replicas": replicas, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
                "selector": { "matchLabels": { "app": name } },
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
                "template": {
                    "metadata": { "labels": { "app": name } },
                    "spec": { "containers": [{ "name": "c", "image": "nginx:1.21" }], "tolerations": [
                        { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
                          "tolerationSeconds": 300 },
                    ] },
                },
            },
        }));
    }

    pub(super) fn deployment(&self, name: &str) -> Value {
        self.api.object(&format!("{DEPLOYMENTS}/{name}")).unwrap()
    }

    /// Whether a rollout is complete, by the rules of `kubectl rollout status`.
    pub(super) fn is_rolled_out(&self, name: &str) -> bool {
        let deployment = self.deployment(name);
        let count = |field: &str| deployment.int(&["status", field]).unwrap_or(0);
        let wanted = deployment.int(&["spec", "replicas"]).unwrap();
        count("observedGeneration") >= deployment.int(&["metadata", "generation"]).unwrap()
            && count("updatedReplicas") == wanted
            && count("replicas") == wanted
            && count("availableReplicas") == wanted
    }

    pub(super) fn events(&self, reason: &str) -> Vec<String> {
        let events = self.api.collection("/api/v1/namespaces/default/events");
        let named = events.iter().filter(|event| event.text(&["reason"]) == reason);
        named.map(|event| event.text(&["message"]).to_owned()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
