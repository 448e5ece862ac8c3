//! Lists that are sets or maps: no element, or no key, stands twice.

use std::collections::HashMap;

use serde_json::Map;

use super::Props;
use super::path::Path;
use crate::document::Value;
use crate::status::Causes;

/// Complaints about a document's lists.
pub(super) fn validate(document: &Value, schema: &Props, causes: &mut Causes) {
    walk(document, schema, &Path::ROOT, causes);
}

fn walk(value: &Value, schema: &Props, path: &Path<'_>, causes: &mut Causes) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(inner) = schema.field(name) {
                    walk(value, inner, &path.child(name), causes);
                }
            }
        }
        Value::Array(items) => {
            match schema.list_type.as_str() {
                "set" => twice(items.iter().cloned(), path, causes),
                "map" => map(items, schema, path, causes),
                _ => {}
            }
            if let Some(inner) = &schema.items {
                for (at, item) in items.iter().enumerate() {
                    walk(item, inner, &path.index(at), causes);
                }
            }
        }
        _ => {}
    }
}

fn map(items: &[Value], schema: &Props, path: &Path<'_>, causes: &mut Causes) {
    if let Some((at, odd)) = items.iter().enumerate().find(|(_, item)| !item.is_null() && !item.is_object()) {
        causes.invalid(path.index(at), odd, "must be an object for an array of list-type map");
        return;
    }
    let keys = items.iter().map(|item| {
        let pairs = schema.list_keys.iter().filter_map(|key| Some((key.to_string(), item.get(key.as_str())?.clone())));
        Value::Object(pairs.collect::<Map<_, _>>())
    });
    twice(keys, path, causes);
}

/// Complains of the first repetition of each value.
fn twice(values: impl Iterator<Item = Value>, path: &Path<'_>, causes: &mut Causes) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (at, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            causes.duplicate(path.index(at), &value);
        }
    }
}
