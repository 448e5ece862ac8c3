//! Pods.

use super::path::Path;
use super::pod_spec::{self, Owner};
use super::{Strategy, field, fill, pod_annotations, pod_status, pod_update};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// core/v1 Pod.
pub(super) struct Pod;

impl Strategy for Pod {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        pod_spec::default(spec);
        pod_spec::pod_only(spec);
    }

    fn prepare_create(&self, object: &mut Value) {
        let mut status = serde_json::json!({"phase": "Pending", "qosClass": qos_class(object)});
        if !object.list(&["spec", "schedulingGates"]).is_empty() {
            status["conditions"] = serde_json::json!([{
                "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]);
        }
        fill::set(object, "status", status);
        merge_label_keys(object);
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        pod_status::prepare(object, old);
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let (metadata, spec) = (field::get(object, "metadata"), field::get(object, "spec"));
        let path = Path::new("spec");
        pod_annotations::validate(metadata, spec, &Path::new("metadata.annotations"), causes);
        pod_spec::validate(spec, Owner::Pod(object.name()), &path, causes);
        tokens_need_an_account(spec, &path, causes);
        // Both hold for as long as a Pod lives: no request but those for the subresources can change these fields.
        if !field::list(spec, "ephemeralContainers").is_empty() {
            causes.forbidden(path.child("ephemeralContainers"), "cannot be set on create");
        }
        if !field::text(spec, "nodeName").is_empty() && !field::list(spec, "schedulingGates").is_empty() {
            let words = "cannot be set until all schedulingGates have been cleared";
            causes.forbidden(path.child("nodeName"), words);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (metadata, before) = (field::get(object, "metadata"), field::get(old, "metadata"));
        pod_annotations::validate_update(metadata, before, &Path::new("metadata.annotations"), causes);
        pod_update::validate(field::get(object, "spec"), field::get(old, "spec"), causes);
    }

    fn validate_status(&self, object: &Value, old: &Value, causes: &mut Causes) {
        pod_status::validate(object, old, causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }

    /// As long as the client or the Pod says; what no kubelet has to stop goes at once.
    fn grace(&self, object: &Value, asked: Option<i64>) -> Option<i64> {
        let seconds = asked.or_else(|| object.int(&["spec", "terminationGracePeriodSeconds"])).unwrap_or(0);
        let stopped = matches!(object.text(&["status", "phase"]), "Failed" | "Succeeded");
        let seconds = if object.text(&["spec", "nodeName"]).is_empty() || stopped { 0 } else { seconds };
        // None at all still shows on the pod, as a deletion of zero seconds.
        Some(if seconds == 0 { 0 } else { seconds.max(1) })
    }
}

fn tokens_need_an_account(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    if !field::text(spec, "serviceAccountName").is_empty() {
        return;
    }
    let volumes = path.child("volumes");
    for (at, volume) in field::list(spec, "volumes").iter().enumerate() {
        let path = volumes.index(at);
        let sources = path.child("projected.sources");
        for (at, source) in field::list(field::get(volume, "projected"), "sources").iter().enumerate() {
            if field::is_set(source, "serviceAccountToken") {
                let words = "must not be specified when serviceAccountName is not set";
                causes.forbidden(sources.index(at).child("serviceAccountToken"), words);
            }
        }
    }
}

/// status.qosClass: Guaranteed where every container's limits are its requests, BestEffort where there are none.
pub fn qos_class(pod: &Value) -> &'static str {
    let spec = field::get(pod, "spec");
    let whole = field::get(spec, "resources");
    let containers = field::list(spec, "containers").iter().chain(field::list(spec, "initContainers"));
    let parts: Vec<&Value> = match whole {
        Value::Null => containers.map(|container| field::get(container, "resources")).collect(),
        whole => vec![whole],
    };
    let amount = |resources: &Value, list: &str, resource: &str| {
        let amount = super::resources::parse(field::get(field::get(resources, list), resource));
        amount.filter(|amount| !amount.is_zero() && !amount.is_negative())
    };
    let mut any = false;
    let mut guaranteed = true;
    for resource in ["cpu", "memory"] {
        let sum = |list: &str| {
            parts.iter().filter_map(|part| amount(part, list, resource)).reduce(|sum, amount| sum.add(&amount))
        };
        let (requests, limits) = (sum("requests"), sum("limits"));
        any |= requests.is_some() || limits.is_some();
        guaranteed &= requests == limits && parts.iter().all(|part| amount(part, "limits", resource).is_some());
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// The values that a new Pod's labels have under matchLabelKeys become part of the terms' selectors, so that who
/// decides later needs the selector only (KEP-3633, KEP-3243).
fn merge_label_keys(pod: &mut Value) {
    let labels = pod.at(&["metadata", "labels"]).clone();
    let Some(spec) = fill::field(pod, "spec") else { return };
    for constraint in fill::each(spec, "topologySpreadConstraints") {
        merge_into_selector(constraint, &labels);
    }
    let Some(affinity) = fill::field(spec, "affinity") else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(terms) = fill::field(affinity, kind) else { continue };
        for term in fill::each(terms, "requiredDuringSchedulingIgnoredDuringExecution") {
            merge_into_selector(term, &labels);
        }
        for weighted in fill::each(terms, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = fill::field(weighted, "podAffinityTerm") {
                merge_into_selector(term, &labels);
            }
        }
    }
}

fn merge_into_selector(term: &mut Value, labels: &Value) {
    let mut added = Vec::new();
    for (list, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in field::list(term, list).iter().filter_map(Value::as_str) {
            if let Some(value) = labels.get(key) {
                added.push(serde_json::json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    let Some(selector) = fill::field(term, "labelSelector").filter(|_| !added.is_empty()) else { return };
    let place = selector.at_mut(&["matchExpressions"]);
    match place {
        Value::Array(expressions) => expressions.extend(added),
        place => *place = Value::Array(added),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(resources: Value) -> Value {
        json!({"spec": {"containers": [{"name": "a", "image": "i", "resources": resources}]}})
    }

    #[test]
    fn classes_of_service() {
        for (resources, class) in [
            (json!({}), "BestEffort"),
            (json!({"requests": {"cpu": "0"}}), "BestEffort"),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}), "Burstable"),
            (
                json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}}),
                "Guaranteed",
            ),
            (json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}), "Burstable"),
        ] {
            assert_eq!(qos_class(&pod(resources.clone())), class, "{resources}");
        }
        let mut two = pod(json!({"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1", "memory": "1"}}));
        two["spec"]["initContainers"] = json!([{"name": "i"}]);
        assert_eq!(qos_class(&two), "Burstable", "every container has to say");
    }

    #[test]
    fn grace_is_for_what_runs() {
        let mut pod = json!({"spec": {"terminationGracePeriodSeconds": 30}});
        assert_eq!(Pod.grace(&pod, None), Some(0), "nobody has to stop what is nowhere");
        pod["spec"]["nodeName"] = json!("n");
        assert_eq!(Pod.grace(&pod, None), Some(30));
        assert_eq!(Pod.grace(&pod, Some(5)), Some(5));
        assert_eq!(Pod.grace(&pod, Some(-5)), Some(1));
        assert_eq!(Pod.grace(&pod, Some(0)), Some(0));
        pod["status"] = json!({"phase": "Succeeded"});
        assert_eq!(Pod.grace(&pod, Some(5)), Some(0));
    }

    #[test]
    fn a_new_pod_is_pending() {
        let mut new = pod(json!({}));
        new["status"] = json!({"phase": "Running", "podIP": "10.0.0.1"});
        Pod.prepare_create(&mut new);
        assert_eq!(new["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
        new["spec"]["schedulingGates"] = json!([{"name": "g"}]);
        Pod.prepare_create(&mut new);
        assert_eq!(new["status"]["conditions"][0]["reason"], "SchedulingGated");
    }

    #[test]
    fn label_keys_become_selectors() {
        let mut new = pod(json!({}));
        new["metadata"] = json!({"labels": {"pod-template-hash": "x", "app": "a"}});
        new["spec"]["topologySpreadConstraints"] =
            json!([{"labelSelector": {"matchLabels": {"app": "a"}}, "matchLabelKeys": ["pod-template-hash", "none"]}]);
        Pod.prepare_create(&mut new);
        assert_eq!(
            new["spec"]["topologySpreadConstraints"][0]["labelSelector"],
            json!({"matchLabels": {"app": "a"},
                "matchExpressions": [{"key": "pod-template-hash", "operator": "In", "values": ["x"]}]})
        );
    }
}
