//! The walk: a serde visitor that follows the schema.
//!
//! A type error does not stop it, because a syntax error further down wins in the reference, which checks syntax first:
//! the first one is kept in the [`Context`] and the walk goes on.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::path::{Path, Step};
use super::scalar::{Misfit, Scalar};
use crate::schema::{Field, Presence, Schema, Shape, Shortened, Type, TypeId};

/// How many problems are worth telling.
const PROBLEMS: usize = 100;

/// What one walk found.
pub(super) struct Context<'s> {
    pub schema: &'s Schema,
    pub problems: Vec<String>,
    /// The first type error.
    pub error: Option<String>,
    /// The same in the words of the reference's converter of unstructured objects, where those are others.
    pub restored: Option<String>,
}

impl<'s> Context<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        Self { schema, problems: Vec::new(), error: None, restored: None }
    }

    fn problem(&mut self, what: &str, path: &Path<'_>) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(format!("{what} field {:?}", Path::full(Some(path))));
        }
    }
}

/// Reads one value of a type; `None` for null and for what did not fit.
pub(super) struct Seed<'c, 's> {
    context: &'c mut Context<'s>,
    of: &'c Type,
    /// The message whose field this is, for the wording of type errors.
    owner: Option<TypeId>,
    path: Option<&'c Path<'c>>,
}

impl<'c, 's> Seed<'c, 's> {
    /// Reads a whole document.
    pub(super) fn root(context: &'c mut Context<'s>, of: &'c Type) -> Self {
        Self { context, of, owner: None, path: None }
    }

    fn scalar(self, scalar: Scalar) -> Option<Value> {
        match scalar.read(self.of) {
            Ok(value) => Some(value),
            Err(Misfit::Type(what)) => self.mismatch(&what),
            Err(Misfit::Content(what)) => {
                self.context.error.get_or_insert(what);
                None
            }
        }
    }

    /// Remembers a type error in the words of Go's decoder.
    fn mismatch(self, what: &str) -> Option<Value> {
        if self.context.error.is_none() {
            let schema = self.context.schema;
            let place = match self.owner {
                Some(owner) => {
                    format!("struct field {}.{}", schema.shape(owner).short_name(), Path::fields(self.path))
                }
                None => "value".to_owned(),
            };
            let of = match self.of {
                // Their own decoders read these, and do not know where they are.
                Type::Time | Type::MicroTime => "value of type string".to_owned(),
                Type::IntOrString => "value of type int32".to_owned(),
                of => format!("{place} of type {}", go_type(schema, of)),
            };
            self.context.error = Some(format!("json: cannot unmarshal {what} into Go {of}"));
            self.context.restored = restored(schema, what, self.of);
        }
        None
    }

    fn message<'de, A: MapAccess<'de>>(self, id: TypeId, mut map: A) -> Result<Map<String, Value>, A::Error> {
        let schema = self.context.schema;
        let shape = schema.shape(id);
        let mut out = Map::new();
        let mut seen = Seen::default();
        while let Some(key) = map.next_key_seed(KeySeed(shape))? {
            let at = match key {
                Key::Known(at) => at,
                Key::Unknown(name) if shape.message().open => {
                    out.insert(name, map.next_value()?);
                    continue;
                }
                Key::Unknown(name) => {
                    self.context.problem("unknown", &Path { parent: self.path, step: Step::Field(&name) });
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let field = &shape.fields()[at];
            let path = Path { parent: self.path, step: Step::Field(&field.name) };
            if seen.again(at) {
                self.context.problem("duplicate", &path);
                out.remove(field.name.as_str());
            }
            let seed = Seed { context: &mut *self.context, of: &field.of, owner: Some(id), path: Some(&path) };
            if let Some(value) = map.next_value_seed(seed)?
                && !is_absent(&value, field)
            {
                out.insert(field.name.to_string(), value);
            }
        }
        for (name, zero) in shape.zero() {
            if !out.contains_key(name) {
                out.insert(name.clone(), zero.clone());
            }
        }
        Ok(out)
    }

    fn map<'de, A: MapAccess<'de>>(self, of: &Type, mut map: A) -> Result<Map<String, Value>, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = Path { parent: self.path, step: Step::Key(&key) };
            if out.contains_key(&key) {
                self.context.problem("duplicate", &path);
            }
            let seed = Seed { context: &mut *self.context, of, owner: self.owner, path: Some(&path) };
            let value = map.next_value_seed(seed)?;
            let value = value.or_else(|| self.context.schema.zero(of)).unwrap_or_default();
            out.insert(key, value);
        }
        Ok(out)
    }

    fn list<'de, A: SeqAccess<'de>>(self, of: &Type, mut list: A) -> Result<Vec<Value>, A::Error> {
        let mut out = Vec::new();
        loop {
            let path = Path { parent: self.path, step: Step::Index(out.len()) };
            let seed = Seed { context: &mut *self.context, of, owner: self.owner, path: Some(&path) };
            let Some(value) = list.next_element_seed(seed)? else { break };
            out.push(value.or_else(|| self.context.schema.zero(of)).unwrap_or_default());
        }
        Ok(out)
    }
}

/// Whether the canonical form leaves the value out.
pub(super) fn is_absent(value: &Value, field: &Field) -> bool {
    let presence = field.presence;
    match value {
        // Lists, maps and bytes that are always written are null in Go when they are empty; nulls are absent.
        Value::Array(items) => items.is_empty() && presence != Presence::Pointer,
        Value::String(text) if field.of == Type::Bytes => text.is_empty() && presence != Presence::Pointer,
        Value::String(text) => text.is_empty() && presence == Presence::OmitZero,
        Value::Number(number) => presence == Presence::OmitZero && number.as_f64() == Some(0.0),
        Value::Bool(value) => !value && presence == Presence::OmitZero,
        Value::Object(fields) => fields.is_empty() && presence != Presence::Pointer && matches!(field.of, Type::Map(_)),
        Value::Null => true,
    }
}

/// What runtime.DefaultUnstructuredConverter says of a value that does not fit; `None` for types that read themselves.
fn restored(schema: &Schema, what: &str, of: &Type) -> Option<String> {
    let kind = match what {
        "object" => "map",
        "array" => "slice",
        "string" | "bool" => what,
        number if number.contains('.') => "float64",
        _ => "int64",
    };
    match of {
        Type::Map(_) => Some(format!("cannot restore map from {kind}")),
        Type::List(_) => Some(format!("cannot restore slice from {kind}")),
        Type::Message(_) => Some(format!("cannot restore struct from: {kind}")),
        Type::String | Type::Bool | Type::Int32 | Type::Int64 | Type::Double => {
            let kind = match kind {
                "map" => "map[string]interface {}",
                "slice" => "[]interface {}",
                other => other,
            };
            Some(format!("cannot convert {kind} to {}", go_type(schema, of)))
        }
        _ => None,
    }
}

/// How Go spells a type.
fn go_type(schema: &Schema, of: &Type) -> String {
    match of {
        Type::String => "string".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Int32 => "int32".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::Double => "float64".to_owned(),
        Type::Bytes => "[]uint8".to_owned(),
        Type::Quantity => "resource.Quantity".to_owned(),
        Type::IntOrString => "intstr.IntOrString".to_owned(),
        Type::Time => "v1.Time".to_owned(),
        Type::MicroTime => "v1.MicroTime".to_owned(),
        Type::RawExtension => "runtime.RawExtension".to_owned(),
        Type::FieldsV1 => "v1.FieldsV1".to_owned(),
        Type::Any => "interface {}".to_owned(),
        Type::Message(id) | Type::Union(id, _) => {
            let mut parts = schema.shape(*id).name().rsplit('.');
            let name = parts.next().unwrap_or_default();
            parts.next().map_or_else(|| name.to_owned(), |package| format!("{package}.{name}"))
        }
        Type::List(item) => format!("[]{}", go_type(schema, item)),
        Type::Map(value) => format!("map[string]{}", go_type(schema, value)),
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.of {
            Type::Any | Type::RawExtension | Type::FieldsV1 => {
                Value::deserialize(deserializer).map(|value| Some(value).filter(|value| !value.is_null()))
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&go_type(self.context.schema, self.of))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        if matches!(self.of, Type::Union(_, Shortened::Bool)) {
            return Ok(Some(Value::Bool(value)));
        }
        Ok(self.scalar(Scalar::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Number(value.into())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Number(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        match Number::from_f64(value) {
            Some(number) => Ok(self.scalar(Scalar::Number(number))),
            None => Ok(self.mismatch("number")),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Text(value.to_owned())))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Text(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        match self.of {
            Type::List(of) => self.list(of, list).map(|items| Some(Value::Array(items))),
            Type::Union(id, Shortened::List) => self.list(&Type::Message(*id), list).map(|all| Some(Value::Array(all))),
            Type::Union(_, Shortened::Strings) => self.list(&Type::String, list).map(|all| Some(Value::Array(all))),
            _ => {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(self.mismatch("array"))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        match self.of {
            Type::Message(id) | Type::Union(id, _) => self.message(*id, map).map(|fields| Some(Value::Object(fields))),
            Type::Map(of) => self.map(of, map).map(|fields| Some(Value::Object(fields))),
            _ => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(self.mismatch("object"))
            }
        }
    }
}

/// Which fields of a message were met.
#[derive(Default)]
struct Seen {
    first: u128,
    rest: Vec<usize>,
}

impl Seen {
    /// Notes a field; whether it was noted before.
    fn again(&mut self, at: usize) -> bool {
        if at < 128 {
            let bit = 1 << at;
            let again = self.first & bit != 0;
            self.first |= bit;
            return again;
        }
        let again = self.rest.contains(&at);
        self.rest.push(at);
        again
    }
}

/// The key of a field, looked up before anything is allocated.
struct KeySeed<'s>(Shape<'s>);

enum Key {
    Known(usize),
    Unknown(String),
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.position(name).map_or_else(|| Key::Unknown(name.to_owned()), Key::Known))
    }
}
