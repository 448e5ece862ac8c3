//! Bytes to canonical documents and back.

use crate::document::Value;
use crate::schema::Shape;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// application/json
    Json,
    /// application/yaml
    Yaml,
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

/// Reads a body as a document of `shape`.
pub fn decode(_shape: Shape<'_>, _body: &[u8], _format: Format) -> Result<Decoded, Malformed> {
    todo!()
}

/// Makes a document out of a value that a patch produced: the same checks and canonical form as [`decode`].
pub fn conform(_shape: Shape<'_>, _value: Value) -> Result<Decoded, Malformed> {
    todo!()
}
