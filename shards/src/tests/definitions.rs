//! Custom kinds: their definitions, and objects whose owner may not know yet how they are defined.

use std::time::Duration;

use api::slot::SlotSet;
use serde_json::json;

use super::cluster::*;
use crate::definitions::ID_NAME;
use crate::service::*;

const WIDGETS: &str = "widgets.example.com";

fn definition() -> api::Value {
    json!({
        "metadata": {"name": WIDGETS},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 1}}}},
                }},
            }],
        },
    })
}

async fn define(cluster: &Cluster) {
    cluster.create(ID_NAME, &definition()).await.unwrap();
    while cluster.registry.named_in("default", WIDGETS).is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn make(cluster: &Cluster, count: usize) {
    for at in 0..count {
        let namespace = format!("n{at}");
        cluster.create("namespaces", &json!({"metadata": {"name": namespace}})).await.unwrap();
        let widget = json!({"metadata": {"name": "a", "namespace": namespace}, "spec": {"what": true}});
        let made = cluster.create(WIDGETS, &widget).await.unwrap().document();
        assert_eq!(made["spec"], json!({"size": 1}), "it is pruned and defaulted");
    }
}

#[tokio::test(start_paused = true)]
async fn objects_of_custom_kinds_move_with_their_slots_and_outlive_a_restart() {
    let cluster = Cluster::start(3).await;
    define(&cluster).await;
    make(&cluster, 12).await;
    let before = versions(&cluster.list(WIDGETS, "").await);
    let moving: SlotSet = cluster.shards[0].owned().iter().step_by(2).collect();
    cluster.move_slots(&moving, 0, 1).await.unwrap();
    assert_eq!(versions(&cluster.list(WIDGETS, "").await), before);
    let first = cluster.get(WIDGETS, "n0", "a").await.unwrap();
    let cluster = cluster.restart().await;
    while cluster.registry.named_in("default", WIDGETS).is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(versions(&cluster.list(WIDGETS, "").await), before);
    assert_eq!(cluster.get(WIDGETS, "n0", "a").await.unwrap().tail(), first.tail());
    cluster.shards.iter().for_each(|shard| shard.layout.tables().for_each(crate::table::Table::consistency_check));
}

#[tokio::test(start_paused = true)]
async fn a_definition_takes_its_objects_along() {
    let cluster = Cluster::start(3).await;
    define(&cluster).await;
    make(&cluster, 5).await;
    let resource = cluster.resource(WIDGETS);
    let from = cluster.list(WIDGETS, "").await.iter().map(|object| object.version).max().unwrap();
    cluster.delete(ID_NAME, ("", WIDGETS), DeleteOptions::default()).await.unwrap();
    while cluster.get(ID_NAME, "", WIDGETS).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while cluster.registry.named_in("default", WIDGETS).is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Whoever watched is told of each.
    let mut gone = 0;
    for member in cluster.topology.current().members() {
        let request = SubscribeRequest { cluster: "default".into(), resource: resource.id, from: Some(from) };
        let mut stream = member.service.subscribe(request).await.unwrap();
        let delivery = stream.deliveries.recv().await.unwrap();
        gone += delivery.events.iter().filter(|event| event.deleted).count();
    }
    assert_eq!(gone, 5);
}
