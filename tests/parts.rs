//! Each part as a process of its own, over TLS, as it would run for anybody's cluster.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::collections::BTreeSet;

use harness::{Part, Server, binary, eventually, run};
use serde_json::Value;

#[test]
fn four_processes_make_a_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    // Kubelets on loopback have to be allowed by name: logs are not fetched from there otherwise.
    let server = Server::start_part("gateway", &data, &["--shards", "2", "--allow-internal", "127.0.0.1"]);
    let ca = data.join("ca.crt");
    let _controllers = Part::start("controllers", &server, &["--root-ca-file", ca.to_str().unwrap()]);
    let scheduler = Part::start("scheduler", &server, &["--schedulers", "2"]);
    let kubelets = ["--nodes", "12", "--client-ca-file", ca.to_str().unwrap(), "--pod-start-latency", "50ms"];
    let _kubelets = Part::start("kubelet", &server, &kubelets);

    server.kubectl(&["apply", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nginx.yaml")]);
    server.kubectl(&["scale", "deployment/nginx-deployment", "--replicas=8"]);
    server.kubectl(&["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"]);
    assert_eq!(server.kubectl(&["get", "nodes", "--no-headers"]).matches(" Ready ").count(), 12);
    let ranges = server.kubectl(&["get", "nodes", "-o", r"jsonpath={range .items[*]}{.spec.podCIDR}{'\n'}{end}"]);
    let ranges: BTreeSet<&str> = ranges.lines().filter(|range| !range.is_empty()).collect();
    assert_eq!(ranges.len(), 12, "every node has a range of its own: {ranges:?}");
    assert!(server.kubectl(&["logs", "deployment/nginx-deployment"]).contains("simulated"));
    assert!(server.kubectl(&["get", "configmap", "kube-root-ca.crt", "-o", "yaml"]).contains("BEGIN CERTIFICATE"));

    // A scheduler that stops in good order hands over at once; without any, Pods wait and say nothing.
    drop(scheduler);
    server.kubectl(&["scale", "deployment/nginx-deployment", "--replicas=9"]);
    eventually("the ninth pod waits", || {
        let pods = server.get(&["pods", "--field-selector=spec.nodeName="]);
        (pods["items"].as_array()?.len() == 1).then_some(())
    });
    let _scheduler = Part::start("scheduler", &server, &[]);
    server.kubectl(&["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"]);
}

#[test]
fn a_load_is_measured_and_cleaned_up() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"), &["--nodes", "20"]);
    let load = |arguments: &[&str]| -> Value {
        let mut command = binary();
        command.args(["loadtest", "--json", "--kubeconfig"]).arg(server.kubeconfig()).args(arguments);
        let ran = run(command);
        assert!(ran.status.success(), "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        serde_json::from_str(&ran.stdout).expect("stdout holds the report and nothing else")
    };
    let done = |report: &Value, at: usize| report["measured"][at]["requests"].as_u64().unwrap();

    let report = load(&["leases", "--nodes", "100", "--duration", "1"]);
    assert!(done(&report, 0) == 100 && done(&report, 1) > 100, "{report}");
    // At a rate, requests start on time and are as many as were asked for.
    let report = load(&["leases", "--nodes", "100", "--duration", "2", "--rate", "50"]);
    assert!((90..=100).contains(&done(&report, 1)), "{report}");
    assert_eq!(done(&load(&["nodes", "--count", "50"]), 0), 50);
    assert_eq!(done(&load(&["pods", "--count", "50"]), 0), 50);
    let report = load(&["list", "--pods", "60", "--limit", "20", "--duration", "1"]);
    assert!(done(&report, 1) > 0 && report["notes"][0] == "60 items in each list", "{report}");
    let report = load(&["watch", "--watchers", "5", "--pods", "20", "--duration", "1"]);
    assert!(done(&report, 1) > 0, "{report}");
    let report = load(&["deployments", "--count", "4", "--replicas", "5"]);
    assert_eq!(done(&report, 1), 20, "{report}");

    eventually("what the loads made is gone", || {
        let pods = server.get(&["pods", "-A"]);
        let spaces = server.kubectl(&["get", "namespaces", "-o", "name"]);
        (pods["items"].as_array()?.is_empty() && !spaces.contains("loadtest")).then_some(())
    });
    assert_eq!(server.kubectl(&["get", "nodes", "--no-headers"]).lines().count(), 20);
    assert!(!server.kubectl(&["get", "leases", "-n", "kube-node-lease"]).contains("loadtest"));
}

#[test]
fn a_shard_alone_takes_over_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    drop(Server::start(&data, &["--nodes", "0"]));
    let mut command = binary();
    command.args(["shard", "--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
    let mut child = Guard(command.stderr(std::process::Stdio::piped()).spawn().unwrap());
    let lines = harness::lines_of(child.0.stderr.take().unwrap());
    let line = std::iter::from_fn(|| lines.recv_timeout(harness::PATIENCE).ok());
    let line = line.into_iter().find(|line| line.contains("/readyz")).expect("it says where it answers");
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    let fetch = |url: &str| {
        let output = std::process::Command::new("curl").args(["--silent", "--noproxy", "*", url]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    eventually("it has taken the slots of those who wrote them", || (fetch(&url) == "ok").then_some(()));
    eventually("what was loaded is counted", || {
        fetch(&url.replace("/readyz", "/metrics")).contains("apiserver_storage_objects").then_some(())
    });
    assert!(std::process::Command::new("kill").args(["-INT", &child.0.id().to_string()]).status().unwrap().success());
    assert!(child.0.wait().unwrap().success());
}

/// A child that does not outlive its test.
struct Guard(std::process::Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}
