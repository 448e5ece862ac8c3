//! Whether a schema is structural (KEP-1002): every field is said once outside of alternatives, which only forbid.

use regex::Regex;

use crate::document::{Document, Value};
use crate::status::Causes;
use crate::strategy::field;
use crate::strategy::path::Path;

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Root,
    Item,
    Field,
}

/// Words that a structural schema must not have.
const FORBIDDEN: [&str; 6] = ["$ref", "$schema", "id", "additionalItems", "patternProperties", "dependencies"];

/// Complaints about a schema that is not structural (KEP-1002).
pub(super) fn structural(schema: &Value, level: Level, path: &Path<'_>, causes: &mut Causes) {
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
