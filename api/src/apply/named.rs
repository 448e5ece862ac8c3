//! Two walks of a set along the schema.

use super::element::Element;
use super::place::{Form, Items, Place};
use super::set::{Entry, Node, Set};

/// The set with the fields of messages that lie on the way to its members: who owns `spec.template.spec` owns `spec` in the
/// sense that it would not go while anything of it is owned. Maps' keys and lists' items are members only themselves.
pub(super) fn with_named_fields(place: Option<Place<'_>>, set: &Set) -> Set {
    let entries = set.0.iter().map(|Entry { element, node }| {
        let below = place.and_then(|place| place.step(element));
        let is_named = !node.children.is_empty()
            && matches!((element, place), (Element::Field(name), Some(place)) if place.declares(name));
        let children = with_named_fields(below, &node.children);
        Entry { element: element.clone(), node: Node { member: node.member || is_named, children } }
    });
    Set(entries.collect())
}

/// A set that was written when its schema was another one: what has become atomic since is owned as a whole by whoever
/// owned a part of it. `None` where nothing of the kind has happened.
pub(super) fn reconciled(place: Place<'_>, set: &Set) -> Option<Set> {
    if !set.0.iter().any(|entry| is_outdated(place, entry)) {
        return None;
    }
    let entries = set.0.iter().map(|entry| {
        let Some(below) = place.step(&entry.element) else { return entry.clone() };
        let node = &entry.node;
        let node = if is_atomic(below) && !node.children.is_empty() {
            Node { member: true, children: Set::default() }
        } else {
            let children = reconciled(below, &node.children).unwrap_or_else(|| node.children.clone());
            Node { member: node.member, children }
        };
        Entry { element: entry.element.clone(), node }
    });
    Some(Set(entries.collect()))
}

fn is_outdated(place: Place<'_>, entry: &Entry) -> bool {
    if entry.node.children.is_empty() {
        return false;
    }
    let Some(below) = place.step(&entry.element) else { return false };
    is_atomic(below) || entry.node.children.0.iter().any(|entry| is_outdated(below, entry))
}

/// What is deduced from values has no kind of its own.
fn is_atomic(place: Place<'_>) -> bool {
    !place.is_deduced() && matches!(place.form(None), Form::List(Items::Atomic) | Form::Map(true))
}
