//! A document with another one, which is only a part, laid over it. Nothing is removed.

use std::collections::{BTreeMap, BTreeSet};

use super::element::Element;
use super::place::{Form, Items, Place};
use crate::document::{Map, Value};

/// The merged document. Both must have passed [`super::validate`]; only the first may name an item of a list twice.
pub(super) fn merge(place: Place<'_>, live: &Value, config: &Value) -> Value {
    visit(place, Some(live), Some(config)).unwrap_or_default()
}

fn visit(place: Place<'_>, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    let (Some(left), Some(right)) = (live, config) else { return config.or(live).cloned() };
    match place.form(config) {
        Form::List(Items::Set | Items::Keyed(_)) => match (list_of(left), list_of(right)) {
            ([], []) => Some(right.clone()),
            (left, right) => merge_items(place, left, right),
        },
        Form::Map(false) => merge_fields(place, left, right),
        Form::Scalar(_) | Form::List(Items::Atomic) | Form::Map(true) => Some(right.clone()),
    }
}

fn list_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn merge_fields(place: Place<'_>, live: &Value, config: &Value) -> Option<Value> {
    let none = Map::new();
    let (left, right) = (live.as_object().unwrap_or(&none), config.as_object().unwrap_or(&none));
    if left.is_empty() && right.is_empty() {
        return Some(config.clone());
    }
    let mut merged = left.clone();
    for (key, value) in right {
        let Some(child) = place.child(key) else { continue };
        match visit(child, left.get(key), Some(value)) {
            Some(value) => _ = merged.insert(key.clone(), value),
            None => _ = merged.remove(key),
        }
    }
    Some(Value::Object(merged))
}

/// Items that only the live list has keep their place among their neighbours; those of the applied list come in its
/// order.
fn merge_items(place: Place<'_>, live: &[Value], config: &[Value]) -> Option<Value> {
    let of = place.items()?;
    let left = Indexed::of(place, live);
    let right = Indexed::of(place, config);
    let mut shared = right.order.iter().filter(|element| left.found.contains_key(element)).peekable();
    let mut done: BTreeSet<&Element> = BTreeSet::new();
    let mut merged = Vec::with_capacity(left.order.len().max(right.order.len()));
    let (mut l, mut r) = (0, 0);
    while l < left.order.len() || r < right.order.len() {
        let (ours, theirs) = (left.order.get(l), right.order.get(r));
        match ours {
            // Both are at the same item.
            Some(element) if theirs == Some(element) => {
                done.insert(element);
                merged.extend(visit(of, left.value(element), right.value(element)));
                (l, r) = (l + 1, r + 1);
                shared.next();
                continue;
            }
            // The applied list has it as well, and will come to it in its own order.
            Some(element)
                if theirs.is_some()
                    && right.found.contains_key(element)
                    && shared.peek().is_some_and(|next| *next != element) =>
            {
                l += 1;
                continue;
            }
            Some(element) if !right.found.contains_key(element) => {
                merged.push(left.items[l].clone());
                l += 1;
                continue;
            }
            Some(element) if done.contains(element) => l += 1,
            _ => {}
        }
        if let Some(element) = theirs {
            done.insert(element);
            merged.extend(visit(of, left.value(element), right.value(element)));
            r += 1;
            shared.next_if(|next| *next == element);
        }
    }
    (!merged.is_empty()).then_some(Value::Array(merged))
}

/// A list's items by what tells them apart.
struct Indexed<'v> {
    items: Vec<&'v Value>,
    order: Vec<Element>,
    found: BTreeMap<Element, Option<&'v Value>>,
}

impl<'v> Indexed<'v> {
    fn of(place: Place<'_>, list: &'v [Value]) -> Self {
        let mut indexed = Self { items: Vec::new(), order: Vec::new(), found: BTreeMap::new() };
        for item in list {
            let Ok(element) = place.element(item) else { continue };
            indexed.items.push(item);
            indexed.order.push(element.clone());
            // What is there several times is not merged with, but replaced.
            indexed.found.entry(element).and_modify(|value| *value = None).or_insert(Some(item));
        }
        indexed
    }

    fn value(&self, element: &Element) -> Option<&'v Value> {
        self.found.get(element).copied().flatten()
    }
}
