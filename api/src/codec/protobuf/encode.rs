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

/// Writes the bytes of an object, which its envelope carries.
pub(super) fn object(shape: Shape<'_>, document: &Value) -> Result<Vec<u8>, Malformed> {
    if shape.message().open {
        let message = format!("{} is a custom resource, which has no protobuf form", shape.short_name());
        return Err(Malformed { message });
    }
    let mut out = Backwards(Vec::with_capacity(1024));
    out.fields_of(shape, document)?;
    out.0.reverse();
    Ok(out.0)
}

/// The bytes before an object of `length` bytes and those behind it: the magic bytes and a `runtime.Unknown`.
pub(super) fn envelope(magic: &[u8], api_version: &str, kind: &str, length: usize) -> (Vec<u8>, &'static [u8]) {
    let mut out = Backwards(Vec::with_capacity(64));
    out.varint(length as u64);
    out.tag(2, LENGTH);
    let end = out.0.len();
    out.text(2, kind);
    out.text(1, api_version);
    out.close(1, end);
    out.bytes(magic);
    out.0.reverse();
    // contentEncoding and contentType, empty: the reference always writes them.
    (out.0, b"\x1a\x00\x22\x00")
}

/// The tag and length before the bytes of a field.
pub(super) fn head(number: u32, length: usize) -> Vec<u8> {
    let mut out = Backwards(Vec::with_capacity(8));
    out.varint(length as u64);
    out.tag(number, LENGTH);
    out.0.reverse();
    out.0
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
        let end = self.0.len();
        self.fields_of(shape, value)?;
        self.close(number, end);
        Ok(())
    }

    fn fields_of(&mut self, shape: Shape<'_>, value: &Value) -> Result<(), Malformed> {
        let Value::Object(map) = value else { return Err(misfit(shape.short_name())) };
        let values = values(shape, map)?;
        self.fields(shape, &values, shape.numbered(), 0)
    }

    /// Writes fields that come in descending order, and whose numbers are the same above `level`. What protobuf nests
    /// and JSON does not is written even where it is empty: the reference has no pointers there.
    fn fields(
        &mut self,
        shape: Shape<'_>,
        values: &[Option<&Value>],
        positions: &[usize],
        level: usize,
    ) -> Result<(), Malformed> {
        let fields = shape.fields();
        for alike in positions.chunk_by(|a, b| fields[*a].number[level] == fields[*b].number[level]) {
            let field = &fields[alike[0]];
            let number = field.number[level];
            if field.number.len() > level + 1 {
                let end = self.0.len();
                self.fields(shape, values, alike, level + 1)?;
                self.close(number, end);
            } else if let Some(value) = values[alike[0]] {
                self.field(number, shape, field, value)?;
            } else if field.presence != Presence::Pointer {
                self.zero(number, shape, &field.of)?;
            }
        }
        Ok(())
    }

    /// What is no pointer in the reference is written even where it is zero; an empty list or map is nothing.
    fn zero(&mut self, number: u32, shape: Shape<'_>, of: &Type) -> Result<(), Malformed> {
        let end = self.0.len();
        match of {
            Type::String => self.text(number, ""),
            Type::Bool | Type::Int32 | Type::Int64 => self.int(number, 0),
            Type::Double => {
                self.bytes(&[0; 8]);
                self.tag(number, FIXED64);
            }
            Type::Quantity | Type::IntOrString => {
                self.value(number, shape, of, &shape.schema.zero(of).unwrap_or_default())?
            }
            Type::Time | Type::MicroTime | Type::RawExtension | Type::FieldsV1 => self.close(number, end),
            Type::Message(id) => {
                let inner = shape.schema.shape(*id);
                self.fields(inner, &vec![None; inner.fields().len()], inner.numbered(), 0)?;
                self.close(number, end);
            }
            Type::Bytes | Type::Any | Type::Union(..) | Type::List(_) | Type::Map(_) => {}
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

/// The values of a message by the position of their fields. Both are sorted by name.
fn values<'a>(shape: Shape<'a>, map: &'a Map<String, Value>) -> Result<Vec<Option<&'a Value>>, Malformed> {
    let fields = shape.fields();
    let mut values = vec![None; fields.len()];
    let mut at = 0;
    for (name, value) in map {
        while fields.get(at).is_some_and(|field| field.name.as_str() < name.as_str()) {
            at += 1;
        }
        match fields.get(at).filter(|field| field.name == *name) {
            Some(field) if !field.number.is_empty() => values[at] = Some(value),
            Some(_) if matches!(name.as_str(), "kind" | "apiVersion") => {}
            _ => {
                let message = format!("{}.{name} has no protobuf form", shape.short_name());
                return Err(Malformed { message });
            }
        }
    }
    Ok(values)
}

fn misfit(wanted: &str) -> Malformed {
    Malformed { message: format!("the document is not canonical: a {wanted} is something else") }
}
