//! A stored document, read without looking into its managedFields.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Reads a stored form. managedFields become one text.
pub(super) fn parse(stored: &[u8]) -> serde_json::Result<Value> {
    let mut text = Vec::with_capacity(stored.len() + 1);
    text.push(b'{');
    text.extend_from_slice(stored);
    let mut reader = serde_json::Deserializer::from_slice(&text);
    let document = Level::Document.deserialize(&mut reader)?;
    reader.end()?;
    Ok(document)
}

/// How deep a map is, as far as that matters.
#[derive(Clone, Copy)]
enum Level {
    Document,
    Metadata,
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = match (self, key.as_str()) {
                (Self::Document, "metadata") => map.next_value_seed(Self::Metadata)?,
                (Self::Metadata, "managedFields") => Value::String(map.next_value::<&'de RawValue>()?.get().to_owned()),
                _ => map.next_value()?,
            };
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Draft, Object};
    use crate::builtin::{RuntimeConfig, registry};
    use crate::document::Document;
    use crate::version::Version;

    #[test]
    fn managed_fields_pass_through_as_they_are_stored() {
        let registry = registry(&RuntimeConfig::default());
        let resource = registry.named("configmaps").unwrap();
        let entry = json!({
            "apiVersion": "v1", "fieldsType": "FieldsV1", "manager": "m", "operation": "Update", "time": "2026-01-02T03:04:05Z",
            "fieldsV1": {"f:data": {".": {}, "f:b": {}, "f:a": {}}},
        });
        let document = json!({"metadata": {"name": "a", "managedFields": [entry]}, "data": {"a": "1", "b": "2"}});
        let object = Draft::new(resource, &document).seal(Version(77));
        let copy = object.working_copy();
        let text = copy.text(&["metadata", "managedFields"]);
        assert!(
            text.starts_with(r#"[{"apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{".":{},"f:a""#),
            "{text}"
        );
        assert_eq!(Draft::new(resource, &copy).seal(Version(77)).tail(), object.tail());
        assert_eq!(Draft::new(resource, &object.document()).seal(Version(77)).tail(), object.tail());
        assert_eq!(object.document().at(&["metadata", "managedFields"]), document.at(&["metadata", "managedFields"]));
        let again = Object::load(resource, object.stored()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{object:?}"));
    }

    #[test]
    fn what_has_no_managers_has_no_text() {
        let registry = registry(&RuntimeConfig::default());
        let resource = registry.named("configmaps").unwrap();
        let mut document = json!({"metadata": {"name": "a"}, "data": {"metadata": "x", "managedFields": "y"}});
        let object = Draft::new(resource, &document).seal(Version(77));
        document.set(&["metadata", "resourceVersion"], "77");
        assert_eq!(object.working_copy(), document);
        document.set(&["metadata", "managedFields"], "");
        assert_eq!(Draft::new(resource, &document).seal(Version(77)).tail(), object.tail());
    }
}
