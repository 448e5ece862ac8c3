//! CustomResourceDefinition: names, versions, and the schemas that its objects are held to.

mod conversion;
mod formats;
mod structural;

use serde_json::json;

use self::structural::{Level, structural};
use super::path::Path;
use super::{Strategy, field};
use crate::crd::{columns, props};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

pub(super) struct CustomResourceDefinition;

const SELECTABLE: usize = 8;
const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] = &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

impl Strategy for CustomResourceDefinition {
    fn default(&self, object: &mut Value) {
        let kind = object.text(&["spec", "names", "kind"]).to_owned();
        if object.text(&["spec", "names", "singular"]).is_empty() && !kind.is_empty() {
            object.set(&["spec", "names", "singular"], kind.to_lowercase());
        }
        if object.text(&["spec", "names", "listKind"]).is_empty() && !kind.is_empty() {
            object.set(&["spec", "names", "listKind"], format!("{kind}List"));
        }
        object.set_default(&["spec", "conversion"], json!({"strategy": "None"}));
        if object.at(&["spec", "conversion", "webhook", "clientConfig", "service"]).is_object() {
            object.set_default(&["spec", "conversion", "webhook", "clientConfig", "service", "port"], 443);
        }
    }

    fn qualifies_finalizers(&self) -> bool {
        false
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set(&["status"], json!({"acceptedNames": {"kind": "", "plural": ""}}));
        store_version(object);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        store_version(object);
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let path = Path::new("spec");
        let spec = object.at(&["spec"]);
        let wanted = format!("{}.{}", spec.text(&["names", "plural"]), spec.text(&["group"]));
        if object.name() != wanted {
            let detail = "must be spec.names.plural+\".\"+spec.group";
            causes.invalid("metadata.name", &object.name().into(), detail);
        }
        group(spec, &path, causes);
        field::required_choice(spec, "scope", &path, &["Cluster", "Namespaced"], causes);
        if field::is_true(spec, "preserveUnknownFields") {
            let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                          spec.versions[*].schema instead";
            causes.invalid(path.child("preserveUnknownFields"), &true.into(), detail);
        }
        versions(spec, &path, causes);
        spec_names(spec, &path.child("names"), causes);
        conversion::validate(spec.at(&["conversion"]), &path.child("conversion"), causes);
        stored_versions(object, causes);
    }

    fn validate_create(&self, object: &Value, causes: &mut Causes) {
        conversion::hold(object, causes);
        formats::warn(object, &Value::Null, causes);
        let group = object.text(&["spec", "group"]);
        let protected = ["k8s.io", "kubernetes.io"];
        let is_protected = protected.iter().any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
        if is_protected && object.at(&["metadata", "annotations", APPROVAL]).is_null() {
            let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
                          https://github.com/kubernetes/enhancements/pull/1111";
            causes.required(format!("metadata.annotations[{APPROVAL}]"), detail);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let immutable = |field: &[&str], causes: &mut Causes| {
            if object.at(field) != old.at(field) {
                causes.invalid(field.join("."), object.at(field), field::IMMUTABLE);
            }
        };
        immutable(&["spec", "group"], causes);
        formats::warn(object, old, causes);
        // What was let in before is not held against a change of something else.
        let mut before = Causes::default();
        conversion::hold(old, &mut before);
        if before.is_empty() {
            conversion::hold(object, causes);
        }
        if crate::crd::definition::has(old, "Established") {
            immutable(&["spec", "scope"], causes);
            immutable(&["spec", "names", "kind"], causes);
            immutable(&["spec", "names", "plural"], causes);
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, causes: &mut Causes) {
        stored_versions(object, causes);
    }
}

const APPROVAL: &str = "api-approved.kubernetes.io";

/// What is stored is remembered: a version may only go when nothing of it is left.
fn store_version(object: &mut Value) {
    let versions = object.list(&["spec", "versions"]);
    let Some(stored) = versions.iter().find(|version| field::is_true(version, "storage")) else { return };
    let name = Value::from(stored.text(&["name"]));
    let mut all = object.list(&["status", "storedVersions"]).to_vec();
    if !all.contains(&name) {
        all.push(name);
        object.set(&["status", "storedVersions"], all);
    }
}

fn stored_versions(object: &Value, causes: &mut Causes) {
    let path = Path::new("status.storedVersions");
    let stored = object.list(&["status", "storedVersions"]);
    let versions = object.list(&["spec", "versions"]);
    if stored.is_empty() {
        causes.invalid(path, &Value::Null, "must have at least one stored version");
        return;
    }
    for version in versions.iter().filter(|version| field::is_true(version, "storage")) {
        let name = version.text(&["name"]);
        if !stored.iter().any(|found| found == name) {
            causes.invalid(path, &stored.to_vec().into(), &format!("must have the storage version {name}"));
        }
    }
    for (at, name) in stored.iter().enumerate() {
        let text = name.as_str().unwrap_or_default();
        if !versions.iter().any(|version| version.text(&["name"]) == text) {
            let detail = format!(
                "missing from spec.versions; {text} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {text} and removes {text} from \
                 status.storedVersions"
            );
            causes.invalid(path.index(at), name, &detail);
        }
    }
}

fn group(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let group = field::text(spec, "group");
    if !field::required_text(spec, "group", path, causes) {
        return;
    }
    let complaints = names::is_dns1123_subdomain(group);
    if !complaints.is_empty() {
        causes.invalid(path.child("group"), &group.into(), &complaints.join(","));
    } else if !group.contains('.') {
        causes.invalid(path.child("group"), &group.into(), "should be a domain with at least one dot");
    }
}

fn spec_names(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let names = spec.at(&["names"]);
    for key in ["plural", "singular", "kind", "listKind"] {
        field::required_text(names, key, path, causes);
    }
    let label = |text: &str, path: Path<'_>, causes: &mut Causes| {
        let complaints = names::is_dns1035_label(text);
        if !text.is_empty() && !complaints.is_empty() {
            causes.invalid(path, &text.into(), &complaints.join(","));
        }
    };
    label(field::text(names, "plural"), path.child("plural"), causes);
    label(field::text(names, "singular"), path.child("singular"), causes);
    for key in ["kind", "listKind"] {
        let text = field::text(names, key);
        let complaints = names::is_dns1035_label(&text.to_lowercase());
        if !text.is_empty() && !complaints.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
            causes.invalid(path.child(key), &text.into(), &detail);
        }
    }
    for key in ["shortNames", "categories"] {
        let list = path.child(key);
        for (at, name) in field::list(names, key).iter().enumerate() {
            label(name.as_str().unwrap_or_default(), list.index(at), causes);
        }
    }
    if !field::text(names, "kind").is_empty() && field::text(names, "kind") == field::text(names, "listKind") {
        let detail = "kind and listKind may not be the same";
        causes.invalid(path.child("listKind"), field::get(names, "listKind"), detail);
    }
}

fn versions(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let all = path.child("versions");
    let versions = field::list(spec, "versions");
    for (at, version) in versions.iter().enumerate() {
        let path = all.index(at);
        let name = field::text(version, "name");
        let complaints = names::is_dns1035_label(name);
        if !complaints.is_empty() {
            causes.invalid(path.child("name"), &name.into(), &complaints.join(","));
        }
        self::version(version, &path, causes);
    }
    let shown = Value::from(versions.to_vec());
    let names: Vec<&str> = versions.iter().map(|version| field::text(version, "name")).collect();
    if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
        causes.invalid(all, &shown, "must contain unique version names");
    }
    if versions.iter().filter(|version| field::is_true(version, "storage")).count() != 1 {
        causes.invalid(all, &shown, "must have exactly one version marked as storage version");
    }
}

fn version(version: &Value, path: &Path<'_>, causes: &mut Causes) {
    if field::is_set(version, "deprecationWarning") {
        let warning = field::text(version, "deprecationWarning");
        let mut complain = |detail: &str| causes.invalid(path.child("deprecationWarning"), &warning.into(), detail);
        if !field::is_true(version, "deprecated") {
            complain("can only be set for deprecated versions");
        } else if warning.len() > 256 {
            complain("must be <= 256 characters long");
        } else if warning.is_empty() {
            complain("must not be an empty string");
        }
    }
    let schema_path = path.child("schema");
    let schema_path = schema_path.child("openAPIV3Schema");
    let schema = version.at(&["schema", "openAPIV3Schema"]);
    if schema.is_null() {
        causes.required(schema_path, "");
    } else {
        let before = causes.0.len();
        structural(schema, Level::Root, &schema_path, causes);
        // Rules are only read where what they are about is clear.
        if causes.0.len() == before {
            causes.0.append(&mut crate::crd::rules::compile(schema, &schema_path.to_string()).1.0);
        }
    }
    let list = path.child("additionalPrinterColumns");
    for (at, column) in field::list(version, "additionalPrinterColumns").iter().enumerate() {
        let path = list.index(at);
        field::required_text(column, "name", &path, causes);
        field::required_choice(column, "type", &path, COLUMN_TYPES, causes);
        if !field::text(column, "format").is_empty() {
            field::choice(column, "format", &path, COLUMN_FORMATS, causes);
        }
        json_path(column, "jsonPath", &path, causes);
    }
    scale(version.at(&["subresources", "scale"]), &path.child("subresources.scale"), causes);
    selectable(version, schema, &path.child("selectableFields"), causes);
}

fn json_path(value: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    if field::required_text(value, key, path, causes)
        && let Err(why) = columns::path(field::text(value, key))
    {
        causes.invalid(path.child(key), field::get(value, key), &why);
    }
}

fn scale(scale: &Value, path: &Path<'_>, causes: &mut Causes) {
    if !scale.is_object() {
        return;
    }
    for (key, under) in [
        ("specReplicasPath", &[".spec."][..]),
        ("statusReplicasPath", &[".status."]),
        ("labelSelectorPath", &[".spec.", ".status."]),
    ] {
        let text = field::text(scale, key);
        if text.is_empty() {
            if key != "labelSelectorPath" {
                causes.required(path.child(key), "");
            }
        } else if text.contains('[') {
            causes.invalid(path.child(key), &text.into(), "should be a simple json path without array notation");
        } else if !under.iter().any(|prefix| text.starts_with(prefix)) {
            let detail = format!("should be a json path under {}", under.join(" or "));
            causes.invalid(path.child(key), &text.into(), detail.trim_end_matches('.'));
        }
    }
}

fn selectable(version: &Value, schema: &Value, path: &Path<'_>, causes: &mut Causes) {
    let fields = field::list(version, "selectableFields");
    if fields.is_empty() {
        return;
    }
    if fields.len() > SELECTABLE {
        causes.too_many(*path, fields.len() as u64, SELECTABLE as u64);
    }
    let props = props::Props::read(schema);
    let mut seen: Vec<&str> = Vec::new();
    for (at, found) in fields.iter().enumerate() {
        let path = path.index(at);
        let text = field::text(found, "jsonPath");
        let mut complain = |detail: &str| causes.invalid(path.child("jsonPath"), &text.into(), detail);
        if text.is_empty() {
            causes.required(path.child("jsonPath"), "");
            continue;
        }
        if !text.starts_with('.') || text.contains('[') {
            complain("must be a simple path");
            continue;
        }
        let steps: Vec<&str> = text.trim_start_matches('.').split('.').collect();
        match props.at(steps.iter().copied()) {
            _ if steps.first() == Some(&"metadata") => complain("must not point to fields in metadata"),
            None => complain("is an invalid path: does not refer to a valid field"),
            Some(props) if !matches!(props.of.as_str(), "string" | "boolean" | "integer") => {
                complain("must point to a field of type string, boolean or integer");
            }
            Some(_) => {}
        }
        if seen.contains(&text) {
            causes.duplicate(path.child("jsonPath"), &text.into());
        }
        seen.push(text);
    }
}
