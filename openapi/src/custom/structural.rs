//! A structural schema as an OpenAPI schema: what the reference's apiextensions make of it before they publish it.
//!
//! OpenAPI 3 has all of it, with x-kubernetes-int-or-string and x-kubernetes-embedded-resource spelled out. OpenAPI 2 knows no
//! alternatives and no null, so what has them is published with less, never with something that would refuse a valid document.

use api::Value;
use api::document::Document;
use serde_json::{Map, json};

use crate::Dialect;

type TypeMeta<'a> = &'a dyn Fn(&str) -> Value;

/// Flags that are left out when they are off.
const FLAGS: [&str; 7] = [
    "nullable",
    "uniqueItems",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
];

/// What is published of a schema. `type_meta` makes the fields that every object has.
pub(super) fn publish(schema: &Value, dialect: Dialect, type_meta: TypeMeta<'_>) -> Value {
    let Some(mut schema) = schema.as_object().cloned() else { return Value::Object(Map::new()) };
    schema.retain(|key, value| !FLAGS.contains(&key.as_str()) || *value == Value::Bool(true));
    match dialect {
        Dialect::V3 => unfold(&mut schema),
        Dialect::V2 => plainer(&mut schema),
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(value) = schema.get_mut(inner).filter(|value| value.is_object()) {
            *value = publish(value, dialect, type_meta);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(|value| *value = publish(value, dialect, type_meta));
    }
    let open = schema.contains_key("x-kubernetes-preserve-unknown-fields");
    let embedded = schema.contains_key("x-kubernetes-embedded-resource");
    let mut schema = Value::Object(schema);
    if embedded && !(open && dialect == Dialect::V2) {
        for name in ["apiVersion", "kind", "metadata"] {
            schema.set(&["properties", name], type_meta(name));
        }
        let mut required = schema.list(&["required"]).to_vec();
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|have| have == name) {
                required.push(name.into());
            }
        }
        schema.set(&["required"], required);
    }
    schema
}

/// A number or a text, in words that every validator knows.
fn unfold(schema: &mut Map<String, Value>) {
    if !schema.contains_key("x-kubernetes-int-or-string") {
        return;
    }
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let first = schema.get("allOf").and_then(|all| all.get(0)).and_then(|first| first.get("anyOf"));
    if schema.get("anyOf") == Some(&either) || first == Some(&either) {
        return;
    }
    if schema.contains_key("anyOf") {
        let all = schema.entry("allOf").or_insert_with(|| json!([]));
        if let Value::Array(all) = all {
            all.insert(0, json!({ "anyOf": either }));
        }
    } else {
        schema.insert("anyOf".to_owned(), either);
    }
}

/// What OpenAPI 2, and the clients that read it, can take.
fn plainer(schema: &mut Map<String, Value>) {
    let nullable = |schema: &Value| schema.get("nullable") == Some(&Value::Bool(true));
    for key in ["allOf", "anyOf", "oneOf", "not", "default"] {
        schema.remove(key);
    }
    let open = schema.contains_key("x-kubernetes-preserve-unknown-fields");
    let null = schema.remove("nullable").is_some();
    if null || open {
        schema.remove("items");
        schema.remove("properties");
    }
    let of = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let listless = of == "array" && !schema.contains_key("items");
    if null || listless || (open && of == "object") {
        schema.remove("type");
    }
    // What may be null may be missing, for whoever does not know null.
    let optional: Vec<String> = schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|properties| {
            properties.iter().filter(|(_, inner)| nullable(inner)).map(|(name, _)| name.clone()).collect()
        })
        .unwrap_or_default();
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| !optional.iter().any(|optional| name == optional.as_str()));
    }
    let none_left = schema.get("required").and_then(Value::as_array).is_some_and(Vec::is_empty);
    if none_left || schema.get("additionalProperties").is_some_and(nullable) {
        schema.remove("required");
    }
}
