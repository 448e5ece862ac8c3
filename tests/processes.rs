//! Stores, shards and gateways as processes of their own: what they refuse, and what becomes of slots when one leaves.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::time::{Duration, Instant};

use harness::service::Service;
use harness::{binary, eventually, run};

#[test]
fn two_gateways_show_what_three_shards_hold() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = Service::start(directory.path(), 3, 2);
    let follow = service.gateways[1].kubectl_follow(&["get", "configmaps", "-A", "--watch-only", "--no-headers"]);
    let names: Vec<String> = (0..12).map(|at| format!("ns-{at}")).collect();
    for name in &names {
        service.gateways[0].kubectl(&["create", "namespace", name]);
        service.gateways[0].kubectl(&["create", "configmap", "first", "-n", name]);
    }
    let count = |service: &Service, gateway: usize| {
        let all = service.gateways[gateway].get(&["configmaps", "-A"]);
        all["items"].as_array().unwrap().iter().filter(|item| item["metadata"]["name"] == "first").count()
    };
    assert_eq!((count(&service, 0), count(&service, 1)), (12, 12));
    follow.until("first");

    // One dies without a word: its slots are served again within seconds, and what it held is there.
    let began = Instant::now();
    service.shards[1].signal("-KILL");
    service.shards[1].ended();
    for name in &names {
        let patch = ["patch", "configmap", "first", "-n", name, "-p", r#"{"data":{"after":"death"}}"#];
        eventually("a write to every namespace", || {
            service.gateways[0].try_kubectl(&patch).status.success().then_some(())
        });
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!((count(&service, 0), count(&service, 1)), (12, 12));

    // It comes back, and another one leaves in good order: nobody notices.
    service.shards[1].again();
    service.shards[0].signal("-TERM");
    assert!(service.shards[0].ended().success(), "it gave its slots away and its lease back");
    for name in &names {
        service.gateways[1].kubectl(&["create", "configmap", "second", "-n", name]);
    }
    for name in &names {
        let map = service.gateways[0].get(&["configmap", "first", "-n", name]);
        assert_eq!(map["data"]["after"], "death");
    }
    drop(follow);
    for gateway in &mut service.gateways {
        gateway.expected_warnings = vec![" WARN "];
    }
}

#[test]
fn wrong_starts_say_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::start(directory.path(), 1, 0);
    let store = service.store_url.clone();
    let ca = service.internal_ca().display().to_string();
    let refused = |arguments: &[&str], wanted: &str| {
        let data = directory.path().join("refused");
        let mut command = binary();
        command.args(arguments).arg("--data-dir").arg(&data);
        let ran = run(command);
        assert!(!ran.status.success() && ran.stderr.contains(wanted), "{arguments:?}: {}", ran.stderr);
    };
    let health = ["--health-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let shard = |more: &[&str]| -> Vec<String> {
        ["shard"].iter().chain(&health).chain(more).map(|argument| (*argument).to_owned()).collect()
    };
    let refused_shard = |more: &[&str], wanted: &str| {
        let arguments = shard(more);
        refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
    };
    refused_shard(&["--store", &store, "--internal-ca-dir", &ca, "--ordinal", "0"], "ordinal 0 is taken");
    refused_shard(&["--store", "tape:0"], "names no store");
    refused_shard(&["--store", "grpc://127.0.0.1:1", "--internal-ca-dir", &ca], "127.0.0.1:1");
    // A CA of its own is made where there is none, and nobody knows it.
    let stranger = directory.path().join("stranger").display().to_string();
    refused_shard(&["--store", &store, "--internal-ca-dir", &stranger], "certificate");
    refused(&["gateway", "--listen", "127.0.0.1:0", "--shards", "nowhere"], "neither host:port nor dns:name:port");
    if cfg!(not(feature = "foundationdb")) {
        refused_shard(&["--store", "fdb:/nowhere/fdb.cluster"], "built without FoundationDB");
    }
}
