//! Tolerations, topology spread and scheduling gates.

use std::collections::BTreeSet;

use super::affinity;
use crate::document::Value;
use crate::names;
use crate::status::Causes;
use crate::strategy::path::Path;
use crate::strategy::{field, labels};

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// `spec.tolerations`
pub(in crate::strategy) fn tolerations(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("tolerations");
    for (at, toleration) in field::list(spec, "tolerations").iter().enumerate() {
        self::toleration(toleration, &list.index(at), causes);
    }
}

fn toleration(toleration: &Value, path: &Path<'_>, causes: &mut Causes) {
    let key = field::text(toleration, "key");
    let operator = field::text(toleration, "operator");
    let value = field::text(toleration, "value");
    let effect = field::text(toleration, "effect");
    if !key.is_empty() {
        field::qualified_name(key, path.child("key"), causes);
    } else if operator != "Exists" {
        let words = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        causes.invalid(path.child("operator"), &Value::from(operator), words);
    }
    if field::is_set(toleration, "tolerationSeconds") && effect != "NoExecute" {
        let words = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        causes.invalid(path.child("effect"), &Value::from(effect), words);
    }
    match operator {
        "" | "Equal" => {
            let wrong = names::is_valid_label_value(value);
            if !wrong.is_empty() {
                causes.invalid(path.child("operator"), &Value::from(value), &wrong.join(";"));
            }
        }
        "Exists" => {
            if !value.is_empty() {
                let words = "value must be empty when `operator` is 'Exists'";
                causes.invalid(path.child("operator"), &Value::from(value), words);
            }
        }
        _ => field::choice(toleration, "operator", path, &["Equal", "Exists"], causes),
    }
    if !effect.is_empty() {
        field::choice(toleration, "effect", path, EFFECTS, causes);
    }
}

/// The taints of a node, at the path that the reference gives them.
pub(in crate::strategy) fn taints(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("taints");
    let mut seen = BTreeSet::new();
    for (at, taint) in field::list(spec, "taints").iter().enumerate() {
        let path = list.index(at);
        let (key, value) = (field::text(taint, "key"), field::text(taint, "value"));
        field::qualified_name(key, path.child("key"), causes);
        let wrong = names::is_valid_label_value(value);
        if !wrong.is_empty() {
            causes.invalid(path.child("value"), &Value::from(value), &wrong.join(";"));
        }
        field::required_choice(taint, "effect", &path, EFFECTS, causes);
        if !seen.insert((field::text(taint, "effect"), key)) {
            causes.duplicate(path, taint);
            field::explain("taints must be unique by key and effect pair", causes);
        }
    }
}

/// `spec.topologySpreadConstraints`
pub(super) fn spread(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("topologySpreadConstraints");
    let constraints = field::list(spec, "topologySpreadConstraints");
    for (at, constraint) in constraints.iter().enumerate() {
        let path = list.index(at);
        let kind =
            |of: &Value| (field::text(of, "topologyKey").to_owned(), field::text(of, "whenUnsatisfiable").to_owned());
        let (key, action) = kind(constraint);
        field::positive(constraint, "maxSkew", &path, causes);
        if key.is_empty() {
            causes.required(path.child("topologyKey"), "can not be empty");
        }
        field::choice(constraint, "whenUnsatisfiable", &path, &["DoNotSchedule", "ScheduleAnyway"], causes);
        if constraints[at + 1..].iter().any(|other| kind(other) == kind(constraint)) {
            let value = Value::from(format!("{{{key}, {action}}}"));
            causes.duplicate(path.child("{topologyKey, whenUnsatisfiable}"), &value);
        }
        if field::is_set(constraint, "minDomains") {
            field::positive(constraint, "minDomains", &path, causes);
            if action != "DoNotSchedule" {
                let words = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                causes.invalid(path.child("minDomains"), field::get(constraint, "minDomains"), &words);
            }
        }
        for key in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            field::optional_choice(constraint, key, &path, &["Honor", "Ignore"], causes);
        }
        affinity::label_keys(constraint, &path, causes);
        labels::selector(constraint, "labelSelector", &path, causes);
    }
}

/// `spec.schedulingGates`
pub(super) fn gates(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("schedulingGates");
    let mut seen = BTreeSet::new();
    for (at, gate) in field::list(spec, "schedulingGates").iter().enumerate() {
        let name = field::text(gate, "name");
        field::qualified_name(name, list.index(at), causes);
        if !seen.insert(name) {
            causes.duplicate(list.index(at), &Value::from(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(spec: Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        let path = Path::new("spec");
        tolerations(&spec, &path, &mut causes);
        taints(&spec, &path, &mut causes);
        spread(&spec, &path, &mut causes);
        gates(&spec, &path, &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    #[test]
    fn what_passes() {
        let spec = json!({
            "tolerations": [
                {"operator": "Exists"},
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "a", "value": "b"},
            ],
            "taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}],
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}],
            "schedulingGates": [{"name": "example.com/a"}],
        });
        assert_eq!(complaints(spec), []);
    }

    #[test]
    fn what_does_not() {
        let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
        for (spec, field, message) in [
            (
                json!({"tolerations": [{"operator": "Equal"}]}),
                "spec.tolerations[0].operator",
                "Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values \
                 and all keys\"",
            ),
            (
                json!({"tolerations": [{"key": "a", "tolerationSeconds": 3}]}),
                "spec.tolerations[0].effect",
                "Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
            ),
            (
                json!({"tolerations": [{"key": "a", "operator": "In"}]}),
                "spec.tolerations[0].operator",
                "Unsupported value: \"In\": supported values: \"Equal\", \"Exists\"",
            ),
            (
                json!({"tolerations": [{"key": "a", "effect": "No"}]}),
                "spec.tolerations[0].effect",
                "Unsupported value: \"No\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
            ),
            (
                json!({"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}]}),
                "spec.taints[1]",
                "Duplicate value: {\"effect\":\"NoSchedule\",\"key\":\"a\"}: taints must be unique by key and effect pair",
            ),
            (
                json!({"topologySpreadConstraints": [constraint, constraint]}),
                "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}",
                "Duplicate value: \"{zone, DoNotSchedule}\"",
            ),
            (
                json!({"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]}),
                "spec.topologySpreadConstraints[0].maxSkew",
                "Invalid value: 0: must be greater than zero",
            ),
            (
                json!({"schedulingGates": [{"name": "a"}, {"name": "a"}]}),
                "spec.schedulingGates[1]",
                "Duplicate value: \"a\"",
            ),
        ] {
            assert_eq!(complaints(spec)[0], (field.to_owned(), message.to_owned()));
        }
    }
}
