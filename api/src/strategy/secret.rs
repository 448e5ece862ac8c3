//! Secrets. No value of one appears in a complaint.

use super::config_map::{MOST, decoded, decoded_len, encoded, sealed};
use super::path::Path;
use super::{Strategy, field, fill};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// core/v1 Secret.
pub(super) struct Secret;

const ACCOUNT: &str = "kubernetes.io/service-account.name";

impl Strategy for Secret {
    fn default(&self, object: &mut Value) {
        fill::text(object, "type", "Opaque");
        // stringData is for writing only.
        let Some(Value::Object(texts)) = fill::remove(object, "stringData") else { return };
        for (key, text) in texts.into_iter().filter(|(_, text)| text.is_string()) {
            object.set(&["data", &key], encoded(text.as_str().unwrap_or_default()));
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let data = Path::new("data");
        let mut size = 0;
        for (key, value) in field::pairs(object, "data") {
            field::config_map_key(key, data.key(key), causes);
            size += decoded_len(value);
        }
        if size > MOST {
            causes.too_long(data, MOST);
        }
        of_type(object, &data, causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        if field::text(object, "type") != field::text(old, "type") {
            causes.invalid("type", field::get(object, "type"), field::IMMUTABLE);
        }
        sealed(object, old, &["data"], causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// What the known types must hold.
fn of_type(object: &Value, path: &Path<'_>, causes: &mut Causes) {
    let data = field::get(object, "data");
    let mut required = |key: &str| {
        let there = data.get(key).is_some();
        if !there {
            causes.required(path.key(key), "");
        }
        there
    };
    match field::text(object, "type") {
        "kubernetes.io/service-account-token" if object.text(&["metadata", "annotations", ACCOUNT]).is_empty() => {
            causes.required(Path::new("metadata.annotations").key(ACCOUNT), "");
        }
        "kubernetes.io/dockercfg" if required(".dockercfg") => is_json(data, ".dockercfg", path, causes),
        "kubernetes.io/dockerconfigjson" if required(".dockerconfigjson") => {
            is_json(data, ".dockerconfigjson", path, causes);
        }
        "kubernetes.io/basic-auth" if data.get("username").is_none() && data.get("password").is_none() => {
            required("username");
            required("password");
        }
        "kubernetes.io/ssh-auth" if field::text(data, "ssh-privatekey").is_empty() => {
            causes.required(path.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            required("tls.crt");
            required("tls.key");
        }
        _ => {}
    }
}

fn is_json(data: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    let bytes = decoded(field::get(data, key)).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes) {
        // serde_json's own words may quote the content.
        let words = format!("not a JSON object (line {}, column {})", error.line(), error.column());
        causes.invalid(path.key(key), &Value::from("<secret contents redacted>"), &words);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    #[test]
    fn texts_become_data() {
        let mut object = json!({"stringData": {"a": "hello"}, "data": {"a": "eA==", "b": "eA=="}});
        Secret.default(&mut object);
        assert_eq!(object, json!({"type": "Opaque", "data": {"a": "aGVsbG8=", "b": "eA=="}}));
    }

    #[test]
    fn rules() {
        let of = |kind: &str, data: Value| json!({"type": kind, "data": data});
        for good in [
            of("Opaque", json!({"a": "eA=="})),
            of("kubernetes.io/tls", json!({"tls.crt": "", "tls.key": ""})),
            of("kubernetes.io/basic-auth", json!({"password": "eA=="})),
            of("kubernetes.io/dockerconfigjson", json!({".dockerconfigjson": encoded("{}")})),
        ] {
            assert_eq!(complaints(&Secret, &good), [], "{good}");
        }
        for (bad, field) in [
            (of("Opaque", json!({"a/b": ""})), "data[a/b]"),
            (of("kubernetes.io/tls", json!({"tls.crt": ""})), "data[tls.key]"),
            (of("kubernetes.io/basic-auth", json!({})), "data[username]"),
            (of("kubernetes.io/ssh-auth", json!({})), "data[ssh-privatekey]"),
            (of("kubernetes.io/dockercfg", json!({".dockercfg": "eA=="})), "data[.dockercfg]"),
            (
                of("kubernetes.io/service-account-token", json!({})),
                "metadata.annotations[kubernetes.io/service-account.name]",
            ),
        ] {
            assert_eq!(complaints(&Secret, &bad)[0].0, field);
        }
        let (one, other) = (of("Opaque", json!({})), of("mine", json!({})));
        let found = complaints_update(&Secret, &other, &one);
        assert_eq!(found, [("type".into(), "Invalid value: \"mine\": field is immutable".into())]);
    }
}
