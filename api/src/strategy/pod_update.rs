//! What may change about a Pod that is there: images, deadlines, more tolerations, fewer gates.

use super::field;
use super::path::Path;
use crate::document::Value;
use crate::status::Causes;

const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Compares the specs.
pub(super) fn validate(new: &Value, old: &Value, causes: &mut Causes) {
    let path = Path::new("spec");
    for key in ["containers", "initContainers"] {
        if field::list(new, key).len() != field::list(old, key).len() {
            return causes.forbidden(path.child(key), "pod updates may not add or remove containers");
        }
    }
    if !deadline(new, old, &path, causes) {
        return;
    }
    tolerations(new, old, &path, causes);
    gates(new, old, &path, causes);
    if field::same(new, old) {
        return;
    }
    let mut munged = new.clone();
    for key in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        copy(&mut munged, old, key);
    }
    for key in ["containers", "initContainers"] {
        let list = munged.get_mut(key).and_then(Value::as_array_mut);
        for (container, before) in list.into_iter().flatten().zip(field::list(old, key)) {
            copy(container, before, "image");
        }
    }
    let grace = "terminationGracePeriodSeconds";
    if field::int(old, grace).is_some_and(|seconds| seconds < 0) && field::int(new, grace) == Some(1) {
        copy(&mut munged, old, grace);
    }
    if !field::list(old, "schedulingGates").is_empty() {
        gated(&mut munged, old, &path, causes);
    }
    if !field::same(&munged, old) {
        causes.forbidden(path, &format!("{UPDATABLE}\n{}", difference(&munged, old)));
    }
}

fn copy(to: &mut Value, from: &Value, key: &str) {
    match from.get(key) {
        Some(value) => super::fill::set(to, key, value.clone()),
        None => drop(super::fill::remove(to, key)),
    }
}

/// The fields that differ, one line each.
fn difference(new: &Value, old: &Value) -> String {
    let keys = |of: &Value| of.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    let mut all: Vec<String> = keys(new).into_iter().chain(keys(old)).collect();
    all.sort();
    all.dedup();
    let lines = all.iter().filter(|key| !field::same(field::get(new, key), field::get(old, key)));
    let lines = lines.map(|key| format!("-{key}: {}\n+{key}: {}\n", field::get(old, key), field::get(new, key)));
    lines.collect()
}

/// Deadlines come closer, and never go away. Whether the comparison can go on.
fn deadline(new: &Value, old: &Value, path: &Path<'_>, causes: &mut Causes) -> bool {
    let key = "activeDeadlineSeconds";
    let path = path.child(key);
    match (field::int(new, key), field::int(old, key)) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            causes.invalid(path, &Value::from(new), "must be between 0 and 2147483647, inclusive");
            false
        }
        (Some(new), Some(old)) if old < new => {
            causes.invalid(path, &Value::from(new), "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            causes.invalid(path, &Value::Null, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

fn tolerations(new: &Value, old: &Value, path: &Path<'_>, causes: &mut Causes) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        super::fill::remove(&mut toleration, "tolerationSeconds");
        toleration
    };
    let kept: Vec<Value> = field::list(new, "tolerations").iter().map(without_seconds).collect();
    if field::list(old, "tolerations").iter().any(|old| !kept.contains(&without_seconds(old))) {
        let words = "existing toleration can not be modified except its tolerationSeconds";
        causes.forbidden(path.child("tolerations"), words);
    }
}

fn gates(new: &Value, old: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("schedulingGates");
    let before = field::list(old, "schedulingGates");
    for (at, gate) in field::list(new, "schedulingGates").iter().enumerate() {
        let name = field::text(gate, "name");
        if !before.iter().any(|gate| field::text(gate, "name") == name) {
            let words = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            causes.forbidden(list.index(at).child("name"), &words);
        }
    }
}

/// A Pod behind a gate may still become choosier about its node.
fn gated(munged: &mut Value, old: &Value, path: &Path<'_>, causes: &mut Causes) {
    let selector = field::get(munged, "nodeSelector");
    if !field::same(selector, field::get(old, "nodeSelector")) {
        let lost = field::pairs(old, "nodeSelector").any(|(key, value)| selector.get(key) != Some(value));
        if lost {
            let words = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            causes.invalid(path.child("nodeSelector"), selector, words);
        }
        copy(munged, old, "nodeSelector");
    }
    let of = |spec: &Value| field::get(field::get(spec, "affinity"), "nodeAffinity").clone();
    let (now, before) = (of(munged), of(old));
    if !field::same(&now, &before) {
        node_affinity(&now, &before, &path.child("affinity"), causes);
        let affinity = super::fill::map(munged, "affinity");
        match before {
            Value::Null => drop(super::fill::remove(affinity, "nodeAffinity")),
            before => super::fill::set(affinity, "nodeAffinity", before),
        }
    }
}

fn node_affinity(new: &Value, old: &Value, path: &Path<'_>, causes: &mut Causes) {
    let terms = |of| field::list(field::get(of, "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms");
    let (new, old) = (terms(new), terms(old));
    let list = path.child("nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    if old.is_empty() {
        return;
    }
    if new.len() != old.len() {
        let words = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return causes.invalid(list, &Value::from(new.to_vec()), words);
    }
    for (at, (new, old)) in new.iter().zip(old).enumerate() {
        let keys = ["matchExpressions", "matchFields"];
        let nothing_before = keys.iter().all(|key| field::list(old, key).is_empty());
        let something_now = keys.iter().any(|key| !field::list(new, key).is_empty());
        let kept = keys.iter().all(|key| field::list(new, key).starts_with(field::list(old, key)));
        if !kept || (nothing_before && something_now) {
            causes.invalid(list.index(at), new, "only additions are allowed (no mutations or deletions)");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(new: &Value, old: &Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        validate(new, old, &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    fn changed(change: impl FnOnce(&mut Value)) -> (Value, Value) {
        let old = json!({
            "containers": [{"name": "a", "image": "i"}], "activeDeadlineSeconds": 10,
            "terminationGracePeriodSeconds": 30,
            "tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 1}],
        });
        let mut new = old.clone();
        change(&mut new);
        (new, old)
    }

    #[test]
    fn what_may_change() {
        let changes: [fn(&mut Value); 4] = [
            |spec| spec["containers"][0]["image"] = json!("j"),
            |spec| spec["activeDeadlineSeconds"] = json!(5),
            |spec| spec["tolerations"][0]["tolerationSeconds"] = json!(5),
            |spec| spec["tolerations"].as_array_mut().unwrap().push(json!({"key": "b"})),
        ];
        for change in changes {
            let (new, old) = changed(change);
            assert_eq!(complaints(&new, &old), [], "{new}");
        }
        let (mut new, mut old) = changed(|_| {});
        old["terminationGracePeriodSeconds"] = json!(-1);
        new["terminationGracePeriodSeconds"] = json!(1);
        assert_eq!(complaints(&new, &old), []);
    }

    #[test]
    fn what_may_not() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str, &str); 5] = [
            (
                |spec| spec["containers"].as_array_mut().unwrap().clear(),
                "spec.containers",
                "Forbidden: pod updates may not add or remove containers",
            ),
            (
                |spec| spec["activeDeadlineSeconds"] = json!(20),
                "spec.activeDeadlineSeconds",
                "Invalid value: 20: must be less than or equal to previous value",
            ),
            (
                |spec| spec["activeDeadlineSeconds"] = json!(null),
                "spec.activeDeadlineSeconds",
                "Invalid value: null: must not update from a positive integer to nil value",
            ),
            (
                |spec| spec["tolerations"] = json!([]),
                "spec.tolerations",
                "Forbidden: existing toleration can not be modified except its tolerationSeconds",
            ),
            (
                |spec| spec["schedulingGates"] = json!([{"name": "g"}]),
                "spec.schedulingGates[0].name",
                "Forbidden: only deletion is allowed, but found new scheduling gate 'g'",
            ),
        ];
        for (change, field, message) in cases {
            let (new, old) = changed(change);
            assert_eq!(complaints(&new, &old)[0], (field.to_owned(), message.to_owned()));
        }
        let (new, old) = changed(|spec| spec["nodeSelector"] = json!({"a": "b"}));
        let (field, message) = &complaints(&new, &old)[0];
        assert_eq!(field, "spec");
        assert!(
            message.starts_with("Forbidden: pod updates may not change fields other than `spec.containers[*].image`")
        );
        assert!(message.contains("nodeSelector"), "{message}");
    }

    #[test]
    fn behind_a_gate_more_may_change() {
        let (mut new, mut old) = changed(|spec| spec["nodeSelector"] = json!({"a": "b"}));
        for spec in [&mut new, &mut old] {
            spec["schedulingGates"] = json!([{"name": "g"}]);
        }
        assert_eq!(complaints(&new, &old), []);
        let (field, _) = &complaints(&old, &new)[0];
        assert_eq!(field, "spec.nodeSelector", "taking away is another matter");
    }
}
