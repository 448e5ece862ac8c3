//! The fields that a document mentions: what who applies it wants to own.

use std::collections::BTreeMap;

use super::element::Element;
use super::place::{Form, Items, Place};
use super::set::{Node, Set};
use crate::document::Value;

/// Every leaf and item of a document.
pub(super) fn field_set(place: Place<'_>, document: &Value) -> Set {
    let mut node = Node::default();
    visit(place, document, &mut node);
    node.children
}

fn visit(place: Place<'_>, value: &Value, node: &mut Node) {
    match place.form(Some(value)) {
        Form::Scalar(_) | Form::List(Items::Atomic) | Form::Map(true) => node.member = true,
        Form::List(_) => visit_items(place, value, node),
        Form::Map(false) => {
            for (key, value) in value.as_object().into_iter().flatten() {
                let Some(child) = place.child(key) else { continue };
                let mut inner = Node::default();
                visit(child, value, &mut inner);
                let is_nothing = value.is_null() || value.as_object().is_some_and(|map| map.is_empty());
                inner.member |= is_nothing || !place.declares(key);
                node.children.put(Element::Field(key.as_str().into()), inner);
            }
        }
    }
}

/// An item that is there several times is owned as a whole.
fn visit_items(place: Place<'_>, value: &Value, node: &mut Node) {
    let (Some(items), Some(of)) = (value.as_array(), place.items()) else { return };
    let mut found: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for item in items {
        if let Ok(element) = place.element(item) {
            found.entry(element).or_default().push(item);
        }
    }
    for (element, items) in found {
        let mut inner = Node { member: true, ..Node::default() };
        if let [item] = *items {
            visit(of, item, &mut inner);
        }
        inner.member = true;
        node.children.put(element, inner);
    }
}
