//! ReplicaSets.

use super::path::Path;
use super::{ScalePaths, Strategy, field, fill, labels, replicas, template};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// apps/v1 ReplicaSet.
pub(super) struct ReplicaSet;

const COUNTS: &[&str] = &[
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "observedGeneration",
    "terminatingReplicas",
];
const PARTS: &[&str] = &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];

impl Strategy for ReplicaSet {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        fill::int(spec, "replicas", 1);
        template::default(spec, "template");
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        field::nonnegative(spec, "replicas", &path, causes);
        field::nonnegative(spec, "minReadySeconds", &path, causes);
        // The reference names the wrong kind here; clients may know the words.
        let selector = labels::workload_selector(spec, "deployment", &path, causes);
        let template = field::get(spec, "template");
        template::validate_running(template, selector.as_ref(), "ReplicaSet", &path.child("template"), causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "spec"), field::get(old, "spec"));
        field::immutable(new, old, "selector", &Path::new("spec"), causes);
    }

    fn validate_status(&self, object: &Value, _old: &Value, causes: &mut Causes) {
        replicas::status(field::get(object, "status"), COUNTS, PARTS, causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }

    fn scale(&self) -> Option<ScalePaths> {
        Some(replicas::scale())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    fn replica_set(replicas: i64, label: &str) -> Value {
        let mut object = json!({"spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": label}},
                "spec": {"containers": [{"name": "a", "image": "i"}]}},
        }});
        ReplicaSet.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let good = replica_set(0, "web");
        assert_eq!(complaints(&ReplicaSet, &good), []);
        let found = complaints(&ReplicaSet, &replica_set(-1, "web"));
        assert_eq!(found[0].1, "Invalid value: -1: must be greater than or equal to 0");
        assert_eq!(complaints(&ReplicaSet, &replica_set(1, "db"))[0].0, "spec.template.metadata.labels");
        let mut other = good.clone();
        other["spec"]["selector"] = json!({"matchLabels": {"app": "db"}});
        assert_eq!(complaints_update(&ReplicaSet, &other, &good)[0].0, "spec.selector");
    }
}
