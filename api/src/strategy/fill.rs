//! Filling in what is missing. All of it is idempotent.

use crate::document::Value;

/// Sets a text where there is none, or an empty one.
pub(super) fn text(object: &mut Value, key: &str, default: &str) {
    let missing = object.get(key).and_then(Value::as_str).unwrap_or_default().is_empty();
    if missing {
        set(object, key, default.into());
    }
}

/// Sets a number where there is none.
pub(super) fn int(object: &mut Value, key: &str, default: i64) {
    value(object, key, || default.into());
}

/// Sets a number where there is none, or zero: a Go field that is no pointer.
pub(super) fn nonzero(object: &mut Value, key: &str, default: i64) {
    if object.get(key).and_then(Value::as_i64).unwrap_or_default() == 0 {
        set(object, key, default.into());
    }
}

/// Sets a value where there is none, or null.
pub(super) fn value(object: &mut Value, key: &str, default: impl FnOnce() -> Value) {
    if object.get(key).is_none_or(Value::is_null) {
        set(object, key, default());
    }
}

/// Sets a field. What is no map stays as it is: validation of the schema will have said so.
pub(super) fn set(object: &mut Value, key: &str, value: Value) {
    if object.is_null() {
        *object = Value::Object(Default::default());
    }
    if let Some(map) = object.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

/// Takes a field out.
pub(super) fn remove(object: &mut Value, key: &str) -> Option<Value> {
    object.as_object_mut()?.remove(key)
}

/// The elements of a list field.
pub(super) fn each<'v>(object: &'v mut Value, key: &str) -> impl Iterator<Item = &'v mut Value> + use<'v> {
    object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// A map field, made where it is missing.
pub(super) fn map<'v>(object: &'v mut Value, key: &str) -> &'v mut Value {
    use crate::document::Document;
    let place = object.at_mut(&[key]);
    if place.is_null() {
        *place = Value::Object(Default::default());
    }
    place
}

/// A field that is there.
pub(super) fn field<'v>(object: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    object.get_mut(key).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_missing() {
        let mut object = json!({"a": "", "b": "x", "n": 0, "p": 0});
        text(&mut object, "a", "d");
        text(&mut object, "b", "d");
        nonzero(&mut object, "n", 3);
        int(&mut object, "p", 3);
        int(&mut object, "q", 3);
        assert_eq!(object, json!({"a": "d", "b": "x", "n": 3, "p": 0, "q": 3}));
    }
}
