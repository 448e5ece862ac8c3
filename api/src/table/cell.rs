//! Cells that many kinds share, and the row that they are put into.

use super::Column;
use crate::document::{Document, Map, Value};
use crate::selector::LabelSelector;
use crate::time;

/// The name's column.
pub(super) const NAME: Column =
    Column { name: "Name", kind: "string", format: "name", description: "Name of the object.", priority: 0 };
/// The age's column.
pub(super) const AGE: Column = text("Age", "Time since the object was created.");
/// Columns of workloads, shown with `-o wide`.
pub(super) const CONTAINERS: Column = wide("Containers", "Names of the containers in the pod template.");
/// Columns of workloads, shown with `-o wide`.
pub(super) const IMAGES: Column = wide("Images", "Images of the containers in the pod template.");
/// Columns of workloads, shown with `-o wide`.
pub(super) const SELECTOR: Column = wide("Selector", "Which pods belong to the object.");

pub(super) const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", format: "", description, priority: 0 }
}

pub(super) const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { priority: 1, ..text(name, description) }
}

pub(super) const fn integer(name: &'static str, description: &'static str) -> Column {
    Column { kind: "integer", ..text(name, description) }
}

pub(super) const fn boolean(name: &'static str, description: &'static str) -> Column {
    Column { kind: "boolean", ..text(name, description) }
}

/// A row being filled, cell by cell.
pub(super) struct Row<'a> {
    pub(super) object: &'a Value,
    /// Microseconds since 1970.
    now: i64,
    pub(super) cells: Vec<Value>,
}

impl<'a> Row<'a> {
    pub(super) fn new(object: &'a Value, now: i64) -> Self {
        Self { object, now, cells: Vec::with_capacity(10) }
    }

    pub(super) fn put(&mut self, cell: impl Into<Value>) -> &mut Self {
        self.cells.push(cell.into());
        self
    }

    /// A cell made from the object.
    pub(super) fn of<V: Into<Value>>(&mut self, cell: impl FnOnce(&'a Value) -> V) -> &mut Self {
        self.put(cell(self.object))
    }

    pub(super) fn name(&mut self) -> &mut Self {
        self.put(self.object.name())
    }

    pub(super) fn age(&mut self) -> &mut Self {
        let age = self.since(self.object.text(&["metadata", "creationTimestamp"]));
        self.put(age)
    }

    /// The text at `path`, empty where it is missing.
    pub(super) fn text(&mut self, path: &[&str]) -> &mut Self {
        self.put(self.object.text(path))
    }

    /// The text or number at `path`.
    pub(super) fn text_or(&mut self, path: &[&str], absent: &str) -> &mut Self {
        self.put(text_or(self.object.at(path), absent))
    }

    /// The number at `path`, 0 where it is missing.
    pub(super) fn int(&mut self, path: &[&str]) -> &mut Self {
        self.put(int(self.object, path))
    }

    /// The truth at `path`.
    pub(super) fn bool(&mut self, path: &[&str], absent: bool) -> &mut Self {
        self.put(self.object.at(path).as_bool().unwrap_or(absent))
    }

    /// How many items the list at `path` has.
    pub(super) fn count(&mut self, path: &[&str]) -> &mut Self {
        self.put(self.object.list(path).len())
    }

    /// How long ago an RFC 3339 time was.
    pub(super) fn since(&self, at: &str) -> String {
        time::age(at, self.now)
    }

    /// Microseconds since 1970, now.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// Names and images of the containers of a pod template's spec: two cells.
    pub(super) fn containers(&mut self, spec: &[&str]) -> &mut Self {
        let containers = self.object.at(spec).list(&["containers"]);
        let joined = |field: &str| join(containers.iter().map(|container| container.text(&[field])), ",");
        self.put(joined("name")).put(joined("image"))
    }

    /// The metav1.LabelSelector at `path`, as one reads it.
    pub(super) fn selector(&mut self, path: &[&str]) -> &mut Self {
        self.put(match LabelSelector::from_value(self.object.at(path)).map(|selector| selector.to_string()) {
            Ok(text) if text.is_empty() => "<none>".to_owned(),
            Ok(text) => text,
            Err(_) => "<error>".to_owned(),
        })
    }

    /// The map of labels at `path`.
    pub(super) fn labels(&mut self, path: &[&str]) -> &mut Self {
        let labels = self.object.at(path).as_object().into_iter().flat_map(Map::iter);
        let pairs = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        let pairs: Vec<String> = pairs.collect();
        self.put(or_none(pairs.join(",")))
    }
}

pub(super) fn int(object: &Value, path: &[&str]) -> i64 {
    object.int(path).unwrap_or(0)
}

/// A scalar as text.
pub(super) fn text_or(value: &Value, absent: &str) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => absent.to_owned(),
    }
}

pub(super) fn or_none(text: String) -> String {
    if text.is_empty() { "<none>".to_owned() } else { text }
}

pub(super) fn join<'a>(parts: impl Iterator<Item = &'a str>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

/// The texts of a list.
pub(super) fn texts<'a>(object: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a str> {
    object.list(path).iter().filter_map(Value::as_str)
}

/// The first `most` parts, and how many more there are.
pub(super) fn some_of(parts: &[String], most: usize, between: &str) -> String {
    match parts.len() {
        count if count > most => format!("{} + {} more...", parts[..most].join(between), count - most),
        _ => parts.join(between),
    }
}

/// The condition of a type in `status.conditions`.
pub(super) fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.list(&["status", "conditions"]).iter().find(|condition| condition.text(&["type"]) == name)
}

/// Whether that condition is True.
pub(super) fn is_true(object: &Value, name: &str) -> bool {
    condition(object, name).is_some_and(|condition| condition.text(&["status"]) == "True")
}
