//! What an object has to know of its own document, read without making the document: a shard that loads hundreds of
//! thousands of stored objects has no time for more.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use smol_str::SmolStr;

use crate::resource::Resource;

/// What stands in a document.
#[derive(Default)]
pub(super) struct Scanned<'de> {
    pub(super) namespace: SmolStr,
    pub(super) name: SmolStr,
    /// metadata.resourceVersion, where it stands: digits are never escaped.
    pub(super) version: &'de str,
    /// Sorted by key.
    pub(super) labels: Vec<(SmolStr, SmolStr)>,
    /// Values of [`Resource::selectable`], in its order.
    pub(super) fields: Vec<SmolStr>,
}

static METADATA: [([SmolStr; 2], What); 4] = [
    ([SmolStr::new_static("metadata"), SmolStr::new_static("name")], What::Name),
    ([SmolStr::new_static("metadata"), SmolStr::new_static("namespace")], What::Namespace),
    ([SmolStr::new_static("metadata"), SmolStr::new_static("resourceVersion")], What::Version),
    ([SmolStr::new_static("metadata"), SmolStr::new_static("labels")], What::Labels),
];

/// Reads a whole document, braces included.
pub(super) fn scan<'de>(resource: &Resource, text: &'de [u8]) -> serde_json::Result<Scanned<'de>> {
    let fields = resource.selectable.iter().map(|field| SmolStr::new_static(field.absent)).collect();
    let mut scanned = Scanned { fields, ..Scanned::default() };
    let mut wanted: Vec<Wanted<'_>> = METADATA.iter().map(|(path, what)| Wanted { path, what: *what }).collect();
    let fields = resource.selectable.iter().enumerate();
    wanted.extend(fields.map(|(at, field)| Wanted { path: &field.path, what: What::Field(at) }));
    let mut json = serde_json::Deserializer::from_slice(text);
    Inside { wanted: &wanted, into: &mut scanned }.deserialize(&mut json)?;
    json.end()?;
    if !scanned.labels.is_sorted() {
        scanned.labels.sort_unstable();
    }
    Ok(scanned)
}

#[derive(Clone, Copy)]
struct Wanted<'a> {
    /// The steps that are left to it.
    path: &'a [SmolStr],
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Name,
    Namespace,
    Version,
    Labels,
    Field(usize),
}

impl What {
    fn read<'de, M: MapAccess<'de>>(self, map: &mut M, into: &mut Scanned<'de>) -> Result<(), M::Error> {
        match self {
            Self::Name => into.name = map.next_value()?,
            Self::Namespace => into.namespace = map.next_value()?,
            Self::Version => into.version = map.next_value()?,
            Self::Labels => into.labels = map.next_value_seed(Labels)?,
            Self::Field(at) => match map.next_value()? {
                Value::Null => {}
                Value::String(text) => into.fields[at] = text.into(),
                other => into.fields[at] = SmolStr::new(other.to_string()),
            },
        }
        Ok(())
    }
}

/// A value on the way to what is wanted. What is no object holds nothing of it.
struct Inside<'a, 'de> {
    wanted: &'a [Wanted<'a>],
    into: &'a mut Scanned<'de>,
}

impl<'de> DeserializeSeed<'de> for Inside<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inside<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(Key(key)) = map.next_key()? {
            let mut here = self.wanted.iter().filter(|wanted| wanted.path.first().is_some_and(|step| *step == *key));
            let Some(first) = here.next() else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if let [_] = first.path {
                first.what.read(&mut map, self.into)?;
                continue;
            }
            let further = std::iter::once(first).chain(here).filter(|wanted| wanted.path.len() > 1);
            let further: Vec<_> = further.map(|wanted| Wanted { path: &wanted.path[1..], ..*wanted }).collect();
            map.next_value_seed(Inside { wanted: &further, into: self.into })?;
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// A key, which is copied only where it is escaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Labels;

impl<'de> DeserializeSeed<'de> for Labels {
    type Value = Vec<(SmolStr, SmolStr)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Labels {
    type Value = Vec<(SmolStr, SmolStr)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut labels = Vec::new();
        while let Some(label) = map.next_entry()? {
            labels.push(label);
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Draft, Object};
    use crate::builtin::{RuntimeConfig, registry};
    use crate::version::Version;

    #[test]
    fn a_stored_object_is_read_back() {
        let registry = registry(&RuntimeConfig::default());
        for (resource, document) in [
            (
                "pods",
                json!({
                    "metadata": {"name": "a", "namespace": "b", "uid": "0-1", "labels": {"z": "1", "a": "\"2\\"},
                        "annotations": {"resourceVersion": "7", "name": "wrong"}},
                    "spec": {"nodeName": "node-1", "hostNetwork": true, "containers": [{"name": "x"}], "priority": 7},
                    "status": {"phase": "Run\u{1}ning", "podIP": "10.0.0.1"},
                }),
            ),
            ("pods", json!({"metadata": {"name": "a", "namespace": "b"}, "spec": 7, "status": null})),
            ("pods", json!({"metadata": {"name": "a"}, "spec": ["nodeName"], "status": {"phase": null}})),
            ("replicationcontrollers", json!({"metadata": {"name": "a"}, "spec": 1.5, "status": {"replicas": 3}})),
            (
                "events",
                json!({"metadata": {"name": "a"}, "source": {"component": "c"}, "involvedObject": {"name": "n"}}),
            ),
            ("configmaps", json!({"metadata": {"name": "a", "labels": {}}, "data": {"metadata": "{\"name\":\"b\"}"}})),
        ] {
            let resource = registry.named(resource).unwrap();
            for version in [Version(1), Version(123_456_789_012_345_678), Version(i64::MAX as u64)] {
                let expected = Draft::new(resource, &document).seal(version);
                let found = Object::load(resource, expected.stored()).unwrap();
                assert_eq!(format!("{found:?}"), format!("{expected:?}"));
                assert_eq!(found.at_version(Version(5)).tail(), expected.at_version(Version(5)).tail());
            }
        }
    }

    #[test]
    fn what_is_not_whole_is_damaged() {
        let registry = registry(&RuntimeConfig::default());
        let pods = registry.named("pods").unwrap();
        let pod = Draft::new(pods, &json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n"}})).seal(Version(12));
        for length in 0..pod.stored().len() {
            assert!(Object::load(pods, &pod.stored()[..length]).is_err(), "cut at {length}");
        }
        for damaged in ["\"spec\":{}}", "\"metadata\":{\"resourceVersion\":\"x\"}}", "\"metadata\":{}}}"] {
            assert!(Object::load(pods, damaged.as_bytes()).is_err(), "{damaged}");
        }
    }
}
