//! Pod templates: which ReplicaSet has the Deployment's, and what a new one looks like.

use std::collections::BTreeMap;

use api::Value;
use api::document::{Document, Map};
use client::{Meta, known};
use serde_json::json;
use smol_str::SmolStr;
use xxhash_rust::xxh3::Xxh3;

use super::rollout::{DESIRED_REPLICAS, Limits, MAX_REPLICAS};
use crate::claim::controller_reference;
use crate::views::{Deployment, ReplicaSet};

/// The label that keeps the Pods of one Deployment's ReplicaSets apart.
pub const TEMPLATE_HASH: &str = "pod-template-hash";
/// Annotation: which revision of its Deployment a ReplicaSet is.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Annotation: which revisions it has been before.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The longest history of revisions that is kept, in characters.
const HISTORY_LIMIT: usize = 2000;

/// Annotations that a Deployment does not hand on.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// Whether two templates are the same but for the hash label.
pub fn same_template(a: &Value, b: &Value) -> bool {
    let without = |labels: &Value| -> Vec<(String, Value)> {
        let pairs = labels.as_object().into_iter().flatten();
        pairs.filter(|(key, _)| *key != TEMPLATE_HASH).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let rest = |metadata: &Value| -> Vec<(String, Value)> {
        let pairs = metadata.as_object().into_iter().flatten();
        let pairs = pairs.filter(|(key, value)| *key != "labels" && !value.is_null());
        pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let (meta_a, meta_b) = (a.at(&["metadata"]), b.at(&["metadata"]));
    a.at(&["spec"]) == b.at(&["spec"])
        && rest(meta_a) == rest(meta_b)
        && without(meta_a.at(&["labels"])) == without(meta_b.at(&["labels"]))
}

/// A short hash of a template, in characters that spell no words. Stored: it must never change.
pub fn template_hash(template: &Value, collisions: Option<i32>) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash = Xxh3::new();
    hash.update(template.to_string().as_bytes());
    if let Some(collisions) = collisions {
        hash.update(&collisions.to_le_bytes());
    }
    let digits = (hash.digest() as u32).to_string();
    digits.bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

/// The ReplicaSet with the Deployment's template; of several, the first. `sets` go from old to new.
pub fn find_new<'a, S: AsRef<ReplicaSet>>(deployment: &Deployment, sets: &'a [S]) -> Option<(usize, &'a S)> {
    sets.iter().enumerate().find(|(_, set)| same_template(&set.as_ref().spec.template, &deployment.spec.template))
}

/// The revision of an object; 0 where it has none.
pub fn revision(meta: &Meta) -> i64 {
    meta.annotations.get(REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The annotations that say how large a Deployment was when its ReplicaSet was scaled.
pub fn size_annotations(limits: &Limits) -> Map<String, Value> {
    let mut annotations = Map::new();
    annotations.insert(DESIRED_REPLICAS.to_owned(), json!(limits.desired.to_string()));
    annotations.insert(MAX_REPLICAS.to_owned(), json!(limits.most().to_string()));
    annotations
}

/// The annotations that the newest ReplicaSet still lacks: the Deployment's own, its revision, and the history of
/// revisions when an old ReplicaSet became the newest again.
pub fn missing_annotations(
    deployment: &Meta,
    have: &BTreeMap<SmolStr, String>,
    newest_revision: i64,
) -> Map<String, Value> {
    let mut missing = Map::new();
    for (key, value) in &deployment.annotations {
        if !NOT_COPIED.contains(&key.as_str()) && have.get(key) != Some(value) {
            missing.insert(key.to_string(), json!(value));
        }
    }
    let old = have.get(REVISION);
    let Ok(number) = old.map_or(Ok(0), |text| text.parse::<i64>()) else { return missing };
    if number >= newest_revision {
        return missing;
    }
    missing.insert(REVISION.to_owned(), json!(newest_revision.to_string()));
    if let Some(old) = old {
        let before = have.get(REVISION_HISTORY).map_or("", String::as_str);
        missing.insert(REVISION_HISTORY.to_owned(), json!(history(before, old)));
    }
    missing
}

fn history(before: &str, revision: &str) -> String {
    let mut revisions: Vec<&str> = before.split(',').filter(|text| !text.is_empty()).collect();
    revisions.push(revision);
    let length = |revisions: &[&str]| revisions.iter().map(|text| text.len() + 1).sum::<usize>();
    while revisions.len() > 1 && length(&revisions) > HISTORY_LIMIT + 1 {
        revisions.remove(0);
    }
    revisions.join(",")
}

/// A new ReplicaSet of a Deployment. Its name follows from its template, so that creating it twice is noticed.
pub fn new_replica_set(deployment: &Deployment, limits: &Limits, replicas: i32, newest_revision: i64) -> Value {
    let hash = template_hash(&deployment.spec.template, deployment.status.collision_count);
    let mut template = deployment.spec.template.clone();
    template.set(&["metadata", "labels", TEMPLATE_HASH], hash.as_str());
    let mut selector = deployment.spec.selector.clone();
    selector.set(&["matchLabels", TEMPLATE_HASH], hash.as_str());
    let mut annotations = missing_annotations(&deployment.metadata, &BTreeMap::new(), newest_revision);
    annotations.extend(size_annotations(limits));
    let meta = &deployment.metadata;
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": set_name(&meta.name, &hash),
            "namespace": meta.namespace,
            "labels": template.at(&["metadata", "labels"]),
            "annotations": annotations,
            "ownerReferences": [controller_reference(&known::DEPLOYMENTS, meta)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": deployment.spec.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
    })
}

fn set_name(deployment: &str, hash: &str) -> String {
    let most = 253 - 1 - hash.len();
    // Names are ASCII, so every byte is a place to cut.
    format!("{}-{hash}", &deployment[..deployment.len().min(most)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(image: &str, hash: Option<&str>) -> Value {
        let mut template = json!({
            "metadata": { "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "web", "image": image }] },
        });
        if let Some(hash) = hash {
            template["metadata"]["labels"][TEMPLATE_HASH] = json!(hash);
        }
        template
    }

    #[test]
    fn templates_are_compared_without_their_hash() {
        assert!(same_template(&template("a", None), &template("a", Some("x"))));
        assert!(same_template(&template("a", Some("y")), &template("a", Some("x"))));
        assert!(!same_template(&template("a", None), &template("b", Some("x"))));
        let mut annotated = template("a", None);
        annotated["metadata"]["annotations"] = json!({ "restartedAt": "now" });
        assert!(!same_template(&annotated, &template("a", None)));
        let bare = json!({ "metadata": { "creationTimestamp": null }, "spec": {} });
        assert!(same_template(&bare, &json!({ "spec": {} })));
    }

    #[test]
    fn hashes_are_stable_and_collisions_change_them() {
        let hash = template_hash(&template("nginx:1.21", None), None);
        // Stored in names of ReplicaSets: a change here is a change of format.
        assert_eq!(hash, template_hash(&template("nginx:1.21", None), None));
        assert!(hash.len() <= 10 && hash.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte)), "{hash}");
        assert_ne!(hash, template_hash(&template("nginx:1.21", None), Some(1)));
        assert_ne!(hash, template_hash(&template("nginx:1.22", None), None));
    }

    #[test]
    fn a_rollback_keeps_the_history_of_revisions() {
        let deployment = Meta { annotations: BTreeMap::from([("team".into(), "a".to_owned())]), ..Meta::default() };
        let have = BTreeMap::from([("team".into(), "a".to_owned()), (REVISION.into(), "3".to_owned())]);
        assert!(missing_annotations(&deployment, &have, 3).is_empty());
        let missing = missing_annotations(&deployment, &have, 5);
        assert_eq!(Value::Object(missing), json!({ REVISION: "5", REVISION_HISTORY: "3" }));
        assert_eq!(history("1,2", "3"), "1,2,3");
        let long = history(&vec!["1234567"; 300].join(","), "9");
        assert!(long.len() <= HISTORY_LIMIT && long.ends_with(",9"), "{}", long.len());
    }

    #[test]
    fn a_new_replica_set_selects_its_own_pods_only() {
        let deployment = json!({
            "metadata": { "name": "web", "namespace": "ns", "uid": "7", "annotations": { "note": "x", REVISION: "1" } },
            "spec": { "replicas": 3, "selector": { "matchLabels": { "app": "web" } }, "template": template("a", None) },
        });
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        let set = new_replica_set(&deployment, &Limits::of(&deployment), 3, 2);
        let hash = set.text(&["metadata", "labels", TEMPLATE_HASH]);
        assert_eq!(set.name(), format!("web-{hash}"));
        assert_eq!(set.text(&["spec", "selector", "matchLabels", TEMPLATE_HASH]), hash);
        assert_eq!(set.text(&["spec", "template", "metadata", "labels", TEMPLATE_HASH]), hash);
        assert_eq!(set.text(&["metadata", "annotations", REVISION]), "2");
        assert_eq!(set.text(&["metadata", "annotations", "note"]), "x");
        let set: ReplicaSet = serde_json::from_value(set).unwrap();
        assert_eq!(set.metadata.controller().unwrap().uid, "7");
        assert_eq!(find_new(&deployment, &[Box::new(set)]).unwrap().0, 0);
    }
}
