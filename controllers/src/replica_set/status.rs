//! What a ReplicaSet says about its Pods.

use std::sync::Arc;
use std::time::Duration;

use api::Value;
use api::document::Document;
use serde_json::json;
use smol_str::SmolStr;

use crate::views::{Pod, ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Counts Pods. `failure` is what kept the ReplicaSet from its size; `now` is in microseconds since 1970.
pub fn count(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    terminating: usize,
    failure: Option<&str>,
    now: i64,
) -> ReplicaSetStatus {
    let template = set.spec.template.at(&["metadata", "labels"]).as_object();
    let labeled = |pod: &Pod| {
        let mut wanted = template.into_iter().flatten();
        wanted.all(|(key, value)| pod.metadata.labels.get(key.as_str()).map(SmolStr::as_str) == value.as_str())
    };
    let number = |keep: &dyn Fn(&Pod) -> bool| to_i32(active.iter().filter(|pod| keep(pod)).count());
    ReplicaSetStatus {
        replicas: to_i32(active.len()),
        fully_labeled_replicas: number(&labeled),
        ready_replicas: number(&Pod::is_ready),
        available_replicas: number(&|pod| unavailable_for(pod, set.spec.min_ready_seconds, now) == Some(0)),
        terminating_replicas: Some(to_i32(terminating)),
        observed_generation: set.metadata.generation,
        conditions: conditions(set, active.len(), failure, now),
    }
}

fn to_i32(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// For how many microseconds a ready Pod does not count as available yet; `None` for one that is not ready.
fn unavailable_for(pod: &Pod, min_ready_seconds: i32, now: i64) -> Option<i64> {
    if !pod.is_ready() {
        return None;
    }
    if min_ready_seconds <= 0 {
        return Some(0);
    }
    let since = pod.ready_since()?;
    Some((since + i64::from(min_ready_seconds) * 1_000_000 - now).max(0))
}

/// When the next ready Pod becomes available.
pub fn next_available(set: &ReplicaSet, active: &[Arc<Pod>], now: i64) -> Option<Duration> {
    let waits = active.iter().filter_map(|pod| unavailable_for(pod, set.spec.min_ready_seconds, now));
    let shortest = waits.filter(|micros| *micros > 0).min()?;
    Some(Duration::from_micros(u64::try_from(shortest).unwrap_or(0)))
}

fn conditions(set: &ReplicaSet, active: usize, failure: Option<&str>, now: i64) -> Vec<ReplicaSetCondition> {
    let mut conditions = set.status.conditions.clone();
    let there = conditions.iter().any(|condition| condition.kind == REPLICA_FAILURE);
    match failure {
        None => conditions.retain(|condition| condition.kind != REPLICA_FAILURE),
        Some(message) if !there => conditions.push(ReplicaSetCondition {
            kind: REPLICA_FAILURE.into(),
            status: "True".into(),
            last_transition_time: api::time::format_seconds(now).into(),
            reason: if to_i32(active) < set.replicas() { "FailedCreate" } else { "FailedDelete" }.into(),
            message: message.to_owned(),
        }),
        Some(_) => {}
    }
    conditions
}

/// The status as a merge patch: every field is named, so that what is gone goes.
pub fn to_value(status: &ReplicaSetStatus) -> Value {
    json!({
        "replicas": status.replicas,
        "fullyLabeledReplicas": status.fully_labeled_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
        "terminatingReplicas": status.terminating_replicas,
        "observedGeneration": status.observed_generation,
        "conditions": status.conditions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000;

    fn pod(ready_ago: Option<i64>, labels: Value) -> Arc<Pod> {
        let ready = ready_ago.map(|ago| {
            let since = api::time::format_seconds(NOW - ago * 1_000_000);
            json!({ "type": "Ready", "status": "True", "lastTransitionTime": since })
        });
        let conditions: Vec<Value> = ready.into_iter().collect();
        let pod = json!({ "metadata": { "labels": labels }, "status": { "conditions": conditions } });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn pods_become_available_after_min_ready_seconds() {
        let set: ReplicaSet = serde_json::from_value(json!({
            "metadata": { "generation": 4 },
            "spec": { "replicas": 4, "minReadySeconds": 10, "template": { "metadata": { "labels": { "a": "b" } } } },
        }))
        .unwrap();
        let labels = json!({ "a": "b", "more": "x" });
        let pods =
            [pod(None, labels.clone()), pod(Some(4), labels.clone()), pod(Some(10), labels), pod(Some(60), json!({}))];
        let status = count(&set, &pods, 2, None, NOW);
        assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (4, 3, 2));
        assert_eq!((status.fully_labeled_replicas, status.terminating_replicas), (3, Some(2)));
        assert_eq!(status.observed_generation, 4);
        assert_eq!(next_available(&set, &pods, NOW), Some(Duration::from_secs(6)));
    }

    #[test]
    fn a_failure_stays_until_it_is_over() {
        let mut set: ReplicaSet = serde_json::from_value(json!({ "spec": { "replicas": 2 } })).unwrap();
        set.status = count(&set, &[], 0, Some("exceeded quota"), NOW);
        assert_eq!(set.status.conditions[0].reason, "FailedCreate");
        assert_eq!(count(&set, &[], 0, Some("something else"), NOW + 9_000_000), set.status);
        assert!(count(&set, &[], 0, None, NOW).conditions.is_empty());
    }
}
