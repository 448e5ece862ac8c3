use client::known;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::*;

fn meta(uid: &str, owners: &[&str]) -> Meta {
    let owners: Vec<Value> = owners
        .iter()
        .map(|owner| {
            json!({ "apiVersion": "v1", "kind": "Pod", "name": owner, "uid": owner,
            "blockOwnerDeletion": true })
        })
        .collect();
    serde_json::from_value(json!({ "name": uid, "uid": uid, "namespace": "ns", "ownerReferences": owners })).unwrap()
}

fn going(mut meta: Meta, finalizer: &str) -> Meta {
    meta.deletion_timestamp = Some("2026-01-01T00:00:00Z".into());
    meta.finalizers = vec![finalizer.into()];
    meta
}

fn delete(uid: &str) -> Todo {
    Todo::Delete(uid.into())
}

#[test]
fn dependents_are_looked_at_when_their_owner_goes() {
    let mut graph = Graph::default();
    assert_eq!(graph.observe(&known::PODS, &meta("owner", &[])), []);
    assert_eq!(graph.observe(&known::PODS, &meta("child", &["owner"])), []);
    let mut todo = graph.remove(&"owner".into());
    assert_eq!(todo.pop(), Some(delete("child")));
    assert!(graph.is_absent(&meta("child", &["owner"]).owner_references[0], &"ns".into()));
    graph.consistency_check();
}

#[test]
fn an_owner_that_nobody_saw_is_asked_for() {
    let mut graph = Graph::default();
    assert_eq!(graph.observe(&known::PODS, &meta("child", &["ghost"])), [delete("ghost")]);
    let ghost = graph.item("ghost").unwrap();
    assert!(ghost.is_virtual);
    assert_eq!(graph.not_found(&ghost.identity), [delete("child")]);
    assert!(graph.item("ghost").is_none());
    // It may as well turn up late.
    assert_eq!(graph.observe(&known::PODS, &meta("other", &["late"])), [delete("late")]);
    assert_eq!(graph.observe(&known::PODS, &meta("late", &[])), []);
    assert!(!graph.item("late").unwrap().is_virtual);
    graph.consistency_check();
}

#[test]
fn an_owner_in_another_namespace_is_reported_and_doubted() {
    let mut graph = Graph::default();
    let mut owner = meta("owner", &[]);
    owner.namespace = "elsewhere".into();
    let child = meta("child", &["owner"]);
    let report = Todo::Report("child".into(), child.owner_references[0].clone());
    graph.observe(&known::PODS, &owner);
    assert_eq!(graph.observe(&known::PODS, &child), [report.clone(), delete("child")]);
    // The same in the other order.
    let mut graph = Graph::default();
    graph.observe(&known::PODS, &child);
    assert_eq!(graph.observe(&known::PODS, &owner), [report, delete("child")]);
    // The server knows no such owner in the child's namespace: the real one stays, the child is looked at.
    let said = Identity::of(&child.owner_references[0], &"ns".into());
    assert_eq!(graph.not_found(&said), [delete("child")]);
    assert!(graph.item("owner").is_some());
    // A cluster-scoped owner may be named from anywhere.
    let mut graph = Graph::default();
    let mut owner = meta("owner", &[]);
    owner.namespace = SmolStr::default();
    graph.observe(&known::PODS, &owner);
    assert_eq!(graph.observe(&known::PODS, &child), []);
}

#[test]
fn a_foreground_deletion_waits_for_what_blocks_it() {
    let mut graph = Graph::default();
    graph.observe(&known::PODS, &meta("owner", &[]));
    graph.observe(&known::PODS, &meta("child", &["owner"]));
    let todo = graph.observe(&known::PODS, &going(meta("owner", &[]), FOREGROUND));
    assert_eq!(todo, [delete("child"), delete("owner")]);
    assert_eq!(graph.observe(&known::PODS, &going(meta("owner", &[]), FOREGROUND)), [], "only the beginning counts");
    assert_eq!(graph.blocking("owner"), ["child"]);
    let mut free = meta("child", &["owner"]);
    free.owner_references[0].block_owner_deletion = None;
    assert_eq!(graph.observe(&known::PODS, &free), [delete("owner")]);
    assert!(graph.blocking("owner").is_empty());
    assert_eq!(graph.remove(&"child".into()), [delete("owner")]);
    graph.consistency_check();
}

#[test]
fn orphaning_begins_once() {
    let mut graph = Graph::default();
    graph.observe(&known::PODS, &meta("owner", &[]));
    let owner = going(meta("owner", &[]), ORPHAN);
    assert_eq!(graph.observe(&known::PODS, &owner), [Todo::Orphan("owner".into())]);
    assert_eq!(graph.observe(&known::PODS, &owner), []);
}

#[test]
fn of_several_claims_about_an_owner_each_is_tried() {
    let mut graph = Graph::default();
    graph.observe(&known::PODS, &meta("a", &["ghost"]));
    let mut liar = meta("b", &["ghost"]);
    liar.owner_references[0].name = "other-name".into();
    assert_eq!(graph.observe(&known::PODS, &liar), [delete("b")]);
    let first = graph.item("ghost").unwrap().identity;
    assert_eq!(graph.not_found(&first), [delete("a"), Todo::DeleteLater("ghost".into())]);
    let second = graph.item("ghost").unwrap().identity;
    assert_eq!((second.name.as_str(), first.name.as_str()), ("other-name", "ghost"));
}

#[test]
fn edges_stay_consistent_over_random_histories() {
    for seed in 0..100 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut graph = Graph::default();
        // uids never come back: whatever is made again has another.
        let mut uids: Vec<String> = (0..8).map(|at| format!("o{at}")).collect();
        for step in 0..400 {
            let at = random.random_range(0..8);
            if random.random_bool(0.3) {
                graph.remove(&uids[at].as_str().into());
                uids[at] = format!("o{at}-{step}");
            } else {
                let others = (0..8).filter(|other| *other != at && random.random_bool(0.2));
                let owners: Vec<&str> = others.map(|other: usize| uids[other].as_str()).collect();
                graph.observe(&known::PODS, &meta(&uids[at], &owners));
            }
            graph.consistency_check();
        }
    }
}
