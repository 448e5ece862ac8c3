//! Canonical documents to bytes. Everything is written back to front and turned round once at the end: so a length is
//! known when it is its turn.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::Malformed;
use crate::schema::{Field, Presence, Shape, Shortened, Type};
use crate::time;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

/// Writes the magic bytes and a `runtime.Unknown`.
pub(super) fn envelope(
    magic: &[u8],
    shape: Shape<'_>,
    document: &Value,
    api_version: &str,
    kind: &str,
) -> Result<Vec<u8>, Malformed> {
    if shape.message().open {
        return Err(Malformed { message: format!("{kind} is a custom resource, which has no protobuf form") });
    }
    let mut out = Backwards(Vec::with_capacity(1024));
    // The reference always writes contentType and contentEncoding, empty.
    out.text(4, "");
    out.text(3, "");
    out.message(2, shape, document)?;
    let end = out.0.len();
    out.text(2, kind);
    out.text(1, api_version);
    out.close(1, end);
    out.bytes(magic);
    out.0.reverse();
    Ok(out.0)
}

struct Backwards(Vec<u8>);

impl Backwards {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.iter().rev());
    }

    fn varint(&mut self, mut value: u64) {
        let mut bytes = [0; 10];
        let mut length = 0;
        while value >= 0x80 {
            bytes[length] = value as u8 | 0x80;
            value >>= 7;
            length += 1;
        }
        bytes[length] = value as u8;
        self.bytes(&bytes[..=length]);
    }

    fn tag(&mut self, number: u32, wire: u64) {
        self.varint(u64::from(number) << 3 | wire);
    }

    /// Puts length and tag before what was written since there were `end` bytes.
    fn close(&mut self, number: u32, end: usize) {
        self.varint((self.0.len() - end) as u64);
        self.tag(number, LENGTH);
    }

    fn int(&mut self, number: u32, value: i64) {
        self.varint(value as u64);
        self.tag(number, VARINT);
    }

    fn blob(&mut self, number: u32, bytes: &[u8]) {
        let end = self.0.len();
        self.bytes(bytes);
        self.close(number, end);
    }

    fn text(&mut self, number: u32, text: &str) {
        self.blob(number, text.as_bytes());
    }

    fn message(&mut self, number: u32, shape: Shape<'_>, value: &Value) -> Result<(), Malformed> {
        let Value::Object(map) = value else { return Err(misfit(shape.short_name())) };
        let end = self.0.len();
        let mut fields = present(shape, map)?;
        fields.sort_unstable_by(|(a, _), (b, _)| b.number.cmp(&a.number));
        self.fields(shape, &fields, 0)?;
        self.close(number, end);
        Ok(())
    }

    /// Writes fields that come in descending order, and whose numbers are the same above `level`.
    fn fields(&mut self, shape: Shape<'_>, fields: &[(&Field, &Value)], level: usize) -> Result<(), Malformed> {
        for alike in fields.chunk_by(|(a, _), (b, _)| a.number[level] == b.number[level]) {
            let (field, value) = alike[0];
            let number = field.number[level];
            if field.number.len() == level + 1 {
                self.field(number, shape, field, value)?;
            } else {
                let end = self.0.len();
                self.fields(shape, alike, level + 1)?;
                self.close(number, end);
            }
        }
        Ok(())
    }

    fn field(&mut self, number: u32, shape: Shape<'_>, field: &Field, value: &Value) -> Result<(), Malformed> {
        let named = |error: Malformed| Malformed { message: format!("{}.{}: {error}", shape.short_name(), field.name) };
        match (&field.of, value) {
            (Type::List(item), Value::Array(items)) => {
                items.iter().rev().try_for_each(|value| self.value(number, shape, item, value)).map_err(named)
            }
            (Type::Map(of), Value::Object(entries)) => entries.iter().rev().try_for_each(|(key, value)| {
                let end = self.0.len();
                self.value(2, shape, of, value).map_err(named)?;
                self.text(1, key);
                self.close(number, end);
                Ok(())
            }),
            (Type::List(_) | Type::Map(_), _) => Err(named(misfit("list or map"))),
            (of, value) => self.value(number, shape, of, value).map_err(named),
        }
    }

    /// One value, be it a field's own, in a list or in a map.
    fn value(&mut self, number: u32, shape: Shape<'_>, of: &Type, value: &Value) -> Result<(), Malformed> {
        let end = self.0.len();
        match (of, value) {
            (Type::String, Value::String(text)) => self.text(number, text),
            (Type::Bool, Value::Bool(value)) => self.int(number, i64::from(*value)),
            (Type::Int32 | Type::Int64, value) => {
                self.int(number, value.as_i64().ok_or_else(|| misfit("whole number"))?);
            }
            (Type::Double, value) => {
                self.bytes(&value.as_f64().ok_or_else(|| misfit("number"))?.to_le_bytes());
                self.tag(number, FIXED64);
            }
            (Type::Bytes, Value::String(text)) => {
                self.blob(number, &STANDARD.decode(text).map_err(|_| misfit("base64 text"))?);
            }
            (Type::Quantity, Value::String(text)) => {
                self.text(1, text);
                self.close(number, end);
            }
            (Type::IntOrString, value) => {
                self.int_or_string(value)?;
                self.close(number, end);
            }
            (Type::Time | Type::MicroTime, value) => {
                self.instant(value)?;
                self.close(number, end);
            }
            (Type::RawExtension | Type::FieldsV1 | Type::Any, value) => {
                if !value.is_null() {
                    self.blob(1, value.to_string().as_bytes());
                }
                self.close(number, end);
            }
            (Type::Message(id), value) => self.message(number, shape.schema.shape(*id), value)?,
            (Type::Union(id, shortened), value) => {
                self.union(shape.schema.shape(*id), *shortened, value)?;
                self.close(number, end);
            }
            // A message with the one field `items` stands between.
            (Type::List(item), Value::Array(items)) => {
                items.iter().rev().try_for_each(|value| self.value(1, shape, item, value))?;
                self.close(number, end);
            }
            (Type::List(_), Value::Null) => self.close(number, end),
            (of, _) => return Err(misfit(&format!("{of:?}"))),
        }
        Ok(())
    }

    /// A union of apiextensions: its message is the first field, or the second behind whether anything goes.
    fn union(&mut self, shape: Shape<'_>, shortened: Shortened, value: &Value) -> Result<(), Malformed> {
        match (shortened, value) {
            (Shortened::Bool, Value::Bool(allows)) => self.int(1, i64::from(*allows)),
            // Whoever reads the message alone must not take it for a ban.
            (Shortened::Bool, value) => {
                self.message(2, shape, value)?;
                self.int(1, 1);
            }
            (Shortened::List, Value::Array(items)) => {
                items.iter().rev().try_for_each(|item| self.message(2, shape, item))?;
            }
            (Shortened::Strings, Value::Array(items)) => {
                items.iter().rev().try_for_each(|item| self.value(2, shape, &Type::String, item))?;
            }
            (_, value) => self.message(1, shape, value)?,
        }
        Ok(())
    }

    fn int_or_string(&mut self, value: &Value) -> Result<(), Malformed> {
        let (form, int, text) = match value {
            Value::String(text) => (1, 0, text.as_str()),
            value => (0, value.as_i64().ok_or_else(|| misfit("number or text"))?, ""),
        };
        self.text(3, text);
        self.int(2, int);
        self.int(1, form);
        Ok(())
    }

    /// Both numbers always: no bytes at all are the zero time.
    fn instant(&mut self, value: &Value) -> Result<(), Malformed> {
        if value.is_null() {
            return Ok(());
        }
        let micros = value.as_str().and_then(time::parse).ok_or_else(|| misfit("time"))?;
        self.int(2, micros.rem_euclid(1_000_000) * 1000);
        self.int(1, micros.div_euclid(1_000_000));
        Ok(())
    }
}

/// The fields that protobuf holds and that say something.
fn present<'a>(shape: Shape<'a>, map: &'a Map<String, Value>) -> Result<Vec<(&'a Field, &'a Value)>, Malformed> {
    let mut fields = Vec::with_capacity(map.len());
    for (name, value) in map {
        match shape.field(name) {
            Some(field) if field.number.is_empty() && matches!(name.as_str(), "kind" | "apiVersion") => {}
            Some(field) if !field.number.is_empty() => {
                if field.presence == Presence::Pointer || shape.zero().get(name) != Some(value) {
                    fields.push((field, value));
                }
            }
            _ => {
                let message = format!("{}.{name} has no protobuf form", shape.short_name());
                return Err(Malformed { message });
            }
        }
    }
    Ok(fields)
}

fn misfit(wanted: &str) -> Malformed {
    Malformed { message: format!("the document is not canonical: a {wanted} is something else") }
}
