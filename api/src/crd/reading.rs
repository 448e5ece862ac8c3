//! From what is stored of a custom kind to documents of its versions, and back.
//!
//! An object is stored in the version that was the stored one when it was written, pruned and defaulted by the schema that
//! this version had then. Its mark says both: version, and a hash of what the schema keeps and fills in. Where today's
//! definition says the same, the object is served as it is; where it does not, it is brought up to date whenever it is read,
//! as the reference does with everything that it reads from etcd.

use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::{Custom, defaults, embedded};
use crate::document::{Document, Value};
use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;
use crate::strategy::Strategy;

/// How a stored object becomes a document of a served version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It is one.
    AsItIs,
    /// By today's schemas ([`Resource::renewed`], [`Resource::fitted`]). The number is the version that it is stored in.
    BySchema(usize),
    /// The definition's webhook converts it, once it is renewed.
    ByWebhook(usize),
}

/// The mark of a version by that schema.
pub(super) fn mark(group: &str, version: &str, schema: &Value) -> String {
    format!("{group}/{version} {:016x}", xxh3_64(kept(schema).to_string().as_bytes()))
}

/// What of a schema decides about what documents keep, and what they are filled with.
fn kept(schema: &Value) -> Value {
    let mut kept = json!({});
    for key in ["default", "nullable", "x-kubernetes-embedded-resource", "x-kubernetes-preserve-unknown-fields"] {
        if let Some(value) = schema.get(key) {
            kept[key] = value.clone();
        }
    }
    if let Some(properties) = schema.at(&["properties"]).as_object() {
        kept["properties"] = properties.iter().map(|(name, schema)| (name.clone(), self::kept(schema))).collect();
    }
    for key in ["items", "additionalProperties"] {
        match schema.get(key) {
            Some(inner) if inner.is_object() => kept[key] = self::kept(inner),
            Some(inner) => kept[key] = inner.clone(),
            None => {}
        }
    }
    kept
}

impl Custom {
    /// Takes out what the schema does not know, and nulls that it does not allow.
    pub fn fit(&self, document: &mut Value) {
        self.prune(document);
        // What does not fit goes, so this does not fail.
        let _ = embedded::coerce(document, &self.schema, true);
        defaults::drop_nulls(document, Some(&self.schema));
    }

    /// Makes a document one that could have been stored today: pruned and defaulted.
    pub fn settle(&self, document: &mut Value) {
        self.prune(document);
        let _ = embedded::coerce(document, &self.schema, true);
        self.default(document);
    }
}

impl Resource {
    /// How an object, as it is stored, is read in a served version. 500 where it is stored in a version that its definition
    /// does not know any more.
    pub fn reading(&self, object: &Object, served: usize) -> Result<Reading, Status> {
        if !self.is_custom() || self.served.is_empty() {
            return Ok(Reading::AsItIs);
        }
        let mark = object.mark();
        // What has none is older than marks are.
        let from = match mark.split_once(' ') {
            Some((version, _)) => {
                let is_it = |mark: &str| mark.split_once(' ').is_some_and(|(known, _)| known == version);
                let position = (0..self.served.len()).find(|at| is_it(self.mark_in(*at)));
                position.ok_or_else(|| {
                    Status::internal(format!("request to convert CR from an invalid group/version: {version}"))
                })?
            }
            None => 0,
        };
        if from != served && self.converts_by_webhook() {
            return Ok(Reading::ByWebhook(from));
        }
        let is_current = mark == self.mark_in(from) && (from == served || self.are_alike(from, served));
        Ok(if is_current { Reading::AsItIs } else { Reading::BySchema(from) })
    }

    /// A stored object's document for who is about to write ([`Object::working_copy`]), in the version that it is stored in,
    /// as today's schema of that has it.
    pub fn renewed(&self, object: &Object, from: usize) -> Value {
        let mut document = object.working_copy();
        document.remove(&["apiVersion"]);
        if let Some(custom) = self.served.get(from).and_then(|served| served.custom.as_ref())
            && object.mark() != custom.mark
        {
            custom.settle(&mut document);
        }
        document
    }

    /// A document of one version as one of another, where no webhook says what that is: without what the other does not know.
    pub fn fitted(&self, mut document: Value, from: usize, to: usize) -> Value {
        if let Some(custom) = self.served[to].custom.as_ref().filter(|_| from != to && !self.are_alike(from, to)) {
            custom.fit(&mut document);
        }
        document
    }

    /// Whether the definition has a webhook that converts its objects.
    pub fn converts_by_webhook(&self) -> bool {
        self.definition.as_ref().is_some_and(|definition| definition.webhook.is_some())
    }

    /// Whether a document of one version of a custom kind is the same in the other.
    pub(crate) fn reads_alike(&self, one: usize, other: usize) -> bool {
        one == other || (!self.converts_by_webhook() && self.are_alike(one, other))
    }

    /// Whether documents of both versions keep the same.
    fn are_alike(&self, one: usize, other: usize) -> bool {
        let kept = |at| self.mark_in(at).split_once(' ').map(|(_, kept)| kept);
        kept(one) == kept(other)
    }

    /// How an object would be marked that is in that version; empty for built-in kinds.
    pub fn mark_in(&self, at: usize) -> &str {
        self.served.get(at).and_then(|served| served.custom.as_ref()).map_or("", |custom| &custom.mark)
    }

    /// How an object would be marked that is written now; empty for built-in kinds.
    pub fn mark(&self) -> &str {
        self.mark_in(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd::definition;
    use crate::object::Draft;
    use crate::version::Version;

    /// Widgets with these versions and what `spec` may hold in them; the first is stored.
    fn widgets(versions: &[(&str, Value)], webhook: bool) -> Resource {
        let mut stored = true;
        let versions: Vec<Value> = versions
            .iter()
            .map(|(name, spec)| {
                json!({
                    "name": name, "served": true, "storage": std::mem::take(&mut stored),
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                        "type": "object", "properties": spec,
                    }}}},
                })
            })
            .collect();
        let conversion = match webhook {
            true => json!({"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://a/b"}}}),
            false => json!({"strategy": "None"}),
        };
        let condition = |of: &str| json!({"type": of, "status": "True"});
        definition::resource(&json!({
            "metadata": {"name": "widgets.example.com", "uid": "u", "generation": 1},
            "spec": {"group": "example.com", "scope": "Namespaced", "versions": versions, "conversion": conversion},
            "status": {
                "acceptedNames": {"plural": "widgets", "kind": "Widget"},
                "conditions": [condition("Established"), condition("NamesAccepted")],
            },
        }))
        .unwrap()
    }

    fn object(of: &Resource, spec: Value) -> Object {
        Draft::new(of, &json!({"metadata": {"name": "a", "namespace": "n"}, "spec": spec})).seal(Version(7))
    }

    #[test]
    fn what_was_written_by_the_same_schema_is_served_as_it_is() {
        let text = || json!({"type": "string"});
        let today = widgets(&[("v1", json!({"a": text()}))], false);
        let made = object(&today, json!({"a": "1"}));
        assert!(made.mark().starts_with("example.com/v1 ") && made.tail().starts_with(b"\"metadata\":{"));
        assert_eq!(today.reading(&made, 0).unwrap(), Reading::AsItIs);
        let again = Object::load(&today, made.stored()).unwrap();
        assert_eq!((again.mark(), again.tail()), (made.mark(), made.tail()));
        // What only forbids, and what describes, changes nothing.
        let stricter = widgets(&[("v1", json!({"a": {"type": "string", "maxLength": 3, "description": "d"}}))], false);
        assert_eq!(stricter.reading(&made, 0).unwrap(), Reading::AsItIs);
        // Versions that keep the same are alike, those that do not are not.
        let two = widgets(&[("v1", json!({"a": text()})), ("v2", json!({"a": text()})), ("v3", json!({}))], false);
        let by = |served| two.reading(&made, served).unwrap();
        assert_eq!([by(0), by(1), by(2)], [Reading::AsItIs, Reading::AsItIs, Reading::BySchema(0)]);
        let fitted = two.fitted(two.renewed(&made, 0), 0, 2);
        assert_eq!(fitted["spec"], json!({}));
    }

    #[test]
    fn a_changed_schema_prunes_and_fills_in() {
        let before = widgets(&[("v1", json!({"a": {"type": "string"}, "b": {"type": "string"}}))], false);
        let made = object(&before, json!({"a": "1", "b": "2"}));
        let after =
            widgets(&[("v1", json!({"a": {"type": "string"}, "c": {"type": "string", "default": "3"}}))], false);
        assert_eq!(after.reading(&made, 0).unwrap(), Reading::BySchema(0));
        let renewed = after.renewed(&made, 0);
        assert_eq!((&renewed["spec"], renewed.get("apiVersion")), (&json!({"a": "1", "c": "3"}), None));
        // A deletion, which does not look at that, leaves the mark as it is.
        assert_eq!(Draft::new(&after, &made.working_copy()).seal(Version(8)).mark(), made.mark());
        assert_eq!(Draft::new(&after, &renewed).seal(Version(8)).mark(), after.mark());
    }

    #[test]
    fn a_webhook_converts_what_is_stored_in_another_version() {
        let before = widgets(&[("v1", json!({}))], true);
        let made = object(&before, json!({}));
        let after = widgets(&[("v2", json!({})), ("v1", json!({}))], true);
        let by = |served| after.reading(&made, served).unwrap();
        assert_eq!([by(0), by(1)], [Reading::ByWebhook(1), Reading::AsItIs]);
        let gone = widgets(&[("v2", json!({}))], true);
        let why = gone.reading(&made, 0).unwrap_err();
        assert_eq!(
            (why.code(), why.message()),
            (500, "Internal error occurred: request to convert CR from an invalid group/version: example.com/v1")
        );
    }
}
