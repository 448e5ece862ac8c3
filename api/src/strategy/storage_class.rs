//! StorageClasses and VolumeAttributesClasses: a driver and its parameters.

use std::collections::BTreeSet;

use super::path::Path;
use super::{Strategy, field, fill};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// storage.k8s.io/v1 StorageClass.
pub(super) struct StorageClass;

impl Strategy for StorageClass {
    fn default(&self, object: &mut Value) {
        fill::text(object, "reclaimPolicy", "Delete");
        fill::text(object, "volumeBindingMode", "Immediate");
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        driver(object, "provisioner", causes);
        parameters(object, true, causes);
        for (key, choices) in
            [("reclaimPolicy", ["Delete", "Retain"]), ("volumeBindingMode", ["Immediate", "WaitForFirstConsumer"])]
        {
            if !choices.contains(&field::text(object, key)) {
                causes.not_supported(key, field::get(object, key), &choices);
            }
        }
        let list = Path::new("allowedTopologies");
        for (at, term) in field::list(object, "allowedTopologies").iter().enumerate() {
            topology(term, &list.index(at), causes);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        for key in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            if !field::same(field::get(object, key), field::get(old, key)) {
                causes.invalid(key, field::get(object, key), field::IMMUTABLE);
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// storage.k8s.io/v1 VolumeAttributesClass.
pub(super) struct VolumeAttributesClass;

impl Strategy for VolumeAttributesClass {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        driver(object, "driverName", causes);
        parameters(object, false, causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        for key in ["driverName", "parameters"] {
            if !field::same(field::get(object, key), field::get(old, key)) {
                causes.forbidden(key, &format!("updates to {key} are forbidden."));
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn driver(object: &Value, key: &str, causes: &mut Causes) {
    match field::text(object, key) {
        "" => causes.required(key, ""),
        name => field::qualified_name(&name.to_lowercase(), Path::new(key), causes),
    }
}

fn parameters(object: &Value, may_be_empty: bool, causes: &mut Causes) {
    const MOST: usize = 256 * 1024;
    const MOST_KEYS: usize = 512;
    let path = Path::new("parameters");
    let count = field::pairs(object, "parameters").count();
    if count > MOST_KEYS {
        return causes.too_long(path, MOST_KEYS);
    }
    let mut size = 0;
    for (key, value) in field::pairs(object, "parameters") {
        if key.is_empty() {
            causes.invalid(path, &Value::from(key), "field can not be empty.");
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MOST {
        causes.too_long(path, MOST);
    }
    if count == 0 && !may_be_empty {
        causes.required(path, "must contain at least one key/value pair");
    }
}

fn topology(term: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("matchLabelExpressions");
    let mut keys = BTreeSet::new();
    for (at, expression) in field::list(term, "matchLabelExpressions").iter().enumerate() {
        let path = list.index(at);
        let values = field::list(expression, "values");
        if values.is_empty() {
            causes.required(path.child("values"), "");
        }
        for (at, value) in values.iter().enumerate() {
            if values[..at].contains(value) {
                causes.duplicate(path.child("values").index(at), value);
            }
        }
        let key = field::text(expression, "key");
        field::qualified_name(key, path.child("key"), causes);
        if !keys.insert(key) {
            causes.duplicate(path.child("key"), &Value::from(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    #[test]
    fn storage_classes() {
        let mut class = json!({"provisioner": "example.com/disk"});
        StorageClass.default(&mut class);
        assert_eq!((&class["reclaimPolicy"], &class["volumeBindingMode"]), (&json!("Delete"), &json!("Immediate")));
        assert_eq!(complaints(&StorageClass, &class), []);
        let mut other = class.clone();
        other["parameters"] = json!({"a": "b"});
        let found = complaints_update(&StorageClass, &other, &class);
        assert_eq!(found, [("parameters".into(), "Invalid value: {\"a\":\"b\"}: field is immutable".into())]);
        other["reclaimPolicy"] = json!("Recycle");
        other["provisioner"] = json!("");
        let fields: Vec<String> = complaints(&StorageClass, &other).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["provisioner", "reclaimPolicy"]);
    }

    #[test]
    fn attributes_classes() {
        let class = json!({"driverName": "csi.example.com", "parameters": {"iops": "1"}});
        assert_eq!(complaints(&VolumeAttributesClass, &class), []);
        let empty = json!({"driverName": "csi.example.com"});
        assert_eq!(complaints(&VolumeAttributesClass, &empty)[0].0, "parameters");
        assert_eq!(complaints_update(&VolumeAttributesClass, &empty, &class)[0].0, "parameters");
    }
}
