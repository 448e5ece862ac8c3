//! Owning slots: two owners never both commit, and versions increase over restarts.

use std::sync::Arc;
use std::time::Duration;

use api::slot::{SLOTS, Slot};
use bytes::Bytes;
use serde_json::json;
use store::{Batch, BatchId, Store, Write};
use tokio_util::sync::CancellationToken;

use super::cluster::*;
use super::faulty::{Fault, FaultyStore};
use crate::service::*;
use crate::topology::Topology;
use crate::{Health, OpenError, Shard, ShardOptions};

fn map(name: &str, value: &str) -> api::Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "data": {"v": value}})
}

#[tokio::test(start_paused = true)]
async fn the_second_owner_fences_the_first() {
    let cluster = Cluster::start(1).await;
    let before = cluster.create("configmaps", &map("a", "1")).await.unwrap();
    // Another ordinal takes the same slots, as after a partition.
    let slots = (0..SLOTS).map(Slot).collect();
    let config = config(9, slots, &cluster.store, &cluster.registry, &cluster.ambient, &ShardOptions::default());
    let second = Shard::open(config).await.unwrap();
    second.connect(Topology::fixed(vec![second.clone() as Arc<dyn ShardService>]));
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (second, stop) = (second.clone(), stop.clone());
        async move { second.run(stop).await }
    });
    let refused = cluster.update("configmaps", &map("a", "2")).await.unwrap_err();
    assert_eq!(refused.code(), 503);
    assert_eq!(*cluster.shards[0].health().borrow(), Health::Fenced);
    assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap_err().code(), 503, "it may not answer any more");

    let verb = update_verb(&cluster.ambient, &map("a", "3"));
    let after = object(second.execute(cluster.request("configmaps", "default", "a", verb)).await).unwrap();
    assert!(after.version > before.version);
    assert_eq!(after.document()["data"]["v"], "3");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn everything_is_there_after_a_restart_and_versions_go_on() {
    let mut cluster = Cluster::start(3).await;
    let mut last = api::Version::ZERO;
    for round in 0..4 {
        for at in 0..10 {
            let made = cluster.create("configmaps", &map(&format!("m{round}-{at}"), "1")).await.unwrap();
            assert!(made.version > last);
            last = made.version;
        }
        let before = versions(&cluster.list("configmaps", "").await);
        cluster = cluster.restart().await;
        assert_eq!(versions(&cluster.list("configmaps", "").await), before);
    }
    assert_eq!(cluster.list("configmaps", "").await.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_nothing_that_was_acknowledged() {
    let cluster = Cluster::start(2).await;
    cluster.store.set_latency(Duration::from_millis(4));
    let made = cluster.create("configmaps", &map("a", "1")).await.unwrap();
    let store = cluster.crash().await;
    let cluster = Cluster::bare(2, store, ShardOptions::default()).await;
    assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap().version, made.version);
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_of_relaxed_writes_what_a_flush_holds_at_most() {
    let cluster = Cluster::start(1).await;
    let leases = "leases.coordination.k8s.io";
    let lease = |name: &str| json!({"metadata": {"name": name, "namespace": "kube-node-lease"}});
    // So that the ceiling is stored, and the rest is acknowledged early.
    cluster.create("configmaps", &map("a", "1")).await.unwrap();
    let kept = cluster.create(leases, &lease("kept")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(250)).await;
    let before = cluster.store.commits();
    let lost = cluster.create(leases, &lease("lost")).await.unwrap();
    assert_eq!(cluster.store.commits(), before, "it was acknowledged before it was stored");
    let store = cluster.crash().await;
    let cluster = Cluster::bare(1, store, ShardOptions::default()).await;
    assert_eq!(cluster.get(leases, "kube-node-lease", "kept").await.unwrap().version, kept.version);
    assert_eq!(cluster.get(leases, "kube-node-lease", "lost").await.unwrap_err().code(), 404);
    let again = cluster.create(leases, &lease("again")).await.unwrap();
    assert!(again.version > lost.version, "what was acknowledged early does not get its version twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_keeps_it_all() {
    let directory = tempfile::tempdir().unwrap();
    let open = |seed: u64| {
        let path = directory.path().to_owned();
        async move {
            let store = tokio::task::spawn_blocking(move || store::Embedded::open(&path)).await.unwrap().unwrap();
            let registry = Arc::new(api::builtin::registry(&Default::default()));
            let ambient = ambient(seed);
            let options = ShardOptions::default();
            let slots = (0..SLOTS).map(Slot).collect();
            let config = config(0, slots, &FaultyStore::default(), &registry, &ambient, &options);
            let config = crate::ShardConfig { store: Arc::new(store), ..config };
            let shard = Shard::open(config).await.unwrap();
            let topology = Topology::fixed(vec![shard.clone() as Arc<dyn ShardService>]);
            shard.connect(topology.clone());
            let stop = CancellationToken::new();
            let running = tokio::spawn({
                let (shard, stop) = (shard.clone(), stop.clone());
                async move { shard.run(stop).await }
            });
            crate::bootstrap(&topology, &registry, &ambient, "default", options.service_cidr).await.unwrap();
            (shard, stop, running)
        }
    };
    let (shard, stop, running) = open(3).await;
    let before: Vec<_> = shard.layout.tables().map(crate::table::Table::snapshot).collect();
    stop.cancel();
    running.await.unwrap();
    drop(shard);
    let (shard, stop, running) = open(4).await;
    let after: Vec<_> = shard.layout.tables().map(crate::table::Table::snapshot).collect();
    assert_eq!(before, after, "a second start makes nothing that is there already");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_newer_format_is_refused() {
    let store = FaultyStore::default();
    let writes = vec![Write::Put(crate::keys::format(), Bytes::from_static(b"3"))];
    store.commit(Batch { id: BatchId(1), fences: Vec::new(), writes, adds: false }).await.unwrap();
    let registry = Arc::new(api::builtin::registry(&Default::default()));
    let config = config(0, vec![Slot(0)], &store, &registry, &ambient(1), &ShardOptions::default());
    let error = Shard::open(config).await.err().expect("it cannot know what that is");
    assert!(matches!(error, OpenError::Format { .. }));
    assert_eq!(error.to_string(), "the data is of format version 3, and this program knows versions up to 2");
}

#[tokio::test(start_paused = true)]
async fn a_broken_store_ends_the_shard() {
    let cluster = Cluster::start(1).await;
    cluster.create("configmaps", &map("a", "1")).await.unwrap();
    cluster.store.inject(0, Fault::Broken);
    assert_eq!(cluster.update("configmaps", &map("a", "2")).await.unwrap_err().code(), 504, "nobody knows");
    let health = cluster.shards[0].health().borrow().clone();
    assert!(matches!(health, Health::Broken(_)), "{health:?}");
    assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap_err().code(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_takes_what_is_derived_from_it_along() {
    let cluster = Arc::new(Cluster::start(1).await);
    cluster.store.set_latency(Duration::from_millis(10));
    cluster.store.inject(0, Fault::Refused);
    let first = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.create("configmaps", &map("a", "1")).await }
    });
    tokio::time::sleep(Duration::from_millis(2)).await;
    // In flight by now: this refusal is derived from it, and must not be answered if it fails.
    let rival = map("a", "2");
    let second = cluster.create("configmaps", &rival);
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap().unwrap_err().code(), 503);
    assert_eq!(second.unwrap_err().code(), 503, "not a 409 for something that never was");
    assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap_err().code(), 404);
    cluster.create("configmaps", &map("a", "3")).await.unwrap();

    for fault in [Fault::UnknownApplied, Fault::UnknownNotApplied] {
        cluster.store.inject(0, fault);
        let settled = cluster.update("configmaps", &map("a", "4")).await.unwrap();
        assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap().version, settled.version);
        cluster.update("configmaps", &map("a", "5")).await.unwrap();
    }
    cluster.store.inject(0, Fault::Unavailable);
    cluster.update("configmaps", &map("a", "5")).await.unwrap();
}
