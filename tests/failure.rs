//! A kubelet that dies: NotReady, taints, eviction, rescheduling, and its return.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use harness::{Server, eventually};

#[test]
fn the_pods_of_a_dead_node_come_back_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    // Kubernetes' own timings, shortened: 40 s of grace and 300 s of toleration are the defaults.
    let server = Server::start(
        &directory.path().join("data"),
        &[
            "--nodes",
            "3",
            "--lease-interval",
            "500ms",
            "--node-monitor-period",
            "200ms",
            "--node-monitor-grace-period",
            "2s",
            "--default-not-ready-toleration-seconds",
            "1",
            "--default-unreachable-toleration-seconds",
            "1",
        ],
    );
    server.kubectl(&["create", "deployment", "web", "--image=nginx:1.21", "--replicas=6"]);
    server.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let on = |node: &str| {
        let selector = format!("--field-selector=spec.nodeName={node}");
        server.kubectl(&["get", "pods", "-o", "name", &selector]).lines().count()
    };
    assert!(on("node-1") > 0, "six pods are spread over three nodes");

    server.kubectl(&["annotate", "node", "node-1", "shardplane.dev/kubelet=stopped"]);
    server.wait(&["--for=condition=Ready=Unknown", "node/node-1"]);
    let taints = eventually("the node is tainted", || {
        let text =
            server.kubectl(&["get", "node", "node-1", "-o", "jsonpath={.spec.taints[*].key}:{.spec.taints[*].effect}"]);
        (text.contains("NoExecute") && text.contains("NoSchedule")).then_some(text)
    });
    assert!(taints.contains("node.kubernetes.io/unreachable"), "{taints}");
    assert!(server.kubectl(&["get", "nodes"]).contains("NotReady"));
    eventually("six pods run on the other nodes", || {
        let pods = server.get(&["pods", "-l", "app=web"]);
        let living = pods["items"].as_array()?.iter().filter(|pod| {
            pod["metadata"]["deletionTimestamp"].is_null()
                && pod["status"]["phase"] == "Running"
                && pod["spec"]["nodeName"] != "node-1"
        });
        (living.count() == 6).then_some(())
    });
    assert!(server.kubectl(&["get", "events"]).contains("NodeNotReady"));

    server.kubectl(&["annotate", "node", "node-1", "shardplane.dev/kubelet-"]);
    server.wait(&["--for=condition=Ready", "node/node-1"]);
    eventually("what was marked for deletion there is gone", || (on("node-1") == 0).then_some(()));
    eventually("its taints are gone", || {
        server.kubectl(&["get", "node", "node-1", "-o", "jsonpath={.spec.taints}"]).is_empty().then_some(())
    });
}

#[test]
fn a_pod_that_fits_nowhere_says_so_and_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"), &["--nodes", "4"]);
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"picky"},"spec":{"nodeSelector":{"disk":"ssd"},
        "containers":[{"name":"c","image":"nginx"}]}}"#;
    assert!(server.kubectl_with(&["create", "-f", "-"], pod).status.success());
    let condition = eventually("the pod is reported unschedulable", || {
        let pod = server.get(&["pod", "picky"]);
        let conditions = pod["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False")
    });
    assert_eq!(condition["reason"], "Unschedulable");
    let message = condition["message"].as_str().unwrap();
    // Both schedulers' nodes are counted.
    assert!(
        message.starts_with("0/4 nodes are available: 4 node(s) didn't match Pod's node affinity/selector"),
        "{message}"
    );
    eventually("the event is there", || server.kubectl(&["get", "events"]).contains("FailedScheduling").then_some(()));
    server.kubectl(&["label", "node", "node-3", "disk=ssd"]);
    server.wait(&["--for=condition=Ready", "pod/picky"]);
    assert_eq!(server.kubectl(&["get", "pod", "picky", "-o", "jsonpath={.spec.nodeName}"]), "node-3");
}
