//! What every object's metadata must look like, in the reference's sentences.

use std::collections::BTreeSet;

use super::{is_dns1123_label, is_qualified_name, is_valid_label_value};
use crate::document::{Document, Map, Value};
use crate::status::Causes;

/// Bytes that the keys and values of one object's annotations may have together.
pub const MAX_ANNOTATIONS: usize = 256 << 10;
const IMMUTABLE: &str = "field is immutable";

/// The metadata of an object that is created or updated (ValidateObjectMeta). `name_rule` is the kind's rule for names.
pub fn validate_metadata(
    object: &Value,
    namespaced: bool,
    name_rule: impl Fn(&str) -> Vec<String>,
    causes: &mut Causes,
) {
    let generate_name = object.text(&["metadata", "generateName"]);
    if !generate_name.is_empty() {
        refuse(causes, "metadata.generateName", generate_name, name_rule(&without_trailing_dash(generate_name)));
    }
    match object.name() {
        "" => causes.required("metadata.name", "name or generateName is required"),
        name => refuse(causes, "metadata.name", name, name_rule(name)),
    }
    match (namespaced, object.namespace()) {
        (true, "") => causes.required("metadata.namespace", ""),
        (true, namespace) => refuse(causes, "metadata.namespace", namespace, is_dns1123_label(namespace)),
        (false, "") => {}
        (false, _) => causes.forbidden("metadata.namespace", "not allowed on this type"),
    }
    let generation = object.at(&["metadata", "generation"]);
    if generation.as_i64().is_some_and(|generation| generation < 0) {
        causes.invalid("metadata.generation", generation, "must be greater than or equal to 0");
    }
    validate_maps(object, causes);
    validate_finalizers(object, causes);
    validate_managed_fields(object, causes);
}

/// What an update may not do to metadata (ValidateObjectMetaUpdate). The caller has already put back what updates
/// cannot change by leaving it out (uid, timestamps, …) and has checked the resourceVersion.
pub fn validate_metadata_update(new: &Value, old: &Value, causes: &mut Causes) {
    if old.is_deleting() {
        let before: BTreeSet<&str> = texts(old.list(&["metadata", "finalizers"])).collect();
        let after: BTreeSet<&str> = texts(new.list(&["metadata", "finalizers"])).collect();
        let added: Vec<String> = after.difference(&before).map(|name| format!("{name:?}")).collect();
        if !added.is_empty() {
            let why = "no new finalizers can be added if the object is being deleted, found new finalizers";
            causes.forbidden("metadata.finalizers", &format!("{why} []string{{{}}}", added.join(", ")));
        }
    }
    let generation = |object: &Value| object.int(&["metadata", "generation"]).unwrap_or(0);
    if generation(new) < generation(old) {
        causes.invalid("metadata.generation", &generation(new).into(), "must not be decremented");
    }
    for name in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, old) = (new.at(&["metadata", name]), old.at(&["metadata", name]));
        let empty = |value: &Value| value.is_null() || value == "";
        if new != old && !(empty(new) && empty(old)) {
            causes.invalid(format!("metadata.{name}"), new, IMMUTABLE);
        }
    }
}

/// Labels (ValidateLabels), wherever they stand.
pub fn validate_labels(labels: &Value, field: &str, causes: &mut Causes) {
    for (key, value) in entries(labels) {
        refuse(causes, field, key, is_qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        refuse(causes, field, value, is_valid_label_value(value));
    }
}

/// Annotations (ValidateAnnotations), wherever they stand.
pub fn validate_annotations(annotations: &Value, field: &str, causes: &mut Causes) {
    let mut size = 0;
    for (key, value) in entries(annotations) {
        refuse(causes, field, key, is_qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > MAX_ANNOTATIONS {
        causes.too_long(field, MAX_ANNOTATIONS);
    }
}

fn validate_maps(object: &Value, causes: &mut Causes) {
    validate_labels(object.at(&["metadata", "labels"]), "metadata.labels", causes);
    validate_annotations(object.at(&["metadata", "annotations"]), "metadata.annotations", causes);
    validate_owner_references(object, causes);
}

fn validate_owner_references(object: &Value, causes: &mut Causes) {
    let field = "metadata.ownerReferences";
    let owners = object.at(&["metadata", "ownerReferences"]);
    let mut controller: Option<String> = None;
    for owner in object.list(&["metadata", "ownerReferences"]) {
        let api_version = owner.text(&["apiVersion"]);
        if api_version.is_empty() || api_version.matches('/').count() > 1 || api_version.ends_with('/') {
            causes.invalid(format!("{field}.apiVersion"), &api_version.into(), "version must not be empty");
        }
        for name in ["kind", "name", "uid"] {
            if owner.text(&[name]).is_empty() {
                causes.invalid(format!("{field}.{name}"), &"".into(), "must not be empty");
            }
        }
        if (api_version, owner.text(&["kind"])) == ("v1", "Event") {
            causes.invalid(field, owner, "/v1, Kind=Event is disallowed from being an owner");
        }
        if owner.at(&["controller"]) == true {
            let current = format!("{}/{}", owner.text(&["kind"]), owner.text(&["name"]));
            match &controller {
                Some(first) => {
                    let why = "Only one reference can have Controller set to true. Found \"true\" in references for";
                    causes.invalid(field, owners, &format!("{why} {first} and {current}"));
                }
                None => controller = Some(current),
            }
        }
    }
}

fn validate_finalizers(object: &Value, causes: &mut Causes) {
    let field = "metadata.finalizers";
    let finalizers = object.list(&["metadata", "finalizers"]);
    for name in texts(finalizers) {
        refuse(causes, field, name, is_qualified_name(name));
    }
    if ["orphan", "foregroundDeletion"].iter().all(|name| texts(finalizers).any(|found| found == *name)) {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        causes.invalid(field, object.at(&["metadata", "finalizers"]), why);
    }
}

/// What the kinds of Kubernetes itself ask of finalizers, and the machinery that custom kinds stand on does not: each has a
/// domain, or is one of three.
pub fn validate_kube_finalizers(object: &Value, causes: &mut Causes) {
    let field = "metadata.finalizers";
    for (at, name) in texts(object.list(&["metadata", "finalizers"])).enumerate() {
        if !name.contains('/') && !["kubernetes", "orphan", "foregroundDeletion"].contains(&name) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.invalid(format!("{field}[{at}]"), &name.into(), why);
        }
    }
}

fn validate_managed_fields(object: &Value, causes: &mut Causes) {
    validate_managers(object.at(&["metadata", "managedFields"]), causes);
}

/// metadata.managedFields as a client sent it.
pub fn validate_managers(list: &Value, causes: &mut Causes) {
    for (at, entry) in
        list.as_array().into_iter().flatten().enumerate().filter(|(_, entry)| *entry != &Value::Object(Map::new()))
    {
        let field = |name: &str| format!("metadata.managedFields[{at}].{name}");
        if !["Apply", "Update"].contains(&entry.text(&["operation"])) {
            causes.invalid(field("operation"), &entry.text(&["operation"]).into(), "must be `Apply` or `Update`");
        }
        if !["", "FieldsV1"].contains(&entry.text(&["fieldsType"])) {
            causes.invalid(field("fieldsType"), entry.at(&["fieldsType"]), "must be `FieldsV1`");
        }
        validate_field_manager(entry.text(&["manager"]), &field("manager"), causes);
        if entry.text(&["subresource"]).len() > 256 {
            causes.too_long(field("subresource"), 256);
        }
    }
}

/// The name of who manages fields, also as a query parameter.
pub fn validate_field_manager(manager: &str, field: &str, causes: &mut Causes) {
    if manager.len() > 128 {
        causes.too_long(field, 128);
    }
    for (at, found) in manager.char_indices().filter(|(_, found)| found.is_control()) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(found));
        causes.invalid(field, &manager.into(), &why);
    }
}

/// One cause for each thing that is wrong.
fn refuse(causes: &mut Causes, field: &str, value: &str, wrong: Vec<String>) {
    for why in wrong {
        causes.invalid(field, &value.into(), &why);
    }
}

/// A generateName as if something stood after its dash. It also drops the character before, as the reference does.
fn without_trailing_dash(name: &str) -> String {
    match name.strip_suffix('-').and_then(|rest| rest.char_indices().next_back()) {
        Some((at, _)) => format!("{}a", &name[..at]),
        None => name.to_owned(),
    }
}

fn texts(list: &[Value]) -> impl Iterator<Item = &str> {
    list.iter().filter_map(Value::as_str)
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::is_dns1123_subdomain;
    use super::*;

    fn fields(object: &Value, namespaced: bool) -> Vec<String> {
        let mut causes = Causes::default();
        validate_metadata(object, namespaced, is_dns1123_subdomain, &mut causes);
        validate_kube_finalizers(object, &mut causes);
        causes.0.into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn metadata_is_looked_at_whole() {
        assert!(fields(&json!({"metadata": {"name": "a", "namespace": "b", "generateName": "ab-"}}), true).is_empty());
        assert_eq!(fields(&json!({}), true), ["metadata.name", "metadata.namespace"]);
        assert_eq!(
            fields(&json!({"metadata": {"name": "A", "namespace": "b"}}), false),
            ["metadata.name", "metadata.namespace"]
        );
        let bad = json!({"metadata": {
            "name": "a", "generation": -1, "labels": {"a b": "c d"}, "annotations": {"Ok": "", "/": ""},
            "ownerReferences": [{"apiVersion": "a/", "kind": "K", "name": "n", "uid": ""},
                {"apiVersion": "v1", "kind": "A", "name": "n", "uid": "u", "controller": true},
                {"apiVersion": "v1", "kind": "B", "name": "n", "uid": "u", "controller": true}],
            "finalizers": ["orphan", "foregroundDeletion", "mine"],
            "managedFields": [{"operation": "Guess", "manager": "\n"}],
        }});
        assert_eq!(
            fields(&bad, false),
            [
                "metadata.generation",
                "metadata.labels",
                "metadata.labels",
                "metadata.annotations",
                "metadata.annotations",
                "metadata.annotations",
                "metadata.ownerReferences.apiVersion",
                "metadata.ownerReferences.uid",
                "metadata.ownerReferences",
                "metadata.finalizers",
                "metadata.managedFields[0].operation",
                "metadata.managedFields[0].manager",
                "metadata.finalizers[2]",
            ]
        );
        let large = json!({"metadata": {"name": "a", "annotations": {"a": "x".repeat(MAX_ANNOTATIONS)}}});
        assert_eq!(fields(&large, false), ["metadata.annotations"]);
    }

    #[test]
    fn updates_keep_what_an_object_is() {
        let old = json!({"metadata": {"name": "a", "uid": "1", "deletionTimestamp": "t", "finalizers": ["x/a"]}});
        let mut new = old.clone();
        let check = |new: &Value| {
            let mut causes = Causes::default();
            validate_metadata_update(new, &old, &mut causes);
            causes.0
        };
        assert!(check(&new).is_empty());
        new.set(&["metadata", "finalizers"], json!([]));
        assert!(check(&new).is_empty(), "finalizers may go");
        new.set(&["metadata", "finalizers"], json!(["x/b"]));
        new.set(&["metadata", "uid"], "2");
        let causes = check(&new);
        assert!(causes[0].message.ends_with("found new finalizers []string{\"x/b\"}"), "{}", causes[0].message);
        assert_eq!((causes[1].field.as_str(), causes.len()), ("metadata.uid", 2));
        assert_eq!(causes[1].message, "Invalid value: \"2\": field is immutable");
    }
}
