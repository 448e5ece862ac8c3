//! A body read without a schema: what server-side apply is given, where every field that is mentioned counts.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Malformed, yaml};

/// A document as it was written, nulls included, and the keys that stood twice in one of its maps (the last one counts).
#[derive(Debug)]
pub struct Plain {
    /// The document.
    pub value: Value,
    /// `spec.replicas`
    pub duplicates: Vec<String>,
}

/// Reads YAML, or JSON, which is YAML too.
pub fn plain(body: &[u8]) -> Result<Plain, Malformed> {
    let mut duplicates = Vec::new();
    if body.trim_ascii_start().starts_with(b"{") {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let value = Seed { path: &mut String::new(), duplicates: &mut duplicates }.deserialize(&mut reader);
        if let Ok(value) = value.and_then(|value| reader.end().map(|()| value)) {
            return Ok(Plain { value, duplicates });
        }
        duplicates.clear();
    }
    let value = yaml::read_seed(Seed { path: &mut String::new(), duplicates: &mut duplicates }, body)?;
    Ok(Plain { value, duplicates })
}

struct Seed<'s> {
    path: &'s mut String,
    duplicates: &'s mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that JSON cannot hold"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let length = self.path.len();
        loop {
            self.path.push_str(&format!("[{}]", items.len()));
            let item = list.next_element_seed(Seed { path: self.path, duplicates: self.duplicates })?;
            self.path.truncate(length);
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        let length = self.path.len();
        while let Some(key) = map.next_key::<String>()? {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            if fields.contains_key(&key) {
                self.duplicates.push(self.path.clone());
            }
            let value = map.next_value_seed(Seed { path: self.path, duplicates: self.duplicates })?;
            self.path.truncate(length);
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_is_mentioned_is_read() {
        let text = "kind: Pod\nspec:\n  a: null\n  list: [1, {b: x}, 2.5]\n  a: true\n";
        let read = plain(text.as_bytes()).unwrap();
        assert_eq!(read.value, json!({"kind": "Pod", "spec": {"a": true, "list": [1, {"b": "x"}, 2.5]}}));
        assert_eq!(read.duplicates, ["spec.a"]);
        let read = plain(br#"{"a":[{"b":1,"b":null}]}"#).unwrap();
        assert_eq!((read.value, read.duplicates), (json!({"a": [{"b": null}]}), vec!["a[0].b".to_owned()]));
    }

    #[test]
    fn what_is_broken_is_refused() {
        for body in [&b"{\"a\":"[..], b"a: [b", b"\xff", b"a: &x [*x]"] {
            assert!(plain(body).is_err(), "{:?}", String::from_utf8_lossy(body));
        }
        assert!(plain("[".repeat(5000).as_bytes()).is_err());
    }
}
