//! Jobs.

use super::path::Path;
use super::{Strategy, field, fill, job_spec, job_status, labels, template};
use crate::document::{Document, Value};
use crate::names;
use crate::selector::LabelSelector;
use crate::status::Causes;

/// batch/v1 Job.
pub(super) struct Job;

const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// The same labels from before Kubernetes' own had a domain.
const OLD_CONTROLLER_UID: &str = "controller-uid";
const OLD_JOB_NAME: &str = "job-name";

impl Strategy for Job {
    fn default(&self, object: &mut Value) {
        labels_from_template(object);
        let spec = fill::map(object, "spec");
        default_of_job(spec);
    }

    /// Labels that no other Job's Pods have, and a selector for them, unless the client takes that on.
    fn prepare_create(&self, object: &mut Value) {
        if object.at(&["spec", "manualSelector"]) == &Value::Bool(true) {
            return;
        }
        let (name, uid) = (object.name().to_owned(), object.uid().to_owned());
        let labels = [(OLD_JOB_NAME, &name), (JOB_NAME, &name), (OLD_CONTROLLER_UID, &uid), (CONTROLLER_UID, &uid)];
        for (key, value) in labels {
            object.set_default(&["spec", "template", "metadata", "labels", key], value.as_str());
        }
        object.set_default(&["spec", "selector", "matchLabels", CONTROLLER_UID], uid);
        labels_from_template(object);
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        generated_selector(object, causes);
        job_spec::validate(spec, &path, causes);
        let selector = field::get(spec, "selector");
        if selector.is_null() {
            causes.required(path.child("selector"), "");
        }
        labels::selector(spec, "selector", &path, causes);
        if let Ok(selector) = LabelSelector::from_value(selector) {
            let template = field::get(spec, "template");
            if !labels::selects_template(&selector, template) {
                let labels = field::get(field::get(template, "metadata"), "labels");
                let words = "`selector` does not match template `labels`";
                causes.invalid(path.child("template.metadata.labels"), labels, words);
            }
        }
        let completions = field::int(spec, "completions").unwrap_or_default();
        if field::text(spec, "completionMode") == "Indexed" && completions > 0 {
            let host = format!("{}-{}", object.name(), completions - 1);
            if !names::is_dns1123_label(&host).is_empty() {
                let words = format!("will not able to create pod with invalid DNS label: {host}");
                causes.invalid("metadata.name", &object.name().into(), &words);
            }
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, before) = (field::get(object, "spec"), field::get(old, "spec"));
        let path = Path::new("spec");
        completions(new, before, &path, causes);
        field::immutable(new, before, "selector", &path, causes);
        template_update(new, old, &path, causes);
        for key in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
            field::immutable(new, before, key, &path, causes);
        }
    }

    fn validate_status(&self, object: &Value, old: &Value, causes: &mut Causes) {
        job_status::validate(object, old, causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }

    fn orphans_by_default(&self) -> bool {
        true
    }
}

/// A Job without labels has its Pods'.
fn labels_from_template(object: &mut Value) {
    let labels = object.at(&["spec", "template", "metadata", "labels"]).clone();
    let has = |value: &Value| value.as_object().is_some_and(|map| !map.is_empty());
    if has(&labels) && !has(object.at(&["metadata", "labels"])) {
        object.set(&["metadata", "labels"], labels);
    }
}

fn default_of_job(spec: &mut Value) {
    if !field::is_set(spec, "completions") && !field::is_set(spec, "parallelism") {
        fill::int(spec, "completions", 1);
    }
    fill::int(spec, "parallelism", 1);
    let limit = if field::is_set(spec, "backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
    fill::int(spec, "backoffLimit", limit);
    fill::text(spec, "completionMode", "NonIndexed");
    fill::value(spec, "suspend", || false.into());
    let replacement = if field::is_set(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    fill::value(spec, "podReplacementPolicy", || replacement.into());
    fill::value(spec, "manualSelector", || false.into());
    default_of_template(spec);
}

/// What a Job's spec gets inside of a CronJob: the Job itself will get the rest.
pub(super) fn default_of_template(spec: &mut Value) {
    template::default(spec, "template");
    let rules = fill::field(spec, "podFailurePolicy").into_iter().flat_map(|policy| fill::each(policy, "rules"));
    for rule in rules {
        for pattern in fill::each(rule, "onPodConditions") {
            fill::text(pattern, "status", "True");
        }
    }
}

fn generated_selector(object: &Value, causes: &mut Causes) {
    let spec = field::get(object, "spec");
    if field::is_true(spec, "manualSelector") || !field::is_set(spec, "selector") {
        return;
    }
    let (name, uid) = (object.name(), object.uid());
    if uid.is_empty() {
        causes.required("metadata.uid", "");
    }
    let expected = [(OLD_CONTROLLER_UID, uid), (OLD_JOB_NAME, name), (CONTROLLER_UID, uid), (JOB_NAME, name)];
    let labels = spec.at(&["template", "metadata", "labels"]);
    let path = Path::new("spec.template.metadata.labels");
    for (key, value) in expected {
        let words = format!("must be '{value}'");
        match labels.get(key) {
            None => causes.required(path.key(key), &words),
            Some(found) if found != value => causes.invalid(path.key(key), labels, &words),
            Some(_) => {}
        }
    }
    let selector = field::get(spec, "selector");
    if let Ok(selects) = LabelSelector::from_value(selector) {
        let of = |key: &str| expected.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
        if !selects.matches_with(of) {
            causes.invalid("spec.selector", selector, "`selector` not auto-generated");
        }
    }
}

fn completions(new: &Value, old: &Value, path: &Path<'_>, causes: &mut Causes) {
    let now = field::get(new, "completions");
    if field::text(new, "completionMode") != "Indexed" {
        return field::immutable(new, old, "completions", path, causes);
    }
    if now != field::get(old, "completions") && !now.is_null() && now != field::get(new, "parallelism") {
        let words = "can only be modified in tandem with spec.parallelism";
        causes.invalid(path.child("completions"), now, words);
    }
}

/// The template stays, except that a suspended Job may be told where to run and with how much.
fn template_update(new: &Value, old: &Value, path: &Path<'_>, causes: &mut Causes) {
    let before = field::get(old, "spec");
    let mut expected = field::get(before, "template").clone();
    let now = field::get(new, "template");
    if may_change_template(old) {
        for key in ["annotations", "labels"] {
            copy(&mut expected, now, &["metadata", key]);
        }
        for key in ["nodeSelector", "tolerations", "schedulingGates"] {
            copy(&mut expected, now, &["spec", key]);
        }
        copy(&mut expected, now, &["spec", "affinity", "nodeAffinity"]);
        copy_resources(&mut expected, now);
    }
    if !field::same(now, &expected) {
        causes.invalid(path.child("template"), now, field::IMMUTABLE);
    }
}

fn may_change_template(old: &Value) -> bool {
    let status = field::get(old, "status");
    let suspended = field::is_true(field::get(old, "spec"), "suspend");
    let not_started = !field::is_set(status, "startTime");
    let active = field::int(status, "active").unwrap_or_default();
    suspended && (not_started || job_status::is_true(status, "Suspended")) && active == 0
}

fn copy(to: &mut Value, from: &Value, path: &[&str]) {
    match from.at(path) {
        Value::Null => drop(to.remove(path)),
        value => to.set(path, value.clone()),
    }
}

fn copy_resources(to: &mut Value, from: &Value) {
    for key in ["containers", "initContainers"] {
        let now = from.list(&["spec", key]);
        let before = to.at_mut(&["spec", key]);
        let Some(before) = before.as_array_mut().filter(|before| before.len() == now.len()) else { continue };
        for (before, now) in before.iter_mut().zip(now) {
            if field::text(before, "name") == field::text(now, "name") {
                copy(before, now, &["resources"]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    fn job(change: Value) -> Value {
        let mut object = json!({"metadata": {"name": "a", "uid": "u"}, "spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}}});
        for (key, value) in change.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        Job.default(&mut object);
        Job.prepare_create(&mut object);
        object
    }

    #[test]
    fn a_new_job() {
        let object = job(json!({}));
        let spec = &object["spec"];
        assert_eq!(
            (&spec["completions"], &spec["parallelism"], &spec["backoffLimit"]),
            (&json!(1), &json!(1), &json!(6))
        );
        assert_eq!(spec["selector"], json!({"matchLabels": {CONTROLLER_UID: "u"}}));
        assert_eq!(
            spec["template"]["metadata"]["labels"],
            json!({CONTROLLER_UID: "u", OLD_CONTROLLER_UID: "u", JOB_NAME: "a", OLD_JOB_NAME: "a"})
        );
        assert_eq!(object["metadata"]["labels"], spec["template"]["metadata"]["labels"]);
        assert_eq!(spec["podReplacementPolicy"], "TerminatingOrFailed");
        assert_eq!(complaints(&Job, &object), []);
    }

    #[test]
    fn selectors_are_generated() {
        let wrong = job(json!({"selector": {"matchLabels": {CONTROLLER_UID: "other"}}}));
        let fields: Vec<String> = complaints(&Job, &wrong).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["spec.selector", "spec.template.metadata.labels"]);
        let manual = job(json!({"manualSelector": true}));
        let fields: Vec<String> = complaints(&Job, &manual).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["spec.selector", "spec.template.metadata.labels"], "nothing selects nothing");
    }

    #[test]
    fn what_may_change() {
        let old = job(json!({}));
        let mut new = old.clone();
        new["spec"]["parallelism"] = json!(5);
        assert_eq!(complaints_update(&Job, &new, &old), []);
        new["spec"]["completions"] = json!(5);
        new["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "b"});
        let fields: Vec<String> = complaints_update(&Job, &new, &old).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["spec.completions", "spec.template"]);

        let old = job(json!({"suspend": true}));
        let mut new = old.clone();
        new["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "b"});
        new["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
        assert_eq!(complaints_update(&Job, &new, &old), [], "a suspended Job may still be told where to run");
        new["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other");
        assert_eq!(complaints_update(&Job, &new, &old)[0].0, "spec.template");
    }
}
