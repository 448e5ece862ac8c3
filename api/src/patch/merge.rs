//! JSON merge patch (RFC 7386).

use crate::document::{Map, Value};
use crate::status::Status;

pub(super) fn apply(patch: Value, document: &Value) -> Result<Value, Status> {
    let Value::Object(patch) = patch else {
        return Err(Status::bad_request("error decoding patch: a merge patch is an object"));
    };
    let mut patched = document.clone();
    merge(&mut patched, patch);
    Ok(patched)
}

/// A null removes, an object merges, everything else replaces.
fn merge(target: &mut Value, patch: Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { unreachable!("made an object just above") };
    for (key, value) in patch {
        match value {
            Value::Null => _ = target.remove(&key),
            Value::Object(inner) => merge(target.entry(key).or_insert(Value::Null), inner),
            other => _ = target.insert(key, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cases_of_the_rfc() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (document, patch, wanted) in cases {
            assert_eq!(apply(patch.clone(), &document).unwrap(), wanted, "{document} patched with {patch}");
        }
        assert_eq!(apply(json!([1]), &json!({})).unwrap_err().code(), 400);
    }
}
