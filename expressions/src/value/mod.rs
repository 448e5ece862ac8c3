//! Values, and how they compare.
//!
//! Lists and maps of documents stay what they are until somebody looks inside: [`list`] and [`map`].

mod json;
mod list;
mod map;

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;
use smol_str::SmolStr;

pub use list::List;
pub use map::{Entries, Map};

use crate::declared::{DeclaredKind, Document};
use crate::evaluate::{Failure, Meter};
use crate::number::{self, Number};
use crate::time::{parse_date, parse_open_api_duration, parse_timestamp};
use crate::types::Type;

/// Text: of the document or program, or made.
#[derive(Clone, Debug)]
pub enum Text<'d> {
    /// Somebody else's.
    Borrowed(&'d str),
    /// Made by an evaluation.
    Shared(Arc<str>),
}

impl Text<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

/// A value that only functions can look into.
pub trait Opaque: fmt::Debug + Send + Sync {
    /// Its type.
    fn of(&self) -> Type;
    /// Whether it equals another value, of any type.
    fn equals(&self, other: &dyn Opaque) -> bool;
    /// For functions that know what it is.
    fn as_any(&self) -> &dyn Any;
    /// What `size` would say, for the costs of those that have one.
    fn size(&self) -> u64 {
        1
    }
}

/// A message that an expression made: `Object{spec: Object.spec{…}}`.
#[derive(Clone, Debug)]
pub struct StructValue<'d> {
    /// Its type.
    pub name: SmolStr,
    /// Its fields.
    pub fields: Vec<(SmolStr, Value<'d>)>,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'d> {
    /// null
    Null,
    /// bool
    Bool(bool),
    /// int
    Int(i64),
    /// uint
    Uint(u64),
    /// double
    Double(f64),
    /// string
    String(Text<'d>),
    /// bytes
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    /// Nanoseconds since 1970.
    Timestamp(i128),
    /// list
    List(List<'d>),
    /// map, and objects of a document
    Map(Map<'d>),
    /// A message that the expression made.
    Struct(Arc<StructValue<'d>>),
    /// A type.
    Type(Type),
    /// An optional value.
    Optional(Option<Arc<Value<'d>>>),
    /// What only functions can look into.
    Opaque(Arc<dyn Opaque>),
}

impl<'d> Value<'d> {
    /// A text that was made.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Value::String(Text::Shared(text.into()))
    }

    /// A list of values.
    pub fn list(items: Vec<Value<'d>>) -> Self {
        Value::List(List::Values(Arc::new(items)))
    }

    /// An optional value that is there.
    pub fn some(value: Value<'d>) -> Self {
        Value::Optional(Some(Arc::new(value)))
    }

    /// The value of a document: what is no list or object is converted, others when they are looked at.
    pub fn of(document: Document<'d>) -> Result<Self, Failure> {
        let wrong = |expected: &str| Failure::error(format!("invalid data, expected {expected}"));
        if document.json.is_null() {
            return if document.of.nullable {
                Ok(Value::Null)
            } else {
                Err(Failure::error("invalid data, got null for schema with nullable=false"))
            };
        }
        match (&document.of.kind, document.json) {
            (DeclaredKind::Dyn, json) => Ok(match json {
                Json::Array(_) => Value::List(List::Json(document)),
                Json::Object(_) => Value::Map(Map::Json(document)),
                scalar => Value::of_scalar(scalar),
            }),
            (DeclaredKind::IntOrString, Json::String(text)) => Ok(Value::String(Text::Borrowed(text))),
            (DeclaredKind::IntOrString | DeclaredKind::Int, Json::Number(number)) => {
                number.as_i64().map(Value::Int).ok_or_else(|| wrong("int, got float64"))
            }
            (DeclaredKind::Double, Json::Number(number)) => Ok(Value::Double(number.as_f64().unwrap_or(f64::NAN))),
            (DeclaredKind::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
            (DeclaredKind::String, Json::String(text)) => Ok(Value::String(Text::Borrowed(text))),
            (DeclaredKind::List(..), Json::Array(_)) => Ok(Value::List(List::Json(document))),
            (DeclaredKind::Map(_) | DeclaredKind::Object { .. }, Json::Object(_)) => {
                Ok(Value::Map(Map::Json(document)))
            }
            (kind, Json::String(text)) => formatted(kind, text),
            _ => Err(wrong("a value that fits the schema")),
        }
    }

    fn of_scalar(json: &'d Json) -> Self {
        match json {
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(value) => Value::Int(value),
                None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::String(Text::Borrowed(text)),
            _ => Value::Null,
        }
    }

    /// The type that it has now.
    pub fn type_of(&self) -> Type {
        match self {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Uint(_) => Type::Uint,
            Value::Double(_) => Type::Double,
            Value::String(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::Duration(_) => Type::Duration,
            Value::Timestamp(_) => Type::Timestamp,
            Value::List(_) => Type::list(Type::Dyn),
            Value::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Value::Struct(value) => Type::Object(value.name.clone()),
            Value::Type(_) => Type::Type(None),
            Value::Optional(_) => Type::optional(Type::Dyn),
            Value::Opaque(value) => value.of(),
        }
    }

    /// Whether it may be given for a parameter of that type. What is inside of lists is not looked at.
    pub(crate) fn fits(&self, of: &Type) -> bool {
        match (self, of) {
            (_, Type::Dyn | Type::Param(_) | Type::Error) => true,
            (Value::Null, Type::Null) | (Value::Bool(_), Type::Bool) | (Value::Int(_), Type::Int) => true,
            (Value::Uint(_), Type::Uint) | (Value::Double(_), Type::Double) | (Value::Bytes(_), Type::Bytes) => true,
            (Value::String(_), Type::String) | (Value::Duration(_), Type::Duration) => true,
            (Value::Timestamp(_), Type::Timestamp) | (Value::List(_), Type::List(_)) => true,
            (Value::Map(_), Type::Map(_) | Type::Object(_)) | (Value::Type(_), Type::Type(_)) => true,
            (Value::Optional(inner), Type::Optional(of)) => inner.as_ref().is_none_or(|value| value.fits(of)),
            (Value::Struct(value), Type::Object(name)) => value.name == *name,
            (Value::Opaque(value), of) => value.of() == *of,
            _ => false,
        }
    }

    /// What `size` says, 1 for what has no size.
    pub fn size(&self) -> u64 {
        match self {
            Value::String(text) => text.as_str().chars().count() as u64,
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::List(list) => list.len() as u64,
            Value::Map(map) => map.len() as u64,
            Value::Optional(Some(value)) => value.size(),
            Value::Opaque(value) => value.size(),
            _ => 1,
        }
    }

    /// The number that it is.
    pub(crate) fn number(&self) -> Option<Number> {
        match self {
            Value::Int(value) => Some(Number::Int(*value)),
            Value::Uint(value) => Some(Number::Uint(*value)),
            Value::Double(value) => Some(Number::Double(*value)),
            _ => None,
        }
    }

    /// Whether two values are equal. Values of different types are not, numbers excepted.
    pub fn equals(&self, other: &Value<'d>, meter: &mut Meter<'_>) -> Result<bool, Failure> {
        meter.work(1)?;
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return Ok(number::compare(a, b) == Some(Ordering::Equal));
        }
        Ok(match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::String(a), Value::String(b)) => {
                meter.work(a.as_str().len().min(b.as_str().len()) as u64 / 64)?;
                a.as_str() == b.as_str()
            }
            (Value::Bytes(a), Value::Bytes(b)) => {
                meter.work(a.len().min(b.len()) as u64 / 64)?;
                a == b
            }
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::List(a), Value::List(b)) => a.equals(b, meter)?,
            (Value::Map(a), Value::Map(b)) => a.equals(b, meter)?,
            (Value::Type(a), Value::Type(b)) => a.name() == b.name(),
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b, meter)?,
                (a, b) => a.is_none() && b.is_none(),
            },
            (Value::Opaque(a), Value::Opaque(b)) => a.equals(b.as_ref()),
            (Value::Struct(a), Value::Struct(b)) => {
                let mut same = a.name == b.name && a.fields.len() == b.fields.len();
                for (name, value) in &a.fields {
                    let other = b.fields.iter().find(|(other, _)| other == name);
                    same = same && other.is_some_and(|(_, other)| value.equals(other, meter).unwrap_or(false));
                }
                same
            }
            _ => false,
        })
    }

    /// How two values are ordered; `None` where they are not.
    pub fn compare(&self, other: &Value<'d>) -> Option<Ordering> {
        if let (Some(a), Some(b)) = (self.number(), other.number()) {
            return number::compare(a, b);
        }
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::String(a), Value::String(b)) => Some(a.as_str().cmp(b.as_str())),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        }
    }
}

/// Text with a format.
fn formatted<'d>(kind: &DeclaredKind, text: &str) -> Result<Value<'d>, Failure> {
    match kind {
        DeclaredKind::Bytes => {
            use base64::Engine;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            let wrong = |error| Failure::error(format!("Invalid byte formatted string {text}: {error}"));
            bytes.map(|bytes| Value::Bytes(bytes.into())).map_err(wrong)
        }
        DeclaredKind::Duration => {
            let wrong = || Failure::error(format!("Invalid duration {text}: unable to parse {text} as duration"));
            parse_open_api_duration(text).map(Value::Duration).ok_or_else(wrong)
        }
        DeclaredKind::Date => {
            let wrong = || Failure::error(format!("Invalid date formatted string {text}"));
            parse_date(text).map(Value::Timestamp).ok_or_else(wrong)
        }
        DeclaredKind::DateTime => {
            let wrong = || Failure::error(format!("Invalid date-time formatted string {text}"));
            parse_timestamp(text).map(Value::Timestamp).ok_or_else(wrong)
        }
        _ => Err(Failure::error("invalid data, expected a value that fits the schema, got string")),
    }
}
