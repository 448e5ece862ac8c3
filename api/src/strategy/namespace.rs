//! Namespaces.

use serde_json::json;

use super::path::Path;
use super::{Strategy, field, fill};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// core/v1 Namespace.
pub(super) struct Namespace;

/// The finalizer in `spec.finalizers` that stands for everything inside of the namespace.
const KUBERNETES: &str = "kubernetes";

impl Strategy for Namespace {
    fn default(&self, object: &mut Value) {
        let name = object.name().to_owned();
        if !name.is_empty() {
            object.set(&["metadata", "labels", "kubernetes.io/metadata.name"], name);
        }
        fill::text(fill::map(object, "status"), "phase", "Active");
    }

    fn prepare_create(&self, object: &mut Value) {
        fill::set(object, "status", json!({"phase": "Active"}));
        let finalizers = object.at_mut(&["spec", "finalizers"]);
        match finalizers {
            Value::Array(list) if list.iter().any(|finalizer| finalizer == KUBERNETES) => {}
            Value::Array(list) => list.push(json!(KUBERNETES)),
            place => *place = json!([KUBERNETES]),
        }
    }

    /// `spec.finalizers` has a subresource of its own.
    fn prepare_update(&self, object: &mut Value, old: &Value) {
        match old.at(&["spec", "finalizers"]) {
            Value::Null => drop(object.remove(&["spec", "finalizers"])),
            finalizers => object.set(&["spec", "finalizers"], finalizers.clone()),
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let path = Path::new("spec.finalizers");
        for finalizer in object.list(&["spec", "finalizers"]) {
            let name = finalizer.as_str().unwrap_or_default();
            field::qualified_name(name, path, causes);
            let standard = matches!(name, KUBERNETES | "orphan" | "foregroundDeletion");
            if !name.contains('/') && !standard {
                let words = "name is neither a standard finalizer name nor is it fully qualified";
                causes.invalid(path, finalizer, words);
            }
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, causes: &mut Causes) {
        let phase = object.at(&["status", "phase"]);
        let (right, words) = match object.is_deleting() {
            false => ("Active", "may only be 'Active' if `deletionTimestamp` is empty"),
            true => ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty"),
        };
        if phase != right {
            causes.invalid("status.Phase", phase, words);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_label(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::tests::complaints;

    #[test]
    fn a_new_one() {
        let mut object = json!({"metadata": {"name": "web"}});
        Namespace.default(&mut object);
        Namespace.prepare_create(&mut object);
        assert_eq!(
            object,
            json!({
                "metadata": {"name": "web", "labels": {"kubernetes.io/metadata.name": "web"}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            })
        );
        assert_eq!(complaints(&Namespace, &object), []);
        let mut update = json!({"spec": {"finalizers": []}});
        Namespace.prepare_update(&mut update, &object);
        assert_eq!(update["spec"]["finalizers"], json!(["kubernetes"]));
    }

    #[test]
    fn rules() {
        let found = complaints(&Namespace, &json!({"spec": {"finalizers": ["mine"]}}));
        assert_eq!(
            found[0].1,
            "Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified"
        );
        let mut causes = Causes::default();
        Namespace.validate_status(&json!({"status": {"phase": "Terminating"}}), &json!({}), &mut causes);
        assert_eq!(causes.0[0].field, "status.Phase");
        assert!(Namespace.validate_name("a.b").len() == 1 && Namespace.validate_name("a-b").is_empty());
    }
}
