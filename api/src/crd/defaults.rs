//! Filling in what a schema gives where a document says nothing.

use super::Props;
use super::props::Additional;
use crate::document::Value;

/// Takes out nulls that may not be there and have no default, then fills in defaults.
pub(super) fn default(document: &mut Value, schema: &Props) {
    drop_nulls(document, Some(schema));
    fill(document, schema);
}

/// Takes out nulls that may not be there and have no default.
pub(super) fn drop_nulls(value: &mut Value, schema: Option<&Props>) {
    match value {
        Value::Object(fields) => fields.retain(|key, value| {
            let inner = schema.and_then(|schema| schema.field(key));
            if value.is_null() && inner.is_some_and(|inner| !inner.nullable && inner.default.is_none()) {
                return false;
            }
            drop_nulls(value, inner);
            true
        }),
        Value::Array(items) => {
            let inner = schema.and_then(|schema| schema.items.as_deref());
            items.iter_mut().for_each(|item| drop_nulls(item, inner));
        }
        _ => {}
    }
}

fn fill(value: &mut Value, schema: &Props) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in &schema.properties {
                let Some(default) = &inner.default else { continue };
                if fields.get(name).is_none_or(|value| value.is_null() && !inner.nullable) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(inner) = schema.properties.get(name) {
                    fill(value, inner);
                } else if let Some(Additional::Of(inner)) = &schema.additional {
                    element(value, inner);
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = &schema.items {
                items.iter_mut().for_each(|item| element(item, inner));
            }
        }
        _ => {}
    }
}

/// A value that has no name of its own: it is there, if only as a null.
fn element(value: &mut Value, schema: &Props) {
    if value.is_null() && !schema.nullable {
        *value = schema.default.clone().unwrap_or_default();
    }
    fill(value, schema);
}
