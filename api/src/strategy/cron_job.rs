//! CronJobs.

use super::path::Path;
use super::{Strategy, field, fill, job, job_spec, labels, schedule};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// batch/v1 CronJob.
pub(super) struct CronJob;

impl Strategy for CronJob {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        fill::text(spec, "concurrencyPolicy", "Allow");
        fill::value(spec, "suspend", || false.into());
        fill::int(spec, "successfulJobsHistoryLimit", 3);
        fill::int(spec, "failedJobsHistoryLimit", 1);
        if let Some(template) = fill::field(spec, "jobTemplate") {
            job::default_of_template(fill::map(template, "spec"));
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        if field::required_text(spec, "schedule", &path, causes) {
            schedule_format(spec, &path, causes);
        }
        field::nonnegative(spec, "startingDeadlineSeconds", &path, causes);
        if field::is_set(spec, "timeZone") {
            time_zone(spec, &path, causes);
        }
        field::required_choice(spec, "concurrencyPolicy", &path, &["Allow", "Forbid", "Replace"], causes);
        job_template(field::get(spec, "jobTemplate"), &path.child("jobTemplate"), causes);
        field::nonnegative(spec, "successfulJobsHistoryLimit", &path, causes);
        field::nonnegative(spec, "failedJobsHistoryLimit", &path, causes);
        // Jobs get eleven characters more, and are labels of their Pods.
        if object.name().len() > 52 {
            causes.invalid("metadata.name", &object.name().into(), "must be no more than 52 characters");
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn schedule_format(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let schedule = field::text(spec, "schedule");
    let value = Value::from(schedule);
    if let Err(words) = schedule::check(schedule) {
        causes.invalid(path.child("schedule"), &value, &words);
    }
    if schedule.contains("TZ") {
        let words = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        causes.invalid(path.child("schedule"), &value, words);
    }
}

/// The form only: whether a zone exists is for who has a time zone database.
fn time_zone(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let zone = field::text(spec, "timeZone");
    let value = Value::from(zone);
    let path = path.child("timeZone");
    let is_part = |part: &str| {
        (1..=14).contains(&part.len())
            && !matches!(part, "." | "..")
            && !part.starts_with('-')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte))
    };
    if zone.is_empty() {
        causes.invalid(path, &value, "timeZone must be nil or non-empty string");
    } else if !zone.split('/').all(is_part) {
        causes.invalid(path, &value, &format!("unknown time zone {zone}"));
    } else if zone.eq_ignore_ascii_case("Local") {
        let words = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        causes.invalid(path, &value, words);
    }
}

fn job_template(template: &Value, path: &Path<'_>, causes: &mut Causes) {
    let spec = field::get(template, "spec");
    let metadata = field::get(template, "metadata");
    labels::labels(metadata, "labels", &path.child("metadata"), causes);
    labels::annotations(metadata, "annotations", &path.child("metadata"), causes);
    let path = path.child("spec");
    job_spec::validate(spec, &path, causes);
    if field::is_set(spec, "selector") {
        causes.invalid(path.child("selector"), field::get(spec, "selector"), "`selector` will be auto-generated");
    }
    if field::is_true(spec, "manualSelector") {
        causes.not_supported(path.child("manualSelector"), &Value::from(true), &["nil", "false"]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::complaints;

    fn cron_job(change: Value) -> Value {
        let mut object = json!({"metadata": {"name": "a"}, "spec": {
            "schedule": "*/5 * * * *",
            "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}}},
        }});
        for (key, value) in change.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        CronJob.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let good = cron_job(json!({"timeZone": "Europe/Berlin"}));
        assert_eq!(good["spec"]["concurrencyPolicy"], "Allow");
        assert_eq!(complaints(&CronJob, &good), []);
        for (change, field, message) in [
            (
                json!({"schedule": "often"}),
                "spec.schedule",
                "Invalid value: \"often\": expected exactly 5 fields, found 1: [often]",
            ),
            (
                json!({"schedule": "TZ=UTC * * * * *"}),
                "spec.schedule",
                "Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ),
            (json!({"schedule": ""}), "spec.schedule", "Required value"),
            (
                json!({"concurrencyPolicy": "Maybe"}),
                "spec.concurrencyPolicy",
                "Unsupported value: \"Maybe\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
            ),
            (json!({"timeZone": "../etc"}), "spec.timeZone", "Invalid value: \"../etc\": unknown time zone ../etc"),
        ] {
            assert_eq!(complaints(&CronJob, &cron_job(change)), [(field.to_owned(), message.to_owned())]);
        }
        let mut long = good;
        long["metadata"]["name"] = json!("a".repeat(53));
        assert_eq!(complaints(&CronJob, &long)[0].0, "metadata.name");
    }
}
