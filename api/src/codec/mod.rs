//! Bytes to canonical documents and back.
//!
//! Reading is one walk: a serde visitor ([`walk`]) follows the schema through whatever format the bytes are in, drops and
//! reports what the schema does not know, checks types, and writes each value in the one form that the reference's Go
//! structs would write it in. So a document that was read is canonical, and two that mean the same have the same bytes.
//!
//! Canonical means: nulls are absent; zero values of fields with omitempty are absent; fields that are always written are
//! there; empty lists and maps are absent unless they stand behind a pointer; quantities, times and base64 are in their
//! shortest exact form. Writing JSON is therefore plain `serde_json`. Protobuf, whose bytes cannot be read without the
//! schema, has a reader and a writer of its own ([`protobuf`]), which share the scalars and the rules of presence.
//!
//! Invariants: decode(encode(decode(x))) = decode(x) for every x that decodes; nesting deeper than [`DEPTH`] is refused
//! before it can overflow a stack.

mod path;
mod plain;
pub mod protobuf;
mod refusal;
mod scalar;
mod walk;
pub mod yaml;

use serde::de::DeserializeSeed;

pub use plain::{Plain, plain};
pub use refusal::refusal;

use crate::document::Value;
use crate::schema::{Shape, Type};

/// How deep values may nest; serde_json refuses one more.
pub const DEPTH: usize = 127;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// application/json
    Json,
    /// application/yaml
    Yaml,
    /// application/vnd.kubernetes.protobuf
    Protobuf,
}

/// A canonical document, and what a strict reader would have refused.
#[derive(Debug)]
pub struct Decoded {
    /// Unknown fields pruned, quantities and times in canonical form, nulls and empties as the reference keeps them.
    pub value: Value,
    /// `unknown field "spec.foo"`, `duplicate field "spec.bar"`: for fieldValidation Strict and Warn.
    pub problems: Vec<String>,
}

/// A body that is no document of the kind, worded for a 400.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// What is wrong and, for syntax, at which byte.
    pub message: String,
}

impl Malformed {
    fn at(what: &str, byte: usize) -> Self {
        Self { message: format!("{what} at byte {byte}") }
    }
}

/// Reads a body as a document of `shape`.
pub fn decode(shape: Shape<'_>, body: &[u8], format: Format) -> Result<Decoded, Malformed> {
    let of = Type::Message(shape.id);
    let mut context = walk::Context::new(shape.schema);
    let read = match format {
        Format::Json => json(walk::Seed::root(&mut context, &of), body),
        Format::Yaml => yaml::read(walk::Seed::root(&mut context, &of), body),
        Format::Protobuf => return protobuf::read(shape, body),
    };
    finish(context, &of, read?)
}

/// Writes a canonical document of `shape`, complete with `kind` and `apiVersion`. Protobuf is an error for what has none:
/// custom resources, and documents that are not canonical.
pub fn encode(shape: Shape<'_>, document: &Value, format: Format) -> Result<Vec<u8>, Malformed> {
    match format {
        Format::Json => serde_json::to_vec(document).map_err(|error| Malformed { message: error.to_string() }),
        Format::Yaml => Ok(yaml::write(document)),
        Format::Protobuf => protobuf::write(shape, document),
    }
}

/// Makes a document out of a value that a patch produced: the same checks and canonical form as [`decode`].
pub fn conform(shape: Shape<'_>, value: Value) -> Result<Decoded, Malformed> {
    conform_with(shape, value, |_| None)
}

/// [`conform`] in the words of the reference's converter of unstructured objects, through which it passes what a strategic
/// merge patch makes.
pub fn restore(shape: Shape<'_>, value: Value) -> Result<Decoded, Malformed> {
    conform_with(shape, value, |context| context.restored.take())
}

fn conform_with(
    shape: Shape<'_>,
    value: Value,
    words: impl FnOnce(&mut walk::Context<'_>) -> Option<String>,
) -> Result<Decoded, Malformed> {
    if deeper_than(&value, DEPTH) {
        return Err(Malformed { message: "the document is nested too deeply".to_owned() });
    }
    let of = Type::Message(shape.id);
    let mut context = walk::Context::new(shape.schema);
    let read = walk::Seed::root(&mut context, &of).deserialize(value);
    let read = read.map_err(|error| Malformed { message: error.to_string() })?;
    if let Some(message) = words(&mut context) {
        context.error = Some(message);
    }
    finish(context, &of, read)
}

fn finish(context: walk::Context<'_>, of: &Type, value: Option<Value>) -> Result<Decoded, Malformed> {
    let zero = || context.schema.zero(of).unwrap_or_default();
    match context.error {
        Some(message) => Err(Malformed { message }),
        None => Ok(Decoded { value: value.unwrap_or_else(zero), problems: context.problems }),
    }
}

fn json(seed: walk::Seed<'_, '_>, body: &[u8]) -> Result<Option<Value>, Malformed> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = seed.deserialize(&mut reader);
    value.and_then(|value| reader.end().map(|()| value)).map_err(|error| {
        let text = error.to_string();
        let what = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
        Malformed::at(what, offset(body, error.line(), error.column()))
    })
}

/// The byte at a line (from 1) and a column (from 1, in bytes; 0 is the line break before).
fn offset(body: &[u8], line: usize, column: usize) -> usize {
    let mut breaks = memchr::memchr_iter(b'\n', body);
    let start = if line > 1 { breaks.nth(line - 2).map_or(body.len(), |at| at + 1) } else { 0 };
    (start + column).saturating_sub(1).min(body.len())
}

fn deeper_than(value: &Value, limit: usize) -> bool {
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        if depth > limit && (value.is_array() || value.is_object()) {
            return true;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => open.extend(fields.values().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
pub(crate) mod identity;
#[cfg(test)]
mod tests;
