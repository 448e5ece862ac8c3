//! From a structural schema to what expressions see of a document.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::declared::{Declared, DeclaredField, DeclaredKind, ListKind, REQUEST_BYTES};
use crate::escape::escape;

/// What expressions see of documents of a schema; `None` for what has no type, which they do not see. `name` is what the
/// type of an object is called in errors. `root` is whether it is a whole resource.
pub fn declare(schema: &Json, name: &str, root: bool) -> Option<Arc<Declared>> {
    let nullable = schema["nullable"] == true;
    let limit = |key: &str| schema[key].as_i64().map(|limit| limit.max(0) as u64);
    if schema["x-kubernetes-int-or-string"] == true {
        let max = limit("maxLength").map_or(REQUEST_BYTES - 2, |length| length.saturating_mul(4));
        return Some(with(&Declared::scalar(DeclaredKind::IntOrString), nullable, Some(max)));
    }
    match schema["type"].as_str()? {
        "array" => {
            let items = &schema["items"];
            let of = declare(items, &format!("{name}.@idx"), is_embedded(items))?;
            let max = limit("maxItems").unwrap_or((REQUEST_BYTES - 2) / (of.min_bytes + 1));
            let kind = DeclaredKind::List(of, list_kind(schema));
            Some(Arc::new(Declared { kind, nullable, max_elements: max, min_bytes: 2 }))
        }
        "object" if schema["additionalProperties"].is_object() => {
            let values = &schema["additionalProperties"];
            let of = declare(values, &format!("{name}.@elem"), is_embedded(values))?;
            let max = limit("maxProperties").unwrap_or((REQUEST_BYTES - 2) / (of.min_bytes + 6));
            Some(Arc::new(Declared { kind: DeclaredKind::Map(of), nullable, max_elements: max, min_bytes: 2 }))
        }
        "object" => Some(object(schema, name, root, nullable)),
        "string" => Some(string(schema, nullable, limit("maxLength"))),
        "boolean" => Some(with(&Declared::scalar(DeclaredKind::Bool), nullable, None)),
        "number" => Some(with(&Declared::scalar(DeclaredKind::Double), nullable, None)),
        "integer" => Some(with(&Declared::scalar(DeclaredKind::Int), nullable, None)),
        _ => None,
    }
}

/// Whether a schema describes a whole resource within another.
pub(super) fn is_embedded(schema: &Json) -> bool {
    schema["x-kubernetes-embedded-resource"] == true
}

/// The keys of a list that is a map.
pub(super) fn map_keys(schema: &Json) -> Option<Vec<String>> {
    (schema["x-kubernetes-list-type"] == "map").then(|| {
        let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
        keys.filter_map(|key| key.as_str().map(str::to_owned)).collect()
    })
}

fn list_kind(schema: &Json) -> ListKind {
    match map_keys(schema) {
        Some(keys) => ListKind::Map(keys.into_iter().map(Into::into).collect()),
        None if schema["x-kubernetes-list-type"] == "set" => ListKind::Set,
        None => ListKind::Atomic,
    }
}

fn with(of: &Declared, nullable: bool, max: Option<u64>) -> Arc<Declared> {
    Arc::new(Declared { nullable, max_elements: max.unwrap_or(of.max_elements), ..of.clone() })
}

fn string(schema: &Json, nullable: bool, max_length: Option<u64>) -> Arc<Declared> {
    let kind = match schema["format"].as_str() {
        Some("byte") => DeclaredKind::Bytes,
        Some("duration") => DeclaredKind::Duration,
        Some("date") => DeclaredKind::Date,
        Some("date-time") => DeclaredKind::DateTime,
        _ => DeclaredKind::String,
    };
    let max = match (&kind, max_length) {
        // Of bytes, each may need one character; of text, each character may need four bytes.
        (DeclaredKind::Bytes, Some(length)) => Some(length),
        (DeclaredKind::String, Some(length)) => Some(length.saturating_mul(4)),
        (DeclaredKind::String, None) => schema["enum"]
            .as_array()
            .filter(|values| !values.is_empty())
            .map(|values| values.iter().filter_map(Json::as_str).map(|value| value.len() as u64).max().unwrap_or(0)),
        _ => None,
    };
    with(&Declared::scalar(kind), nullable, max)
}

fn object(schema: &Json, name: &str, root: bool, nullable: bool) -> Arc<Declared> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let mut fields = BTreeMap::new();
    let mut min_bytes = 2;
    let mut add = |key: &str, of: Arc<Declared>, must: bool| {
        if let Some(identifier) = escape(key) {
            fields.insert(identifier.into(), DeclaredField { name: key.into(), of: of.clone() });
        }
        if must {
            min_bytes += key.len() as u64 + of.min_bytes + 4;
        }
    };
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        if root && matches!(key.as_str(), "kind" | "apiVersion" | "metadata") {
            continue;
        }
        if let Some(of) = declare(property, &format!("{name}.{key}"), is_embedded(property)) {
            add(key, of, required.contains(&key.as_str()) && property["default"].is_null());
        }
    }
    if root {
        let text = || Declared::scalar(DeclaredKind::String);
        let metadata = [("name".into(), text()), ("generateName".into(), text())];
        add("kind", text(), required.contains(&"kind"));
        add("apiVersion", text(), required.contains(&"apiVersion"));
        let metadata = Declared::object(format!("{name}.metadata"), metadata);
        add("metadata", metadata, required.contains(&"metadata"));
    }
    let kind = DeclaredKind::Object { name: name.into(), fields };
    // An object may be of any size.
    Arc::new(Declared { kind, nullable, max_elements: i64::MAX as u64, min_bytes })
}
