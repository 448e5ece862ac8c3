//! A document without some of its fields and items.

use super::element::Element;
use super::place::{Form, Items, Place};
use super::set::Set;
use crate::document::{Map, Value};

/// The document without the fields of a set, and what lies below them. What loses everything stays, empty.
pub(super) fn remove(place: Place<'_>, document: &Value, fields: &Set) -> Value {
    match (place.form(Some(document)), document) {
        (Form::Map(false), Value::Object(map)) => {
            let kept = map.iter().filter_map(|(key, value)| {
                let inner = kept(place.child(key), value, fields, || Some(Element::Field(key.as_str().into())))?;
                Some((key.clone(), inner))
            });
            Value::Object(kept.collect::<Map<_, _>>())
        }
        (Form::List(Items::Set | Items::Keyed(_)), Value::Array(items)) => {
            let kept = items.iter().filter_map(|item| kept(place.items(), item, fields, || place.element(item).ok()));
            Value::Array(kept.collect())
        }
        // Owned as a whole: nothing below it can be meant but all of it.
        (Form::Map(true), Value::Object(_)) => Value::Object(Map::new()),
        (Form::List(Items::Atomic), Value::Array(_)) => Value::Array(Vec::new()),
        _ => document.clone(),
    }
}

/// What is left of one part; `None` where it goes.
fn kept(
    place: Option<Place<'_>>,
    value: &Value,
    fields: &Set,
    element: impl FnOnce() -> Option<Element>,
) -> Option<Value> {
    match element().as_ref().and_then(|element| fields.get(element)) {
        Some(node) if node.member => None,
        Some(node) => Some(place.map_or_else(|| value.clone(), |place| remove(place, value, &node.children))),
        None => Some(value.clone()),
    }
}
