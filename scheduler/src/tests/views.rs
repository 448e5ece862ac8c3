//! What is read of documents.

use serde_json::{Value, json};

use crate::view::{NodeView, PodView, Requests, Spread};

fn pod(spec: Value, status: Value) -> PodView {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec, "status": status})).unwrap()
}

const MI: i64 = 1 << 20;

#[test]
fn requests_are_the_larger_of_running_and_starting() {
    let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
    let sidecar = json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": "200m"}}});
    let spec =
        json!({"containers": [container("100m"), container("300m")], "initContainers": [sidecar, container("500m")]});
    let view = pod(spec, json!({}));
    assert_eq!(view.charge.requests, Requests { cpu: 700, ..Requests::default() });
    assert_eq!((view.charge.scored_cpu, view.charge.scored_memory), (700, 600 * MI));
}

#[test]
fn pod_level_requests_replace_sums_and_overhead_comes_on_top() {
    let spec = json!({
        "containers": [{"resources": {"requests": {"cpu": "100m", "memory": "1Mi", "example.com/gpu": "2", "hugepages-2Mi": "4Mi"}}}],
        "resources": {"requests": {"cpu": "2"}},
        "overhead": {"memory": "1Mi"},
    });
    let scalars = vec![("example.com/gpu".into(), 2), ("hugepages-2Mi".into(), 4 * MI)];
    let expected = Requests { cpu: 2000, memory: 2 * MI, ephemeral: 0, scalars };
    assert_eq!(pod(spec, json!({})).charge.requests, expected);
}

#[test]
fn a_resize_counts_what_is_asked_and_what_is_allocated() {
    let spec = json!({"nodeName": "n", "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]});
    let mut status = json!({"containerStatuses": [{
        "name": "c", "resources": {"requests": {"cpu": "2"}}, "allocatedResources": {"cpu": "3", "memory": "1Mi"},
    }]});
    let view = pod(spec.clone(), status.clone());
    assert_eq!(view.charge.requests, Requests { cpu: 3000, memory: MI, ..Requests::default() });
    assert!(view.needs.is_none(), "a bound pod asks for nothing more");
    let mut large = spec;
    large["containers"][0]["resources"]["requests"]["cpu"] = json!("9");
    assert_eq!(pod(large.clone(), status.clone()).charge.requests.cpu, 9000);
    status["conditions"] = json!([{"type": "PodResizePending", "reason": "Infeasible"}]);
    assert_eq!(pod(large, status).charge.requests.cpu, 3000);
}

#[test]
fn a_request_that_cannot_be_read_fits_nowhere() {
    let view = pod(json!({"containers": [{"resources": {"requests": {"cpu": "lots"}}}]}), json!({}));
    assert!(view.charge.requests.cpu > 1 << 50);
}

#[test]
fn pods_of_one_template_have_equal_needs() {
    let spec =
        json!({"containers": [{"resources": {"requests": {"cpu": "1"}}}], "tolerations": [{"key": "a"}, {"key": "b"}]});
    let mut turned = spec.clone();
    turned["tolerations"] = json!([{"key": "b"}, {"key": "a"}]);
    turned["containers"][0]["resources"]["requests"]["cpu"] = json!("1000m");
    assert_eq!(pod(spec.clone(), json!({})).needs, pod(turned, json!({})).needs);
    let mut other = spec.clone();
    other["nodeSelector"] = json!({"a": "b"});
    assert_ne!(pod(spec, json!({})).needs, pod(other, json!({})).needs);
}

#[test]
fn a_heartbeat_changes_no_node() {
    let node = |version: &str, ready: &str| -> NodeView {
        serde_json::from_value(json!({
            "metadata": {"name": "n", "resourceVersion": version, "labels": {"a": "b"}, "annotations": {"x": version}},
            "status": {"allocatable": {"cpu": "1"}, "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    };
    assert_eq!(node("1", "True"), node("2", "Unknown"));
}

/// How a pod with this owner and these constraints is spread.
fn spread(version: &str, kind: &str, constraints: Value) -> Option<Spread> {
    let owner = json!({"apiVersion": version, "kind": kind, "uid": "u", "controller": true});
    let meta = json!({"name": "p", "labels": {"app": "web"}, "ownerReferences": [owner]});
    let pod: PodView =
        serde_json::from_value(json!({"metadata": meta, "spec": {"topologySpreadConstraints": constraints}})).unwrap();
    pod.needs.unwrap().spread
}

#[test]
fn pods_of_replicating_owners_are_spread_by_default() {
    for (version, kind) in [("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet"), ("v1", "ReplicationController")] {
        assert_eq!(spread(version, kind, json!([])), Some(Spread::DEFAULT));
    }
    assert_eq!(spread("batch/v1", "Job", json!([])), None);
    assert_eq!(spread("example.com/v1", "ReplicaSet", json!([])), None);
    assert_eq!(pod(json!({}), json!({})).needs.unwrap().spread, None);
}

#[test]
fn own_constraints_replace_the_default_ones() {
    let one = |key: &str, skew: i32, selector: Value| json!({"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector});
    let web = || json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]});
    let zone = one("topology.kubernetes.io/zone", 2, web());
    let own = |host, zone| Some(Spread { host, zone, is_own: true });
    assert_eq!(spread("batch/v1", "Job", json!([zone])), own(None, Some(2)));
    let host = one("kubernetes.io/hostname", 1, json!({"matchLabels": {"app": "web"}}));
    assert_eq!(spread("apps/v1", "ReplicaSet", json!([zone, host])), own(Some(1), Some(2)));
    // What selects nothing, everything, or other pods counts none of the pod's kind.
    for selector in [json!(null), json!({}), json!({"matchLabels": {"app": "db"}})] {
        assert_eq!(spread("apps/v1", "ReplicaSet", json!([one("kubernetes.io/hostname", 1, selector)])), None);
    }
    assert_eq!(spread("apps/v1", "ReplicaSet", json!([one("rack", 1, web())])), None);
}

#[test]
fn owners_with_equal_templates_share_a_class() {
    let of = |owner: &str| -> PodView {
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": owner, "controller": true});
        serde_json::from_value(json!({"metadata": {"ownerReferences": [owner]}})).unwrap()
    };
    let (a, b) = (of("a"), of("b"));
    assert_eq!(a.needs, b.needs);
    assert_ne!(a.owner, b.owner);
}
