//! What clients look for in the documents. [`reference`] holds them against Kubernetes' own, where these are at hand.

mod builtin;
mod custom;
mod reference;

use api::Value;
use api::builtin::{RuntimeConfig, registry};
use api::document::Document;

use crate::{Dialect, Form, Press, v3_paths};

fn parsed(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(text)))
}

/// One document of OpenAPI 3, of what is served by default.
fn v3(path: &str) -> Value {
    let registry = registry(&RuntimeConfig::default());
    let parts = Press::new(&registry).v3(path).unwrap();
    parsed(&parts.document(Dialect::V3, Form::Json))
}

fn v2() -> Value {
    let registry = registry(&RuntimeConfig::default());
    parsed(&Press::new(&registry).v2().document(Dialect::V2, Form::Json))
}

/// Every reference of a document leads to something in it.
fn assert_closed(document: &Value, what: &str) {
    let mut open = vec![document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let steps: Vec<&str> = reference.strip_prefix("#/").unwrap().split('/').collect();
                    assert!(document.at(&steps).is_object(), "{what}: {reference}");
                }
                open.extend(map.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}
