//! Protobuf bodies (`application/vnd.kubernetes.protobuf`): another syntax for the same documents, read and written along
//! the schema's field numbers, without generated code.
//!
//! A body is four magic bytes and a `runtime.Unknown`, the envelope that carries `apiVersion` and `kind` beside the bytes of
//! the object; those have neither. Start reading at [`read()`] and [`write()`].
//!
//! Invariants: what is read is as canonical as [`super::walk`] makes it of JSON; a canonical document that is written and
//! read again is the same document; what hostile bytes announce is never believed: nothing is allocated for a length before
//! the bytes behind it were seen.
//!
//! Written are the reference's own bytes (`golden.rs`): what is no pointer there is written even where it is zero. Not told
//! apart, as protobuf cannot: an empty list and a null in a map of lists.

mod decode;
mod encode;
mod reader;

use serde_json::Value;

use super::{Decoded, Malformed};
use crate::document::Document;
use crate::schema::{Schema, Shape};
use reader::{Reader, Wire};

/// What every body starts with.
const MAGIC: &[u8] = b"k8s\0";

/// `runtime.Unknown`
#[derive(Default)]
struct Envelope<'b> {
    api_version: &'b str,
    kind: &'b str,
    raw: Reader<'b>,
}

impl<'b> Envelope<'b> {
    fn open(body: &'b [u8]) -> Result<Self, Malformed> {
        let Some(rest) = body.strip_prefix(MAGIC) else {
            let message = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]";
            return Err(Malformed { message: message.to_owned() });
        };
        if rest.is_empty() {
            return Err(Malformed { message: "empty body".to_owned() });
        }
        let mut reader = Reader::new(body, MAGIC.len());
        let mut envelope = Self::default();
        while let Some((number, wire)) = reader.tag()? {
            match (number, wire) {
                (1, Wire::Length) => envelope.type_meta(reader.within()?)?,
                (2, Wire::Length) => envelope.raw = reader.within()?,
                (3, Wire::Length) => {
                    let encoding = reader.text()?;
                    if !encoding.is_empty() {
                        return Err(reader.error(&format!("unknown content encoding {encoding:?}")));
                    }
                }
                (1..=3, wire) => return Err(reader.wrong(wire, "runtime.Unknown")),
                _ => reader.skip(wire)?,
            }
        }
        Ok(envelope)
    }

    fn type_meta(&mut self, mut reader: Reader<'b>) -> Result<(), Malformed> {
        while let Some((number, wire)) = reader.tag()? {
            match (number, wire) {
                (1, Wire::Length) => self.api_version = reader.text()?,
                (2, Wire::Length) => self.kind = reader.text()?,
                (1 | 2, wire) => return Err(reader.wrong(wire, "runtime.TypeMeta")),
                _ => reader.skip(wire)?,
            }
        }
        Ok(())
    }
}

/// Reads a body as a document of `shape`. Bytes of another kind would be nonsense under this one's numbers, so an envelope
/// that names another is refused here already.
pub(super) fn read(shape: Shape<'_>, body: &[u8]) -> Result<Decoded, Malformed> {
    let envelope = Envelope::open(body)?;
    if !envelope.kind.is_empty() && envelope.kind != shape.short_name() {
        let message = format!("the body holds a {:?}, not a {:?}", envelope.kind, shape.short_name());
        return Err(Malformed { message });
    }
    let mut value = decode::document(shape, envelope.raw)?;
    for (name, text) in [("apiVersion", envelope.api_version), ("kind", envelope.kind)] {
        if !text.is_empty() && shape.field(name).is_some() {
            value.insert(name.to_owned(), text.into());
        }
    }
    Ok(Decoded { value: Value::Object(value), problems: Vec::new() })
}

/// Writes a canonical document of `shape` with its envelope. An error where the schema has no number for one of its fields
/// (custom resources have no protobuf), or where it is not canonical.
pub(super) fn write(shape: Shape<'_>, document: &Value) -> Result<Vec<u8>, Malformed> {
    let text = |name| document.text(&[name]);
    let object = encode::object(shape, document)?;
    Ok(wrap(text("apiVersion"), text("kind"), &object))
}

/// The bytes of an object alone, as lists and envelopes hold them. Errors are those of [`super::encode`].
pub fn object(shape: Shape<'_>, document: &Value) -> Result<Vec<u8>, Malformed> {
    encode::object(shape, document)
}

/// The bytes of a document of which nothing is shown but its metadata: a metav1.PartialObjectMetadata.
pub fn metadata(document: &Value) -> Result<Vec<u8>, Malformed> {
    let schema = Schema::builtin();
    let shape = schema.named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").expect("the table has metav1");
    let metadata = encode::object(shape, document.at(&["metadata"]))?;
    Ok([encode::head(1, metadata.len()), metadata].concat())
}

/// The bytes before an object of `length` bytes in its envelope, and those behind it.
pub fn envelope(api_version: &str, kind: &str, length: usize) -> (Vec<u8>, &'static [u8]) {
    encode::envelope(MAGIC, api_version, kind, length)
}

/// An object in its envelope.
pub fn wrap(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
    let (mut whole, behind) = envelope(api_version, kind, object.len());
    whole.reserve_exact(object.len() + behind.len());
    whole.extend_from_slice(object);
    whole.extend_from_slice(behind);
    whole
}

/// What stands before the `length` bytes of a field that has a length.
pub fn field_head(number: u32, length: usize) -> Vec<u8> {
    encode::head(number, length)
}

/// How many bytes of an object, as [`object`] writes it, its metadata takes: it is always the first field. They are a
/// whole metav1.PartialObjectMetadata.
pub fn metadata_length(object: &[u8]) -> usize {
    let mut reader = Reader::new(object, 0);
    let metadata = match reader.tag() {
        Ok(Some((1, Wire::Length))) => reader.within().ok(),
        _ => None,
    };
    metadata.map_or(0, |_| reader.position())
}

/// What routing wants to know of an object, without reading the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names<'b> {
    /// metadata.name
    pub name: &'b str,
    /// metadata.generateName
    pub generate_name: &'b str,
    /// metadata.namespace
    pub namespace: &'b str,
}

/// Skims a body of any kind: all have their metadata, and the names in it, under the same numbers.
pub fn names(body: &[u8]) -> Result<Names<'_>, Malformed> {
    let mut names = Names::default();
    let mut object = Envelope::open(body)?.raw;
    while let Some((number, wire)) = object.tag()? {
        if number != 1 {
            object.skip(wire)?;
            continue;
        }
        if wire != Wire::Length {
            return Err(object.wrong(wire, "metadata"));
        }
        let mut metadata = object.within()?;
        while let Some((number, wire)) = metadata.tag()? {
            match (number, wire) {
                (1, Wire::Length) => names.name = metadata.text()?,
                (2, Wire::Length) => names.generate_name = metadata.text()?,
                (3, Wire::Length) => names.namespace = metadata.text()?,
                (1..=3, wire) => return Err(metadata.wrong(wire, "metadata")),
                _ => metadata.skip(wire)?,
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
