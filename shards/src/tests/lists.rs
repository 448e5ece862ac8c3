//! Lists: one moment, whatever happens meanwhile.

use std::time::Duration;

use api::Version;
use serde_json::json;

use super::cluster::*;
use super::faulty::FaultyStore;
use crate::ShardOptions;
use crate::service::*;

fn map(name: &str, value: &str) -> api::Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "data": {"v": value}})
}

#[tokio::test(start_paused = true)]
async fn pages_of_one_version_agree_while_writes_go_on() {
    let cluster = Cluster::start(1).await;
    for at in 0..20 {
        cluster.create("configmaps", &map(&format!("m{at:02}"), "old")).await.unwrap();
    }
    let shard = cluster.shard_of("configmaps", "default");
    let mut request = cluster.list_request("configmaps", "default");
    request.limit = 7;
    let first = shard.list(request.clone()).await.unwrap();
    assert_eq!((first.objects.len(), first.remaining), (7, 13));
    // One behind the page changes, one goes, one comes.
    cluster.update("configmaps", &map("m15", "new")).await.unwrap();
    cluster.delete("configmaps", ("default", "m16"), DeleteOptions::default()).await.unwrap();
    cluster.create("configmaps", &map("m155", "new")).await.unwrap();
    request.at = Some(first.version);
    let last = first.objects.last().unwrap();
    request.after = Some((last.namespace.clone(), last.name.clone()));
    request.limit = usize::MAX;
    let rest = shard.list(request.clone()).await.unwrap();
    assert_eq!((rest.version, rest.objects.len(), rest.remaining), (first.version, 13, 0));
    assert!(rest.objects.iter().all(|object| object.document()["data"]["v"] == "old"));
    request.at = None;
    request.after = None;
    assert_eq!(shard.list(request).await.unwrap().objects.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn versions_of_the_future_are_waited_for_and_of_the_past_expire() {
    let cluster = Cluster::start(1).await;
    let made = cluster.create("configmaps", &map("a", "1")).await.unwrap();
    let shard = cluster.shard_of("configmaps", "default");
    let at = |version| ListRequest { at: Some(version), ..cluster.list_request("configmaps", "default") };
    let soon = Version::new(made.version.micros() + 2_000_000, 0);
    assert_eq!(shard.list(at(soon)).await.unwrap().objects.len(), 1);
    let later = Version::new(made.version.micros() + 60_000_000, 0);
    let status = shard.list(at(later)).await.unwrap_err().into_status();
    assert_eq!((status.code(), status.causes()[0].reason), (504, "ResourceVersionTooLarge"));
    let mut get = cluster.request("configmaps", "default", "a", Verb::Get { version: Some(later) });
    assert_eq!(cluster.send(get.clone()).await.unwrap_err().code(), 504);
    get.verb = Verb::Get { version: Some(made.version) };
    assert!(cluster.send(get).await.is_ok());

    tokio::time::sleep(Duration::from_secs(301)).await;
    cluster.update("configmaps", &map("a", "2")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(310)).await;
    assert_eq!(shard.list(at(made.version)).await.unwrap_err().into_status().code(), 410);
}

#[tokio::test(start_paused = true)]
async fn the_ring_ends_by_bytes_too() {
    let options = ShardOptions { retention_bytes: 8_000, ..ShardOptions::default() };
    let mut cluster = Cluster::bare(1, FaultyStore::default(), options).await;
    cluster.bootstrap().await;
    let first = cluster.create("configmaps", &map("a", "0")).await.unwrap();
    for at in 1..100 {
        cluster.update("configmaps", &map("a", &at.to_string())).await.unwrap();
    }
    let shard = cluster.shard_of("configmaps", "default");
    let request = ListRequest { at: Some(first.version), ..cluster.list_request("configmaps", "default") };
    assert_eq!(shard.list(request).await.unwrap_err().into_status().code(), 410);
    cluster.shards[0].layout.tables().for_each(crate::table::Table::consistency_check);
}

#[tokio::test(start_paused = true)]
async fn selectors_choose_by_label_field_and_name() {
    let cluster = Cluster::start(1).await;
    for (name, app) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut body = map(name, "1");
        body["metadata"]["labels"] = json!({"app": app});
        cluster.create("configmaps", &body).await.unwrap();
    }
    let shard = cluster.shard_of("configmaps", "default");
    let shard = &shard;
    let names = |labels: &str, fields: &str| {
        let selector = api::selector::Selector {
            labels: api::selector::LabelSelector::parse(labels).unwrap(),
            fields: api::selector::FieldSelector::parse(fields, &cluster.resource("configmaps")).unwrap(),
            ..Default::default()
        };
        let selector = std::sync::Arc::new(selector);
        let request = ListRequest { selector, ..cluster.list_request("configmaps", "default") };
        async move {
            let page = shard.list(request).await.unwrap();
            page.objects.iter().map(|object| object.name.to_string()).collect::<Vec<_>>().join(",")
        }
    };
    assert_eq!(names("app=x", "").await, "a,c");
    assert_eq!(names("", "metadata.name=b").await, "b");
    assert_eq!(names("app=x", "metadata.name=b").await, "");
    assert_eq!(names("app!=x", "metadata.namespace=default").await, "b");
}

#[tokio::test(start_paused = true)]
async fn long_lists_are_read_in_pieces_of_one_state() {
    let cluster = Cluster::start(1).await;
    for at in 0..5_000 {
        let lease = json!({"metadata": {"name": format!("n{at:05}"), "namespace": "kube-node-lease"}});
        cluster.create("leases.coordination.k8s.io", &lease).await.unwrap();
    }
    let shard = cluster.topology.current().members()[0].service.clone();
    let request = cluster.list_request("leases.coordination.k8s.io", "kube-node-lease");
    let before = shard.list(request.clone()).await.unwrap();
    assert_eq!(before.objects.len(), 5_000);
    for name in ["n00000", "n04095", "n04096", "n04999"] {
        let at = ("kube-node-lease", name);
        cluster.delete("leases.coordination.k8s.io", at, DeleteOptions::default()).await.unwrap();
    }
    let again = shard.list(ListRequest { at: Some(before.version), ..request.clone() }).await.unwrap();
    assert_eq!(versions(&again.objects), versions(&before.objects));
    assert_eq!(shard.list(request).await.unwrap().objects.len(), 4_996);
}
