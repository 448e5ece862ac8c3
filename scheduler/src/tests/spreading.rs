//! Replicas stand apart, as kube-scheduler's default spreading sees to.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{Change, Members};
use serde_json::json;

use super::World;
use crate::engine::Engine;
use crate::view::{NodeView, PodView};

const ZONES: [&str; 3] = ["a", "b", "c"];

/// Empty nodes, alike but for their zones.
fn nodes(count: usize) -> Vec<Arc<NodeView>> {
    let node = |number: usize| {
        let name = format!("n{number}");
        let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": ZONES[number % 3]});
        let node = json!({"metadata": {"name": name, "labels": labels},
            "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}}});
        serde_json::from_value(node).unwrap()
    };
    (0..count).map(node).collect()
}

fn engine(nodes: &[Arc<NodeView>]) -> Engine {
    let mut engine = Engine::new("default-scheduler", World::new(7).ambient(), Arc::default());
    let members = Members { identities: ["one".to_owned()].as_slice().into(), own: "one".to_owned() };
    engine.members_changed(&members, nodes, &[]);
    engine
}

fn replica(owner: &str, number: usize) -> Arc<PodView> {
    let owners = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": owner, "controller": true}]);
    let containers = json!([{"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]);
    let pod = json!({
        "metadata": {"name": "p", "uid": format!("{owner}-{number}"), "ownerReferences": owners},
        "spec": {"schedulerName": "default-scheduler", "containers": containers},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

/// Places replicas; how many each node has got of them.
fn place(engine: &mut Engine, owner: &str, count: usize) -> BTreeMap<String, usize> {
    for number in 0..count {
        engine.pod_changed(&Change::Added(replica(owner, number)));
    }
    let mut on = BTreeMap::new();
    let bindings = std::iter::from_fn(|| Some(engine.decide(100)).filter(|bindings| !bindings.is_empty()));
    for binding in bindings.flatten() {
        *on.entry(binding.node.to_string()).or_default() += 1;
    }
    assert_eq!(on.values().sum::<usize>(), count);
    on
}

/// How many of them each zone has got.
fn by_zone(on: &BTreeMap<String, usize>) -> [usize; 3] {
    let mut zones = [0; 3];
    for (name, count) in on {
        zones[name[1..].parse::<usize>().unwrap() % 3] += count;
    }
    zones
}

#[test]
fn replicas_stand_on_nodes_of_their_own_in_all_zones() {
    let nodes = nodes(300);
    let mut engine = engine(&nodes);
    for owner in ["first", "second"] {
        let on = place(&mut engine, owner, 40);
        assert_eq!(on.len(), 40, "{on:?}");
        let zones = by_zone(&on);
        assert!(zones.iter().all(|count| (11..=16).contains(count)), "{zones:?}");
    }
    let three = place(&mut engine, "third", 3);
    assert_eq!((three.len(), by_zone(&three)), (3, [1, 1, 1]));
    engine.consistency_check(&nodes, &[]).unwrap();
    engine.check_classes().unwrap();
}

#[test]
fn more_replicas_than_nodes_are_shared_out() {
    let nodes = nodes(12);
    let on = place(&mut engine(&nodes), "one", 48);
    assert!(on.len() == 12 && on.values().all(|count| (3..=5).contains(count)), "{on:?}");
}

#[test]
fn a_replica_that_is_going_makes_room_for_another() {
    let nodes = nodes(2);
    let mut engine = engine(&nodes[..1]);
    assert_eq!(place(&mut engine, "one", 1)["n0"], 1);
    let mut going = (*replica("one", 0)).clone();
    (going.node_name, going.needs) = ("n0".into(), None);
    let bound = Arc::new(going.clone());
    engine.pod_changed(&Change::Updated(replica("one", 0), bound.clone()));
    going.meta.deletion_timestamp = Some("2026-01-01T00:00:00Z".into());
    let going = Arc::new(going);
    engine.pod_changed(&Change::Updated(bound, going.clone()));
    engine.consistency_check(&nodes[..1], &[going]).unwrap();
    assert!(engine.columns().owned.rows(replica("one", 0).owner.unwrap()).is_none());
    assert_eq!(engine.columns().pods(), (1, 0), "it takes its room until it is gone");
}
