//! Step by step, where the whole is too fast to be caught in between: see `crate::tests::backups` for that.

use http::Method;
use serde_json::json;

use super::*;
use crate::testing::{Cluster, version_of};

#[tokio::test]
async fn the_cut_waits_for_what_a_slow_shard_has_not_told_yet() {
    let cluster = Cluster::start(2).await;
    let space = cluster.namespace_on(1).await;
    cluster.config_map(&space, "map").await;
    let inner = &cluster.gateway.inner;
    let default = inner.clusters.resolve("default").await.unwrap();
    let (sender, _receiver) = mpsc::channel(1024);
    let (mut backup, _) = Backup::begin(inner, vec![default], false, sender).await;
    for resource in backup.kinds[0].keys().copied().collect::<Vec<_>>() {
        backup.scan(0, resource).await.unwrap();
    }
    // Its streams say nothing, while it goes on to write.
    cluster.gates[1].pause(true);
    let patch = json!({ "data": { "after": "the scan" } });
    let path = format!("/api/v1/namespaces/{space}/configmaps/map");
    let (code, written) = cluster.ask(Method::PATCH, &path, &patch).await;
    assert_eq!(code, 200);
    let version = {
        let cutting = backup.cut();
        tokio::pin!(cutting);
        let early = tokio::time::timeout(Duration::from_millis(300), &mut cutting).await;
        assert!(early.is_err(), "nobody knows yet what that shard has written");
        cluster.gates[1].pause(false);
        cutting.await.unwrap()
    };
    assert!(version.0 >= version_of(&written), "it was acknowledged before");
    let changes: Vec<_> = backup.followed.iter().flat_map(|changes| changes.take()).collect();
    assert!(changes.iter().any(|event| event.version.0 == version_of(&written)));
}
