//! The garbage collector and the Pod garbage collector.

use api::document::Document;
use serde_json::{Value, json};

use super::{DEPLOYMENTS, PODS, SETS, World};

/// What the server does with a DELETE: begins it, with the finalizer of its policy.
fn delete(world: &World, path: &str, finalizer: &str) {
    world.edit(path, |object| {
        object.set(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z");
        object.set(&["metadata", "finalizers"], json!([finalizer]));
    });
}

async fn deployed() -> World {
    let world = World::running().await;
    world.deploy("web", 5);
    world.until("web is rolled out", || world.is_rolled_out("web")).await;
    world
}

#[tokio::test(start_paused = true)]
async fn in_the_background_dependents_follow_their_owner() {
    let world = deployed().await;
    world.put("/api/v1/namespaces/default/configmaps/other", json!({ "kind": "ConfigMap" }));
    world.api.remove(&format!("{DEPLOYMENTS}/web"));
    world.until("its ReplicaSet is gone", || world.api.collection(SETS).is_empty()).await;
    world.until("its Pods are gone", || world.api.collection(PODS).is_empty()).await;
    world.pass(60.0).await;
    assert!(world.api.object("/api/v1/namespaces/default/configmaps/other").is_some(), "what has no owner stays");
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_the_owner_goes_last() {
    let world = deployed().await;
    let path = format!("{DEPLOYMENTS}/web");
    delete(&world, &path, "foregroundDeletion");
    while world.api.object(&path).is_some() {
        let (sets, pods) = (world.api.collection(SETS), world.api.collection(PODS));
        assert!(pods.is_empty() || !sets.is_empty(), "Pods without their ReplicaSet");
        world.pass(0.01).await;
    }
    assert!(world.api.collection(SETS).is_empty() && world.api.collection(PODS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn orphans_stay() {
    let world = deployed().await;
    let path = format!("{DEPLOYMENTS}/web");
    delete(&world, &path, "orphan");
    world.until("the owner is gone", || world.api.object(&path).is_none()).await;
    world.pass(60.0).await;
    let sets = world.api.collection(SETS);
    assert!(sets.len() == 1 && sets[0].list(&["metadata", "ownerReferences"]).is_empty());
    assert_eq!(world.api.collection(PODS).len(), 5);
    // A Deployment with the same selector takes the ReplicaSet over.
    let uid = sets[0].uid().to_owned();
    world.deploy("web", 5);
    world.until("web is rolled out", || world.is_rolled_out("web")).await;
    let sets = world.api.collection(SETS);
    assert!(sets.len() == 1 && sets[0].uid() == uid && sets[0].list(&["metadata", "ownerReferences"]).len() == 1);
}

fn owned(owners: Value) -> Value {
    json!({ "kind": "ConfigMap", "metadata": { "ownerReferences": owners } })
}

fn owner(name: &str, uid: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid })
}

#[tokio::test(start_paused = true)]
async fn only_what_lost_all_its_owners_is_deleted() {
    let world = World::running().await;
    let path = |name: &str| format!("/api/v1/namespaces/default/configmaps/{name}");
    world.put(&path("alive"), json!({ "kind": "ConfigMap" }));
    let uid = world.api.object(&path("alive")).unwrap().uid().to_owned();
    world.put(&path("child"), owned(json!([owner("alive", &uid)])));
    world.put(&path("half"), owned(json!([owner("alive", &uid), owner("gone", "uid-gone")])));
    world.put(&path("reborn"), owned(json!([owner("alive", "uid-of-the-one-before")])));
    world.put(&path("orphaned"), owned(json!([owner("gone", "uid-gone")])));
    let kind = json!([{ "apiVersion": "example.com/v1", "kind": "Unknown", "name": "x", "uid": "uid-x" }]);
    world.put(&path("unknown"), owned(kind));
    world
        .until("two are gone", || {
            world.api.object(&path("reborn")).is_none() && world.api.object(&path("orphaned")).is_none()
        })
        .await;
    let owners = |name: &str| world.api.object(&path(name)).unwrap().list(&["metadata", "ownerReferences"]).len();
    world.until("the dangling owner is dropped", || owners("half") == 1).await;
    world.pass(120.0).await;
    assert_eq!((owners("child"), owners("unknown")), (1, 1), "an owner of an unknown kind may exist");
}

#[tokio::test(start_paused = true)]
async fn an_owner_in_another_namespace_is_no_owner() {
    let world = World::running().await;
    world.put("/api/v1/namespaces/other/configmaps/far", json!({ "kind": "ConfigMap" }));
    let uid = world.api.object("/api/v1/namespaces/other/configmaps/far").unwrap().uid().to_owned();
    let near = "/api/v1/namespaces/default/configmaps/near";
    world.put(near, owned(json!([owner("far", &uid)])));
    world.until("it is collected", || world.api.object(near).is_none()).await;
    world.pass(5.0).await;
    let said = world.events("OwnerRefInvalidNamespace");
    assert_eq!(said.len(), 1);
    assert!(said[0].ends_with("does not exist in namespace \"default\""), "{said:?}");
    assert!(world.api.object("/api/v1/namespaces/other/configmaps/far").is_some());
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_node_that_is_gone_are_removed_after_quarantine() {
    let world = World::running().await;
    let pod = format!("{PODS}/lost");
    world.put(
        &pod,
        json!({
            "kind": "Pod", "spec": { "nodeName": "nowhere" }, "status": { "phase": "Running" },
        }),
    );
    world.pass(39.0).await;
    assert!(world.api.object(&pod).is_some());
    world.pass(45.0).await;
    assert!(world.api.object(&pod).is_none());
    assert_eq!(world.api.count("PATCH", "/pods/lost/status"), 1, "it was marked as failed first");
}
