//! Streams: in order, without gaps or repeats, with promises that hold.

use std::time::Duration;

use api::Version;
use serde_json::json;

use super::cluster::*;
use crate::service::*;

fn map(name: &str, value: &str) -> api::Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "data": {"v": value}})
}

#[tokio::test(start_paused = true)]
async fn events_follow_a_version_and_carry_what_was_before() {
    let cluster = Cluster::start(1).await;
    let first = cluster.create("configmaps", &map("a", "1")).await.unwrap();
    let shard = cluster.shard_of("configmaps", "default");
    let second = cluster.update("configmaps", &map("a", "2")).await.unwrap();
    let mut stream = cluster.subscribe(&shard, "configmaps", Some(first.version)).await.unwrap();
    let backlog = stream.deliveries.recv().await.unwrap();
    assert_eq!(backlog.events.len(), 1);
    assert_eq!(backlog.events[0].old.as_ref().unwrap().version, first.version);
    assert!(backlog.watermark >= second.version);

    cluster.delete("configmaps", ("default", "a"), DeleteOptions::default()).await.unwrap();
    let delivery = stream.deliveries.recv().await.unwrap();
    let event = &delivery.events[0];
    assert!(event.deleted && event.version > second.version && delivery.watermark >= event.version);
    assert_eq!(event.object.document()["metadata"]["resourceVersion"], event.version.to_string());
    assert_eq!(event.object.document()["data"]["v"], "2", "a deletion shows the last state");
    assert_eq!(event.old.as_ref().unwrap().version, second.version);
    let status = cluster.subscribe(&shard, "configmaps", Some(Version(1))).await.unwrap_err();
    assert_eq!(status.code(), 410);
}

#[tokio::test(start_paused = true)]
async fn a_promise_is_asked_for_and_kept() {
    let cluster = Cluster::start(2).await;
    let resource = cluster.resource("configmaps").id;
    let shard = cluster.shard_of("configmaps", "default");
    let mut stream = cluster.subscribe(&shard, "configmaps", None).await.unwrap();
    stream.deliveries.recv().await.unwrap();
    let wanted = Version::new(clock(&shard).await.micros() + 2_500_000, 9);
    shard.advance("default", resource, wanted);
    let promise = tokio::time::timeout(Duration::from_secs(1), stream.deliveries.recv()).await.unwrap().unwrap();
    assert!(promise.events.is_empty() && promise.watermark >= wanted);
    let made = cluster.create("configmaps", &map("late", "1")).await.unwrap();
    assert!(made.version > promise.watermark, "nothing comes below a promise");
    let absurd = Version::new(clock(&shard).await.micros() + 3_600_000_000, 0);
    shard.advance("default", resource, absurd);
    assert!(clock(&shard).await < absurd, "nobody's mistake moves the clock by an hour");
}

#[tokio::test(start_paused = true)]
async fn a_promise_outlives_the_shard() {
    let cluster = Cluster::start(1).await;
    let resource = cluster.resource("configmaps").id;
    let shard = cluster.shard_of("configmaps", "default");
    let mut stream = cluster.subscribe(&shard, "configmaps", None).await.unwrap();
    stream.deliveries.recv().await.unwrap();
    let wanted = Version::new(clock(&shard).await.micros() + 2_900_000, 9);
    shard.advance("default", resource, wanted);
    let promise = stream.deliveries.recv().await.unwrap();
    assert!(promise.watermark >= wanted);
    let cluster = cluster.restart().await;
    let made = cluster.create("configmaps", &map("a", "1")).await.unwrap();
    assert!(made.version > promise.watermark);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_let_go_and_slows_nobody() {
    let cluster = Cluster::start(1).await;
    let shard = cluster.shard_of("configmaps", "default");
    let mut slow = cluster.subscribe(&shard, "configmaps", None).await.unwrap();
    let mut quick = cluster.subscribe(&shard, "configmaps", None).await.unwrap();
    cluster.create("configmaps", &map("a", "0")).await.unwrap();
    let mut seen = 0;
    for at in 0..1500 {
        cluster.update("configmaps", &map("a", &format!("v{at}"))).await.unwrap();
        while let Ok(delivery) = quick.deliveries.try_recv() {
            seen += delivery.events.len();
        }
    }
    assert_eq!(seen, 1501);
    let mut held = 0;
    while slow.deliveries.recv().await.is_some() {
        held += 1;
    }
    assert!(held <= 1024, "its queue ended after {held} deliveries, and then its stream");
}

#[tokio::test(start_paused = true)]
async fn relaxed_writes_are_announced_when_they_are_durable() {
    let cluster = Cluster::start(1).await;
    cluster.store.set_latency(Duration::from_millis(4));
    let leases = "leases.coordination.k8s.io";
    let lease = json!({"metadata": {"name": "n", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "n"}});
    let made = cluster.create(leases, &lease).await.unwrap();
    let shard = cluster.topology.current().members()[0].service.clone();
    let mut stream = cluster.subscribe(&shard, leases, None).await.unwrap();
    let before = stream.deliveries.recv().await.unwrap();
    let known: usize = before.events.len();
    let started = tokio::time::Instant::now();
    if known == 0 {
        let delivery = stream.deliveries.recv().await.unwrap();
        assert_eq!(delivery.events[0].version, made.version);
    }
    assert!(started.elapsed() <= Duration::from_millis(260));
}
