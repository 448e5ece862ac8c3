//! DaemonSets.

use serde_json::json;

use super::path::Path;
use super::{Strategy, field, fill, labels, replicas, template};
use crate::document::Value;
use crate::names;
use crate::selector::LabelSelector;
use crate::status::Causes;

/// apps/v1 DaemonSet.
pub(super) struct DaemonSet;

const COUNTS: &[&str] = &[
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
];

impl Strategy for DaemonSet {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        let strategy = fill::map(spec, "updateStrategy");
        fill::text(strategy, "type", "RollingUpdate");
        if field::text(strategy, "type") == "RollingUpdate" {
            let rolling = fill::map(strategy, "rollingUpdate");
            fill::value(rolling, "maxUnavailable", || json!(1));
            fill::value(rolling, "maxSurge", || json!(0));
        }
        fill::int(spec, "revisionHistoryLimit", 10);
        template::default(spec, "template");
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        let template = field::get(spec, "template");
        let template_path = path.child("template");
        labels::selector(spec, "selector", &path, causes);
        let selector = field::get(spec, "selector");
        if let Ok(selects) = LabelSelector::from_value(selector)
            && !labels::selects_template(&selects, template)
        {
            let labels = field::get(field::get(template, "metadata"), "labels");
            let words = "`selector` does not match template `labels`";
            causes.invalid(template_path.child("metadata.labels"), labels, words);
        }
        if !selector.is_null() && field::same(selector, &Value::Null) {
            causes.invalid(path.child("selector"), selector, "empty selector is invalid for daemonset");
        }
        template::validate(template, &template_path, causes);
        template::always_running(template, "DaemonSet", &template_path, causes);
        field::nonnegative(spec, "minReadySeconds", &path, causes);
        update_strategy(spec, &path, causes);
        field::nonnegative(spec, "revisionHistoryLimit", &path, causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "spec"), field::get(old, "spec"));
        field::immutable(new, old, "selector", &Path::new("spec"), causes);
    }

    fn validate_status(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "status"), field::get(old, "status"));
        for key in COUNTS {
            field::nonnegative(new, key, &Path::new("status"), causes);
        }
        replicas::collisions(new, old, causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn update_strategy(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let strategy = field::get(spec, "updateStrategy");
    let path = path.child("updateStrategy");
    match field::text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = field::get(strategy, "rollingUpdate");
            let path = path.child("rollingUpdate");
            if rolling.is_null() {
                return causes.required(path, "");
            }
            for key in ["maxUnavailable", "maxSurge"] {
                replicas::count_or_percent(rolling, key, &path, causes);
                replicas::at_most_all(rolling, key, &path, causes);
            }
            let surge = field::get(rolling, "maxSurge");
            match (replicas::amount(field::get(rolling, "maxUnavailable")), replicas::amount(surge)) {
                (0, 0) => causes.required(path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"),
                (0, _) | (_, 0) => {}
                _ => {
                    let words = "may not be set when maxUnavailable is non-zero";
                    causes.invalid(path.child("maxSurge"), surge, words);
                }
            }
        }
        _ => causes.not_supported(path, strategy, &["RollingUpdate", "OnDelete"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    fn daemon_set(rolling: Value) -> Value {
        let mut object = json!({"spec": {
            "selector": {"matchLabels": {"app": "a"}}, "updateStrategy": {"rollingUpdate": rolling},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}},
        }});
        DaemonSet.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let good = daemon_set(json!({}));
        assert_eq!(good["spec"]["updateStrategy"]["rollingUpdate"], json!({"maxUnavailable": 1, "maxSurge": 0}));
        assert_eq!(complaints(&DaemonSet, &good), []);
        for (rolling, field, message) in [
            (
                json!({"maxUnavailable": 0}),
                "spec.updateStrategy.rollingUpdate.maxUnavailable",
                "Required value: cannot be 0 when maxSurge is 0",
            ),
            (
                json!({"maxSurge": 1}),
                "spec.updateStrategy.rollingUpdate.maxSurge",
                "Invalid value: 1: may not be set when maxUnavailable is non-zero",
            ),
            (
                json!({"maxUnavailable": "150%"}),
                "spec.updateStrategy.rollingUpdate.maxUnavailable",
                "Invalid value: \"150%\": must not be greater than 100%",
            ),
        ] {
            assert_eq!(complaints(&DaemonSet, &daemon_set(rolling)), [(field.to_owned(), message.to_owned())]);
        }
        let mut other = good.clone();
        other["spec"]["selector"] = json!({"matchLabels": {"app": "b"}});
        assert_eq!(complaints(&DaemonSet, &other)[0].0, "spec.template.metadata.labels");
        assert_eq!(complaints_update(&DaemonSet, &other, &good)[0].0, "spec.selector");
    }
}
