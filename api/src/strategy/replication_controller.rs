//! ReplicationControllers: ReplicaSets with a map for a selector.

use super::path::Path;
use super::{ScalePaths, Strategy, field, fill, replicas, template};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// core/v1 ReplicationController.
pub(super) struct ReplicationController;

const COUNTS: &[&str] =
    &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
const PARTS: &[&str] = &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];

impl Strategy for ReplicationController {
    fn default(&self, object: &mut Value) {
        let labels = object.at(&["spec", "template", "metadata", "labels"]).clone();
        let has = |value: &Value| value.as_object().is_some_and(|map| !map.is_empty());
        if has(&labels) {
            for path in [&["spec", "selector"], &["metadata", "labels"]] {
                if !has(object.at(path)) {
                    object.set(path, labels.clone());
                }
            }
        }
        let spec = fill::map(object, "spec");
        fill::int(spec, "replicas", 1);
        if field::is_set(spec, "template") {
            template::default(spec, "template");
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        field::nonnegative(spec, "minReadySeconds", &path, causes);
        let selector = field::get(spec, "selector");
        if field::pairs(spec, "selector").next().is_none() {
            causes.required(path.child("selector"), "");
        }
        field::nonnegative(spec, "replicas", &path, causes);
        let template = field::get(spec, "template");
        let path = path.child("template");
        if template.is_null() {
            return causes.required(path, "");
        }
        let labels = template.at(&["metadata", "labels"]);
        let mut selected = selector.as_object().into_iter().flatten();
        if selected.any(|(key, value)| labels.get(key) != Some(value)) {
            causes.invalid(path.child("metadata.labels"), labels, "`selector` does not match template `labels`");
        }
        template::validate(template, &path, causes);
        template::always_running(template, "ReplicationController", &path, causes);
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

    fn orphans_by_default(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::complaints;

    #[test]
    fn rules() {
        let mut object = json!({"spec": {"template": {
            "metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}}}});
        ReplicationController.default(&mut object);
        assert_eq!(object["spec"]["selector"], json!({"app": "a"}));
        assert_eq!(object["metadata"]["labels"], json!({"app": "a"}));
        assert_eq!(object["spec"]["replicas"], 1);
        assert_eq!(complaints(&ReplicationController, &object), []);
        object["spec"]["selector"] = json!({"app": "b"});
        assert_eq!(complaints(&ReplicationController, &object)[0].0, "spec.template.metadata.labels");
        assert_eq!(complaints(&ReplicationController, &json!({}))[0].0, "spec.selector");
    }
}
