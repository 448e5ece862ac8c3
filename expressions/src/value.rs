//! Values, and how they compare.

use std::any::Any;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;
use smol_str::SmolStr;

use crate::declared::{DeclaredKind, Document, ListKind};
use crate::escape::escape;
use crate::evaluate::{Failure, Meter, shown};
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

/// A list.
#[derive(Clone, Debug)]
pub enum List<'d> {
    /// Of values.
    Values(Arc<Vec<Value<'d>>>),
    /// Of a document: items are converted when they are looked at.
    Json(Document<'d>),
    /// One behind another.
    Joined(Arc<(List<'d>, List<'d>)>, usize),
}

/// A map.
#[derive(Clone, Debug)]
pub enum Map<'d> {
    /// Of values, in the order in which they came.
    Values(Arc<Entries<'d>>),
    /// Of a document.
    Json(Document<'d>),
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

impl<'d> List<'d> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        match self {
            List::Values(items) => items.len(),
            List::Json(document) => document.json.as_array().map_or(0, Vec::len),
            List::Joined(_, length) => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One behind the other. A list of a document that is a set or map stays one.
    pub fn join(self, other: List<'d>, meter: &mut Meter<'_>) -> Result<List<'d>, Failure> {
        if let List::Json(document) = &self
            && let DeclaredKind::List(_, kind @ (ListKind::Set | ListKind::Map(_))) = &document.of.kind
        {
            return self.merge(kind, other, meter);
        }
        if self.is_empty() || other.is_empty() {
            return Ok(if self.is_empty() { other } else { self });
        }
        let length = self.len().saturating_add(other.len());
        Ok(List::Joined(Arc::new((self, other)), length))
    }

    /// What `+` makes of a set (what is there stays) and of a map (what has the same keys is replaced).
    fn merge(&self, kind: &ListKind, other: List<'d>, meter: &mut Meter<'_>) -> Result<List<'d>, Failure> {
        let mut items = self.items(meter)?;
        for item in other.items(meter)? {
            let mut place = None;
            for (at, known) in items.iter().enumerate() {
                if same_key(kind, known, &item, meter)? {
                    place = Some(at);
                    break;
                }
            }
            match (place, kind) {
                (Some(at), ListKind::Map(_)) => items[at] = item,
                (Some(_), _) => {}
                (None, _) => items.push(item),
            }
        }
        Ok(List::Values(Arc::new(items)))
    }

    /// The item at an index, `None` beyond the end.
    pub fn get(&self, mut index: usize) -> Option<Result<Value<'d>, Failure>> {
        let mut list = self;
        loop {
            match list {
                List::Values(items) => return items.get(index).cloned().map(Ok),
                List::Json(document) => {
                    let json = document.json.as_array()?.get(index)?;
                    let of = match &document.of.kind {
                        DeclaredKind::List(of, _) => of,
                        _ => document.of,
                    };
                    return Some(Value::of(Document { json, of }));
                }
                List::Joined(parts, _) => {
                    let left = parts.0.len();
                    if index < left {
                        list = &parts.0;
                    } else {
                        index -= left;
                        list = &parts.1;
                    }
                }
            }
        }
    }

    /// All items, each counted as work.
    pub fn items(&self, meter: &mut Meter<'_>) -> Result<Vec<Value<'d>>, Failure> {
        meter.work(self.len() as u64)?;
        let mut items = Vec::with_capacity(self.len());
        let mut open = vec![self];
        while let Some(list) = open.pop() {
            match list {
                List::Values(values) => items.extend(values.iter().cloned()),
                List::Json(_) => {
                    for index in 0..list.len() {
                        items.extend(list.get(index).transpose()?);
                    }
                }
                List::Joined(parts, _) => open.extend([&parts.1, &parts.0]),
            }
        }
        Ok(items)
    }

    /// Whether a value is in it.
    pub fn contains(&self, value: &Value<'d>, meter: &mut Meter<'_>) -> Result<bool, Failure> {
        for item in self.items(meter)? {
            if item.equals(value, meter)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn equals(&self, other: &List<'d>, meter: &mut Meter<'_>) -> Result<bool, Failure> {
        if self.len() != other.len() {
            return Ok(false);
        }
        let kind = match self {
            List::Json(document) => match &document.of.kind {
                DeclaredKind::List(_, kind) => kind,
                _ => &ListKind::Atomic,
            },
            _ => &ListKind::Atomic,
        };
        let (left, right) = (self.items(meter)?, other.items(meter)?);
        if *kind != ListKind::Atomic {
            for item in &right {
                let mut found = false;
                for known in &left {
                    if same_key(kind, known, item, meter)? {
                        found = *kind == ListKind::Set || known.equals(item, meter)?;
                        break;
                    }
                }
                if !found {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        for (a, b) in left.iter().zip(&right) {
            if !a.equals(b, meter)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether two items of a set are the same, or have the same keys in a map.
fn same_key<'d>(kind: &ListKind, a: &Value<'d>, b: &Value<'d>, meter: &mut Meter<'_>) -> Result<bool, Failure> {
    let ListKind::Map(keys) = kind else { return a.equals(b, meter) };
    let (Value::Map(a), Value::Map(b)) = (a, b) else { return Ok(false) };
    for key in keys {
        let name = escape(key).unwrap_or(Cow::Borrowed(key));
        let same = match (a.get_text(&name).transpose()?, b.get_text(&name).transpose()?) {
            (Some(a), Some(b)) => a.equals(&b, meter)?,
            (a, b) => a.is_none() && b.is_none(),
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Entries of a map that was made, found by key.
#[derive(Clone, Debug, Default)]
pub struct Entries<'d> {
    entries: Vec<(Value<'d>, Value<'d>)>,
    at: HashMap<Key, usize>,
}

/// What a key is looked up by: equal numbers of different types are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Bool(bool),
    Whole(i128),
    Double(u64),
    Text(SmolStr),
}

impl Key {
    fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Key::Bool(*value),
            Value::Int(value) => Key::Whole((*value).into()),
            Value::Uint(value) => Key::Whole((*value).into()),
            Value::Double(value) if value.fract() == 0.0 => Key::Whole(*value as i128),
            Value::Double(value) => Key::Double(value.to_bits()),
            Value::String(text) => Key::Text(text.as_str().into()),
            _ => return None,
        })
    }
}

impl<'d> Entries<'d> {
    /// Adds an entry; a key that is there already, or can be none, is an error.
    pub fn insert(&mut self, key: Value<'d>, value: Value<'d>) -> Result<(), Failure> {
        let Some(at) = Key::of(&key) else {
            return Err(Failure::error(format!("unsupported key type: {}", key.type_of().name())));
        };
        if self.at.contains_key(&at) {
            return Err(Failure::error(format!("insert failed: key {} already exists", shown(&key))));
        }
        self.at.insert(at, self.entries.len());
        self.entries.push((key, value));
        Ok(())
    }

    /// The value of a key.
    pub fn get(&self, key: &Value<'_>) -> Option<&Value<'d>> {
        self.at.get(&Key::of(key)?).map(|at| &self.entries[*at].1)
    }

    /// Every entry, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &(Value<'d>, Value<'d>)> {
        self.entries.iter()
    }
}

impl<'d> Map<'d> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        match self {
            Map::Values(entries) => entries.entries.len(),
            Map::Json(document) => document.json.as_object().map_or(0, serde_json::Map::len),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get_text(&self, key: &str) -> Option<Result<Value<'d>, Failure>> {
        match self {
            Map::Json(document) => document.property(key).map(Value::of),
            Map::Values(entries) => entries.get(&Value::text(key)).cloned().map(Ok),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &Value<'d>) -> Option<Result<Value<'d>, Failure>> {
        match (self, key.as_text()) {
            (Map::Values(entries), _) => entries.get(key).cloned().map(Ok),
            (Map::Json(_), Some(text)) => self.get_text(text),
            (Map::Json(_), None) => None,
        }
    }

    /// A map of those entries; of two with the same key the first counts.
    pub fn of(entries: impl IntoIterator<Item = (Value<'d>, Value<'d>)>) -> Self {
        let mut made = Entries::default();
        for (key, value) in entries {
            // A key that is there already is not an error of the caller.
            let _ = made.insert(key, value);
        }
        Map::Values(Arc::new(made))
    }

    /// The keys that expressions see.
    pub fn keys(&self) -> Vec<Value<'d>> {
        match self {
            Map::Values(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
            Map::Json(document) => {
                let names = document.json.as_object().into_iter().flat_map(|map| map.keys());
                match &document.of.kind {
                    DeclaredKind::Object { .. } => names
                        .filter_map(|name| {
                            let identifier = escape(name)?;
                            document.of.field(&identifier)?;
                            Some(match identifier {
                                Cow::Borrowed(text) => Value::String(Text::Borrowed(text)),
                                Cow::Owned(text) => Value::text(text),
                            })
                        })
                        .collect(),
                    _ => names.map(|name| Value::String(Text::Borrowed(name))).collect(),
                }
            }
        }
    }

    fn equals(&self, other: &Map<'d>, meter: &mut Meter<'_>) -> Result<bool, Failure> {
        if self.len() != other.len() {
            return Ok(false);
        }
        if let (Map::Json(a), Map::Json(b)) = (self, other)
            && std::ptr::eq(a.json, b.json)
        {
            return Ok(true);
        }
        for key in self.keys() {
            let value = self.get(&key).transpose()?;
            let same = match (value, other.get(&key).transpose()?) {
                (Some(a), Some(b)) => a.equals(&b, meter)?,
                _ => false,
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(self.hidden_equal(other))
    }

    /// Whether what expressions do not see is the same too.
    fn hidden_equal(&self, other: &Map<'d>) -> bool {
        let (Map::Json(a), Map::Json(b)) = (self, other) else { return true };
        let DeclaredKind::Object { .. } = &a.of.kind else { return true };
        let (Some(left), Some(right)) = (a.json.as_object(), b.json.as_object()) else { return true };
        left.iter().all(|(name, value)| {
            let seen = escape(name).is_some_and(|identifier| a.of.field(&identifier).is_some());
            seen || right.get(name).is_none_or(|other| other == value)
        })
    }
}
