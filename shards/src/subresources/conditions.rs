//! Conditions of a status.

use api::Value;
use api::document::Document;
use serde_json::json;

/// Sets a condition of a Pod by its type. lastTransitionTime moves with the status only (UpdatePodCondition).
pub(crate) fn set(object: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: &str) {
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": now});
    for (field, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition[field] = json!(text);
        }
    }
    let place = object.at_mut(&["status", "conditions"]);
    if !place.is_array() {
        *place = json!([]);
    }
    let conditions = place.as_array_mut().expect("made one just above");
    match conditions.iter_mut().find(|have| have.text(&["type"]) == kind) {
        Some(have) => {
            if have.text(&["status"]) == status {
                condition["lastTransitionTime"] = have.at(&["lastTransitionTime"]).clone();
            }
            for kept in ["lastProbeTime", "observedGeneration"] {
                if let Some(value) = have.remove(&[kept]) {
                    condition[kept] = value;
                }
            }
            *have = condition;
        }
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_status_moves_the_time() {
        let mut pod = json!({});
        set(&mut pod, "PodScheduled", "False", "Unschedulable", "no", "t1");
        set(&mut pod, "PodScheduled", "False", "Unschedulable", "still no", "t2");
        assert_eq!(pod["status"]["conditions"][0]["lastTransitionTime"], "t1");
        set(&mut pod, "PodScheduled", "True", "", "", "t3");
        let expected = json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": "t3"}]);
        assert_eq!(pod["status"]["conditions"], expected);
    }
}
