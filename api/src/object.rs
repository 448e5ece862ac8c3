//! A committed object: encoded once, shared by everyone (DESIGN D2).
//!
//! What is stored is the *tail*: the canonical JSON document without its leading `{"kind":…,"apiVersion":…,`. Those two
//! depend on the version that a client asks for, the rest does not, so a GET is head + tail, and a list is a
//! concatenation of tails. Custom kinds may be stored in other versions than today's, and by other schemas: their objects
//! have a *mark* before the tail, which says which ([`Object::mark`]).

mod parts;
mod scan;
mod working;

use std::borrow::Cow;

use bytes::{Buf, Bytes};
use serde_json::{Map, Value};
use smol_str::SmolStr;

use crate::apply;
use crate::document::Document;
use crate::resource::{Resource, SelectableField};
use crate::selector::Selectable;
use crate::version::Version;

/// One version of one object. Immutable; handed around as `Arc<Object>`.
#[derive(Debug)]
pub struct Object {
    /// Empty for cluster-scoped kinds.
    pub namespace: SmolStr,
    /// metadata.name
    pub name: SmolStr,
    /// metadata.resourceVersion
    pub version: Version,
    /// Sorted by key.
    labels: Box<[(SmolStr, SmolStr)]>,
    /// Values of [`Resource::selectable`], in its order; empty text where the document has none.
    fields: Box<[SmolStr]>,
    /// Where the digits of the version stand in `stored`.
    version_at: u32,
    /// Where the tail begins in `stored`, behind the mark.
    tail_at: u16,
    stored: Bytes,
}

/// An object that is encoded but has no version yet. Encoding is the expensive part and happens outside the
/// sequencer; [`Draft::seal`] is a short copy inside it.
#[derive(Debug)]
pub struct Draft {
    namespace: SmolStr,
    name: SmolStr,
    labels: Box<[(SmolStr, SmolStr)]>,
    fields: Box<[SmolStr]>,
    version_at: u32,
    tail_at: u16,
    /// Without the digits of the version.
    stored: Vec<u8>,
}

/// What a mark stands between: the field that it takes the place of.
const MARK: (&[u8], &[u8]) = (b"\"apiVersion\":\"", b"\",");

/// Digits that a version has until September 2032; others work, they only cost one more copy.
const DIGITS: usize = 18;

impl Draft {
    /// Encodes a canonical document. Its `kind`, `apiVersion` and `metadata.resourceVersion` are ignored, and its
    /// managedFields may be text (see [`Object::working_copy`]). One of a custom kind is in today's stored version, unless its
    /// `apiVersion` is a mark, which it keeps.
    pub fn new(resource: &Resource, document: &Value) -> Self {
        let mark = match document.get("apiVersion").and_then(Value::as_str) {
            Some(mark) if resource.is_custom() => mark,
            _ => resource.mark(),
        };
        Self::marked(resource, document, mark)
    }

    /// One that is not for the store: an object of a custom kind in a served version of its definition.
    pub fn read(resource: &Resource, served: usize, document: &Value) -> Self {
        Self::marked(resource, document, resource.mark_in(served))
    }

    /// The same with a mark that is known; empty for none.
    pub(crate) fn marked(resource: &Resource, document: &Value, mark: &str) -> Self {
        let mut tail = Vec::with_capacity(1024);
        if !mark.is_empty() {
            tail.extend([MARK.0, mark.as_bytes(), MARK.1].concat());
        }
        let tail_at = u16::try_from(tail.len()).expect("a group and a version are short");
        let empty = Map::new();
        let fields = document.as_object().unwrap_or(&empty);
        let mut version_at = 0;
        for (key, value) in fields {
            match key.as_str() {
                "kind" | "apiVersion" => {}
                "metadata" => version_at = write_metadata(&mut tail, value.as_object().unwrap_or(&empty)),
                _ => write_field(&mut tail, key, value),
            }
        }
        close(&mut tail);
        Self {
            namespace: document.namespace().into(),
            name: document.name().into(),
            labels: labels_of(document),
            fields: resource.selectable.iter().map(|field| field.read(document)).collect(),
            version_at,
            tail_at,
            stored: tail,
        }
    }

    /// The same with one more field, whose key comes behind all others; its value is encoded already.
    pub fn with_last(&self, key: &str, value: &[u8]) -> Self {
        let mut stored = Vec::with_capacity(self.stored.len() + key.len() + value.len() + 8);
        stored.extend_from_slice(&self.stored);
        // In the place of the closing brace. There is metadata before it.
        *stored.last_mut().expect("a brace") = b',';
        serde_json::to_writer(&mut stored, key).expect("a Vec takes every byte");
        stored.push(b':');
        stored.extend_from_slice(value);
        stored.push(b'}');
        let (namespace, name) = (self.namespace.clone(), self.name.clone());
        let (labels, fields) = (self.labels.clone(), self.fields.clone());
        Self { namespace, name, labels, fields, version_at: self.version_at, tail_at: self.tail_at, stored }
    }

    /// Gives it its version.
    pub fn seal(mut self, version: Version) -> Object {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(version.0).as_bytes();
        let at = self.version_at as usize;
        // `new` left DIGITS zeros there.
        self.stored.splice(at..at + DIGITS, digits.iter().copied());
        self.stored.shrink_to_fit();
        Object {
            namespace: self.namespace,
            name: self.name,
            version,
            labels: self.labels,
            fields: self.fields,
            version_at: self.version_at,
            tail_at: self.tail_at,
            stored: self.stored.into(),
        }
    }

    /// Bytes of the encoded form, up to a few.
    pub fn len(&self) -> usize {
        self.stored.len()
    }

    /// Never: an object has at least its metadata.
    pub fn is_empty(&self) -> bool {
        false
    }
}

fn write_metadata(tail: &mut Vec<u8>, metadata: &Map<String, Value>) -> u32 {
    tail.extend_from_slice(b"\"metadata\":{");
    let mut version_at = None;
    let mut put_version = |tail: &mut Vec<u8>| {
        tail.extend_from_slice(b"\"resourceVersion\":\"");
        version_at = Some(tail.len() as u32);
        tail.extend_from_slice(&[b'0'; DIGITS]);
        tail.extend_from_slice(b"\",");
    };
    let mut put = Some(());
    for (key, value) in metadata {
        if key.as_str() >= "resourceVersion" && put.take().is_some() {
            put_version(tail);
        }
        match key.as_str() {
            "resourceVersion" => {}
            "managedFields" => write_managed_fields(tail, value),
            _ => write_field(tail, key, value),
        }
    }
    if put.is_some() {
        put_version(tail);
    }
    close(tail);
    tail.push(b',');
    version_at.expect("written above, once")
}

fn write_field(tail: &mut Vec<u8>, key: &str, value: &Value) {
    serde_json::to_writer(&mut *tail, key).expect("a Vec takes every byte");
    tail.push(b':');
    serde_json::to_writer(&mut *tail, value).expect("a Vec takes every byte");
    tail.push(b',');
}

/// Writes managedFields in the one order that fields have in it. Text is in that order already.
fn write_managed_fields(tail: &mut Vec<u8>, value: &Value) {
    let written = match value {
        Value::String(text) => Some(Cow::Borrowed(text.as_str())),
        list => apply::text_of(list).map(Cow::Owned),
    };
    match written {
        Some(text) if text.is_empty() => {}
        Some(text) => {
            tail.extend_from_slice(b"\"managedFields\":");
            tail.extend_from_slice(text.as_bytes());
            tail.push(b',');
        }
        None => write_field(tail, "managedFields", value),
    }
}

/// Turns the comma after the last field into the closing brace.
fn close(tail: &mut Vec<u8>) {
    match tail.last_mut() {
        Some(last) if *last == b',' => *last = b'}',
        _ => tail.push(b'}'),
    }
}

fn labels_of(document: &Value) -> Box<[(SmolStr, SmolStr)]> {
    let labels = document.at(&["metadata", "labels"]).as_object();
    let pairs = labels.into_iter().flatten();
    pairs.map(|(key, value)| (key.into(), value.as_str().unwrap_or_default().into())).collect()
}

/// A stored tail that is not a document with metadata.
#[derive(Debug, thiserror::Error)]
#[error("a stored object is damaged: {0}")]
pub struct Damaged(pub String);

impl Object {
    /// Reads a stored form back. That it is canonical is believed, for [`Draft`] has written it; debug builds check it. The
    /// object has bytes of its own: what it was read from may be a slice of something large.
    pub fn load(resource: &Resource, stored: &[u8]) -> Result<Self, Damaged> {
        let mut text = Vec::with_capacity(stored.len() + 1);
        text.push(b'{');
        text.extend_from_slice(stored);
        let damaged = |error: serde_json::Error| Damaged(error.to_string());
        let scan::Scanned { namespace, name, version, labels, fields } =
            scan::scan(resource, &text).map_err(damaged)?;
        let at = version.as_ptr().addr();
        let version: Version = version.parse().map_err(|error| Damaged(format!("{error}")))?;
        // It was borrowed from the text, where the stored form begins behind the brace.
        let version_at = (at - text.as_ptr().addr() - 1) as u32;
        let (labels, fields) = (labels.into(), fields.into());
        let mut stored = Bytes::from(text);
        stored.advance(1);
        let tail_at = mark_of(&stored).ok_or_else(|| Damaged("its mark is too long".to_owned()))?;
        let object = Self { namespace, name, version, labels, fields, version_at, tail_at, stored };
        if cfg!(debug_assertions) {
            object.check(resource)?;
        }
        Ok(object)
    }

    fn check(&self, resource: &Resource) -> Result<(), Damaged> {
        let again = Draft::marked(resource, &self.document(), self.mark()).seal(self.version);
        match format!("{again:?}") == format!("{self:?}") {
            true => Ok(()),
            false => Err(Damaged(format!("{}/{} is not in canonical form", self.namespace, self.name))),
        }
    }

    /// Canonical JSON from behind `{"kind":…,"apiVersion":…,` on, closing brace included.
    pub fn tail(&self) -> &[u8] {
        &self.stored[usize::from(self.tail_at)..]
    }

    /// What is kept of it: the mark, if it has one, and the tail.
    pub fn stored(&self) -> &Bytes {
        &self.stored
    }

    /// In which version it is written and by which schema, as [`Resource::mark`] says it; empty for built-in kinds.
    pub fn mark(&self) -> &str {
        let mark = &self.stored[..usize::from(self.tail_at)];
        let mark = mark.strip_prefix(MARK.0).and_then(|mark| mark.strip_suffix(MARK.1)).unwrap_or_default();
        std::str::from_utf8(mark).unwrap_or_default()
    }

    /// The document, without `kind`; `apiVersion` is its mark, where it has one.
    pub fn document(&self) -> Value {
        parse(&self.stored).expect("it was written by Draft::new")
    }

    /// The document for who is about to write: its managedFields, if it has any, are one text, as they are stored. It is
    /// cheaper to make than [`Object::document`], and [`Draft::new`] takes it; nobody else does.
    pub fn working_copy(&self) -> Value {
        working::parse(&self.stored).expect("it was written by Draft::new")
    }

    /// The same object at another version: a DELETED event carries the last state at the version of the deletion.
    pub fn at_version(&self, version: Version) -> Self {
        let old = itoa::Buffer::new().format(self.version.0).len();
        let (head, rest) = self.stored.split_at(self.version_at as usize);
        let mut stored = Vec::with_capacity(self.stored.len() + 2);
        stored.extend_from_slice(head);
        stored.extend_from_slice(itoa::Buffer::new().format(version.0).as_bytes());
        stored.extend_from_slice(&rest[old..]);
        Self {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            version,
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            version_at: self.version_at,
            tail_at: self.tail_at,
            stored: stored.into(),
        }
    }

    /// Bytes that it keeps alive, roughly.
    pub fn cost(&self) -> usize {
        let labels: usize = self.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.stored.len() + labels + 48 * (self.labels.len() + self.fields.len()) + size_of::<Self>()
    }
}

fn parse(stored: &[u8]) -> serde_json::Result<Value> {
    let mut text = Vec::with_capacity(stored.len() + 1);
    text.push(b'{');
    text.extend_from_slice(stored);
    serde_json::from_slice(&text)
}

/// How long the mark is that a stored form begins with; `None` for one that nobody has written.
fn mark_of(stored: &[u8]) -> Option<u16> {
    let Some(rest) = stored.strip_prefix(MARK.0) else { return Some(0) };
    let length = memchr::memmem::find(rest, MARK.1)?;
    u16::try_from(MARK.0.len() + length + MARK.1.len()).ok()
}

impl Selectable for Object {
    fn label(&self, key: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(have, _)| have.as_str().cmp(key)).ok()?;
        Some(&self.labels[at].1)
    }

    fn field(&self, at: usize) -> &str {
        self.fields.get(at).map_or("", SmolStr::as_str)
    }

    /// Reads the whole document, so it is slow.
    fn custom_field(&self, field: &SelectableField) -> SmolStr {
        field.read(&self.document())
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Keys are sorted, so it stands right behind the version; only selfLink, which nobody writes, comes between.
    fn uid(&self) -> Cow<'_, str> {
        let behind = &self.stored[self.version_at as usize..];
        let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let uid = behind[digits..].strip_prefix(b"\",\"uid\":\"");
        let plain = uid.and_then(|uid| uid.split(|byte| *byte == b'"').next()).filter(|uid| !uid.contains(&b'\\'));
        match plain.and_then(|uid| std::str::from_utf8(uid).ok()) {
            Some(uid) => uid.into(),
            None => self.document().uid().to_owned().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::builtin::{RuntimeConfig, registry};

    #[test]
    fn a_last_field_may_come_later() {
        let registry = registry(&RuntimeConfig::default());
        let resource = registry.named("resourcequotas").unwrap();
        let mut document = json!({"metadata": {"name": "q", "namespace": "n"}, "spec": {"hard": {"pods": "1"}}});
        let form = Draft::new(resource, &document);
        let status = json!({"used": {"pods": "0"}});
        let sealed = form.with_last("status", status.to_string().as_bytes()).seal(Version(77));
        document["status"] = status;
        assert_eq!(sealed.tail(), Draft::new(resource, &document).seal(Version(77)).tail());
        Object::load(resource, sealed.tail()).unwrap();
    }

    #[test]
    fn the_uid_is_read_out_of_the_tail() {
        let registry = registry(&RuntimeConfig::default());
        let resource = registry.named("configmaps").unwrap();
        for (metadata, expected) in [
            (json!({"name": "a", "uid": "0-1"}), "0-1"),
            (json!({"name": "a", "labels": {"uid": "wrong"}, "uid": "0-1"}), "0-1"),
            (json!({"name": "a", "selfLink": "/api", "uid": "0-1"}), "0-1"),
            (json!({"name": "a", "uid": "\"quoted\\"}), "\"quoted\\"),
            (json!({"uid": ""}), ""),
            (json!({"name": "a"}), ""),
        ] {
            let object = Draft::new(resource, &json!({"metadata": metadata, "z": {"uid": "wrong"}})).seal(Version(77));
            assert_eq!(object.uid(), expected, "{metadata}");
            assert_eq!(object.at_version(Version(u64::MAX)).uid(), expected, "{metadata}");
        }
    }
}
