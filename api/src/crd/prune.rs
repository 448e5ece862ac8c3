//! Taking out what a schema does not know. kind, apiVersion and metadata are known in every document, and in what is embedded.

use super::Props;
use super::path::Path;
use super::props::Additional;
use crate::document::Value;

const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Prunes a document; answers the paths of what went, in order.
pub(super) fn prune(document: &mut Value, schema: &Props) -> Vec<String> {
    let mut gone = Vec::new();
    walk(document, Some(schema), true, &Path::ROOT, &mut gone);
    gone.sort();
    gone
}

/// `known`: a schema says what there is, however little that be.
fn walk(value: &mut Value, schema: Option<&Props>, is_resource: bool, path: &Path<'_>, gone: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let Some(schema) = schema else {
                gone.extend(fields.keys().map(|key| path.child(key).to_string()));
                return fields.clear();
            };
            fields.retain(|key, value| {
                let here = path.child(key);
                if (is_resource || schema.embedded) && META.contains(&key.as_str()) {
                    return true;
                }
                let inner = match (schema.properties.get(key), &schema.additional) {
                    (Some(inner), _) => Some(inner),
                    (None, Some(Additional::Of(inner))) => Some(&**inner),
                    (None, Some(Additional::Any(_))) => None,
                    (None, None) if schema.preserve => return true,
                    (None, None) => {
                        gone.push(here.into());
                        return false;
                    }
                };
                walk(value, inner, false, &here, gone);
                true
            });
        }
        // Elements of which nothing is said are kept where unknown fields are.
        Value::Array(items) => {
            let inner = schema.and_then(|schema| schema.items.as_deref());
            if inner.is_none() && schema.is_some_and(|schema| schema.preserve) {
                return;
            }
            for (at, item) in items.iter_mut().enumerate() {
                walk(item, inner, false, &path.index(at), gone);
            }
        }
        _ => {}
    }
}
