//! A Pod's status as kubelets report it.

use super::path::Path;
use super::{field, fill};
use crate::document::{Document, Value};
use crate::status::Causes;

/// What a report about the status may not touch is kept, and what old kubelets leave out is filled in.
pub(super) fn prepare(object: &mut Value, old: &Value) {
    match old.at(&["metadata", "ownerReferences"]) {
        Value::Null => drop(object.remove(&["metadata", "ownerReferences"])),
        owners => object.set(&["metadata", "ownerReferences"], owners.clone()),
    }
    let status = fill::map(object, "status");
    if field::text(status, "qosClass").is_empty()
        && let Some(class) = old.pointer("/status/qosClass")
    {
        fill::set(status, "qosClass", class.clone());
    }
    mirror_addresses(status, "podIP", "podIPs");
    if field::int(status, "observedGeneration").unwrap_or_default() == 0
        && let Some(generation) = old.pointer("/status/observedGeneration")
    {
        fill::set(status, "observedGeneration", generation.clone());
    }
    for condition in fill::each(status, "conditions") {
        keep_generation(condition, old.list(&["status", "conditions"]));
    }
}

fn keep_generation(condition: &mut Value, old: &[Value]) {
    if field::int(condition, "observedGeneration").unwrap_or_default() != 0 {
        return;
    }
    let before = old.iter().find(|old| field::text(old, "type") == field::text(condition, "type"));
    if let Some(generation) = before.and_then(|before| field::int(before, "observedGeneration")) {
        fill::set(condition, "observedGeneration", generation.into());
    }
}

/// The singular field and the first of the plural ones are the same; where they differ, the singular one counts.
fn mirror_addresses(status: &mut Value, one: &str, many: &str) {
    let first = field::list(status, many).first().map(|first| field::text(first, "ip").to_owned());
    let single = field::text(status, one).to_owned();
    match first {
        Some(first) if single.is_empty() => fill::set(status, one, first.into()),
        Some(first) if first == single => {}
        _ if single.is_empty() => {}
        _ => fill::set(status, many, serde_json::json!([{ "ip": single }])),
    }
}

/// Rules of a change of status.
pub(super) fn validate(object: &Value, old: &Value, causes: &mut Causes) {
    let (status, before) = (field::get(object, "status"), field::get(old, "status"));
    let path = Path::new("status");
    conditions(status, &path.child("conditions"), causes);
    if object.text(&["spec", "nodeName"]) != old.text(&["spec", "nodeName"]) {
        causes.forbidden(path.child("nodeName"), "may not be changed directly");
    }
    let nominated = field::text(status, "nominatedNodeName");
    if !nominated.is_empty() && nominated != field::text(before, "nominatedNodeName") {
        field::dns_subdomain(nominated, path.child("nominatedNodeName"), causes);
        if !old.text(&["spec", "nodeName"]).is_empty() {
            let words = "may not be set on pods that are already bound to a node";
            causes.forbidden(path.child("nominatedNodeName"), words);
        }
    }
    let words = "must be a non-negative integer";
    field::at_least(status, "observedGeneration", 0, words, &path, causes);
    field::immutable(status, before, "qosClass", &path, causes);
    transitions(object, old, "containerStatuses", "containers", &path, causes);
    transitions(object, old, "initContainerStatuses", "initContainers", &path, causes);
    addresses(status, "podIPs", &path, causes);
    host_addresses(status, &path, causes);
}

fn conditions(status: &Value, list: &Path<'_>, causes: &mut Causes) {
    for (at, condition) in field::list(status, "conditions").iter().enumerate() {
        let path = list.index(at);
        let words = "must be a non-negative integer";
        field::at_least(condition, "observedGeneration", 0, words, &path, causes);
        let kind = field::text(condition, "type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            field::qualified_name(kind, path.child("Type"), causes);
        }
    }
}

/// A container that has ended for good does not run again.
fn transitions(object: &Value, old: &Value, key: &str, containers: &str, path: &Path<'_>, causes: &mut Causes) {
    let spec = field::get(old, "spec");
    let list = path.child(key);
    for (at, before) in field::list(field::get(old, "status"), key).iter().enumerate() {
        let Some(end) = before.pointer("/state/terminated").filter(|end| !end.is_null()) else { continue };
        let name = field::text(before, "name");
        let mut now = field::list(field::get(object, "status"), key).iter();
        let Some(now) = now.find(|now| field::text(now, "name") == name) else { continue };
        let ended = now.pointer("/state/terminated").is_some_and(|end| !end.is_null());
        let code = field::int(end, "exitCode").unwrap_or_default();
        if !ended && !may_restart(spec, containers, name, code) {
            causes.forbidden(list.index(at).child("state"), "may not be transitioned to non-terminated state");
        }
    }
}

fn may_restart(spec: &Value, containers: &str, name: &str, code: i64) -> bool {
    let mut all = field::list(spec, containers).iter();
    let Some(container) = all.find(|container| field::text(container, "name") == name) else { return true };
    let init = containers == "initContainers";
    for rule in field::list(container, "restartPolicyRules") {
        let codes = field::get(rule, "exitCodes");
        let listed = field::list(codes, "values").iter().any(|value| value.as_i64() == Some(code));
        if listed == (field::text(codes, "operator") == "In") {
            return true;
        }
    }
    let policy = match field::text(container, "restartPolicy") {
        "" => field::text(spec, "restartPolicy"),
        own => own,
    };
    match policy {
        "Always" if init => field::text(container, "restartPolicy") == "Always" || code != 0,
        "Always" => true,
        "OnFailure" => code != 0,
        _ => false,
    }
}

fn addresses(status: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child(key);
    let all = field::list(status, key);
    let mut families = Vec::new();
    for (at, address) in all.iter().enumerate() {
        families.extend(field::ip(field::text(address, "ip"), list.index(at), causes).map(|ip| ip.is_ipv4()));
    }
    let dual = matches!(families.as_slice(), [_] | [] | [true, false] | [false, true]);
    if all.len() > 1 && (!dual || all.len() > 2) {
        causes.invalid(list, field::get(status, key), "may specify no more than one IP for each IP family");
    }
}

fn host_addresses(status: &Value, path: &Path<'_>, causes: &mut Causes) {
    let Some(first) = field::list(status, "hostIPs").first() else { return };
    if field::text(first, "ip") != field::text(status, "hostIP") {
        let list = path.child("hostIPs");
        causes.invalid(list.index(0).child("ip"), field::get(first, "ip"), "must be equal to `hostIP`");
    }
    addresses(status, "hostIPs", path, causes);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(new: Value, old: Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        validate(&new, &old, &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    #[test]
    fn addresses_mirror_each_other() {
        let mut pod = json!({"status": {"podIP": "10.0.0.1"}});
        prepare(&mut pod, &json!({"status": {"qosClass": "BestEffort"}}));
        assert_eq!(
            pod["status"],
            json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "qosClass": "BestEffort"})
        );
    }

    #[test]
    fn rules() {
        let running = |policy: &str, state: Value| {
            json!({"spec": {"restartPolicy": policy, "containers": [{"name": "a"}]},
                "status": {"containerStatuses": [{"name": "a", "state": state}]}})
        };
        let (ended, back) = (json!({"terminated": {"exitCode": 0}}), json!({"running": {}}));
        assert_eq!(complaints(running("Always", back.clone()), running("Always", ended.clone())), []);
        for policy in ["OnFailure", "Never"] {
            let found = complaints(running(policy, back.clone()), running(policy, ended.clone()));
            assert_eq!(found[0].1, "Forbidden: may not be transitioned to non-terminated state");
        }
        let found =
            complaints(json!({"status": {"qosClass": "Burstable"}}), json!({"status": {"qosClass": "BestEffort"}}));
        assert_eq!(found, [("status.qosClass".into(), "Invalid value: \"Burstable\": field is immutable".into())]);
        let found = complaints(json!({"status": {"hostIPs": [{"ip": "10.0.0.1"}]}}), json!({}));
        assert_eq!(found[0].1, "Invalid value: \"10.0.0.1\": must be equal to `hostIP`");
    }
}
