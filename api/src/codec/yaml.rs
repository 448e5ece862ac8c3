//! YAML bodies: the same walk over another syntax. One document, without tags of anyone's own, with bounded aliases.
//!
//! What is written is block style, with every text in quotes that some reader, of YAML 1.1 too, could take for something
//! else.

use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Budget, Error, Options};

use super::walk::Seed;
use super::{DEPTH, Malformed, offset};
use crate::document::Value;

pub(super) fn read(seed: Seed<'_, '_>, body: &[u8]) -> Result<Option<Value>, Malformed> {
    read_seed(seed, body)
}

/// Reads with any other seed.
pub(super) fn read_seed<'de, S: DeserializeSeed<'de>>(seed: S, body: &'de [u8]) -> Result<S::Value, Malformed> {
    let text = std::str::from_utf8(body).map_err(|error| Malformed::at("invalid UTF-8", error.valid_up_to()))?;
    serde_saphyr::with_deserializer_from_str_with_options(text, options(), |reader| seed.deserialize(reader))
        .map_err(|error| malformed(&error, body))
}

/// Reads what needs no schema; `None` where the syntax is broken, or it does not fit.
pub(super) fn read_plain<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(body).ok()?;
    serde_saphyr::with_deserializer_from_str_with_options(text, options(), |reader| T::deserialize(reader)).ok()
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_depth = DEPTH;
    let mut options = Options::default();
    options.budget = Some(budget);
    // The walk reports them; the last one wins, as in JSON.
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.merge_keys = MergeKeyPolicy::Merge;
    options.with_snippet = false;
    options
}

fn malformed(error: &Error, body: &[u8]) -> Malformed {
    let text = error.without_snippet().to_string();
    let what = text.lines().next().unwrap_or_default();
    let what = what.find(" at line ").map_or(what, |at| &what[..at]);
    match error.location() {
        Some(place) => {
            let line = usize::try_from(place.line()).unwrap_or(usize::MAX);
            let column = usize::try_from(place.column()).unwrap_or(usize::MAX);
            let byte = place.span().byte_offset().and_then(|at| usize::try_from(at).ok());
            Malformed::at(what, byte.unwrap_or_else(|| offset(body, line, column)))
        }
        None => Malformed { message: what.to_owned() },
    }
}

/// Writes a document, fields in their order.
pub fn write(document: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    block(&mut out, document, 0, false);
    out
}

/// A value in a place of its own. `inline` where something stands before it in the line.
fn block(out: &mut Vec<u8>, value: &Value, indent: usize, inline: bool) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (at, (key, value)) in fields.iter().enumerate() {
                if at > 0 || !inline {
                    out.resize(out.len() + indent, b' ');
                }
                text(out, key);
                out.push(b':');
                below(out, value, indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 || !inline {
                    out.resize(out.len() + indent, b' ');
                }
                out.extend_from_slice(b"- ");
                block(out, item, indent + 2, true);
            }
        }
        Value::String(content) => {
            text(out, content);
            out.push(b'\n');
        }
        // Empty lists and maps, numbers, truths and nulls are JSON.
        other => {
            out.extend_from_slice(other.to_string().as_bytes());
            out.push(b'\n');
        }
    }
}

/// The value behind a key.
fn below(out: &mut Vec<u8>, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push(b'\n');
            block(out, value, indent + 2, false);
        }
        // A list may stand as far left as its key.
        Value::Array(items) if !items.is_empty() => {
            out.push(b'\n');
            block(out, value, indent, false);
        }
        _ => {
            out.push(b' ');
            block(out, value, indent, true);
        }
    }
}

fn text(out: &mut Vec<u8>, content: &str) {
    let plain = content.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && content.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        && !MEANINGFUL.iter().any(|word| content.eq_ignore_ascii_case(word));
    if plain {
        out.extend_from_slice(content.as_bytes());
    } else {
        // JSON's text is YAML's, in double quotes.
        out.extend_from_slice(Value::from(content).to_string().as_bytes());
    }
}

/// What some readers take for a truth or for nothing.
const MEANINGFUL: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
