//! HorizontalPodAutoscalers, as autoscaling/v2 has them.

use serde_json::json;

use super::path::Path;
use super::{Strategy, field, fill, labels, resources};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// autoscaling/v2 HorizontalPodAutoscaler.
pub(super) struct HorizontalPodAutoscaler;

/// The kinds of metric: the value of `type` and the field that goes with it.
const METRICS: &[(&str, &str)] = &[
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const METRIC_TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
const LONGEST_WINDOW: i64 = 3600;
const LONGEST_PERIOD: i64 = 1800;

impl Strategy for HorizontalPodAutoscaler {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        fill::int(spec, "minReplicas", 1);
        if field::list(spec, "metrics").is_empty() {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
            fill::set(spec, "metrics", json!([cpu]));
        }
        if let Some(behavior) = fill::field(spec, "behavior") {
            let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
            let up = fill::map(behavior, "scaleUp");
            fill::int(up, "stabilizationWindowSeconds", 0);
            fill::text(up, "selectPolicy", "Max");
            let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
            fill::value(up, "policies", || json!([pods, percent]));
            let down = fill::map(behavior, "scaleDown");
            fill::text(down, "selectPolicy", "Max");
            fill::value(down, "policies", || json!([percent]));
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        field::at_least(spec, "minReplicas", 1, "must be greater than or equal to 1", &path, causes);
        let most = field::int(spec, "maxReplicas").unwrap_or_default();
        if most == 0 {
            causes.required(path.child("maxReplicas"), "must be set and greater than 0");
        }
        field::at_least(spec, "maxReplicas", 0, "must be greater than or equal to 1", &path, causes);
        if field::int(spec, "minReplicas").is_some_and(|least| most < least) {
            let words = "must be greater than or equal to `minReplicas`";
            causes.invalid(path.child("maxReplicas"), &most.into(), words);
        }
        target_reference(field::get(spec, "scaleTargetRef"), &path.child("scaleTargetRef"), causes);
        let list = path.child("metrics");
        for (at, metric) in field::list(spec, "metrics").iter().enumerate() {
            self::metric(metric, &list.index(at), causes);
        }
        let behavior = field::get(spec, "behavior");
        let behavior_path = path.child("behavior");
        for key in ["scaleUp", "scaleDown"] {
            if field::is_set(behavior, key) {
                scaling_rules(field::get(behavior, key), &behavior_path.child(key), causes);
            }
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, causes: &mut Causes) {
        let status = field::get(object, "status");
        for key in ["currentReplicas", "desiredReplicas"] {
            field::nonnegative(status, key, &Path::new("status"), causes);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn target_reference(reference: &Value, path: &Path<'_>, causes: &mut Causes) {
    field::path_segment(reference, "kind", path, causes);
    field::path_segment(reference, "name", path, causes);
    let version = field::text(reference, "apiVersion");
    if version.matches('/').count() > 1 {
        let words = format!("unexpected GroupVersion string: {version}");
        causes.invalid(path.child("apiVersion"), &version.into(), &words);
    }
}

fn metric(metric: &Value, path: &Path<'_>, causes: &mut Causes) {
    let kind = field::text(metric, "type");
    if kind.is_empty() {
        causes.required(path.child("type"), "must specify a metric source type");
    }
    let expected = METRICS.iter().find(|(known, _)| *known == kind).map(|(_, key)| *key);
    let present: Vec<&str> = METRICS.iter().map(|(_, key)| *key).filter(|key| field::is_set(metric, key)).collect();
    if let Some(first) = present.first() {
        source(first, field::get(metric, first), &path.child(first), causes);
    }
    match expected {
        None => field::choice(metric, "type", path, METRIC_TYPES, causes),
        Some(key) if !field::is_set(metric, key) => {
            causes.required(path.child(key), "must populate information for the given metric source");
        }
        Some(_) => {}
    }
    if present.len() > 1 {
        for key in present.into_iter().filter(|key| Some(*key) != expected) {
            causes.forbidden(path.child(key), "must populate the given metric source only");
        }
    }
}

fn source(kind: &str, source: &Value, path: &Path<'_>, causes: &mut Causes) {
    match kind {
        "object" => {
            let object = field::get(source, "describedObject");
            target_reference(object, &path.child("describedObject"), causes);
        }
        "containerResource" if field::text(source, "container").is_empty() => {
            causes.required(path.child("container"), "must specify a container");
        }
        "containerResource" => field::dns_label(field::text(source, "container"), path.child("container"), causes),
        _ => {}
    }
    if matches!(kind, "resource" | "containerResource") {
        if field::text(source, "name").is_empty() {
            causes.required(path.child("name"), "must specify a resource name");
        }
    } else {
        identifier(field::get(source, "metric"), &path.child("metric"), causes);
    }
    let target = field::get(source, "target");
    let target_path = path.child("target");
    metric_target(target, &target_path, causes);
    let is_set = |key: &str| field::is_set(target, key);
    match kind {
        "object" if !is_set("value") && !is_set("averageValue") => {
            causes.required(target_path.child("averageValue"), "must set either a target value or averageValue");
        }
        "external" => match (is_set("value"), is_set("averageValue")) {
            (false, false) => {
                let words = "must set either a target value for metric or a per-pod target";
                causes.required(target_path.child("averageValue"), words);
            }
            (true, true) => {
                let words = "may not set both a target value for metric and a per-pod target";
                causes.forbidden(target_path.child("value"), words);
            }
            _ => {}
        },
        "pods" if !is_set("averageValue") => {
            causes.required(target_path.child("averageValue"), "must specify a positive target averageValue");
        }
        "resource" | "containerResource" => match (is_set("averageUtilization"), is_set("averageValue")) {
            (false, false) => {
                let words = "must set either a target raw value or a target utilization";
                causes.required(target_path.child("averageUtilization"), words);
            }
            (true, true) => {
                let words = "may not set both a target raw value and a target utilization";
                causes.forbidden(target_path.child("averageValue"), words);
            }
            _ => {}
        },
        _ => {}
    }
}

fn identifier(metric: &Value, path: &Path<'_>, causes: &mut Causes) {
    match field::text(metric, "name") {
        "" => causes.required(path.child("name"), "must specify a metric name"),
        name => field::complain(names::is_path_segment_name(name), name, path.child("name"), causes),
    }
    labels::selector(metric, "selector", path, causes);
}

fn metric_target(target: &Value, path: &Path<'_>, causes: &mut Causes) {
    let kind = field::text(target, "type");
    if kind.is_empty() {
        causes.required(path.child("type"), "must specify a metric target type");
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let words = "must be either Utilization, Value, or AverageValue";
        causes.invalid(path.child("type"), &kind.into(), words);
    }
    for key in ["value", "averageValue"] {
        let value = field::get(target, key);
        if resources::parse(value).is_some_and(|amount| amount <= resources::zero()) {
            causes.invalid(path.child(key), value, "must be positive");
        }
    }
    field::at_least(target, "averageUtilization", 1, "must be greater than 0", path, causes);
}

fn scaling_rules(rules: &Value, path: &Path<'_>, causes: &mut Causes) {
    let words = "must be greater than or equal to zero";
    field::at_least(rules, "stabilizationWindowSeconds", 0, words, path, causes);
    let window = field::int(rules, "stabilizationWindowSeconds").unwrap_or_default();
    if window > LONGEST_WINDOW {
        let words = format!("must be less than or equal to {LONGEST_WINDOW}");
        causes.invalid(path.child("stabilizationWindowSeconds"), &window.into(), &words);
    }
    field::optional_choice(rules, "selectPolicy", path, &["Disabled", "Max", "Min"], causes);
    let list = path.child("policies");
    let policies = field::list(rules, "policies");
    if policies.is_empty() {
        causes.required(list, "must specify at least one Policy");
    }
    for (at, policy) in policies.iter().enumerate() {
        let path = list.index(at);
        field::choice(policy, "type", &path, &["Percent", "Pods"], causes);
        field::positive(policy, "value", &path, causes);
        field::positive(policy, "periodSeconds", &path, causes);
        let period = field::int(policy, "periodSeconds").unwrap_or_default();
        if period > LONGEST_PERIOD {
            let words = format!("must be less than or equal to {LONGEST_PERIOD}");
            causes.invalid(path.child("periodSeconds"), &period.into(), &words);
        }
    }
    let tolerance = field::get(rules, "tolerance");
    if resources::parse(tolerance).is_some_and(|tolerance| tolerance.is_negative()) {
        causes.invalid(path.child("tolerance"), tolerance, field::NEGATIVE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::tests::complaints;

    fn autoscaler(change: Value) -> Value {
        let mut object = json!({"spec": {
            "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
        for (key, value) in change.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        HorizontalPodAutoscaler.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let good = autoscaler(json!({"behavior": {}}));
        assert_eq!(good["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
        assert_eq!(good["spec"]["behavior"]["scaleUp"]["policies"].as_array().unwrap().len(), 2);
        assert_eq!(complaints(&HorizontalPodAutoscaler, &good), []);
        for (change, field, message) in [
            (
                json!({"maxReplicas": 0, "minReplicas": null}),
                "spec.maxReplicas",
                "Required value: must be set and greater than 0",
            ),
            (
                json!({"minReplicas": 5}),
                "spec.maxReplicas",
                "Invalid value: 3: must be greater than or equal to `minReplicas`",
            ),
            (json!({"scaleTargetRef": {"name": "web"}}), "spec.scaleTargetRef.kind", "Required value"),
            (
                json!({"metrics": [{"type": "Pods"}]}),
                "spec.metrics[0].pods",
                "Required value: must populate information for the given metric source",
            ),
            (
                json!({"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}]}),
                "spec.metrics[0].resource.target.averageUtilization",
                "Required value: must set either a target raw value or a target utilization",
            ),
            (
                json!({"behavior": {"scaleUp": {"policies": []}}}),
                "spec.behavior.scaleUp.policies",
                "Required value: must specify at least one Policy",
            ),
        ] {
            let found = complaints(&HorizontalPodAutoscaler, &autoscaler(change));
            assert_eq!(found[0], (field.to_owned(), message.to_owned()));
        }
    }
}
