//! What changed between two documents: the fields that were removed, modified and added.

use std::collections::BTreeMap;

use super::element::{Element, same};
use super::place::{Form, Items, Place};
use super::set::{Node, Set};
use crate::document::{Map, Value};

/// The difference of two documents. No field is in two of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only in the old one.
    pub removed: Set,
    /// In both, with different values.
    pub modified: Set,
    /// Only in the new one.
    pub added: Set,
}

impl Comparison {
    /// Whether nothing changed.
    pub fn is_same(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// Whether it touches none of a manager's fields.
    pub(super) fn is_apart(&self, fields: &Set) -> bool {
        [&self.modified, &self.added, &self.removed].iter().all(|part| part.is_disjoint(fields))
    }

    /// What an owner of the change owns: everything that has a new value.
    pub fn changed(&self) -> Set {
        match (self.modified.is_empty(), self.added.is_empty()) {
            (true, _) => self.added.clone(),
            (_, true) => self.modified.clone(),
            _ => self.modified.union(&self.added),
        }
    }

    /// The same without what `keep` drops.
    pub(super) fn filtered(self, keep: impl Fn(Set) -> Set) -> Self {
        Self { removed: keep(self.removed), modified: keep(self.modified), added: keep(self.added) }
    }
}

/// What changed at one path and below it.
#[derive(Default)]
struct Change {
    removed: Node,
    modified: Node,
    added: Node,
}

impl Change {
    fn is_nothing(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }
}

/// Compares two documents at the same place.
pub(super) fn compare(place: Place<'_>, old: &Value, new: &Value) -> Comparison {
    let mut change = Change::default();
    visit(place, Some(old), Some(new), &mut change);
    Comparison { removed: change.removed.children, modified: change.modified.children, added: change.added.children }
}

fn visit(place: Place<'_>, old: Option<&Value>, new: Option<&Value>, change: &mut Change) {
    let (before, after) = (place.form(old), place.form(new));
    let is_leaf = match (old, new) {
        (_, None) => visit_as(place, before, old, new, change),
        (None, _) => visit_as(place, after, old, new, change),
        _ if before == after => visit_as(place, after, old, new, change),
        _ => {
            visit_as(place, before, old, new, change);
            visit_as(place, after, old, new, change)
        }
    };
    if !is_leaf {
        change.added.member |= old.is_none();
        change.removed.member |= new.is_none();
    }
}

/// Compares what is treated as one form; answers whether it is compared as a whole.
fn visit_as(place: Place<'_>, form: Form<'_>, old: Option<&Value>, new: Option<&Value>, change: &mut Change) -> bool {
    match form {
        Form::Scalar(_) => leaf(old, new, change),
        Form::List(items) => {
            let (before, after) = (list_of(old), list_of(new));
            if items == Items::Atomic || (before.is_empty() && after.is_empty()) {
                return leaf(old, new, change);
            }
            visit_items(place, before, after, change);
            false
        }
        Form::Map(atomic) => {
            let (before, after) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
            let is_empty = |map: Option<&Map<String, Value>>| map.is_none_or(Map::is_empty);
            if atomic || (is_empty(before) && is_empty(after)) {
                return leaf(old, new, change);
            }
            visit_fields(place, before, after, change);
            false
        }
    }
}

fn list_of(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn leaf(old: Option<&Value>, new: Option<&Value>, change: &mut Change) -> bool {
    match (old, new) {
        (None, _) => change.added.member = true,
        (_, None) => change.removed.member = true,
        (Some(old), Some(new)) => change.modified.member |= !same(old, new),
    }
    true
}

fn visit_fields(
    place: Place<'_>,
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
    change: &mut Change,
) {
    static NULL: Value = Value::Null;
    let mut before = old.into_iter().flatten().peekable();
    let mut after = new.into_iter().flatten().peekable();
    loop {
        // Both are sorted.
        let key = match (before.peek(), after.peek()) {
            (None, None) => return,
            (Some((key, _)), None) | (None, Some((key, _))) => *key,
            (Some((a, _)), Some((b, _))) => *a.min(b),
        };
        let mut left = before.next_if(|(name, _)| *name == key).map(|(_, value)| value);
        let mut right = after.next_if(|(name, _)| *name == key).map(|(_, value)| value);
        let Some(child) = place.child(key) else { continue };
        if left.is_none() || right.is_none() {
            let null = place.is_null_when_absent(key).then_some(&NULL);
            left = left.or(null.filter(|_| old.is_some()));
            right = right.or(null.filter(|_| new.is_some()));
        }
        step(child, left, right, change, || Element::Field(key.as_str().into()));
    }
}

/// Compares a part, and names it only if something changed.
fn step(
    place: Place<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    change: &mut Change,
    element: impl FnOnce() -> Element,
) {
    let mut inner = Change::default();
    visit(place, old, new, &mut inner);
    put(change, inner, element);
}

fn put(change: &mut Change, inner: Change, element: impl FnOnce() -> Element) {
    if inner.is_nothing() {
        return;
    }
    let element = element();
    match (inner.removed.is_empty(), inner.modified.is_empty(), inner.added.is_empty()) {
        // Mostly it is one of them, and the element is not copied.
        (true, true, false) => change.added.children.put(element, inner.added),
        (true, false, true) => change.modified.children.put(element, inner.modified),
        (false, true, true) => change.removed.children.put(element, inner.removed),
        _ => {
            change.removed.children.put(element.clone(), inner.removed);
            change.modified.children.put(element.clone(), inner.modified);
            change.added.children.put(element, inner.added);
        }
    }
}

fn visit_items(place: Place<'_>, old: &[Value], new: &[Value], change: &mut Change) {
    let Some(item) = place.items() else { return };
    let in_step = old.len() == new.len() && old.iter().zip(new).all(|(a, b)| place.is_same_item(a, b));
    if in_step && are_distinct(place, old) {
        for (a, b) in old.iter().zip(new) {
            let mut inner = Change::default();
            visit(item, Some(a), Some(b), &mut inner);
            if !inner.is_nothing()
                && let Ok(element) = place.element(b)
            {
                put(change, inner, || element);
            }
        }
        return;
    }
    let mut pairs: BTreeMap<Element, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    // An item that nothing tells from others is nobody's.
    for value in old {
        if let Ok(element) = place.element(value) {
            pairs.entry(element).or_default().0.push(value);
        }
    }
    for value in new {
        if let Ok(element) = place.element(value) {
            pairs.entry(element).or_default().1.push(value);
        }
    }
    for (element, (before, after)) in pairs {
        let mut inner = Change::default();
        visit_pair(item, &before, &after, &mut inner);
        put(change, inner, || element);
    }
}

/// Whether no item is there twice. Lists are short.
fn are_distinct(place: Place<'_>, items: &[Value]) -> bool {
    let twice = |at: usize| items[..at].iter().any(|other| place.is_same_item(other, &items[at]));
    items.len() <= 16 && !(1..items.len()).any(twice)
}

/// Compares the items of one name. One that is there several times is compared as a whole.
fn visit_pair(place: Place<'_>, old: &[&Value], new: &[&Value], change: &mut Change) {
    match (old, new) {
        ([] | [_], [] | [_]) => visit(place, old.first().copied(), new.first().copied(), change),
        ([_, _, ..], [_, _, ..]) => {
            let equal = old.len() == new.len() && old.iter().zip(new).all(|(a, b)| same(a, b));
            change.modified.member |= !equal;
        }
        ([_, _, ..], _) => {
            if let Some(only) = new.first() {
                visit(place, None, Some(only), change);
            }
            change.removed.member = true;
        }
        _ => {
            if let Some(only) = old.first() {
                visit(place, Some(only), None, change);
            }
            change.added.member = true;
        }
    }
}
