//! Node IPAM, node lifecycle, taint eviction.

use std::collections::BTreeSet;

use api::document::Document;
use serde_json::{Value, json};

use super::{PODS, World};

fn taints(world: &World, node: &str) -> Vec<String> {
    let node = world.api.object(&format!("/api/v1/nodes/{node}")).unwrap();
    let taints = node.list(&["spec", "taints"]).iter();
    taints.map(|taint| format!("{}:{}", taint.text(&["key"]), taint.text(&["effect"]))).collect()
}

fn ready(world: &World, node: &str) -> (String, String) {
    let node = world.api.object(&format!("/api/v1/nodes/{node}")).unwrap();
    let conditions = node.list(&["status", "conditions"]);
    let ready = conditions.iter().find(|condition| condition.text(&["type"]) == "Ready").unwrap();
    (ready.text(&["status"]).to_owned(), ready.text(&["reason"]).to_owned())
}

#[tokio::test(start_paused = true)]
async fn fresh_nodes_get_a_range_each_and_lose_their_taint() {
    let world = World::running().await;
    let names: Vec<String> = (0..500).map(|number| format!("fresh-{number}")).collect();
    names.iter().for_each(|name| world.add_node(name));
    let range = |name: &String| {
        let node = world.api.object(&format!("/api/v1/nodes/{name}")).unwrap();
        node.text(&["spec", "podCIDR"]).to_owned()
    };
    world
        .until("all have a range and no taint", || {
            names.iter().all(|name| !range(name).is_empty() && taints(&world, name).is_empty())
        })
        .await;
    let ranges: BTreeSet<String> = names.iter().map(range).collect();
    assert_eq!(ranges.len(), 500, "no range twice");
    let gone = range(&names[0]);
    world.api.remove(&format!("/api/v1/nodes/{}", names[0]));
    world.pass(1.0).await;
    world.add_node("late");
    world.until("the late one has a range", || !range(&"late".to_owned()).is_empty()).await;
    assert!(!ranges.contains(&range(&"late".to_owned())) || range(&"late".to_owned()) == gone);
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_marked_tainted_and_evicted_and_a_returning_one_is_not() {
    let world = World::running().await;
    world.deploy("web", 6);
    world.until("web is rolled out", || world.is_rolled_out("web")).await;
    world.pass(60.0).await;
    assert!(["n1", "n2", "n3"].iter().all(|node| ready(&world, node).0 == "True" && taints(&world, node).is_empty()));

    world.beats[0].cancel();
    world.pass(45.0).await;
    assert_eq!(ready(&world, "n1").0, "True", "the grace period is not over");
    world.pass(25.0).await;
    assert_eq!(ready(&world, "n1"), ("Unknown".to_owned(), "NodeStatusUnknown".to_owned()));
    let both = ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"];
    assert_eq!(taints(&world, "n1"), both);
    assert_eq!(ready(&world, "n2").0, "True");
    let on_n1 = || {
        let on = |pod: &Value| pod.text(&["spec", "nodeName"]) == "n1" && !pod.is_deleting();
        world.api.collection(PODS).into_iter().filter(on).collect::<Vec<Value>>()
    };
    assert_eq!(on_n1().len(), 2);
    let is_ready = |pod: &Value| pod.list(&["status", "conditions"]).iter().any(|c| c.text(&["status"]) == "True");
    assert!(on_n1().iter().all(|pod| !is_ready(pod)), "nobody vouches for them");

    // It comes back before its Pods' five minutes are over: nothing is evicted.
    world.pass(200.0).await;
    let again = world.heartbeat("n1");
    world.edit("/api/v1/nodes/n1", |node| {
        node["status"]["conditions"] = json!([{ "type": "Ready", "status": "True", "lastHeartbeatTime": "t1" }]);
    });
    world.until("its taints are gone", || taints(&world, "n1").is_empty()).await;
    world.pass(200.0).await;
    assert_eq!(world.api.count("DELETE", "/pods"), 0);
    assert_eq!(world.events("TaintManagerEviction").iter().filter(|said| said.starts_with("Cancelling")).count(), 2);

    // And is lost for good: its Pods go after grace and toleration.
    again.cancel();
    world.pass(70.0).await;
    assert_eq!(taints(&world, "n1"), both);
    world.pass(280.0).await;
    assert_eq!(world.api.count("DELETE", "/pods"), 0);
    world.pass(30.0).await;
    assert_eq!(world.api.count("DELETE", "/pods"), 2);
    assert!(
        world.events("TaintManagerEviction").iter().any(|said| said.starts_with("Marking for deletion Pod default/"))
    );
}

#[tokio::test(start_paused = true)]
async fn when_all_nodes_fall_silent_none_is_evicted_from() {
    let world = World::running().await;
    world.deploy("web", 3);
    world.until("web is rolled out", || world.is_rolled_out("web")).await;
    world.beats.iter().for_each(|beat| beat.cancel());
    world.pass(600.0).await;
    for node in ["n1", "n2", "n3"] {
        assert_eq!(ready(&world, node).0, "Unknown");
        assert_eq!(taints(&world, node), ["node.kubernetes.io/unreachable:NoSchedule"]);
    }
    assert_eq!(world.api.count("DELETE", "/pods"), 0);
}
