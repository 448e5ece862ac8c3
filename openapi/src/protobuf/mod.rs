//! Documents in protobuf: the messages of gnostic (openapi.v2.Document and openapi.v3.Document), which client-go asks for first.
//!
//! A message is a table of the JSON keys that it has a field for ([`v2`], [`v3`]); what begins with `x-` goes into its list of
//! extensions, as YAML, which JSON is. A part is read back from its JSON and written by its table, so that both forms say the
//! same.

mod v2;
mod v3;

use serde_json::Value;

use crate::{Dialect, Parts};

/// Writes the inside of a message.
type Write = fn(&Value, &mut Vec<u8>);

/// How a value is written.
#[derive(Clone, Copy)]
enum As {
    Text,
    Texts,
    Flag,
    Whole,
    Double,
    /// Any value as YAML, in a message of its own.
    Yaml,
    Yamls,
    Message(&'static Message),
    Messages(&'static Message),
    /// A map as a list of names and what code writes, which a message of its own holds.
    Map(Write),
    /// A list of maps, of lists of texts.
    NamedTexts,
    /// What only code can say.
    Code(Write),
    /// A list of those.
    Codes(Write),
}

/// Keys of an object, their numbers, and how they are written.
struct Message {
    fields: &'static [(&'static str, u32, As)],
    /// Number of the extensions.
    extensions: u32,
    /// Writes all other entries, whose keys are names: responses.
    named: Option<(u32, Write)>,
}

/// The inside of each section: paths, types, parameters.
pub(crate) fn sections(dialect: Dialect, parts: &Parts) -> [Vec<u8>; 3] {
    let value = |json: &str| serde_json::from_str::<Value>(json).unwrap_or_default();
    let mut sections = <[Vec<u8>; 3]>::default();
    let [paths, schemas, parameters] = &mut sections;
    let (path, schema): (u32, Write) = match dialect {
        Dialect::V2 => (2, |value, out| v2::SCHEMA.write(value, out)),
        Dialect::V3 => (1, v3::schema_or_reference),
    };
    for (name, json) in &parts.paths {
        let item = if dialect == Dialect::V2 { &v2::PATH_ITEM } else { &v3::PATH_ITEM };
        named(path, name, paths, |out| item.write(&value(json), out));
    }
    for (name, json) in &parts.schemas {
        named(1, name, schemas, |out| schema(&value(json), out));
    }
    for (name, json) in &parts.parameters {
        named(1, name, parameters, |out| v2::parameter(&value(json), out));
    }
    sections
}

/// What stands around the sections, of which the lengths are known.
pub(crate) fn frame(dialect: Dialect, custom: bool, lengths: [usize; 3]) -> [Vec<u8>; 4] {
    let around = crate::document::json_frame(dialect, custom).concat();
    let around: Value = serde_json::from_str(&around).unwrap_or_default();
    match dialect {
        Dialect::V2 => v2::frame(&around, lengths),
        Dialect::V3 => v3::frame(&around, lengths),
    }
}

impl Message {
    fn write(&self, value: &Value, out: &mut Vec<u8>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            if let Some((_, number, how)) = self.fields.iter().find(|(field, ..)| field == key) {
                how.write(*number, value, out);
            } else if key.starts_with("x-") {
                named(self.extensions, key, out, |out| yaml(value, out));
            } else if let Some((number, write)) = self.named {
                named(number, key, out, |out| write(value, out));
            }
        }
    }
}

impl As {
    fn write(self, number: u32, value: &Value, out: &mut Vec<u8>) {
        let items = || value.as_array().into_iter().flatten();
        match self {
            Self::Text => text(number, value.as_str().unwrap_or_default(), out),
            Self::Texts => items().filter_map(Value::as_str).for_each(|item| bytes(number, item.as_bytes(), out)),
            Self::Flag if value.as_bool() == Some(true) => {
                head(number, 0, out);
                varint(1, out);
            }
            Self::Flag => {}
            Self::Whole => {
                if let Some(whole) = value.as_i64().filter(|whole| *whole != 0) {
                    head(number, 0, out);
                    varint(whole as u64, out);
                }
            }
            Self::Double => double(number, value, out),
            Self::Yaml => message(number, out, |out| yaml(value, out)),
            Self::Yamls => items().for_each(|item| message(number, out, |out| yaml(item, out))),
            Self::Message(of) => message(number, out, |out| of.write(value, out)),
            Self::Messages(of) => items().for_each(|item| message(number, out, |out| of.write(item, out))),
            Self::Map(write) => message(number, out, |out| {
                for (name, value) in value.as_object().into_iter().flatten() {
                    named(1, name, out, |out| write(value, out));
                }
            }),
            Self::NamedTexts => items().for_each(|item| {
                message(number, out, |out| {
                    for (name, value) in item.as_object().into_iter().flatten() {
                        named(1, name, out, |out| Self::Texts.write(1, value, out));
                    }
                });
            }),
            Self::Code(write) => message(number, out, |out| write(value, out)),
            Self::Codes(write) => items().for_each(|item| message(number, out, |out| write(item, out))),
        }
    }
}

/// An entry of a map: its name and its value.
fn named(number: u32, name: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    message(number, out, |out| {
        bytes(1, name.as_bytes(), out);
        message(2, out, write);
    });
}

/// gnostic's Any.
fn yaml(value: &Value, out: &mut Vec<u8>) {
    let mut yaml = value.to_string();
    yaml.push('\n');
    bytes(2, yaml.as_bytes(), out);
}

fn message(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(number, &inner, out);
}

/// A text, which is left out where it is empty.
fn text(number: u32, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        bytes(number, text.as_bytes(), out);
    }
}

fn double(number: u32, value: &Value, out: &mut Vec<u8>) {
    if let Some(value) = value.as_f64().filter(|value| *value != 0.0) {
        head(number, 1, out);
        out.extend(value.to_le_bytes());
    }
}

fn bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    open(number, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// The head of a field of that length.
fn open(number: u32, length: usize, out: &mut Vec<u8>) {
    head(number, 2, out);
    varint(length as u64, out);
}

fn head(number: u32, wire: u32, out: &mut Vec<u8>) {
    varint(u64::from(number << 3 | wire), out);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
