//! CustomResourceDefinition: names, versions, and the schemas that its objects are held to.

use regex::Regex;
use serde_json::json;

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
        conversion(spec, &path.child("conversion"), causes);
        stored_versions(object, causes);
    }

    fn validate_create(&self, object: &Value, causes: &mut Causes) {
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
        structural(schema, Level::Root, &schema_path, causes);
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

fn conversion(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let conversion = spec.at(&["conversion"]);
    field::required_choice(conversion, "strategy", path, &["None", "Webhook"], causes);
    let webhook = conversion.at(&["webhook"]);
    if field::text(conversion, "strategy") != "Webhook" {
        if webhook.is_object() {
            let detail = "should not be set when strategy is not set to Webhook";
            causes.forbidden(path.child("webhookClientConfig"), detail);
        }
        return;
    }
    let config = webhook.at(&["clientConfig"]);
    if !config.is_object() {
        causes.required(path.child("webhookClientConfig"), "required when strategy is set to Webhook");
    } else if field::is_set(config, "url") == field::is_set(config, "service") {
        causes.required(path.child("webhookClientConfig"), "exactly one of url or service is required");
    }
    let versions = field::list(webhook, "conversionReviewVersions");
    if versions.is_empty() {
        causes.required(path.child("conversionReviewVersions"), "");
    } else if !versions.iter().any(|version| version == "v1" || version == "v1beta1") {
        let detail = "must include at least one of v1, v1beta1";
        causes.invalid(path.child("conversionReviewVersions"), &versions.to_vec().into(), detail);
    }
}

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Words that a structural schema must not have.
const FORBIDDEN: [&str; 6] = ["$ref", "$schema", "id", "additionalItems", "patternProperties", "dependencies"];

/// Complaints about a schema that is not structural (KEP-1002).
fn structural(schema: &Value, level: Level, path: &Path<'_>, causes: &mut Causes) {
    for key in FORBIDDEN.into_iter().chain(["definitions"]) {
        if !field::get(schema, key).is_null() {
            causes.forbidden(path.child(key), &format!("{key} is not supported"));
        }
    }
    if field::is_true(schema, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        causes.forbidden(path.child("uniqueItems"), detail);
    }
    let of = field::text(schema, "type");
    let (preserve, embedded) = (
        field::is_true(schema, "x-kubernetes-preserve-unknown-fields"),
        field::is_true(schema, "x-kubernetes-embedded-resource"),
    );
    let int_or_string = field::is_true(schema, "x-kubernetes-int-or-string");
    types(of, level, preserve || int_or_string, path, causes);
    if field::get(schema, "x-kubernetes-preserve-unknown-fields") == &Value::Bool(false) {
        let detail = "must be true or undefined";
        causes.invalid(path.child("x-kubernetes-preserve-unknown-fields"), &false.into(), detail);
    }
    if int_or_string && (preserve || embedded) {
        let key = if preserve { "x-kubernetes-preserve-unknown-fields" } else { "x-kubernetes-embedded-resource" };
        causes.invalid(path.child(key), &true.into(), "must be false if x-kubernetes-int-or-string is true");
    }
    if embedded && of != "object" {
        causes.required(path.child("type"), "must be object if x-kubernetes-embedded-resource is true");
    }
    if embedded && !preserve && field::get(schema, "properties").is_null() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        causes.required(path.child("properties"), detail);
    }
    if let Err(error) = Regex::new(field::text(schema, "pattern")) {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default();
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        causes.invalid(path.child("pattern"), field::get(schema, "pattern"), &detail);
    }
    lists(schema, path, causes);
    inside(schema, level, of, path, causes);
    nested(schema, int_or_string, path, causes);
}

fn types(of: &str, level: Level, may_be_empty: bool, path: &Path<'_>, causes: &mut Causes) {
    let known = ["array", "boolean", "integer", "number", "object", "string"];
    match (of, level) {
        ("", _) if may_be_empty && level != Level::Root => {}
        ("", Level::Root) => causes.required(path.child("type"), "must not be empty at the root"),
        ("", Level::Item) => causes.required(path.child("type"), "must not be empty for specified array items"),
        ("", Level::Field) => causes.required(path.child("type"), "must not be empty for specified object fields"),
        (of, Level::Root) if of != "object" => {
            causes.invalid(path.child("type"), &of.into(), "must be object at the root");
        }
        (of, _) if !known.contains(&of) => causes.not_supported(path.child("type"), &of.into(), &known),
        _ => {}
    }
}

fn inside(schema: &Value, level: Level, of: &str, path: &Path<'_>, causes: &mut Causes) {
    let properties = path.child("properties");
    for (name, inner) in field::pairs(schema, "properties") {
        structural(inner, Level::Field, &properties.key(name), causes);
    }
    let additional = field::get(schema, "additionalProperties");
    if !additional.is_null() {
        if level == Level::Root {
            causes.forbidden(path.child("additionalProperties"), "must not be used at the root");
        }
        if field::is_set(schema, "properties") {
            causes.forbidden(
                path.child("additionalProperties"),
                "additionalProperties and properties are mutual exclusive",
            );
        }
        if additional == &Value::Bool(false) {
            causes.forbidden(path.child("additionalProperties"), "additionalProperties cannot be set to false");
        }
        if additional.is_object() {
            structural(additional, Level::Field, &path.child("additionalProperties"), causes);
        }
    }
    match field::get(schema, "items") {
        Value::Null if of == "array" => causes.required(path.child("items"), "must be specified"),
        Value::Array(_) => {
            causes.forbidden(path.child("items"), "items must be a schema object and not an array");
        }
        items if items.is_object() => structural(items, Level::Item, &path.child("items"), causes),
        _ => {}
    }
    if level == Level::Root {
        let metadata = schema.at(&["properties", "metadata"]);
        let only_names = field::pairs(metadata, "properties").all(|(name, _)| matches!(name, "name" | "generateName"));
        let others = metadata.as_object().into_iter().flatten();
        let plain = others.into_iter().all(|(key, _)| matches!(key.as_str(), "type" | "properties" | "description"));
        if metadata.is_object() && !(only_names && plain) {
            let detail =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            causes.forbidden(properties.key("metadata"), detail);
        }
        if field::is_set(schema, "default") {
            causes.forbidden(path.child("default"), "must not be set at the root");
        }
    }
}

fn lists(schema: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list_type = field::text(schema, "x-kubernetes-list-type");
    let keys = field::list(schema, "x-kubernetes-list-map-keys");
    if list_type.is_empty() {
        if !keys.is_empty() {
            causes.required(
                path.child("x-kubernetes-list-type"),
                "must be map if x-kubernetes-list-map-keys is non-empty",
            );
        }
        return;
    }
    if field::text(schema, "type") != "array" {
        causes.invalid(
            path.child("type"),
            field::get(schema, "type"),
            "must be array if x-kubernetes-list-type is specified",
        );
    }
    field::choice(schema, "x-kubernetes-list-type", path, &["atomic", "map", "set"], causes);
    if list_type != "map" {
        if !keys.is_empty() {
            let detail = "must be empty if x-kubernetes-list-type is not map";
            causes.forbidden(path.child("x-kubernetes-list-map-keys"), detail);
        }
        return;
    }
    let items = schema.at(&["items"]);
    if field::text(items, "type") != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        causes.invalid(path.child("items").child("type"), field::get(items, "type"), detail);
    }
    let list = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        causes.required(list, "must not be empty if x-kubernetes-list-type is map");
    }
    let required = field::list(items, "required");
    for (at, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or_default();
        let props = items.at(&["properties", name]);
        if keys[..at].contains(key) {
            causes.duplicate(list.index(at), key);
        }
        if props.is_null() {
            let detail = "entries must all be names of item properties";
            causes.invalid(list.index(at), key, detail);
        } else if matches!(field::text(props, "type"), "array" | "object") {
            let inner = path.child("items");
            let inner = inner.child("properties");
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            causes.invalid(inner.key(name).child("type"), field::get(props, "type"), detail);
        } else if !required.contains(key) && !field::is_set(props, "default") {
            let inner = path.child("items");
            let inner = inner.child("properties");
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            causes.required(inner.key(name).child("default"), detail);
        }
    }
}

/// Within alternatives a schema only forbids: what may be there is said outside.
fn nested(schema: &Value, int_or_string: bool, path: &Path<'_>, causes: &mut Causes) {
    for key in ["allOf", "anyOf", "oneOf"] {
        let list = path.child(key);
        for (at, inner) in field::list(schema, key).iter().enumerate() {
            // The two ways to spell IntOrString.
            let is_pattern = int_or_string && (key == "anyOf" || (key == "allOf" && at == 0));
            forbids(inner, is_pattern, &list.index(at), causes);
        }
    }
    if field::get(schema, "not").is_object() {
        forbids(field::get(schema, "not"), false, &path.child("not"), causes);
    }
}

fn forbids(schema: &Value, is_pattern: bool, path: &Path<'_>, causes: &mut Causes) {
    let empty = ["additionalProperties", "description", "default", "nullable", "title", "type"];
    for key in empty.into_iter().filter(|key| field::is_set(schema, key)) {
        if is_pattern && key == "type" {
            continue;
        }
        let what = if key == "additionalProperties" { "undefined" } else { "empty" };
        causes.forbidden(path.child(key), &format!("must be {what} to be structural"));
    }
    for (key, _) in schema.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with("x-kubernetes-")) {
        causes.forbidden(path.child(key), "must be undefined to be structural");
    }
    let properties = path.child("properties");
    for (name, inner) in field::pairs(schema, "properties") {
        forbids(inner, false, &properties.key(name), causes);
    }
    if field::get(schema, "items").is_object() {
        forbids(field::get(schema, "items"), false, &path.child("items"), causes);
    }
    nested(schema, is_pattern, path, causes);
}
