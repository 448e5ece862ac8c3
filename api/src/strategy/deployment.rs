//! Deployments.

use serde_json::json;

use super::path::Path;
use super::{ScalePaths, Strategy, field, fill, labels, replicas, template};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// apps/v1 Deployment.
pub(super) struct Deployment;

const COUNTS: &[&str] = &[
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "collisionCount",
];
const PARTS: &[&str] = &["updatedReplicas", "readyReplicas", "availableReplicas"];

impl Strategy for Deployment {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        fill::int(spec, "replicas", 1);
        let strategy = fill::map(spec, "strategy");
        fill::text(strategy, "type", "RollingUpdate");
        if field::text(strategy, "type") == "RollingUpdate" {
            let rolling = fill::map(strategy, "rollingUpdate");
            fill::value(rolling, "maxUnavailable", || json!("25%"));
            fill::value(rolling, "maxSurge", || json!("25%"));
        }
        fill::int(spec, "revisionHistoryLimit", 10);
        fill::int(spec, "progressDeadlineSeconds", 600);
        template::default(spec, "template");
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        field::nonnegative(spec, "replicas", &path, causes);
        let selector = labels::workload_selector(spec, "deployment", &path, causes);
        let template = field::get(spec, "template");
        template::validate_running(template, selector.as_ref(), "ReplicaSet", &path.child("template"), causes);
        update_strategy(spec, &path, causes);
        field::nonnegative(spec, "minReadySeconds", &path, causes);
        field::nonnegative(spec, "revisionHistoryLimit", &path, causes);
        field::nonnegative(spec, "progressDeadlineSeconds", &path, causes);
        let ready = field::int(spec, "minReadySeconds").unwrap_or_default();
        if let Some(deadline) = field::int(spec, "progressDeadlineSeconds").filter(|deadline| *deadline <= ready) {
            let words = "must be greater than minReadySeconds";
            causes.invalid(path.child("progressDeadlineSeconds"), &Value::from(deadline), words);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "spec"), field::get(old, "spec"));
        field::immutable(new, old, "selector", &Path::new("spec"), causes);
    }

    fn validate_status(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "status"), field::get(old, "status"));
        replicas::status(new, COUNTS, PARTS, causes);
        replicas::collisions(new, old, causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }

    fn scale(&self) -> Option<ScalePaths> {
        Some(replicas::scale())
    }
}

fn update_strategy(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let strategy = field::get(spec, "strategy");
    let path = path.child("strategy");
    let rolling = field::get(strategy, "rollingUpdate");
    match field::text(strategy, "type") {
        "Recreate" => {
            if !rolling.is_null() {
                let words = "may not be specified when strategy `type` is 'Recreate'";
                causes.forbidden(path.child("rollingUpdate"), words);
            }
        }
        "RollingUpdate" => rolling_update(rolling, &path.child("rollingUpdate"), causes),
        _ => causes.not_supported(path, strategy, &["Recreate", "RollingUpdate"]),
    }
}

fn rolling_update(rolling: &Value, path: &Path<'_>, causes: &mut Causes) {
    if rolling.is_null() {
        return causes.required(path, "this should be defaulted and never be nil");
    }
    replicas::count_or_percent(rolling, "maxUnavailable", path, causes);
    replicas::count_or_percent(rolling, "maxSurge", path, causes);
    let unavailable = field::get(rolling, "maxUnavailable");
    if replicas::amount(unavailable) == 0 && replicas::amount(field::get(rolling, "maxSurge")) == 0 {
        causes.invalid(path.child("maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0");
    }
    replicas::at_most_all(rolling, "maxUnavailable", path, causes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::strategy::tests::{causes_of, complaints, complaints_update};

    fn deployment(change: impl FnOnce(&mut Value)) -> Value {
        let mut object = json!({
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "nginx", "image": "nginx:1.21"}]},
                },
            },
        });
        change(&mut object);
        Deployment.default(&mut object);
        object
    }

    #[test]
    fn defaults() {
        let object = deployment(|_| {});
        let spec = &object["spec"];
        assert_eq!(spec["replicas"], 1);
        assert_eq!(
            spec["strategy"],
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        );
        assert_eq!((&spec["revisionHistoryLimit"], &spec["progressDeadlineSeconds"]), (&json!(10), &json!(600)));
        assert_eq!(spec["template"]["spec"]["restartPolicy"], "Always");
        assert_eq!(spec["template"]["spec"].get("enableServiceLinks"), None, "only Pods get that");
        let recreate = deployment(|object| object["spec"]["strategy"] = json!({"type": "Recreate"}));
        assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[test]
    fn the_issues_examples_word_by_word() {
        assert_eq!(complaints(&Deployment, &deployment(|_| {})), []);

        let negative = deployment(|object| object.set(&["spec", "replicas"], -1));
        let cause = &causes_of(&Deployment, &negative).0[0];
        assert_eq!(
            (cause.field.as_str(), cause.reason, cause.message.as_str()),
            ("spec.replicas", "FieldValueInvalid", "Invalid value: -1: must be greater than or equal to 0")
        );

        let mismatch = deployment(|object| object["spec"]["template"]["metadata"]["labels"] = json!({"app": "db"}));
        let cause = &causes_of(&Deployment, &mismatch).0[0];
        assert_eq!(
            (cause.field.as_str(), cause.reason, cause.message.as_str()),
            (
                "spec.template.metadata.labels",
                "FieldValueInvalid",
                "Invalid value: {\"app\":\"db\"}: `selector` does not match template `labels`"
            )
        );

        let twice = deployment(|object| {
            let containers = &mut object["spec"]["template"]["spec"]["containers"];
            *containers = json!([{"name": "a", "image": "i"}, {"name": "a", "image": "j"}]);
        });
        let causes = causes_of(&Deployment, &twice);
        assert_eq!(causes.0.len(), 1);
        let cause = &causes.0[0];
        assert_eq!(
            (cause.field.as_str(), cause.reason, cause.message.as_str()),
            ("spec.template.spec.containers[1].name", "FieldValueDuplicate", "Duplicate value: \"a\"")
        );

        assert_eq!(
            Deployment.validate_name("Web_1"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
              start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
    }

    #[test]
    fn rules() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str, &str); 7] = [
            (|object| drop(object.remove(&["spec", "selector"])), "spec.selector", "Required value"),
            (
                |object| object["spec"]["selector"] = json!({}),
                "spec.selector",
                "Invalid value: {}: empty selector is invalid for deployment",
            ),
            (
                |object| {
                    object["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}});
                },
                "spec.strategy.rollingUpdate.maxUnavailable",
                "Invalid value: 0: may not be 0 when `maxSurge` is 0",
            ),
            (
                |object| object["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": "101%"}}),
                "spec.strategy.rollingUpdate.maxUnavailable",
                "Invalid value: \"101%\": must not be greater than 100%",
            ),
            (
                |object| object["spec"]["strategy"] = json!({"type": "Recreate", "rollingUpdate": {}}),
                "spec.strategy.rollingUpdate",
                "Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ),
            (
                |object| object["spec"]["template"]["spec"]["restartPolicy"] = json!("Never"),
                "spec.template.spec.restartPolicy",
                "Unsupported value: \"Never\": supported values: \"Always\"",
            ),
            (
                |object| object["spec"]["progressDeadlineSeconds"] = json!(0),
                "spec.progressDeadlineSeconds",
                "Invalid value: 0: must be greater than minReadySeconds",
            ),
        ];
        for (change, field, message) in cases {
            let found = complaints(&Deployment, &deployment(change));
            assert_eq!(found[0], (field.to_owned(), message.to_owned()));
        }
    }

    #[test]
    fn the_selector_stays() {
        let old = deployment(|_| {});
        let new = deployment(|object| {
            object["spec"]["selector"] = json!({"matchLabels": {"app": "db"}});
            object["spec"]["template"]["metadata"]["labels"] = json!({"app": "db"});
        });
        assert_eq!(complaints_update(&Deployment, &old, &old), []);
        assert_eq!(
            complaints_update(&Deployment, &new, &old),
            [(
                "spec.selector".to_owned(),
                "Invalid value: {\"matchLabels\":{\"app\":\"db\"}}: field is immutable".to_owned()
            )]
        );
    }

    #[test]
    fn status() {
        let mut causes = Causes::default();
        let old = json!({"status": {"collisionCount": 2}});
        Deployment.validate_status(&json!({"status": {"collisionCount": 1}}), &old, &mut causes);
        assert_eq!(causes.0[0].message, "Invalid value: 1: cannot be decremented");
    }
}
