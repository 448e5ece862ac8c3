use std::time::Duration;

use api::Value;
use api::patch::PatchType;
use client::fake::{FakeApi, manual_ambient};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::*;
use crate::config::{Events, Latency};

const PODS: &str = "/api/v1/namespaces/default/pods";

struct Test {
    server: FakeApi,
    fleet: Fleet,
    client: Client,
    shutdown: CancellationToken,
}

fn fixed(millis: u64) -> Latency {
    Latency { median: Duration::from_millis(millis), sigma: 0.0 }
}

fn in_process(nodes: usize) -> FleetConfig {
    FleetConfig { pod_start: fixed(100), pod_stop: fixed(50), ..FleetConfig::in_process(nodes) }
}

async fn start(server: &FakeApi, config: FleetConfig) -> Test {
    let (ambient, shutdown) = (manual_ambient(), CancellationToken::new());
    let (apis, clock) = (server.clone(), ambient.clone());
    let client_for = move |node: &str| apis.client(clock.clone()).named(&format!("kubelet {node}"));
    let fleet = Fleet::start(config, client_for, ambient.clone(), shutdown.clone());
    let test = Test { server: server.clone(), fleet, client: server.client(ambient), shutdown };
    pass(0.05).await;
    test
}

async fn pass(seconds: f64) {
    sleep(Duration::from_secs_f64(seconds)).await;
}

impl Test {
    /// As node IPAM does.
    fn give_range(&self, node: &str, range: &str) {
        let path = format!("/api/v1/nodes/{node}");
        let mut object = self.server.object(&path).unwrap();
        object["spec"]["podCIDR"] = range.into();
        object["spec"]["podCIDRs"] = json!([range]);
        self.server.put(&path, object);
    }

    fn bind(&self, name: &str, node: &str, more: Value) {
        let mut pod = json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "default", "generation": 1},
            "spec": {"nodeName": node, "containers": [{"name": "nginx", "image": "nginx:1.21"}]},
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]},
        });
        merge(&mut pod, &more);
        self.server.put(&format!("{PODS}/{name}"), pod);
    }

    fn pod(&self, name: &str) -> Value {
        self.server.object(&format!("{PODS}/{name}")).unwrap_or_default()
    }

    fn status(&self, name: &str) -> Value {
        self.pod(name)["status"].clone()
    }

    fn node(&self, name: &str) -> Value {
        self.server.object(&format!("/api/v1/nodes/{name}")).unwrap_or_default()
    }

    fn events(&self) -> Vec<String> {
        let events = self.server.collection("/api/v1/namespaces/default/events");
        events.iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn condition(object: &Value, kind: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let found: Vec<_> = conditions.iter().filter(|condition| condition["type"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}: {conditions:?}");
    found[0]["status"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn nodes_register_ready_by_three_calls_each() {
    let server = FakeApi::new();
    let test = start(&server, in_process(50)).await;
    let counters = test.fleet.counters();
    assert_eq!((counters.registered.get(), counters.ready.get()), (50, 50));
    assert_eq!(server.requests().len(), 150, "{:?}", &server.requests()[..10]);
    let node = test.node("node-7");
    assert_eq!(condition(&node, "Ready"), "True");
    assert_eq!(node["metadata"]["labels"]["topology.kubernetes.io/zone"], "sim-b");
    assert_eq!(node["status"]["nodeInfo"]["containerRuntimeVersion"], "shardplane-sim://0.1");
    let lease = server.object("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-7").unwrap();
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 40);
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], node["metadata"]["uid"]);
    let before = counters.renewals.get();
    pass(100.0).await;
    let renewed = counters.renewals.get() - before;
    assert!((480..=550).contains(&renewed), "{renewed} renewals of 50 nodes in 100 s");
    pass(300.0).await;
    assert!(server.count("PATCH", "/status") >= 50, "a status that did not change is reported every five minutes");
    test.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(1), test.fleet.stopped()).await.unwrap();
    assert_eq!(test.fleet.counters().ready.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_and_goes() {
    let server = FakeApi::new();
    let test = start(&server, in_process(2)).await;
    test.give_range("node-1", "10.128.5.0/24");
    let before = server.requests().len();
    test.bind("web", "node-1", json!({}));
    pass(0.3).await;
    let status = test.status("web");
    assert_eq!(
        (&status["phase"], &status["podIP"], &status["hostIP"]),
        (&json!("Running"), &json!("10.128.5.2"), &json!("127.0.0.1"))
    );
    for kind in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        assert_eq!(condition(&test.pod("web"), kind), "True", "{kind}");
    }
    let calls = &server.requests()[before..];
    let writes = calls.iter().filter(|call| !call.starts_with("GET")).count();
    assert_eq!(writes, 2, "one status, one Event: {calls:?}");
    assert_eq!(test.events(), ["Started"]);
    assert_eq!((test.fleet.counters().pods_running.get(), test.fleet.counters().pods.get()), (1, 1));

    test.bind("host", "node-1", json!({"spec": {"hostNetwork": true}}));
    pass(0.3).await;
    assert_eq!(test.status("host")["podIP"], "127.0.0.1");
    test.client.delete(&known::PODS, "default", "web", &Value::Null).await.unwrap();
    assert!(!test.pod("web")["metadata"]["deletionTimestamp"].is_null());
    pass(0.02).await;
    assert!(!test.pod("web").is_null(), "it takes its time to stop");
    pass(0.2).await;
    assert!(test.pod("web").is_null());
    assert_eq!((test.fleet.counters().pods_running.get(), test.fleet.counters().pods.get()), (1, 1));
    assert_eq!(server.count("PATCH", "pods/web/status"), 2, "started, terminated");
}

#[tokio::test(start_paused = true)]
async fn jobs_end_and_crashes_restart() {
    let server = FakeApi::new();
    let test = start(&server, in_process(1)).await;
    test.give_range("node-0", "10.128.0.0/24");
    let job = |seconds: &str, code: &str, policy: &str| {
        json!({"metadata": {"annotations": {"shardplane.dev/run-seconds": seconds, "shardplane.dev/exit-code": code}},
            "spec": {"restartPolicy": policy}})
    };
    test.bind("good", "node-0", job("5", "0", "Never"));
    test.bind("bad", "node-0", job("5", "7", "Never"));
    test.bind("loop", "node-0", job("5", "7", "Always"));
    pass(3.0).await;
    assert_eq!(test.fleet.counters().pods_running.get(), 3);
    pass(3.0).await;
    assert_eq!((&test.status("good")["phase"], &test.status("bad")["phase"]), (&json!("Succeeded"), &json!("Failed")));
    let ended = &test.status("bad")["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(ended["exitCode"], 7);
    assert_eq!(test.fleet.counters().pods_running.get(), 1);
    assert_eq!(test.status("loop")["containerStatuses"][0]["restartCount"], 1);
    pass(6.0).await;
    let waiting = &test.status("loop")["containerStatuses"][0];
    assert_eq!(waiting["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(condition(&test.pod("loop"), "Ready"), "False");
    assert!(test.events().contains(&"BackOff".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_kubelet_is_silent_and_a_started_one_goes_on() {
    let server = FakeApi::new();
    let test = start(&server, in_process(2)).await;
    test.give_range("node-0", "10.128.0.0/24");
    test.bind("old", "node-0", json!({}));
    pass(1.0).await;
    let before = test.status("old");
    test.fleet.stop_node("node-0").unwrap();
    assert_eq!(test.fleet.stop_node("node-9"), Err(UnknownNode("node-9".into())));
    pass(0.1).await;
    assert_eq!((test.fleet.counters().ready.get(), test.fleet.counters().pods.get()), (1, 0));
    let silent = server.count("PUT", "leases/node-0");
    test.bind("new", "node-0", json!({}));
    pass(60.0).await;
    assert_eq!(server.count("PUT", "leases/node-0"), silent);
    assert_eq!(test.status("new")["phase"], "Pending");
    // What the node lifecycle controller does to a lost node.
    let lost =
        json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}});
    test.client.patch::<Value>(&known::NODES, "", "node-0", "status", PatchType::Strategic, &lost).await.unwrap();

    test.fleet.start_node("node-0").unwrap();
    pass(1.0).await;
    assert_eq!(condition(&test.node("node-0"), "Ready"), "True");
    assert_eq!(test.status("old"), before, "it was not restarted");
    let status = test.status("new");
    assert_eq!((&status["phase"], &status["podIP"]), (&json!("Running"), &json!("10.128.0.3")), "10.128.0.2 is taken");
    assert_eq!(test.fleet.counters().pods_running.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_registration_is_put_right() {
    let server = FakeApi::new();
    server.put(
        "/api/v1/nodes/node-0",
        json!({"kind": "Node", "apiVersion": "v1",
            "metadata": {"name": "node-0", "labels": {"mine": "x", "kubernetes.io/os": "plan9"}},
            "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
    );
    let test = start(&server, in_process(1)).await;
    let node = test.node("node-0");
    assert_eq!(
        (&node["metadata"]["labels"]["mine"], &node["metadata"]["labels"]["kubernetes.io/os"]),
        (&json!("x"), &json!("linux"))
    );
    assert_eq!((condition(&node, "Ready").as_str(), &node["spec"]["unschedulable"]), ("True", &json!(true)));
}

#[tokio::test(start_paused = true)]
async fn over_the_wire_everything_is_said() {
    let server = FakeApi::new();
    let config = FleetConfig { pod_start: fixed(1000), pod_stop: fixed(500), ..FleetConfig::wire(1) };
    let test = start(&server, config).await;
    assert_eq!(condition(&test.node("node-0"), "Ready"), "True");
    assert_eq!(server.count("PATCH", "nodes/node-0/status"), 1, "it was registered not ready");
    assert_eq!(server.count("GET", "watch=true"), 3, "Pods, Node and Services");
    test.give_range("node-0", "10.128.0.0/24");
    test.bind("web", "node-0", json!({}));
    pass(0.5).await;
    let status = test.status("web");
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "ContainerCreating");
    pass(1.0).await;
    assert_eq!(test.status("web")["podIP"], "10.128.0.2");
    let mut events = test.events();
    events.sort();
    assert_eq!(events, ["Created", "Pulled", "Started"]);
    test.client.delete(&known::PODS, "default", "web", &Value::Null).await.unwrap();
    pass(1.0).await;
    assert!(test.pod("web").is_null());
    assert!(test.events().contains(&"Killing".to_owned()));
    // Somebody calls the node lost: the kubelet sees it and says otherwise.
    let lost = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    test.client.patch::<Value>(&known::NODES, "", "node-0", "status", PatchType::Strategic, &lost).await.unwrap();
    pass(11.0).await;
    assert_eq!(condition(&test.node("node-0"), "Ready"), "True");
}

#[tokio::test(start_paused = true)]
async fn nodes_are_stopped_by_annotation_and_ranges_come_through_one_watch() {
    let server = FakeApi::new();
    let config = FleetConfig { control: Some(server.client(manual_ambient())), ..in_process(3) };
    let test = start(&server, config).await;
    test.give_range("node-2", "10.128.2.0/24");
    test.bind("web", "node-2", json!({}));
    pass(1.0).await;
    assert_eq!(test.status("web")["podIP"], "10.128.2.2");
    assert_eq!(server.count("GET", "nodes/node-2"), 0, "nobody had to ask");
    let annotate = |value: Value| json!({"metadata": {"annotations": {"shardplane.dev/kubelet": value}}});
    let patch = async |value: Value| {
        let body = annotate(value);
        test.client.patch::<Value>(&known::NODES, "", "node-2", "", PatchType::Merge, &body).await.unwrap();
        pass(0.1).await;
    };
    patch(json!("stopped")).await;
    assert_eq!(test.fleet.counters().ready.get(), 2);
    patch(json!(null)).await;
    assert_eq!(test.fleet.counters().ready.get(), 3);
    test.fleet.stop_node("node-2").unwrap();
    patch(json!("other")).await;
    assert_eq!(test.fleet.counters().ready.get(), 2, "who was stopped by hand is started by hand");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_ready_of_a_pod_is_put_right() {
    let server = FakeApi::new();
    let test = start(&server, in_process(1)).await;
    test.give_range("node-0", "10.128.0.0/24");
    test.bind("web", "node-0", json!({"spec": {"readinessGates": [{"conditionType": "lb"}]}}));
    pass(0.5).await;
    assert_eq!(condition(&test.pod("web"), "Ready"), "False");
    let set = async |kind: &str, status: &str| {
        let body = json!({"status": {"conditions": [{"type": kind, "status": status}]}});
        test.client
            .patch::<Value>(&known::PODS, "default", "web", "status", PatchType::Strategic, &body)
            .await
            .unwrap();
        pass(0.2).await;
    };
    set("lb", "True").await;
    assert_eq!(condition(&test.pod("web"), "Ready"), "True");
    // As the node lifecycle controller does while the node counts as lost.
    set("Ready", "False").await;
    assert_eq!(condition(&test.pod("web"), "Ready"), "True");
    assert_eq!(server.count("PATCH", "pods/web/status"), 5, "no more than start, two refreshes and the test's own");
}

#[tokio::test(start_paused = true)]
async fn a_namesake_is_another_pod_and_a_range_is_not_waited_for_for_ever() {
    let server = FakeApi::new();
    let test = start(&server, in_process(1)).await;
    test.bind("web", "node-0", json!({}));
    pass(3.0).await;
    assert_eq!(test.status("web")["phase"], "Pending", "the node has no podCIDR yet");
    pass(4.0).await;
    assert_eq!(test.status("web")["podIP"], "100.64.0.2");
    let first = test.pod("web")["metadata"]["uid"].clone();
    server.cut_watches();
    server.remove(&format!("{PODS}/web"));
    test.bind("web", "node-0", json!({}));
    server.forget_history();
    pass(1.0).await;
    assert_ne!(test.pod("web")["metadata"]["uid"], first);
    assert_eq!(test.status("web")["phase"], "Running");
    assert_eq!(test.fleet.counters().pods.get(), 1);
    server.remove(&format!("{PODS}/web"));
    server.cut_watches();
    server.forget_history();
    pass(1.0).await;
    assert_eq!(test.fleet.counters().pods.get(), 0, "a deletion that was missed is seen in the next state");
}

#[tokio::test(start_paused = true)]
async fn failures_are_survived() {
    let server = FakeApi::new();
    server.disconnect(true);
    let test = start(&server, in_process(3)).await;
    pass(20.0).await;
    assert_eq!(test.fleet.counters().registered.get(), 0);
    server.fail_next(1, "GET", "spec.nodeName%3Dnode-0", 422, 0);
    server.disconnect(false);
    pass(20.0).await;
    assert_eq!(test.fleet.counters().ready.get(), 3);
    assert_eq!(server.count("GET", "pods?fieldSelector=spec.nodeName%3Dnode-0"), 1, "without streamed state, a list");
    test.give_range("node-0", "10.128.0.0/24");
    server.fail_next(3, "PATCH", "pods/web/status", 500, 0);
    test.bind("web", "node-0", json!({}));
    let start = Instant::now();
    while test.status("web")["phase"] != "Running" {
        assert!(start.elapsed() < Duration::from_secs(5));
        pass(0.05).await;
    }
    // An outage longer than the Lease: the nodes were called lost meanwhile.
    server.disconnect(true);
    pass(100.0).await;
    assert_eq!(test.fleet.counters().ready.get(), 0);
    let mut node = test.node("node-1");
    node["status"]["conditions"][3]["status"] = "Unknown".into();
    server.put("/api/v1/nodes/node-1", node);
    server.disconnect(false);
    pass(20.0).await;
    assert_eq!(condition(&test.node("node-1"), "Ready"), "True");
    assert_eq!(test.fleet.counters().ready.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_node_is_never_overcommitted() {
    let server = FakeApi::new();
    let test = start(&server, FleetConfig { cpu: "1".into(), ..in_process(1) }).await;
    test.give_range("node-0", "10.128.0.0/24");
    let asks = |cpu: &str| json!({"spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]}});
    test.bind("first", "node-0", asks("600m"));
    pass(1.0).await;
    test.bind("second", "node-0", asks("600m"));
    pass(1.0).await;
    let status = test.status("second");
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("OutOfcpu")));
    assert!(status["message"].as_str().unwrap().starts_with("Pod was rejected: Node didn't have enough resource: cpu"));
    assert_eq!((test.fleet.counters().rejected.get(), test.fleet.counters().pods_running.get()), (1, 1));
    assert!(test.events().contains(&"OutOfcpu".to_owned()));
    test.bind("third", "node-0", asks("400m"));
    pass(1.0).await;
    assert_eq!(test.status("third")["phase"], "Running", "what was turned away takes no room");
    // Neither does what went while nobody watched.
    server.cut_watches();
    server.remove(&format!("{PODS}/first"));
    test.bind("zz", "node-0", asks("600m"));
    server.forget_history();
    pass(1.0).await;
    assert_eq!(test.status("zz")["phase"], "Running");
}

#[tokio::test(start_paused = true)]
async fn some_nodes_never_start() {
    let server = FakeApi::new();
    let config = FleetConfig { stopped: vec!["node-1".into()], events: Events::None, ..in_process(3) };
    let test = start(&server, config).await;
    assert_eq!(test.fleet.counters().registered.get(), 2);
    assert!(test.node("node-1").is_null());
    test.fleet.start_node("node-1").unwrap();
    pass(0.1).await;
    assert_eq!(condition(&test.node("node-1"), "Ready"), "True");
    test.give_range("node-1", "10.128.0.0/24");
    test.bind("web", "node-1", json!({}));
    pass(0.5).await;
    assert_eq!(test.status("web")["phase"], "Running");
    assert!(test.events().is_empty());
}

/// Thousands of kubelets live in one process: what each costs while it idles is what its future holds.
#[tokio::test(start_paused = true)]
async fn a_kubelet_is_small() {
    for (config, most) in [(in_process(1), 5 << 10), (FleetConfig::wire(1), 5 << 10)] {
        let test = start(&FakeApi::new(), config).await;
        let kubelets = test.fleet.shared.kubelets.lock();
        let kubelet = test.fleet.shared.kubelet("node-0", &kubelets["node-0"]);
        let size = size_of_val(&kubelet.run());
        assert!(size < most, "{size} bytes");
    }
}
