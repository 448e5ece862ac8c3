//! Which taints a Node should have, by its conditions.

use smol_str::SmolStr;

use crate::views::{Node, Taint};

/// Taint of a Node whose kubelet says that it is not ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Taint of a Node that nothing was heard of.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// Condition, its status, and the taint that goes with it.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

fn taint(key: &str, effect: &str, now: &SmolStr) -> Taint {
    Taint { key: key.into(), value: SmolStr::default(), effect: effect.into(), time_added: Some(now.clone()) }
}

fn is_ours(node: &Node, given: &Taint) -> bool {
    if given.effect != NO_SCHEDULE {
        return false;
    }
    // A Node that never said whether it is ready keeps the taint that it came with.
    let about_ready = given.key == NOT_READY || given.key == UNREACHABLE;
    if about_ready && node.condition("Ready").is_none() {
        return false;
    }
    given.key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(_, _, key)| given.key == *key)
}

/// The taints that a Node should have, if they are others than it has: NoSchedule ones follow its conditions at once, and
/// NoExecute ones go at once when it is ready. Adding NoExecute taints is rationed (see [`with_no_execute`]), but one that
/// is there follows the condition.
pub fn wanted(node: &Node, now: &SmolStr) -> Option<Vec<Taint>> {
    let has = |condition: &str, status: &str| node.condition(condition).is_some_and(|found| found.status == status);
    let by_condition = BY_CONDITION.iter().filter(|(condition, status, _)| has(condition, status));
    let mut keys: Vec<&str> = by_condition.map(|(_, _, key)| *key).collect();
    if node.spec.unschedulable {
        keys.push(UNSCHEDULABLE);
    }
    let mut taints: Vec<Taint> = Vec::with_capacity(node.spec.taints.len() + keys.len());
    for given in &node.spec.taints {
        if !is_ours(node, given) || keys.contains(&given.key.as_str()) {
            taints.push(given.clone());
        }
    }
    for key in keys {
        if !node.has_taint(key, NO_SCHEDULE) {
            taints.push(taint(key, NO_SCHEDULE, now));
        }
    }
    follow_no_execute(node, &mut taints, now);
    (taints != node.spec.taints).then_some(taints)
}

fn follow_no_execute(node: &Node, taints: &mut Vec<Taint>, now: &SmolStr) {
    let is = |given: &Taint, key: &str| given.effect == NO_EXECUTE && given.key == key;
    let Some(ready) = node.condition("Ready") else { return };
    let (good, bad) = match ready.status.as_str() {
        "True" => return taints.retain(|given| !is(given, NOT_READY) && !is(given, UNREACHABLE)),
        "False" => (NOT_READY, UNREACHABLE),
        _ => (UNREACHABLE, NOT_READY),
    };
    if taints.iter().any(|given| is(given, bad)) {
        taints.retain(|given| !is(given, bad) && !is(given, good));
        taints.push(taint(good, NO_EXECUTE, now));
    }
}

/// The taints of a Node that is not ready, with the NoExecute one that evicts its Pods; `None` where it is ready or has
/// it.
pub fn with_no_execute(node: &Node, now: &SmolStr) -> Option<Vec<Taint>> {
    let key = no_execute_key(node)?;
    if node.has_taint(key, NO_EXECUTE) {
        return None;
    }
    let other = if key == NOT_READY { UNREACHABLE } else { NOT_READY };
    let is_other = |given: &&Taint| given.effect == NO_EXECUTE && given.key == other;
    let mut taints: Vec<Taint> = node.spec.taints.iter().filter(|given| !is_other(given)).cloned().collect();
    taints.push(taint(key, NO_EXECUTE, now));
    Some(taints)
}

fn no_execute_key(node: &Node) -> Option<&'static str> {
    match node.condition("Ready")?.status.as_str() {
        "True" => None,
        "False" => Some(NOT_READY),
        _ => Some(UNREACHABLE),
    }
}

/// The taints without those that evict: when no Node at all is ready, the fault is not with the Nodes.
pub fn without_no_execute(node: &Node) -> Option<Vec<Taint>> {
    let evicts = |given: &&Taint| given.effect == NO_EXECUTE && (given.key == NOT_READY || given.key == UNREACHABLE);
    let taints: Vec<Taint> = node.spec.taints.iter().filter(|given| !evicts(given)).cloned().collect();
    (taints.len() != node.spec.taints.len()).then_some(taints)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(conditions: &[(&str, &str)], taints: &[(&str, &str)]) -> Node {
        let conditions: Vec<Value> =
            conditions.iter().map(|(kind, status)| json!({ "type": kind, "status": status })).collect();
        let taints: Vec<Value> = taints.iter().map(|(key, effect)| json!({ "key": key, "effect": effect })).collect();
        serde_json::from_value(json!({ "spec": { "taints": taints }, "status": { "conditions": conditions } })).unwrap()
    }

    fn shown(taints: Option<Vec<Taint>>) -> Option<Vec<(String, String)>> {
        Some(taints?.iter().map(|taint| (taint.key.to_string(), taint.effect.to_string())).collect())
    }

    fn pairs(taints: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(taints.iter().map(|(key, effect)| ((*key).to_owned(), (*effect).to_owned())).collect())
    }

    #[test]
    fn taints_follow_conditions_and_leave_others_alone() {
        let now = SmolStr::from("now");
        let mine = ("example.com/mine", NO_SCHEDULE);
        let wants =
            |conditions: &[(&str, &str)], taints: &[(&str, &str)]| shown(wanted(&node(conditions, taints), &now));
        assert_eq!(wants(&[("Ready", "True")], &[mine, (NOT_READY, NO_SCHEDULE)]), pairs(&[mine]));
        assert_eq!(wants(&[("Ready", "True")], &[mine]), None);
        assert_eq!(wants(&[], &[(NOT_READY, NO_SCHEDULE)]), None, "it has not said anything yet");
        assert_eq!(
            wants(&[("Ready", "Unknown"), ("DiskPressure", "True")], &[(NOT_READY, NO_SCHEDULE)]),
            pairs(&[(UNREACHABLE, NO_SCHEDULE), ("node.kubernetes.io/disk-pressure", NO_SCHEDULE)])
        );
        let both = [(UNREACHABLE, NO_SCHEDULE), (UNREACHABLE, NO_EXECUTE)];
        assert_eq!(wants(&[("Ready", "True")], &both), pairs(&[]));
        assert_eq!(wants(&[("Ready", "Unknown")], &both), None);
        assert_eq!(wants(&[("Ready", "False")], &both), pairs(&[(NOT_READY, NO_SCHEDULE), (NOT_READY, NO_EXECUTE)]));
        let mut cordoned = node(&[("Ready", "True")], &[]);
        cordoned.spec.unschedulable = true;
        assert_eq!(shown(wanted(&cordoned, &now)), pairs(&[(UNSCHEDULABLE, NO_SCHEDULE)]));
        let uncordoned = node(&[("Ready", "True")], &[(UNSCHEDULABLE, NO_SCHEDULE)]);
        assert_eq!(shown(wanted(&uncordoned, &now)), pairs(&[]));
    }

    #[test]
    fn eviction_taints_are_exclusive_and_added_once() {
        let now = SmolStr::from("now");
        let lost = node(&[("Ready", "Unknown")], &[(NOT_READY, NO_EXECUTE)]);
        assert_eq!(shown(with_no_execute(&lost, &now)), pairs(&[(UNREACHABLE, NO_EXECUTE)]));
        let tainted = node(&[("Ready", "Unknown")], &[(UNREACHABLE, NO_EXECUTE)]);
        assert_eq!(with_no_execute(&tainted, &now), None);
        assert_eq!(with_no_execute(&node(&[("Ready", "True")], &[]), &now), None);
        assert_eq!(shown(without_no_execute(&tainted)), pairs(&[]));
        assert_eq!(without_no_execute(&node(&[], &[("x", NO_EXECUTE)])), None);
    }
}
