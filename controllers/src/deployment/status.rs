//! What a Deployment says about itself: counts and conditions. `kubectl rollout status` reads nothing else.

use std::time::Duration;

use api::Value;
use serde_json::json;
use smol_str::SmolStr;

use super::rollout::Limits;
use crate::views::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};

/// Condition: the rollout moves on.
pub const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Reason: the rollout is complete.
pub const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
/// Reason: the rollout made no progress for too long.
pub const TIMED_OUT: &str = "ProgressDeadlineExceeded";
/// Reason: somebody paused it.
pub const PAUSED: &str = "DeploymentPaused";
/// Reason: somebody resumed it.
pub const RESUMED: &str = "DeploymentResumed";

/// The moment of one reconcile, as conditions write it and as durations need it.
#[derive(Clone, Debug)]
pub struct Now {
    /// Microseconds since 1970.
    pub micros: i64,
    /// RFC 3339, to seconds.
    pub text: SmolStr,
}

impl Now {
    /// A moment of the wall clock.
    pub fn at(micros: i64) -> Self {
        Self { micros, text: api::time::format_seconds(micros).into() }
    }
}

/// Sets a condition. One of the same status and reason stays as it is, and a transition is a change of status.
pub fn set(status: &mut DeploymentStatus, now: &Now, kind: &str, value: &str, reason: &str, message: &str) {
    let old = status.condition(kind);
    if old.is_some_and(|old| old.status == value && old.reason == reason) {
        return;
    }
    let kept = old.filter(|old| old.status == value).map(|old| old.last_transition_time.clone());
    let condition = DeploymentCondition {
        kind: kind.into(),
        status: value.into(),
        last_update_time: now.text.clone(),
        last_transition_time: kept.unwrap_or_else(|| now.text.clone()),
        reason: reason.into(),
        message: message.to_owned(),
    };
    remove(status, kind);
    status.conditions.push(condition);
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    status.conditions.retain(|condition| condition.kind != kind);
}

/// Counts, and whether enough is available. Conditions are taken over from `before`.
pub fn counted<S: AsRef<ReplicaSet>>(
    deployment: &Deployment,
    before: &DeploymentStatus,
    sets: &[S],
    new: Option<usize>,
    now: &Now,
) -> DeploymentStatus {
    let limits = Limits::of(deployment);
    let sum = |field: fn(&ReplicaSet) -> i32| sets.iter().map(|set| field(set.as_ref())).sum::<i32>();
    let available = sum(|set| set.status.available_replicas);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: sum(|set| set.status.replicas),
        updated_replicas: new.map_or(0, |at| sets[at].as_ref().status.replicas),
        ready_replicas: sum(|set| set.status.ready_replicas),
        available_replicas: available,
        unavailable_replicas: (sum(ReplicaSet::replicas) - available).max(0),
        terminating_replicas: terminating(sets),
        conditions: before.conditions.clone(),
        collision_count: before.collision_count,
    };
    if available >= limits.desired - limits.unavailable {
        let message = "Deployment has minimum availability.";
        set(&mut status, now, AVAILABLE, "True", "MinimumReplicasAvailable", message);
    } else {
        let message = "Deployment does not have minimum availability.";
        set(&mut status, now, AVAILABLE, "False", "MinimumReplicasUnavailable", message);
    }
    status
}

/// The sum, unless a ReplicaSet that has been synced does not say.
fn terminating<S: AsRef<ReplicaSet>>(sets: &[S]) -> Option<i32> {
    let mut total = 0;
    for set in sets {
        let status = &set.as_ref().status;
        match status.terminating_replicas {
            Some(number) => total += number,
            None if status.observed_generation == 0 => {}
            None => return None,
        }
    }
    Some(total)
}

/// Whether all replicas are new, available, and alone.
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    [status.updated_replicas, status.replicas, status.available_replicas]
        .iter()
        .all(|number| *number == deployment.replicas())
        && status.observed_generation >= deployment.metadata.generation
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let outdated = |status: &DeploymentStatus| status.replicas - status.updated_replicas;
    new.updated_replicas > old.updated_replicas
        || outdated(new) < outdated(old)
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

fn has_timed_out(deployment: &Deployment, status: &DeploymentStatus, now: &Now) -> bool {
    let Some(condition) = status.condition(PROGRESSING) else { return false };
    match condition.reason.as_str() {
        NEW_AVAILABLE => false,
        TIMED_OUT => true,
        _ => deadline(deployment, condition).is_some_and(|deadline| deadline < now.micros),
    }
}

/// When a condition that nothing updates any more means that the rollout is stuck, in microseconds since 1970.
fn deadline(deployment: &Deployment, condition: &DeploymentCondition) -> Option<i64> {
    let seconds = i64::from(deployment.spec.progress_deadline_seconds?);
    Some(api::time::parse(&condition.last_update_time)? + seconds * 1_000_000)
}

/// The whole status while a rollout goes on or has ended. `before` is the status so far, with what this reconcile has
/// added to its conditions.
pub fn rolling<S: AsRef<ReplicaSet>>(
    deployment: &Deployment,
    before: &DeploymentStatus,
    sets: &[S],
    new: Option<usize>,
    now: &Now,
) -> DeploymentStatus {
    let mut status = counted(deployment, before, sets, new, now);
    let current = before.condition(PROGRESSING);
    let was_complete =
        status.replicas == status.updated_replicas && current.is_some_and(|current| current.reason == NEW_AVAILABLE);
    if !deployment.has_progress_deadline() {
        remove(&mut status, PROGRESSING);
    } else if !was_complete {
        let (subject, name) = match new {
            Some(at) => ("ReplicaSet", &sets[at].as_ref().metadata.name),
            None => ("Deployment", &deployment.metadata.name),
        };
        let says = |what: &str| format!("{subject} \"{name}\" {what}");
        if is_complete(deployment, &status) {
            set(&mut status, now, PROGRESSING, "True", NEW_AVAILABLE, &says("has successfully progressed."));
        } else if has_progressed(&deployment.status, &status) {
            // Progress of the same kind as before moves lastUpdateTime, and with it the deadline.
            let since = current.filter(|current| current.status == "True").map(|c| c.last_transition_time.clone());
            remove(&mut status, PROGRESSING);
            set(&mut status, now, PROGRESSING, "True", "ReplicaSetUpdated", &says("is progressing."));
            if let (Some(since), Some(condition)) = (since, status.conditions.last_mut()) {
                condition.last_transition_time = since;
            }
        } else if has_timed_out(deployment, &status, now) {
            set(&mut status, now, PROGRESSING, "False", TIMED_OUT, &says("has timed out progressing."));
        }
    }
    match failure(sets, new) {
        Some(condition) => set_failure(&mut status, condition),
        None => remove(&mut status, REPLICA_FAILURE),
    }
    status
}

/// The failure of the new ReplicaSet, or else of any.
fn failure<S: AsRef<ReplicaSet>>(sets: &[S], new: Option<usize>) -> Option<DeploymentCondition> {
    let of =
        |set: &ReplicaSet| set.status.conditions.iter().find(|condition| condition.kind == REPLICA_FAILURE).cloned();
    let condition =
        new.and_then(|at| of(sets[at].as_ref())).or_else(|| sets.iter().find_map(|set| of(set.as_ref())))?;
    Some(DeploymentCondition {
        kind: condition.kind,
        status: condition.status,
        last_update_time: condition.last_transition_time.clone(),
        last_transition_time: condition.last_transition_time,
        reason: condition.reason,
        message: condition.message,
    })
}

fn set_failure(status: &mut DeploymentStatus, condition: DeploymentCondition) {
    let same = |old: &DeploymentCondition| old.status == condition.status && old.reason == condition.reason;
    if !status.condition(REPLICA_FAILURE).is_some_and(same) {
        remove(status, REPLICA_FAILURE);
        status.conditions.push(condition);
    }
}

/// When to look again at a rollout that nothing else may wake: a second after its deadline.
pub fn next_check(deployment: &Deployment, status: &DeploymentStatus, now: &Now) -> Option<Duration> {
    let condition = status.condition(PROGRESSING)?;
    if !deployment.has_progress_deadline() || is_complete(deployment, status) || condition.reason == TIMED_OUT {
        return None;
    }
    let left = deadline(deployment, condition)? - now.micros;
    Some(Duration::from_micros(u64::try_from(left).unwrap_or(0)) + Duration::from_secs(1))
}

/// The status as a merge patch: every field is named, so that what is gone goes.
pub fn to_value(status: &DeploymentStatus) -> Value {
    json!({
        "observedGeneration": status.observed_generation,
        "replicas": status.replicas,
        "updatedReplicas": status.updated_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
        "unavailableReplicas": status.unavailable_replicas,
        "terminatingReplicas": status.terminating_replicas,
        "collisionCount": status.collision_count,
        "conditions": status.conditions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000_000_000;

    fn deployment() -> Deployment {
        serde_json::from_value(json!({
            "metadata": { "name": "web", "generation": 2 },
            "spec": { "replicas": 2, "progressDeadlineSeconds": 600, "strategy": { "type": "RollingUpdate",
                "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } } },
        }))
        .unwrap()
    }

    fn replica_set(name: &str, replicas: i32, available: i32) -> Box<ReplicaSet> {
        Box::new(
            serde_json::from_value(json!({
                "metadata": { "name": name, "generation": 1 },
                "spec": { "replicas": replicas },
                "status": { "replicas": replicas, "readyReplicas": available, "availableReplicas": available,
                    "terminatingReplicas": 1, "observedGeneration": 1 },
            }))
            .unwrap(),
        )
    }

    fn reason(status: &DeploymentStatus, kind: &str) -> (String, String) {
        let condition = status.condition(kind).unwrap();
        (condition.status.to_string(), condition.reason.to_string())
    }

    #[test]
    fn a_rollout_progresses_completes_and_rests() {
        let mut deployment = deployment();
        let now = Now::at(START);
        let sets = [replica_set("a", 2, 2), replica_set("b", 1, 0)];
        let first = rolling(&deployment, &deployment.status, &sets, Some(1), &now);
        assert_eq!(reason(&first, PROGRESSING), ("True".to_owned(), "ReplicaSetUpdated".to_owned()));
        assert_eq!(reason(&first, AVAILABLE).1, "MinimumReplicasAvailable");
        assert_eq!((first.replicas, first.updated_replicas, first.unavailable_replicas), (3, 1, 1));
        assert_eq!(first.terminating_replicas, Some(2));
        deployment.status = first.clone();
        assert_eq!(rolling(&deployment, &deployment.status, &sets, Some(1), &Now::at(START + 1_000_000)), first);

        let done = [replica_set("a", 0, 0), replica_set("b", 2, 2)];
        let complete = rolling(&deployment, &deployment.status, &done, Some(1), &now);
        assert_eq!(reason(&complete, PROGRESSING).1, NEW_AVAILABLE);
        assert_eq!(complete.condition(PROGRESSING).unwrap().message, "ReplicaSet \"b\" has successfully progressed.");
        deployment.status = complete.clone();
        let late = Now::at(START + 10_000_000_000);
        assert_eq!(rolling(&deployment, &deployment.status, &done, Some(1), &late), complete, "no time-out at rest");
        assert_eq!(next_check(&deployment, &complete, &late), None);
    }

    #[test]
    fn a_rollout_without_progress_times_out() {
        let mut deployment = deployment();
        let sets = [replica_set("a", 2, 2), replica_set("b", 1, 0)];
        deployment.status = rolling(&deployment, &deployment.status, &sets, Some(1), &Now::at(START));
        let soon = Now::at(START + 100_000_000);
        let next = next_check(&deployment, &deployment.status, &soon).unwrap();
        assert_eq!(next, Duration::from_secs(501));
        let late = Now::at(START + 601_000_000);
        let status = rolling(&deployment, &deployment.status, &sets, Some(1), &late);
        assert_eq!(reason(&status, PROGRESSING), ("False".to_owned(), TIMED_OUT.to_owned()));
        assert_eq!(next_check(&deployment, &status, &late), None);
        deployment.status = status;
        let better = [replica_set("a", 2, 2), replica_set("b", 1, 1)];
        let status = rolling(&deployment, &deployment.status, &better, Some(1), &late);
        assert_eq!(reason(&status, PROGRESSING), ("True".to_owned(), "ReplicaSetUpdated".to_owned()));
    }

    #[test]
    fn failures_of_replica_sets_show_and_go() {
        let mut deployment = deployment();
        let mut broken = replica_set("b", 1, 0);
        broken.status.conditions.push(
            serde_json::from_value(json!({
                "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota",
            }))
            .unwrap(),
        );
        let status = rolling(&deployment, &deployment.status, &[broken], Some(0), &Now::at(START));
        assert_eq!(reason(&status, "ReplicaFailure").1, "FailedCreate");
        deployment.status = status;
        let status = rolling(&deployment, &deployment.status, &[replica_set("b", 1, 0)], Some(0), &Now::at(START));
        assert!(status.condition("ReplicaFailure").is_none());
    }
}
