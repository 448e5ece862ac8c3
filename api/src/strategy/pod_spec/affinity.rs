//! Affinity: terms over the labels of nodes and of other Pods.

use crate::document::Value;
use crate::names;
use crate::status::Causes;
use crate::strategy::path::Path;
use crate::strategy::{field, labels};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// `spec.affinity`
pub(super) fn validate(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let affinity = field::get(spec, "affinity");
    let path = path.child("affinity");
    let node = field::get(affinity, "nodeAffinity");
    let node_path = path.child("nodeAffinity");
    if field::is_set(node, REQUIRED) {
        node_selector(field::get(node, REQUIRED), true, &node_path.child(REQUIRED), causes);
    }
    let preferred = node_path.child(PREFERRED);
    for (at, term) in field::list(node, PREFERRED).iter().enumerate() {
        let path = preferred.index(at);
        weight(term, &path, causes);
        // A preference that can never hold does no harm: its values are not looked at.
        node_term(field::get(term, "preference"), false, &path.child("preference"), causes);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let terms = field::get(affinity, kind);
        let path = path.child(kind);
        let required = path.child(REQUIRED);
        for (at, term) in field::list(terms, REQUIRED).iter().enumerate() {
            pod_term(term, &required.index(at), causes);
        }
        let preferred = path.child(PREFERRED);
        for (at, weighted) in field::list(terms, PREFERRED).iter().enumerate() {
            let path = preferred.index(at);
            weight(weighted, &path, causes);
            pod_term(field::get(weighted, "podAffinityTerm"), &path.child("podAffinityTerm"), causes);
        }
    }
}

fn weight(term: &Value, path: &Path<'_>, causes: &mut Causes) {
    let weight = field::int(term, "weight").unwrap_or_default();
    if !(1..=100).contains(&weight) {
        causes.invalid(path.child("weight"), &Value::from(weight), "must be in the range 1-100");
    }
}

/// A NodeSelector: at least one term. `values`: whether the values must be labels' values.
pub(in crate::strategy) fn node_selector(selector: &Value, values: bool, path: &Path<'_>, causes: &mut Causes) {
    let path = path.child("nodeSelectorTerms");
    let terms = field::list(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        causes.required(path, "must have at least one node selector term");
    }
    for (at, term) in terms.iter().enumerate() {
        node_term(term, values, &path.index(at), causes);
    }
}

fn node_term(term: &Value, values: bool, path: &Path<'_>, causes: &mut Causes) {
    let expressions = path.child("matchExpressions");
    for (at, requirement) in field::list(term, "matchExpressions").iter().enumerate() {
        label_requirement(requirement, values, &expressions.index(at), causes);
    }
    let fields = path.child("matchFields");
    for (at, requirement) in field::list(term, "matchFields").iter().enumerate() {
        field_requirement(requirement, &fields.index(at), causes);
    }
}

fn label_requirement(requirement: &Value, check_values: bool, path: &Path<'_>, causes: &mut Causes) {
    let values = field::list(requirement, "values");
    match field::text(requirement, "operator") {
        "In" | "NotIn" => {
            if values.is_empty() {
                causes.required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                let words = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                causes.forbidden(path.child("values"), words);
            }
        }
        "Gt" | "Lt" => {
            if values.len() != 1 {
                let words = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                causes.required(path.child("values"), words);
            }
        }
        other => causes.invalid(path.child("operator"), &Value::from(other), "not a valid selector operator"),
    }
    field::qualified_name(field::text(requirement, "key"), path.child("key"), causes);
    if check_values {
        let path = path.child("values");
        for (at, value) in values.iter().enumerate() {
            labels::label_value(value.as_str().unwrap_or_default(), path.index(at), causes);
        }
    }
}

fn field_requirement(requirement: &Value, path: &Path<'_>, causes: &mut Causes) {
    let values = field::list(requirement, "values");
    match field::text(requirement, "operator") {
        "In" | "NotIn" => {
            if values.len() != 1 {
                let words = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                causes.required(path.child("values"), words);
            }
        }
        other => causes.invalid(path.child("operator"), &Value::from(other), "not a valid selector operator"),
    }
    let key = field::text(requirement, "key");
    if key != "metadata.name" {
        return causes.invalid(path.child("key"), &Value::from(key), "not a valid field selector key");
    }
    let path = path.child("values");
    for (at, value) in values.iter().enumerate() {
        field::dns_subdomain(value.as_str().unwrap_or_default(), path.index(at), causes);
    }
}

fn pod_term(term: &Value, path: &Path<'_>, causes: &mut Causes) {
    labels::selector(term, "labelSelector", path, causes);
    labels::selector(term, "namespaceSelector", path, causes);
    for namespace in field::list(term, "namespaces").iter().filter_map(Value::as_str) {
        field::complain(names::is_dns1123_label(namespace), namespace, path.child("namespace"), causes);
    }
    label_keys(term, path, causes);
    let key = field::text(term, "topologyKey");
    if key.is_empty() {
        causes.required(path.child("topologyKey"), "can not be empty");
    }
    field::qualified_name(key, path.child("topologyKey"), causes);
}

/// `matchLabelKeys` and `mismatchLabelKeys`: they need a selector, and may not contradict it or each other.
pub(super) fn label_keys(term: &Value, path: &Path<'_>, causes: &mut Causes) {
    let selector = field::get(term, "labelSelector");
    for key in ["matchLabelKeys", "mismatchLabelKeys"] {
        let list = path.child(key);
        let keys = field::list(term, key);
        if !keys.is_empty() && selector.is_null() {
            causes.forbidden(list, "must not be specified when labelSelector is not set");
        }
        for (at, name) in keys.iter().filter_map(Value::as_str).enumerate() {
            field::qualified_name(name, list.index(at), causes);
        }
    }
    let matched = field::list(term, "matchLabelKeys");
    let mut seen: Vec<&str> = field::pairs(selector, "matchLabels").map(|(key, _)| key).collect();
    for expression in field::list(selector, "matchExpressions") {
        let key = field::text(expression, "key");
        if let Some(at) = matched.iter().position(|name| name == key).filter(|_| seen.contains(&key)) {
            let words = "exists in both matchLabelKeys and labelSelector";
            causes.invalid(path.index(at), &Value::from(key), words);
        }
        seen.push(key);
    }
    let list = path.child("matchLabelKeys");
    for (at, key) in matched.iter().enumerate() {
        if field::list(term, "mismatchLabelKeys").contains(key) {
            causes.invalid(list.index(at), key, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(affinity: Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        validate(&json!({ "affinity": affinity }), &Path::new("spec"), &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    fn node(requirement: Value) -> Value {
        json!({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}}})
    }

    #[test]
    fn what_passes() {
        for affinity in [
            json!({}),
            node(json!({"key": "zone", "operator": "In", "values": ["a"]})),
            node(json!({"key": "cores", "operator": "Gt", "values": ["4"]})),
            json!({"podAntiAffinity": {REQUIRED: [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "a"}}}]}}),
            json!({"podAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": {
                "topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["pod-template-hash"]}}]}}),
        ] {
            assert_eq!(complaints(affinity.clone()), [], "{affinity}");
        }
    }

    #[test]
    fn what_does_not() {
        let term = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
        let at = |rest: &str| format!("{term}[0].matchExpressions[0].{rest}");
        for (affinity, field, message) in [
            (
                node(json!({"key": "zone", "operator": "In"})),
                at("values"),
                "Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ),
            (
                node(json!({"key": "zone", "operator": "Is"})),
                at("operator"),
                "Invalid value: \"Is\": not a valid selector operator",
            ),
            (
                json!({"nodeAffinity": {REQUIRED: {}}}),
                term.to_owned(),
                "Required value: must have at least one node selector term",
            ),
            (
                json!({"podAffinity": {REQUIRED: [{"labelSelector": {}}]}}),
                format!("spec.affinity.podAffinity.{REQUIRED}[0].topologyKey"),
                "Required value: can not be empty",
            ),
            (
                json!({"podAffinity": {PREFERRED: [{"weight": 101, "podAffinityTerm": {"topologyKey": "a"}}]}}),
                format!("spec.affinity.podAffinity.{PREFERRED}[0].weight"),
                "Invalid value: 101: must be in the range 1-100",
            ),
        ] {
            assert_eq!(complaints(affinity)[0], (field, message.to_owned()));
        }
    }
}
