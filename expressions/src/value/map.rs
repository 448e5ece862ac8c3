//! Maps, and objects of documents.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use super::{Text, Value};
use crate::declared::{DeclaredKind, Document};
use crate::escape::escape;
use crate::evaluate::{Failure, Meter, shown};

/// A map.
#[derive(Clone, Debug)]
pub enum Map<'d> {
    /// Of values, in the order in which they came.
    Values(Arc<Entries<'d>>),
    /// Of a document.
    Json(Document<'d>),
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

    pub(super) fn get_text(&self, key: &str) -> Option<Result<Value<'d>, Failure>> {
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

    pub(super) fn equals(&self, other: &Map<'d>, meter: &mut Meter<'_>) -> Result<bool, Failure> {
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
