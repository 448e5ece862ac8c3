//! Bytes to canonical documents.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::Malformed;
use super::reader::{Reader, Wire};
use crate::codec::scalar::{Misfit, Scalar};
use crate::codec::walk::is_absent;
use crate::codec::{DEPTH, deeper_than};
use crate::schema::{Field, Shape, Shortened, Type};
use crate::time;

/// How many messages a body may hold. An empty one takes two bytes, and a hundred times that once it is canonical.
const MESSAGES: usize = 1 << 17;

/// The first and last second that four digits can hold the year of.
const SECONDS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// Reads the object of an envelope.
pub(super) fn document(shape: Shape<'_>, reader: Reader<'_>) -> Result<Map<String, Value>, Malformed> {
    let mut out = Map::new();
    Decoder { messages: 0 }.message(&mut out, shape, reader, 1)?;
    Ok(out)
}

/// Depths are those of the document, the root's being 1.
struct Decoder {
    messages: usize,
}

impl Decoder {
    /// Reads a message, or one more part of it: parts are merged.
    fn message(
        &mut self,
        out: &mut Map<String, Value>,
        shape: Shape<'_>,
        reader: Reader<'_>,
        depth: usize,
    ) -> Result<(), Malformed> {
        self.messages += 1;
        if depth > DEPTH {
            return Err(reader.error("the document is nested too deeply"));
        }
        if self.messages > MESSAGES {
            return Err(reader.error("the document has too many parts"));
        }
        self.fields(out, shape, &[], reader, depth)?;
        for (name, zero) in shape.zero() {
            if !out.contains_key(name) {
                out.insert(name.clone(), zero.clone());
            }
        }
        Ok(())
    }

    /// Reads the fields whose numbers start with `prefix`: JSON has one message where protobuf nests several.
    fn fields(
        &mut self,
        out: &mut Map<String, Value>,
        shape: Shape<'_>,
        prefix: &[u32],
        mut reader: Reader<'_>,
        depth: usize,
    ) -> Result<(), Malformed> {
        while let Some((number, wire)) = reader.tag()? {
            let here = |field: &&Field| {
                field.number.strip_prefix(prefix).and_then(|rest| rest.first()).is_some_and(|first| *first == number)
            };
            match shape.fields().iter().find(here) {
                None => reader.skip(wire)?,
                Some(field) if field.number.len() == prefix.len() + 1 => {
                    self.field(out, shape, field, wire, &mut reader, depth)?;
                }
                Some(_) if wire != Wire::Length => return Err(reader.wrong(wire, shape.short_name())),
                Some(field) => {
                    let inner = reader.within()?;
                    self.fields(out, shape, &field.number[..=prefix.len()], inner, depth)?;
                }
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        out: &mut Map<String, Value>,
        shape: Shape<'_>,
        field: &Field,
        wire: Wire,
        reader: &mut Reader<'_>,
        depth: usize,
    ) -> Result<(), Malformed> {
        let name = field.name.as_str();
        match &field.of {
            Type::List(item) => {
                let mut more = Vec::new();
                self.items(&mut more, shape, (item, name), wire, reader, depth + 1)?;
                match out.get_mut(name) {
                    Some(Value::Array(items)) => items.append(&mut more),
                    _ if more.is_empty() => {}
                    _ => drop(out.insert(name.to_owned(), Value::Array(more))),
                }
            }
            Type::Map(of) => {
                let (key, value) = self.entry(shape, (of, name), wire, reader, depth + 1)?;
                match out.get_mut(name) {
                    Some(Value::Object(entries)) => drop(entries.insert(key, value)),
                    _ => drop(out.insert(name.to_owned(), Value::Object(Map::from_iter([(key, value)])))),
                }
            }
            Type::Message(id) => {
                let inner = framed(wire, name, reader)?;
                let of = shape.schema.shape(*id);
                match out.get_mut(name) {
                    Some(Value::Object(fields)) => self.message(fields, of, inner, depth + 1)?,
                    _ => {
                        let mut fields = Map::new();
                        self.message(&mut fields, of, inner, depth + 1)?;
                        out.insert(name.to_owned(), Value::Object(fields));
                    }
                }
            }
            Type::Union(..) => {
                let value = self.value(shape, (&field.of, name), wire, reader, depth)?;
                out.insert(name.to_owned(), value);
            }
            of => match scalar((of, name), wire, reader, depth)? {
                Some(value) if !is_absent(&value, field) => drop(out.insert(name.to_owned(), value)),
                _ => drop(out.remove(name)),
            },
        }
        Ok(())
    }

    /// One item of a list, or several numbers that are packed.
    fn items(
        &mut self,
        items: &mut Vec<Value>,
        shape: Shape<'_>,
        (of, name): (&Type, &str),
        wire: Wire,
        reader: &mut Reader<'_>,
        depth: usize,
    ) -> Result<(), Malformed> {
        let framing = match of {
            Type::Bool | Type::Int32 | Type::Int64 => Wire::Varint,
            Type::Double => Wire::Fixed64,
            _ => Wire::Length,
        };
        if framing == Wire::Length || wire == framing {
            items.push(self.value(shape, (of, name), wire, reader, depth)?);
            return Ok(());
        }
        let mut packed = framed(wire, name, reader)?;
        while !packed.is_empty() {
            items.push(self.value(shape, (of, name), framing, &mut packed, depth)?);
        }
        Ok(())
    }

    /// A key and its value, either of which may be left out.
    fn entry(
        &mut self,
        shape: Shape<'_>,
        (of, name): (&Type, &str),
        wire: Wire,
        reader: &mut Reader<'_>,
        depth: usize,
    ) -> Result<(String, Value), Malformed> {
        let mut entry = framed(wire, name, reader)?;
        let mut key = "";
        let mut value = None;
        while let Some((number, wire)) = entry.tag()? {
            match (number, wire) {
                (1, Wire::Length) => key = entry.text()?,
                (1, wire) => return Err(entry.wrong(wire, name)),
                (2, wire) => value = Some(self.value(shape, (of, name), wire, &mut entry, depth)?),
                _ => entry.skip(wire)?,
            }
        }
        Ok((key.to_owned(), value.or_else(|| shape.schema.zero(of)).unwrap_or_default()))
    }

    /// A value that stands in a list or a map.
    fn value(
        &mut self,
        shape: Shape<'_>,
        (of, name): (&Type, &str),
        wire: Wire,
        reader: &mut Reader<'_>,
        depth: usize,
    ) -> Result<Value, Malformed> {
        match of {
            Type::Message(id) => {
                let mut fields = Map::new();
                self.message(&mut fields, shape.schema.shape(*id), framed(wire, name, reader)?, depth + 1)?;
                Ok(Value::Object(fields))
            }
            // Protobuf has no lists of lists nor maps of them: a message with the one field `items` stands between.
            Type::List(item) => {
                let mut inner = framed(wire, name, reader)?;
                let mut items = Vec::new();
                while let Some((number, wire)) = inner.tag()? {
                    match number {
                        1 => self.items(&mut items, shape, (item, name), wire, &mut inner, depth + 1)?,
                        _ => inner.skip(wire)?,
                    }
                }
                Ok(Value::Array(items))
            }
            Type::Union(id, shortened) => {
                let inner = framed(wire, name, reader)?;
                self.union(shape.schema.shape(*id), *shortened, name, inner, depth + 1)
            }
            Type::Map(_) => Err(reader.error("a map of maps has no protobuf form")),
            of => {
                let value = scalar((of, name), wire, reader, depth)?;
                Ok(value.or_else(|| shape.schema.zero(of)).unwrap_or_default())
            }
        }
    }
}

impl Decoder {
    /// A union of apiextensions: a message, or what may stand in its place.
    fn union(
        &mut self,
        shape: Shape<'_>,
        shortened: Shortened,
        name: &str,
        mut reader: Reader<'_>,
        depth: usize,
    ) -> Result<Value, Malformed> {
        let schema = if shortened == Shortened::Bool { 2 } else { 1 };
        let (mut whole, mut allows, mut items) = (None, false, Vec::new());
        while let Some((number, wire)) = reader.tag()? {
            match (number, shortened) {
                (number, _) if number == schema => {
                    let fields = match whole.get_or_insert_with(|| Value::Object(Map::new())) {
                        Value::Object(fields) => fields,
                        _ => unreachable!("it was made above"),
                    };
                    self.message(fields, shape, framed(wire, name, &mut reader)?, depth)?;
                }
                (1, Shortened::Bool) if wire == Wire::Varint => allows = reader.varint()? != 0,
                (2, Shortened::List) => {
                    let of = Type::Message(shape.id);
                    items.push(self.value(shape, (&of, name), wire, &mut reader, depth)?);
                }
                (2, Shortened::Strings) => {
                    items.push(self.value(shape, (&Type::String, name), wire, &mut reader, depth)?);
                }
                _ => reader.skip(wire)?,
            }
        }
        Ok(match (whole, shortened) {
            (Some(whole), _) => whole,
            (None, Shortened::Bool) => Value::Bool(allows),
            (None, _) => Value::Array(items),
        })
    }
}

/// The bytes of a value that must have a length.
fn framed<'b>(wire: Wire, name: &str, reader: &mut Reader<'b>) -> Result<Reader<'b>, Malformed> {
    if wire == Wire::Length { reader.within() } else { Err(reader.wrong(wire, name)) }
}

/// `None` for what is null in JSON.
fn scalar(
    (of, name): (&Type, &str),
    wire: Wire,
    reader: &mut Reader<'_>,
    depth: usize,
) -> Result<Option<Value>, Malformed> {
    let value = match (of, wire) {
        (Type::String, Wire::Length) => reader.text()?.into(),
        (Type::Bool, Wire::Varint) => (reader.varint()? != 0).into(),
        // Negative numbers have ten bytes whatever their type; what does not fit is cut off, as in the reference.
        (Type::Int32, Wire::Varint) => (reader.varint()? as i32).into(),
        (Type::Int64, Wire::Varint) => (reader.varint()? as i64).into(),
        (Type::Double, Wire::Fixed64) => double(f64::from_bits(reader.fixed64()?), reader)?,
        (Type::Bytes, Wire::Length) => STANDARD.encode(reader.within()?.rest()).into(),
        (Type::Quantity, Wire::Length) => quantity(reader.within()?)?,
        (Type::IntOrString, Wire::Length) => int_or_string(reader.within()?)?,
        (Type::Time, Wire::Length) => return instant(reader.within()?, time::format_seconds),
        (Type::MicroTime, Wire::Length) => return instant(reader.within()?, time::format_micros),
        (Type::RawExtension | Type::FieldsV1 | Type::Any, Wire::Length) => return raw(reader.within()?, depth),
        (_, wire) => return Err(reader.wrong(wire, name)),
    };
    Ok(Some(value))
}

fn double(value: f64, reader: &Reader<'_>) -> Result<Value, Malformed> {
    let number = Number::from_f64(value).ok_or_else(|| reader.error("a number is not finite"))?;
    canonical(Scalar::Number(number), &Type::Double, reader)
}

fn quantity(mut reader: Reader<'_>) -> Result<Value, Malformed> {
    let mut text = "0";
    while let Some((number, wire)) = reader.tag()? {
        match (number, wire) {
            (1, Wire::Length) => text = reader.text()?,
            (1, wire) => return Err(reader.wrong(wire, "string")),
            _ => reader.skip(wire)?,
        }
    }
    canonical(Scalar::Text(text.to_owned()), &Type::Quantity, &reader)
}

fn canonical(scalar: Scalar, of: &Type, reader: &Reader<'_>) -> Result<Value, Malformed> {
    scalar.read(of).map_err(|misfit| match misfit {
        Misfit::Type(what) | Misfit::Content(what) => reader.error(&what),
    })
}

fn int_or_string(mut reader: Reader<'_>) -> Result<Value, Malformed> {
    let (mut form, mut int, mut text) = (0, 0, "");
    while let Some((number, wire)) = reader.tag()? {
        match (number, wire) {
            (1, Wire::Varint) => form = reader.varint()?,
            (2, Wire::Varint) => int = reader.varint()? as i32,
            (3, Wire::Length) => text = reader.text()?,
            (1..=3, wire) => return Err(reader.wrong(wire, "IntOrString")),
            _ => reader.skip(wire)?,
        }
    }
    match form {
        0 => Ok(int.into()),
        1 => Ok(text.into()),
        _ => Err(reader.error("impossible IntOrString.Type")),
    }
}

/// No bytes at all are the zero time, which is null in JSON.
fn instant(mut reader: Reader<'_>, format: fn(i64) -> String) -> Result<Option<Value>, Malformed> {
    if reader.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((number, wire)) = reader.tag()? {
        match (number, wire) {
            (1, Wire::Varint) => seconds = reader.varint()? as i64,
            (2, Wire::Varint) => nanos = reader.varint()? as i32,
            (1 | 2, wire) => return Err(reader.wrong(wire, "Timestamp")),
            _ => reader.skip(wire)?,
        }
    }
    if !SECONDS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(reader.error("a time is out of range"));
    }
    Ok(Some(format(seconds * 1_000_000 + i64::from(nanos / 1000)).into()))
}

/// JSON within protobuf.
fn raw(mut reader: Reader<'_>, depth: usize) -> Result<Option<Value>, Malformed> {
    let mut text: &[u8] = &[];
    while let Some((number, wire)) = reader.tag()? {
        match (number, wire) {
            (1, Wire::Length) => text = reader.within()?.rest(),
            (1, wire) => return Err(reader.wrong(wire, "raw")),
            _ => reader.skip(wire)?,
        }
    }
    if text.is_empty() {
        return Ok(None);
    }
    let value: Value = serde_json::from_slice(text)
        .map_err(|error| reader.error(&format!("an embedded object is no JSON: {error}, ending")))?;
    if deeper_than(&value, DEPTH.saturating_sub(depth)) {
        return Err(reader.error("the document is nested too deeply"));
    }
    Ok(Some(value).filter(|value| !value.is_null()))
}
