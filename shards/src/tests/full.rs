//! A store that has no room: what clients notice of it.

use std::time::Duration;

use serde_json::json;

use super::cluster::*;
use crate::service::*;

fn map(name: &str) -> api::Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "data": {"v": name}})
}

#[tokio::test(start_paused = true)]
async fn writes_are_refused_and_all_else_goes_on() {
    let cluster = Cluster::start(1).await;
    for name in ["a", "b", "c"] {
        cluster.create("configmaps", &map(name)).await.unwrap();
    }
    cluster.store.set_full(true);
    let shard = cluster.shard_of("configmaps", "default");
    for round in 0..40 {
        let refused = cluster.create("configmaps", &map("d")).await.unwrap_err();
        assert_eq!((refused.code(), refused.retry_after_seconds()), (503, 1), "{refused:?}");
        assert!(refused.message().contains("the store is full"), "{refused:?}");
        // Heartbeats are not acknowledged early when they cannot become durable.
        if round > 0 {
            let lease = json!({"metadata": {"name": "n", "namespace": "kube-node-lease"}, "spec": {}});
            assert_eq!(cluster.create("leases.coordination.k8s.io", &lease).await.unwrap_err().code(), 503);
        }
        // The ceiling of the clock, for one, must be raised for this.
        tokio::time::sleep(Duration::from_millis(170)).await;
        let page = shard.list(cluster.list_request("configmaps", "default")).await.unwrap();
        assert_eq!(page.objects.len(), 3);
        let later = api::Version::new(page.version.micros() + 1_500_000, 0);
        let request = ListRequest { at: Some(later), ..cluster.list_request("configmaps", "default") };
        assert_eq!(shard.list(request).await.unwrap().objects.len(), 3);
    }
    cluster.delete("configmaps", ("default", "a"), DeleteOptions::default()).await.expect("deletions make room");
    cluster.store.set_full(false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.create("configmaps", &map("d")).await.unwrap();
    cluster.create("configmaps", &map("e")).await.unwrap();
    assert_eq!(shard.list(cluster.list_request("configmaps", "default")).await.unwrap().objects.len(), 4);
    cluster.stop().await;
}

/// A store that does not answer: heartbeats of less than a second are acknowledged early, and no more.
#[tokio::test(start_paused = true)]
async fn what_a_crash_may_take_is_bounded() {
    let cluster = std::sync::Arc::new(Cluster::start(1).await);
    // A fresh ceiling, so that it is not this that bounds it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.create("configmaps", &map("a")).await.unwrap();
    cluster.store.set_latency(Duration::from_secs(20));
    let began = tokio::time::Instant::now();
    let mut last = Duration::ZERO;
    for at in 0..30 {
        let cluster = cluster.clone();
        let asked = tokio::spawn(async move {
            let lease = json!({"metadata": {"name": format!("n{at}"), "namespace": "kube-node-lease"}, "spec": {}});
            cluster.create("leases.coordination.k8s.io", &lease).await.map(drop)
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        if asked.is_finished() {
            asked.await.unwrap().unwrap();
            last = began.elapsed();
        }
    }
    assert!(last > Duration::from_millis(500) && last <= Duration::from_secs(1), "{last:?}");
}
