//! Strategic merge patch: a merge patch that knows from the schema which lists are merged, and by which key.
//!
//! Specified by the reference's documents "Strategic Merge Patch" and "preserve order in strategic merge patch".
//! Directives: `$patch` (in a map or in an item of a list), `$retainKeys`, `$deleteFromPrimitiveList/x`,
//! `$setElementOrder/x`.

use super::does_not_apply;
use crate::document::{Map, Value};
use crate::schema::{Field, Shape, Type};
use crate::status::Status;

mod list;

pub(super) const MARKER: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_ITEMS: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

pub(super) fn apply(patch: Value, document: &Value, shape: Shape<'_>) -> Result<Value, Status> {
    let Value::Object(patch) = patch else {
        return Err(Status::bad_request("error decoding patch: a strategic merge patch is an object"));
    };
    let original = document.as_object().cloned().unwrap_or_default();
    merge_map(original, patch, Place::Message(shape)).map(Value::Object)
}

/// Where in the schema a map is.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Message(Shape<'a>),
    /// A map with values of a type; the shape only says in which schema.
    Map(Shape<'a>, &'a Type),
    /// Where the schema says nothing.
    Open,
}

/// What the schema says about a field: where its map is, or the maps of its list, and how they are patched.
#[derive(Clone, Copy)]
pub(super) struct Rule<'a> {
    pub(super) inner: Place<'a>,
    pub(super) merge: bool,
    replace: bool,
    /// Empty for none.
    pub(super) merge_key: &'a str,
}

impl<'a> Place<'a> {
    fn of(shape: Shape<'a>, of: &'a Type) -> Self {
        match of {
            Type::Message(id) => Self::Message(shape.schema.shape(*id)),
            Type::Map(values) => Self::Map(shape, values),
            Type::List(items) => Self::of(shape, items),
            _ => Self::Open,
        }
    }

    fn rule(self, key: &str) -> Rule<'a> {
        let plain = |inner| Rule { inner, merge: false, replace: false, merge_key: "" };
        match self {
            Self::Message(shape) => match shape.field(key) {
                Some(Field { of, patch, merge_key, .. }) => Rule {
                    inner: Self::of(shape, of),
                    merge: patch.merge,
                    replace: patch.replace,
                    merge_key: merge_key.as_deref().unwrap_or_default(),
                },
                None => plain(Self::Open),
            },
            Self::Map(shape, values) => plain(Self::of(shape, values)),
            Self::Open => plain(Self::Open),
        }
    }

    /// For messages to clients.
    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Message(shape) => shape.short_name(),
            _ => "map",
        }
    }
}

/// Merges a patch into a map.
pub(super) fn merge_map(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    place: Place<'_>,
) -> Result<Map<String, Value>, Status> {
    if let Some(directive) = patch.remove(MARKER) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Map::new()),
            _ => Err(does_not_apply(format!("unknown patch type: {directive} in map"))),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    order_lists(&mut original, &mut patch, place)?;
    for (key, value) in patch {
        match key.strip_prefix(DELETE_ITEMS) {
            Some(rest) => {
                let Some(key) = rest.strip_prefix('/') else {
                    return Err(Status::bad_request("invalid patch format of primitive list"));
                };
                delete_items(&mut original, key, value)?;
            }
            None => merge_field(&mut original, key, value, place)?,
        }
    }
    Ok(original)
}

fn merge_field(original: &mut Map<String, Value>, key: String, patch: Value, place: Place<'_>) -> Result<(), Status> {
    if patch.is_null() {
        original.remove(&key);
        return Ok(());
    }
    let merged = match (original.remove(&key), patch) {
        (Some(Value::Object(before)), Value::Object(patch)) => {
            let rule = place.rule(&key);
            Value::Object(if rule.replace { patch } else { merge_map(before, patch, rule.inner)? })
        }
        (Some(Value::Array(before)), Value::Array(patch)) => {
            let rule = place.rule(&key);
            Value::Array(if rule.merge { list::merge(before, patch, rule)? } else { patch })
        }
        (_, patch) => match added(patch) {
            Some(value) => value,
            None => return Ok(()),
        },
    };
    original.insert(key, merged);
    Ok(())
}

/// `$deleteFromPrimitiveList/key`
fn delete_items(original: &mut Map<String, Value>, key: &str, items: Value) -> Result<(), Status> {
    match (original.get_mut(key), items) {
        (_, Value::Null) => _ = original.remove(key),
        (Some(Value::Array(before)), Value::Array(items)) => {
            let items: std::collections::HashSet<String> = items.iter().map(Value::to_string).collect();
            before.retain(|item| !items.contains(&item.to_string()));
        }
        (_, Value::Array(_)) => {}
        _ => return Err(Status::bad_request("invalid patch format of primitive list")),
    }
    Ok(())
}

/// `$retainKeys`: only those keys stay, and the patch may name no others.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), Status> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let malformed = || Status::bad_request("invalid patch format of retainKeys");
    let keys: Vec<&str> = directive.as_array().ok_or_else(malformed)?.iter().filter_map(Value::as_str).collect();
    let is_directive = |key: &str| key.starts_with(DELETE_ITEMS) || key.starts_with(ELEMENT_ORDER);
    let named = |(key, value): (&String, &Value)| value.is_null() || is_directive(key) || keys.contains(&key.as_str());
    if !patch.iter().all(named) {
        return Err(malformed());
    }
    original.retain(|key, _| keys.contains(&key.as_str()));
    Ok(())
}

/// `$setElementOrder/x`: merges list x and brings it into that order.
fn order_lists(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    place: Place<'_>,
) -> Result<(), Status> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let malformed = || Status::bad_request("invalid patch format of setElementOrder list");
        let key =
            directive.strip_prefix(ELEMENT_ORDER).and_then(|rest| rest.strip_prefix('/')).ok_or_else(malformed)?;
        let Some(Value::Array(order)) = patch.remove(&directive) else { return Err(malformed()) };
        let list = |map: &mut Map<String, Value>| match map.remove(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(does_not_apply(format!("expected a list of {key}"))),
        };
        let (before, changes) = (list(original)?, list(patch)?);
        if let Some(ordered) = list::order(before, changes, &order, place.rule(key))? {
            original.insert(key.to_owned(), Value::Array(ordered));
        }
    }
    Ok(())
}

/// A value of a patch that has nothing to merge with: without nulls and directives. `None` where it is a directive
/// itself.
pub(super) fn added(patch: Value) -> Option<Value> {
    match patch {
        Value::Object(fields) if fields.contains_key(MARKER) => None,
        Value::Object(fields) => {
            let plain = fields.into_iter().filter(|(key, value)| !value.is_null() && !is_directive(key));
            Some(Value::Object(plain.filter_map(|(key, value)| Some((key, added(value)?))).collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(added).collect())),
        other => Some(other),
    }
}

fn is_directive(key: &str) -> bool {
    key == RETAIN_KEYS || key.starts_with(DELETE_ITEMS) || key.starts_with(ELEMENT_ORDER)
}

#[cfg(test)]
mod tests;
