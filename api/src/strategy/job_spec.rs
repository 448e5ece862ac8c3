//! The spec of a Job, alone and inside of CronJobs.

use std::collections::BTreeSet;

use super::path::Path;
use super::{field, job_indexes, template};
use crate::document::{Document, Value};
use crate::status::Causes;

const MAX_INDEXED_PARALLELISM: i64 = 100_000;
const MAX_FAILED_INDEXES: i64 = 100_000;
const MANY_COMPLETIONS: i64 = 100_000;
const MAX_OF_MANY: i64 = 10_000;

/// Every rule but those about the selector, which templates do not have.
pub(super) fn validate(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    for key in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        field::nonnegative(spec, key, path, causes);
    }
    if field::is_set(spec, "maxFailedIndexes") && !field::is_set(spec, "backoffLimitPerIndex") {
        causes.required(path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if field::is_set(spec, "managedBy") {
        field::domain_prefixed_path(field::text(spec, "managedBy"), path.child("managedBy"), causes);
        if field::text(spec, "managedBy").len() > 63 {
            causes.too_long(path.child("managedBy"), 63);
        }
    }
    completion_mode(spec, path, causes);
    if field::is_set(spec, "podFailurePolicy") {
        failure_policy(spec, &path.child("podFailurePolicy"), causes);
    }
    success_policy(spec, path, causes);
    replacement_policy(spec, path, causes);
    template::validate(field::get(spec, "template"), &path.child("template"), causes);
    restart_policy(spec, path, causes);
}

fn completion_mode(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    field::optional_choice(spec, "completionMode", path, &["NonIndexed", "Indexed"], causes);
    if field::text(spec, "completionMode") != "Indexed" {
        for key in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if field::is_set(spec, key) {
                causes.invalid(path.child(key), field::get(spec, key), "requires indexed completion mode");
            }
        }
        return;
    }
    let mut at_most = |key: &str, most: i64, words: &str| {
        if let Some(value) = field::int(spec, key).filter(|value| *value > most) {
            causes.invalid(path.child(key), &Value::from(value), words);
        }
    };
    let words = format!("must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is Indexed");
    at_most("parallelism", MAX_INDEXED_PARALLELISM, &words);
    let completions = field::int(spec, "completions");
    if let Some(completions) = completions {
        at_most("maxFailedIndexes", completions, "must be less than or equal to completions");
    }
    let words = format!("must be less than or equal to {MAX_FAILED_INDEXES}");
    at_most("maxFailedIndexes", MAX_FAILED_INDEXES, &words);
    let many = completions.is_some_and(|completions| completions > MANY_COMPLETIONS);
    if many && field::is_set(spec, "backoffLimitPerIndex") {
        let words = format!(
            "must be less than or equal to {MAX_OF_MANY} when completions are above {MANY_COMPLETIONS} and used with \
             backoff limit per index"
        );
        at_most("parallelism", MAX_OF_MANY, &words);
        at_most("maxFailedIndexes", MAX_OF_MANY, &words);
        if !field::is_set(spec, "maxFailedIndexes") {
            let words = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            causes.required(path.child("maxFailedIndexes"), &words);
        }
    }
    if completions.is_none() {
        causes.required(path.child("completions"), "when completion mode is Indexed");
    }
}

fn failure_policy(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let rules = field::list(field::get(spec, "podFailurePolicy"), "rules");
    let list = path.child("rules");
    field::too_many(rules.len(), 20, list, causes);
    let pod = spec.at(&["template", "spec"]);
    let containers: BTreeSet<&str> = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|key| field::list(pod, key))
        .map(|container| field::text(container, "name"))
        .collect();
    for (at, rule) in rules.iter().enumerate() {
        failure_rule(rule, spec, &containers, &list.index(at), causes);
    }
}

fn failure_rule(rule: &Value, spec: &Value, containers: &BTreeSet<&str>, path: &Path<'_>, causes: &mut Causes) {
    const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
    let action = field::text(rule, "action");
    if action.is_empty() {
        let words = format!("valid values: {}", quoted(ACTIONS));
        causes.required(path.child("action"), &words);
    } else if action == "FailIndex" {
        if !field::is_set(spec, "backoffLimitPerIndex") {
            let words = "requires the backoffLimitPerIndex to be set";
            causes.invalid(path.child("action"), &Value::from(action), words);
        }
    } else {
        field::choice(rule, "action", path, ACTIONS, causes);
    }
    let codes = field::get(rule, "onExitCodes");
    if !codes.is_null() {
        exit_codes(codes, containers, &path.child("onExitCodes"), causes);
    }
    let conditions = field::list(rule, "onPodConditions");
    pod_conditions(conditions, &path.child("onPodConditions"), causes);
    let words = match (codes.is_null(), conditions.is_empty()) {
        (false, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (true, true) => "specifying one of OnExitCodes and OnPodConditions is required",
        _ => return,
    };
    field::invalid_omitted(*path, words, causes);
}

/// Go's `%q` of a list.
fn quoted(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn exit_codes(codes: &Value, containers: &BTreeSet<&str>, path: &Path<'_>, causes: &mut Causes) {
    const OPERATORS: &[&str] = &["In", "NotIn"];
    let operator = field::text(codes, "operator");
    if operator.is_empty() {
        causes.required(path.child("operator"), &format!("valid values: {}", quoted(OPERATORS)));
    } else {
        field::choice(codes, "operator", path, OPERATORS, causes);
    }
    let name = field::get(codes, "containerName");
    if !name.is_null() && !containers.contains(name.as_str().unwrap_or_default()) {
        let words = "must be one of the container or initContainer names in the pod template";
        causes.invalid(path.child("containerName"), name, words);
    }
    let list = path.child("values");
    let values: Vec<i64> = field::list(codes, "values").iter().filter_map(Value::as_i64).collect();
    let all = Value::from(values.clone());
    if values.is_empty() {
        causes.invalid(list, &all, "at least one value is required");
    }
    field::too_many(values.len(), 255, list, causes);
    let mut seen = BTreeSet::new();
    for (at, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            causes.invalid(list.index(at), &Value::from(0), "must not be 0 for the In operator");
        }
        if !seen.insert(value) {
            causes.duplicate(list.index(at), &Value::from(*value));
        }
    }
    if !values.is_sorted() {
        causes.invalid(list, &all, "must be ordered");
    }
}

fn pod_conditions(conditions: &[Value], list: &Path<'_>, causes: &mut Causes) {
    const STATUSES: &[&str] = &["False", "True", "Unknown"];
    field::too_many(conditions.len(), 20, *list, causes);
    for (at, pattern) in conditions.iter().enumerate() {
        let path = list.index(at);
        field::qualified_name(field::text(pattern, "type"), path.child("type"), causes);
        match field::text(pattern, "status") {
            "" => causes.required(path.child("status"), &format!("valid values: {}", quoted(STATUSES))),
            _ => field::choice(pattern, "status", &path, STATUSES, causes),
        }
    }
}

fn success_policy(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let policy = field::get(spec, "successPolicy");
    if policy.is_null() {
        return;
    }
    let path = path.child("successPolicy");
    if field::text(spec, "completionMode") != "Indexed" {
        return causes.invalid(path, policy, "requires indexed completion mode");
    }
    let rules = field::list(policy, "rules");
    let list = path.child("rules");
    if rules.is_empty() {
        causes.required(list, "at least one rules must be specified when the successPolicy is specified");
    }
    field::too_many(rules.len(), 20, list, causes);
    let completions = field::int(spec, "completions").unwrap_or_default();
    for (at, rule) in rules.iter().enumerate() {
        success_rule(rule, completions, &list.index(at), causes);
    }
}

fn success_rule(rule: &Value, completions: i64, path: &Path<'_>, causes: &mut Causes) {
    let (count, indexes) = (field::int(rule, "succeededCount"), field::get(rule, "succeededIndexes").as_str());
    if count.is_none() && indexes.is_none() {
        causes.required(path, "at least one of succeededCount or succeededIndexes must be specified");
    }
    let mut total = 0;
    if let Some(text) = indexes {
        let path = path.child("succeededIndexes");
        if text.len() > 64 * 1024 {
            causes.too_long(path, 64 * 1024);
        }
        match job_indexes::parse(text, completions) {
            Ok(intervals) => total = job_indexes::count(&intervals),
            Err(words) => {
                let words = format!("error parsing succeededIndexes: {words}");
                causes.invalid(path, &Value::from(text), &words);
            }
        }
    }
    let Some(count) = count else { return };
    field::nonnegative(rule, "succeededCount", path, causes);
    let path = path.child("succeededCount");
    let mut at_most = |most: i64, of: &str| {
        if count > most {
            let words = format!("must be less than or equal to {most} (the number of {of})");
            causes.invalid(path, &Value::from(count), &words);
        }
    };
    at_most(completions, "specified completions");
    if indexes.is_some() {
        at_most(total, "indexes in the specified succeededIndexes field");
    }
}

fn replacement_policy(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let choices: &[&str] = match field::is_set(spec, "podFailurePolicy") {
        true => &["Failed"],
        false => &["Failed", "TerminatingOrFailed"],
    };
    field::optional_choice(spec, "podReplacementPolicy", path, choices, causes);
}

/// A Job ends, so its Pods must too.
fn restart_policy(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let pod = spec.at(&["template", "spec"]);
    let pod_path = path.child("template.spec");
    match field::text(pod, "restartPolicy") {
        "" | "Always" => {
            causes.required(pod_path.child("restartPolicy"), "valid values: \"OnFailure\", \"Never\"");
        }
        "Never" => {}
        "OnFailure" if field::is_set(spec, "podFailurePolicy") => {
            let words = "only \"Never\" is supported when podFailurePolicy is specified";
            causes.invalid(pod_path.child("restartPolicy"), field::get(pod, "restartPolicy"), words);
        }
        _ => field::choice(pod, "restartPolicy", &pod_path, &["OnFailure", "Never"], causes),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::template;

    fn complaints(change: Value) -> Vec<(String, String)> {
        let mut spec = json!({"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}});
        for (key, value) in change.as_object().unwrap() {
            spec[key] = value.clone();
        }
        template::default(&mut spec, "template");
        let mut causes = Causes::default();
        validate(&spec, &Path::new("spec"), &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    #[test]
    fn what_passes() {
        for change in [
            json!({}),
            json!({"completionMode": "Indexed", "completions": 5, "backoffLimitPerIndex": 1, "maxFailedIndexes": 3}),
            json!({"podFailurePolicy": {"rules": [
                {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 42]}},
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}}),
            json!({"completionMode": "Indexed", "completions": 5,
                "successPolicy": {"rules": [{"succeededIndexes": "0,2-4", "succeededCount": 2}]}}),
        ] {
            assert_eq!(complaints(change.clone()), [], "{change}");
        }
    }

    #[test]
    fn what_does_not() {
        for (change, field, message) in [
            (json!({"parallelism": -1}), "spec.parallelism", "Invalid value: -1: must be greater than or equal to 0"),
            (
                json!({"completionMode": "Indexed"}),
                "spec.completions",
                "Required value: when completion mode is Indexed",
            ),
            (
                json!({"backoffLimitPerIndex": 1}),
                "spec.backoffLimitPerIndex",
                "Invalid value: 1: requires indexed completion mode",
            ),
            (
                json!({"template": {"spec": {"containers": [{"name": "a", "image": "i"}]}}}),
                "spec.template.spec.restartPolicy",
                "Required value: valid values: \"OnFailure\", \"Never\"",
            ),
            (
                json!({"podFailurePolicy": {"rules": [{"action": "FailJob"}]}}),
                "spec.podFailurePolicy.rules[0]",
                "Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ),
            (
                json!({"podFailurePolicy": {"rules": [
                    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}}]}}),
                "spec.podFailurePolicy.rules[0].onExitCodes.values[0]",
                "Invalid value: 0: must not be 0 for the In operator",
            ),
            (
                json!({"completionMode": "Indexed", "completions": 3,
                    "successPolicy": {"rules": [{"succeededIndexes": "5"}]}}),
                "spec.successPolicy.rules[0].succeededIndexes",
                "Invalid value: \"5\": error parsing succeededIndexes: too large index: \"5\"",
            ),
        ] {
            assert_eq!(complaints(change)[0], (field.to_owned(), message.to_owned()));
        }
    }
}
