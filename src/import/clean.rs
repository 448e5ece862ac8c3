//! What is taken out of an object before another server gets it.

use std::collections::HashMap;

use serde_json::Value;

/// What the former server wrote into metadata.
const SERVERS: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
];
/// Labels by which a Job finds its Pods: its uid.
const JOBS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

/// Why an object stays where it is.
pub(super) fn stays(name: &str, object: &Value) -> Option<&'static str> {
    let meta = &object["metadata"];
    if !meta["deletionTimestamp"].is_null() {
        return Some("it is being deleted");
    }
    let named = |wanted: &str| meta["name"] == wanted;
    match name {
        "pods" if is_controlled(object) => Some("its controller makes it"),
        "pods" if !meta["annotations"]["kubernetes.io/config.mirror"].is_null() => Some("a kubelet makes it"),
        "secrets" if object["type"] == "kubernetes.io/service-account-token" => Some("a controller makes it"),
        "configmaps" if named("kube-root-ca.crt") => Some("a controller makes it"),
        "services" if named("kubernetes") && meta["namespace"] == "default" => Some("the target has its own"),
        _ => None,
    }
}

fn is_controlled(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().any(|owner| owner["controller"] == true)
}

/// Takes out what is the former server's, and makes owners those that were created: `uids` from there to here. Answers whether
/// an owner has not come.
pub(super) fn clean(name: &str, object: &mut Value, uids: &HashMap<String, String>) -> bool {
    let mut lost = false;
    if let Some(meta) = object["metadata"].as_object_mut() {
        SERVERS.iter().for_each(|field| drop(meta.remove(*field)));
        if let Some(Value::Array(owners)) = meta.get_mut("ownerReferences") {
            owners.retain_mut(|owner| match owner["uid"].as_str().and_then(|uid| uids.get(uid)) {
                Some(uid) => {
                    owner["uid"] = uid.as_str().into();
                    true
                }
                None => {
                    lost = true;
                    false
                }
            });
            if owners.is_empty() {
                meta.remove("ownerReferences");
            }
        }
    }
    object.as_object_mut().map(|fields| fields.remove("status"));
    by_kind(name, object);
    lost
}

fn by_kind(name: &str, object: &mut Value) {
    let take = |at: &mut Value, fields: &[&str]| {
        if let Some(at) = at.as_object_mut() {
            fields.iter().for_each(|field| drop(at.remove(*field)));
        }
    };
    match name {
        "namespaces" => take(object, &["spec"]),
        // The target's range is another one. Without an address is a choice, which stays.
        "services" if object["spec"]["clusterIP"] != "None" => {
            take(&mut object["spec"], &["clusterIP", "clusterIPs", "healthCheckNodePort"]);
        }
        "serviceaccounts" => take(object, &["secrets"]),
        "pods" => take(&mut object["spec"], &["nodeName"]),
        "persistentvolumes" => take(&mut object["spec"]["claimRef"], &["uid", "resourceVersion"]),
        "jobs.batch" if object["spec"]["manualSelector"] != true => {
            take(&mut object["spec"], &["selector"]);
            take(&mut object["spec"]["template"]["metadata"]["labels"], &JOBS);
            take(&mut object["metadata"]["labels"], &JOBS);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_the_servers_stays_behind_and_owners_are_the_new_ones() {
        let mut set = json!({
            "metadata": {
                "name": "a", "uid": "old", "resourceVersion": "7", "generation": 3, "managedFields": [],
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "a"},
                "ownerReferences": [{"uid": "there", "name": "a"}, {"uid": "nowhere", "name": "b"}],
            },
            "spec": {"replicas": 2}, "status": {"replicas": 2},
        });
        let uids = HashMap::from([("there".to_owned(), "here".to_owned())]);
        assert!(clean("replicasets.apps", &mut set, &uids), "an owner has not come");
        let meta = json!({"name": "a", "labels": {"app": "a"}, "ownerReferences": [{"uid": "here", "name": "a"}]});
        assert_eq!(set, json!({"metadata": meta, "spec": {"replicas": 2}}));
    }

    #[test]
    fn addresses_and_nodes_are_the_targets() {
        let none = HashMap::new();
        let mut service =
            json!({"metadata": {}, "spec": {"clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "type": "ClusterIP"}});
        assert!(!clean("services", &mut service, &none));
        assert_eq!(service["spec"], json!({"type": "ClusterIP"}));
        let mut headless = json!({"metadata": {}, "spec": {"clusterIP": "None", "clusterIPs": ["None"]}});
        clean("services", &mut headless, &none);
        assert_eq!(headless["spec"]["clusterIP"], "None");
        let controlled = json!({"metadata": {"ownerReferences": [{"uid": "x", "controller": true}]}});
        assert!(stays("pods", &controlled).is_some() && stays("replicasets.apps", &controlled).is_none());
    }
}
