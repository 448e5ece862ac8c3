//! A Job's status: counts, times, and conditions that cannot hold together or be taken back.

use super::path::Path;
use super::{field, job_indexes};
use crate::document::Value;
use crate::status::Causes;

/// Whether a condition is true.
pub(super) fn is_true(status: &Value, kind: &str) -> bool {
    let mut conditions = field::list(status, "conditions").iter();
    conditions.any(|condition| field::text(condition, "type") == kind && field::text(condition, "status") == "True")
}

/// Rules of a change of status.
pub(super) fn validate(object: &Value, old: &Value, causes: &mut Causes) {
    let (status, before) = (field::get(object, "status"), field::get(old, "status"));
    let path = Path::new("status");
    for key in ["active", "succeeded", "failed", "ready", "terminating"] {
        field::nonnegative(status, key, &path, causes);
    }
    conditions(status, before, &path, causes);
    times(object, status, before, &path, causes);
    finished(status, &path, causes);
    indexes(object, status, &path, causes);
    let count = |of: &Value, key: &str| field::int(of, key).unwrap_or_default();
    for key in ["failed", "succeeded"] {
        if count(status, key) < count(before, key) {
            let words = format!("cannot decrease the {key} counter");
            causes.invalid(path.child(key), &count(status, key).into(), &words);
        }
    }
    if count(status, "ready") > count(status, "active") {
        let words = "cannot set more ready pods than active";
        causes.invalid(path.child("ready"), field::get(status, "ready"), words);
    }
}

fn conditions(status: &Value, before: &Value, path: &Path<'_>, causes: &mut Causes) {
    let now = |kind: &str| is_true(status, kind);
    let wrong = [
        (now("Complete") && now("Failed"), "cannot set Complete=True and Failed=true conditions"),
        (now("Complete") && now("FailureTarget"), "cannot set Complete=True and FailureTarget=true conditions"),
        (
            now("Failed") && !now("FailureTarget"),
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            now("Complete") && !now("SuccessCriteriaMet"),
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (now("SuccessCriteriaMet") && now("Failed"), "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (
            now("SuccessCriteriaMet") && now("FailureTarget"),
            "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ),
        (
            is_true(before, "SuccessCriteriaMet") && !now("SuccessCriteriaMet"),
            "cannot disable the SuccessCriteriaMet=True condition",
        ),
    ];
    for (_, words) in wrong.iter().filter(|(holds, _)| *holds) {
        field::invalid_omitted(path.child("conditions"), words, causes);
    }
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is_true(before, kind) && !now(kind) {
            let words = format!("cannot disable the terminal {kind}=True condition");
            field::invalid_omitted(path.child("conditions"), &words, causes);
        }
    }
}

fn times(object: &Value, status: &Value, before: &Value, path: &Path<'_>, causes: &mut Causes) {
    let (start, end) = (field::get(status, "startTime"), field::get(status, "completionTime"));
    let (old_start, old_end) = (field::get(before, "startTime"), field::get(before, "completionTime"));
    let complete = is_true(status, "Complete");
    if !end.is_null() && !complete {
        let words = "cannot set completionTime when there is no Complete=True condition";
        causes.invalid(path.child("completionTime"), end, words);
    }
    if end.is_null() && complete {
        causes.required(path.child("completionTime"), "completionTime is required for Complete jobs");
    }
    // Canonical times are texts of one length, so their order is the texts'.
    if !start.is_null() && !end.is_null() && end.as_str() < start.as_str() {
        causes.invalid(path.child("completionTime"), end, "must be equal to or after `startTime`");
    }
    if !end.is_null() && !old_end.is_null() && end != old_end {
        causes.invalid(path.child("completionTime"), end, field::IMMUTABLE);
    }
    let suspended = field::is_true(field::get(object, "spec"), "suspend");
    if !old_start.is_null() && start != old_start && !suspended {
        let words = "field is immutable for unsuspended job once set";
        causes.invalid(path.child("startTime"), start, words);
    }
}

fn finished(status: &Value, path: &Path<'_>, causes: &mut Causes) {
    if !is_true(status, "Complete") && !is_true(status, "Failed") {
        return;
    }
    for key in ["active", "terminating"] {
        if let Some(count) = field::int(status, key).filter(|count| *count > 0) {
            causes.invalid(path.child(key), &count.into(), &format!("{key}>0 is invalid for finished job"));
        }
    }
    if !field::is_set(status, "startTime") {
        causes.required(path.child("startTime"), "startTime is required for finished job");
    }
    let uncounted = field::get(status, "uncountedTerminatedPods");
    if !field::same(uncounted, &Value::Null) {
        causes.invalid(path.child("uncountedTerminatedPods"), uncounted, "must be empty for finished job");
    }
}

fn indexes(object: &Value, status: &Value, path: &Path<'_>, causes: &mut Causes) {
    let spec = field::get(object, "spec");
    let completed = field::text(status, "completedIndexes");
    let failed = field::get(status, "failedIndexes");
    if !completed.is_empty() && field::text(spec, "completionMode") != "Indexed" {
        let words = "cannot set non-empty completedIndexes when non-indexed completion mode";
        causes.invalid(path.child("completedIndexes"), &completed.into(), words);
    }
    if !failed.is_null() && !field::is_set(spec, "backoffLimitPerIndex") {
        let words = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        causes.invalid(path.child("failedIndexes"), failed, words);
    }
    let Some(completions) = field::int(spec, "completions") else { return };
    let mut parsed = |key: &str| match job_indexes::parse(field::text(status, key), completions) {
        Ok(intervals) => intervals,
        Err(words) => {
            let words = format!("error parsing {key}: {words}");
            causes.invalid(path.child(key), field::get(status, key), &words);
            Vec::new()
        }
    };
    let (completed, failed_too) = (parsed("completedIndexes"), parsed("failedIndexes"));
    if let Some(index) = job_indexes::overlap(&completed, &failed_too) {
        let words = format!("failedIndexes and completedIndexes overlap at index: {index}");
        causes.invalid(path.child("failedIndexes"), failed, &words);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(status: Value, before: Value) -> Vec<String> {
        let mut causes = Causes::default();
        let job = |status: Value| json!({"spec": {"completions": 2, "completionMode": "Indexed"}, "status": status});
        validate(&job(status), &job(before), &mut causes);
        causes.0.into_iter().map(|cause| cause.message).collect()
    }

    #[test]
    fn rules() {
        let condition = |kind: &str| json!({"type": kind, "status": "True"});
        let done = json!({
            "conditions": [condition("SuccessCriteriaMet"), condition("Complete")], "succeeded": 2,
            "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:05Z", "completedIndexes": "0,1",
        });
        assert!(complaints(done.clone(), json!({})).is_empty());
        assert_eq!(
            complaints(json!({"startTime": "2026-01-01T00:00:00Z", "succeeded": 2}), done.clone()),
            [
                "Invalid value: cannot disable the SuccessCriteriaMet=True condition",
                "Invalid value: cannot disable the terminal Complete=True condition",
            ]
        );
        assert_eq!(complaints(json!({"failed": 1}), json!({"failed": 2})).len(), 1);
        assert_eq!(
            complaints(json!({"completedIndexes": "2"}), json!({})),
            ["Invalid value: \"2\": error parsing completedIndexes: too large index: \"2\""]
        );
        let both = json!({"conditions": [condition("Complete"), condition("Failed")]});
        assert!(complaints(both, json!({}))[0].ends_with("cannot set Complete=True and Failed=true conditions"));
    }
}
