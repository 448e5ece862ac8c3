//! ResourceQuotas.

use std::collections::BTreeSet;

use super::path::Path;
use super::{Strategy, field, resources};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// core/v1 ResourceQuota.
pub(super) struct ResourceQuota;

const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];
/// Scopes that contradict each other.
const PAIRS: &[(&str, &str)] = &[("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];

impl Strategy for ResourceQuota {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        amounts(spec, "hard", &path, causes);
        scopes(spec, &path, causes);
        selector(spec, &path.child("scopeSelector"), causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let set = |of| {
            let scopes = field::list(field::get(of, "spec"), "scopes").iter().filter_map(Value::as_str);
            scopes.collect::<BTreeSet<_>>()
        };
        if set(object) != set(old) {
            let value = field::get(field::get(object, "spec"), "scopes");
            causes.invalid("spec.scopes", value, field::IMMUTABLE);
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, causes: &mut Causes) {
        let status = field::get(object, "status");
        for key in ["hard", "used"] {
            amounts(status, key, &Path::new("status"), causes);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn amounts(of: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child(key);
    for (resource, value) in field::pairs(of, key) {
        let path = list.key(resource);
        resources::name(resource, path, causes);
        if !resource.contains('/') && !resources::is_standard_for_quota(resource) {
            causes.invalid(path, &resource.into(), "must be a standard resource for quota");
        }
        resources::amount(resource, value, path, causes);
    }
}

/// Whether a scope says anything about a resource.
fn applies(scope: &str, resource: &str) -> bool {
    const COMPUTE: &[&str] = &["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        known if SCOPES.contains(&known) => resource == "pods" || COMPUTE.contains(&resource),
        _ => true,
    }
}

/// How many of the limited resources a scope says nothing about.
fn not_applicable(spec: &Value, scope: &str) -> usize {
    let limited = field::pairs(spec, "hard").map(|(resource, _)| resource);
    limited.filter(|resource| resources::is_standard_for_quota(resource) && !applies(scope, resource)).count()
}

fn contradicting(scopes: &BTreeSet<&str>) -> usize {
    PAIRS.iter().filter(|(one, other)| scopes.contains(one) && scopes.contains(other)).count()
}

fn scopes(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let all = field::get(spec, "scopes");
    let path = path.child("scopes");
    let scopes: Vec<&str> = field::list(spec, "scopes").iter().filter_map(Value::as_str).collect();
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            causes.invalid(path, all, "unsupported scope");
        }
        for _ in 0..not_applicable(spec, scope) {
            causes.invalid(path, all, "unsupported scope applied to resource");
        }
    }
    for _ in 0..contradicting(&scopes.into_iter().collect()) {
        causes.invalid(path, all, "conflicting scopes");
    }
}

fn selector(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let selector = field::get(spec, "scopeSelector");
    let path = path.child("matchExpressions");
    let mut seen = BTreeSet::new();
    for expression in field::list(selector, "matchExpressions") {
        let scope = field::text(expression, "scopeName");
        seen.insert(scope);
        if !SCOPES.contains(&scope) {
            causes.invalid(path.child("scopeName"), &scope.into(), "unsupported scope");
        }
        for _ in 0..not_applicable(spec, scope) {
            causes.invalid(path, selector, "unsupported scope applied to resource");
        }
        let operator = field::text(expression, "operator");
        let only_exists = !matches!(scope, "PriorityClass" | "VolumeAttributesClass") && SCOPES.contains(&scope);
        if only_exists && operator != "Exists" {
            let words = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                         ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                         ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            causes.invalid(path.child("operator"), &operator.into(), words);
        }
        let values = field::list(expression, "values");
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let words = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                causes.required(path.child("values"), words);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let words = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                causes.invalid(path.child("values"), field::get(expression, "values"), words);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => causes.invalid(path.child("operator"), &operator.into(), "not a valid selector operator"),
        }
    }
    for _ in 0..contradicting(&seen) {
        causes.invalid(path, field::get(spec, "scopes"), "conflicting scopes");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    #[test]
    fn rules() {
        let of = |spec: Value| json!({ "spec": spec });
        let good = of(json!({"hard": {"pods": "10", "requests.cpu": "4", "count/jobs.batch": "3"}}));
        assert_eq!(complaints(&ResourceQuota, &good), []);
        for (spec, field, message) in [
            (json!({"hard": {"pods": "1.5"}}), "spec.hard[pods]", "Invalid value: \"1.5\": must be an integer"),
            (
                json!({"hard": {"gpu": "1"}}),
                "spec.hard[gpu]",
                "Invalid value: \"gpu\": must be a standard resource type or fully qualified",
            ),
            (
                json!({"hard": {"services": "1"}, "scopes": ["BestEffort"]}),
                "spec.scopes",
                "Invalid value: [\"BestEffort\"]: unsupported scope applied to resource",
            ),
            (
                json!({"scopes": ["BestEffort", "NotBestEffort"]}),
                "spec.scopes",
                "Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes",
            ),
            (
                json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}),
                "spec.scopeSelector.matchExpressions.values",
                "Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ),
        ] {
            assert_eq!(complaints(&ResourceQuota, &of(spec))[0], (field.to_owned(), message.to_owned()));
        }
        let scoped = of(json!({"scopes": ["BestEffort"]}));
        assert_eq!(complaints_update(&ResourceQuota, &scoped, &good)[0].0, "spec.scopes");
    }
}
