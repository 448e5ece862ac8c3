//! One step of a path to a field, and the text that it has in FieldsV1 and in messages.

use std::cmp::Ordering;
use std::fmt;

use smol_str::SmolStr;

use crate::document::{Map, Value};

/// One step down from a value to a part of it.
#[derive(Clone, Debug)]
pub enum Element {
    /// A field of a message, or a key of a map: `f:name`.
    Field(SmolStr),
    /// The item of a list whose keys have these values, sorted by name: `k:{"name":"web"}`.
    Key(Box<[(SmolStr, Value)]>),
    /// The item of a set with this value: `v:"example.com/hold"`.
    Item(Value),
    /// The item at this place: `i:0`. Nobody writes it, but it is read.
    Index(i64),
}

/// Why the text of a step, or of a set, was not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl Element {
    /// Reads a key of FieldsV1; `None` for a type that a later version may know.
    pub fn parse(text: &str) -> Result<Option<Self>, Unreadable> {
        let malformed = |why: &str| Unreadable(format!("{why}: {text}"));
        let (kind, rest) = text.split_at_checked(2).ok_or_else(|| malformed("key must be 2 characters long"))?;
        match kind {
            "f:" => Ok(Some(Self::Field(rest.into()))),
            "k:" => {
                let keys: Map<String, Value> =
                    serde_json::from_str(rest).map_err(|error| malformed(&error.to_string()))?;
                Ok(Some(Self::Key(keys.into_iter().map(|(name, value)| (name.into(), value)).collect())))
            }
            "v:" => {
                let value = serde_json::from_str(rest).map_err(|error| malformed(&error.to_string()))?;
                Ok(Some(Self::Item(value)))
            }
            "i:" => rest.parse().map(|at| Some(Self::Index(at))).map_err(|_| malformed("an index must be a number")),
            kind if kind.ends_with(':') => Ok(None),
            _ => Err(malformed("missing colon")),
        }
    }

    /// Writes the key of FieldsV1, as a JSON string.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Field(name) if is_plain(name) => {
                out.extend_from_slice(b"\"f:");
                out.extend_from_slice(name.as_bytes());
                out.push(b'"');
            }
            Self::Field(name) => write_text(&format!("f:{name}"), out),
            Self::Key(keys) => {
                let pairs: Vec<String> = keys
                    .iter()
                    .map(|(name, value)| format!("{}:{}", json(&Value::from(name.as_str())), json(value)))
                    .collect();
                write_text(&format!("k:{{{}}}", pairs.join(",")), out);
            }
            Self::Item(value) => write_text(&format!("v:{}", json(value)), out),
            Self::Index(at) => write_text(&format!("i:{at}"), out),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Item(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => {
                let pairs = a.iter().zip(b.iter());
                let mut orders = pairs.map(|((a, x), (b, y))| a.cmp(b).then_with(|| order(x, y)));
                orders.find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            (Self::Item(a), Self::Item(b)) => order(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Element {}

/// As conflicts show it: `.spec`, `[name="web"]`, `[="a"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let pairs: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
                write!(f, "[{}]", pairs.join(","))
            }
            Self::Item(value) => write!(f, "[={}]", shown(value)),
            Self::Index(at) => write!(f, "[{at}]"),
        }
    }
}

/// A path in the words of conflicts: `.spec.containers[name="web"].image`.
pub fn path_text(path: &[&Element]) -> String {
    path.iter().map(|element| element.to_string()).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes every byte");
}

/// JSON as the reference writes it inside of keys: what could end a script is escaped.
fn json(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 10);
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether two values are the same; numbers are compared as numbers.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => order(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b))
        }
        _ => a == b,
    }
}

/// The order of values: numbers, texts, truths, lists, maps, null.
fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => match (x.as_i64(), y.as_i64()) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => x.as_f64().unwrap_or_default().total_cmp(&y.as_f64().unwrap_or_default()),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let mut orders = a.iter().zip(b).map(|(a, b)| order(a, b));
            orders.find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut orders = a.iter().zip(b).map(|((k, a), (l, b))| k.cmp(l).then_with(|| order(a, b)));
            orders.find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}
