//! ConfigMaps, and what they share with Secrets: keys, a size, and that they can be sealed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::path::Path;
use super::{Strategy, field};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// Bytes that the values of one object may have together.
pub(super) const MOST: usize = 1024 * 1024;

/// core/v1 ConfigMap.
pub(super) struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let mut size = 0;
        let binary = field::get(object, "binaryData");
        let data = Path::new("data");
        for (key, value) in field::pairs(object, "data") {
            field::config_map_key(key, data.key(key), causes);
            if binary.get(key).is_some() {
                let words = "duplicate of key present in binaryData";
                causes.invalid(data.key(key), &Value::from(key), words);
            }
            size += value.as_str().map_or(0, str::len);
        }
        let data = Path::new("binaryData");
        for (key, value) in field::pairs(object, "binaryData") {
            field::config_map_key(key, data.key(key), causes);
            size += decoded_len(value);
        }
        if size > MOST {
            causes.too_long("", MOST);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        sealed(object, old, &["data", "binaryData"], causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// Bytes that a base64 text stands for.
pub(super) fn decoded_len(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// The bytes that a base64 text stands for.
pub(super) fn decoded(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

/// Base64 of a text.
pub(super) fn encoded(text: &str) -> Value {
    STANDARD.encode(text).into()
}

/// What is `immutable` stays so, and its data too.
pub(super) fn sealed(object: &Value, old: &Value, parts: &[&str], causes: &mut Causes) {
    if !field::is_true(old, "immutable") {
        return;
    }
    let words = "field is immutable when `immutable` is set";
    if !field::is_true(object, "immutable") {
        causes.forbidden("immutable", words);
    }
    for part in parts {
        if !field::same(field::get(object, part), field::get(old, part)) {
            causes.forbidden(*part, words);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    #[test]
    fn rules() {
        assert_eq!(complaints(&ConfigMap, &json!({"data": {"a.b": "c"}, "binaryData": {"d": "AAAA"}})), []);
        let found = complaints(&ConfigMap, &json!({"data": {"a": "c"}, "binaryData": {"a": "AAAA"}}));
        assert_eq!(found, [("data[a]".into(), "Invalid value: \"a\": duplicate of key present in binaryData".into())]);
        assert_eq!(complaints(&ConfigMap, &json!({"data": {"a/b": "c"}}))[0].0, "data[a/b]");
        let found = complaints(&ConfigMap, &json!({"data": {"a": "x".repeat(MOST), "b": "x"}}));
        assert_eq!(found[0].1, "Too long: may not be more than 1048576 bytes");
        assert_eq!(complaints(&ConfigMap, &json!({"data": {"a": "x".repeat(MOST)}})), []);
    }

    #[test]
    fn what_is_sealed_stays() {
        let old = json!({"immutable": true, "data": {"a": "b"}});
        assert_eq!(complaints_update(&ConfigMap, &old, &old), []);
        let found = complaints_update(&ConfigMap, &json!({"data": {"a": "c"}}), &old);
        let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["immutable", "data"]);
    }

    #[test]
    fn lengths_of_base64() {
        for text in ["", "a", "ab", "abc", "abcd"] {
            assert_eq!(decoded_len(&encoded(text)), text.len());
        }
    }
}
