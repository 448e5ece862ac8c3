//! Lists that are merged: scalars as a set, maps by their merge key; and the order that comes out.
//!
//! Items that the patch names come in the patch's order, the others in the order they had; the two are interleaved by
//! where their items stood before.

use std::collections::{HashMap, HashSet};

use super::{MARKER, Rule, added, merge_map};
use crate::document::Value;
use crate::patch::does_not_apply;
use crate::status::Status;

/// What tells an item from others: its merge key's value, or the scalar itself, as JSON.
type Identity = String;

fn identity(item: &Value, merge_key: &str) -> Result<Identity, Status> {
    if merge_key.is_empty() {
        return Ok(item.to_string());
    }
    let Value::Object(fields) = item else {
        return Err(does_not_apply(format!("expected a map with key {merge_key}, but received {item}")));
    };
    match fields.get(merge_key) {
        Some(value) => Ok(value.to_string()),
        None => Err(does_not_apply(format!("map: {item} does not contain declared merge key: {merge_key}"))),
    }
}

fn identities(items: &[Value], merge_key: &str) -> Result<Vec<Identity>, Status> {
    items.iter().map(|item| identity(item, merge_key)).collect()
}

/// Merges a patch's list into a list.
pub(super) fn merge(original: Vec<Value>, patch: Vec<Value>, rule: Rule<'_>) -> Result<Vec<Value>, Status> {
    let Some(maps) = are_maps(original.iter().chain(&patch))? else { return Ok(original) };
    if !maps {
        let (before, named) = (identities(&original, "")?, identities(&patch, "")?);
        let mut seen = HashSet::new();
        let both = before.iter().zip(original).chain(named.iter().zip(patch));
        let merged = both.filter(|(id, _)| seen.insert(*id)).map(|(id, item)| (id.clone(), item)).collect();
        return Ok(arrange(merged, &named, &before));
    }
    if rule.merge_key.is_empty() {
        return Err(does_not_apply(format!("cannot merge lists without merge key for {}", rule.inner.name())));
    }
    let (original, patch) = obey_directives(original, patch, rule.merge_key)?;
    let before = identities(&original, rule.merge_key)?;
    let named = identities(&patch, rule.merge_key)?;
    let mut merged: Vec<(Identity, Value)> = before.iter().cloned().zip(original).collect();
    let mut at: HashMap<Identity, usize> = HashMap::new();
    for (index, (id, _)) in merged.iter().enumerate() {
        at.entry(id.clone()).or_insert(index);
    }
    for (id, item) in named.iter().zip(patch) {
        match at.get(id) {
            Some(index) => {
                let place = &mut merged[*index].1;
                if let (Value::Object(fields), Value::Object(patch)) = (place.take(), item) {
                    *place = Value::Object(merge_map(fields, patch, rule.inner)?);
                }
            }
            None => {
                at.insert(id.clone(), merged.len());
                merged.push((id.clone(), added(item).unwrap_or_default()));
            }
        }
    }
    Ok(arrange(merged, &named, &before))
}

/// Whether the items are maps; `None` where there are none.
fn are_maps<'a>(mut items: impl Iterator<Item = &'a Value>) -> Result<Option<bool>, Status> {
    let Some(first) = items.next() else { return Ok(None) };
    if first.is_array() {
        return Err(does_not_apply("lists of lists are not supported"));
    }
    if items.any(|item| std::mem::discriminant(item) != std::mem::discriminant(first)) {
        return Err(does_not_apply("list element types are not identical"));
    }
    Ok(Some(first.is_object()))
}

/// Items of the patch with `$patch`: deletes what they name from the original, or replaces it all.
fn obey_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Status> {
    let mut plain = Vec::new();
    let mut deleted = HashSet::new();
    let mut replace = false;
    for item in patch {
        match item.get(MARKER).map(|directive| directive.as_str().unwrap_or_default()) {
            None => plain.push(item),
            Some("delete") => _ = deleted.insert(identity(&item, merge_key)?),
            Some("replace") => replace = true,
            Some("merge") => return Err(does_not_apply("merging lists cannot yet be specified in the patch")),
            Some(other) => return Err(does_not_apply(format!("unknown patch type: {other} in map: {item}"))),
        }
    }
    if replace {
        return Ok((plain, Vec::new()));
    }
    original.retain(|item| !identity(item, merge_key).is_ok_and(|id| deleted.contains(&id)));
    Ok((original, plain))
}

/// Merges a list as [`merge`] does and brings it into the order of `$setElementOrder`. `None` where there is no list.
pub(super) fn order(
    before: Option<Vec<Value>>,
    patch: Option<Vec<Value>>,
    order: &[Value],
    rule: Rule<'_>,
) -> Result<Option<Vec<Value>>, Status> {
    let order = identities(order, rule.merge_key)?;
    if let Some(patch) = &patch {
        check_order(patch, &order, rule.merge_key)?;
    }
    let had = identities(before.as_deref().unwrap_or_default(), rule.merge_key)?;
    let merged = match (before, patch) {
        (None, None) => return Ok(None),
        (Some(before), None) => before,
        (None, Some(patch)) => patch.into_iter().filter_map(added).collect(),
        (Some(before), Some(patch)) if rule.merge => merge(before, patch, rule)?,
        (Some(_), Some(patch)) => patch,
    };
    let ids = identities(&merged, rule.merge_key)?;
    Ok(Some(arrange(ids.into_iter().zip(merged).collect(), &order, &had)))
}

/// The patch's items must be among those of the order, and stand in it.
fn check_order(patch: &[Value], order: &[Identity], merge_key: &str) -> Result<(), Status> {
    if order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for item in patch.iter().filter(|item| item.get(MARKER).is_none()) {
        let id = identity(item, merge_key)?;
        if !rest.any(|ordered| *ordered == id) {
            return Err(does_not_apply(format!(
                "The order in patch list:\n{patch:?}\n doesn't match $setElementOrder list:\n{order:?}\n"
            )));
        }
    }
    Ok(())
}

/// Brings merged items into order: those in `order` in that order, the others as in `before`, interleaved by `before`.
fn arrange(merged: Vec<(Identity, Value)>, order: &[Identity], before: &[Identity]) -> Vec<Value> {
    let (ordered_at, before_at) = (positions(order), positions(before));
    let (mut named, mut others): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|(id, _)| ordered_at.contains_key(id.as_str()));
    named.sort_by_key(|(id, _)| ordered_at[id.as_str()]);
    others.sort_by_key(|(id, _)| before_at.get(id.as_str()).copied().unwrap_or(usize::MAX));
    let mut result = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (Some((other, _)), Some((name, _))) => {
                let places = before_at.get(other.as_str()).zip(before_at.get(name.as_str()));
                places.is_some_and(|(other, name)| other < name)
            }
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return result,
        };
        let next = if other_first { others.next() } else { named.next() };
        result.extend(next.map(|(_, item)| item));
    }
}

fn positions(ids: &[Identity]) -> HashMap<&str, usize> {
    let mut positions = HashMap::new();
    for (at, id) in ids.iter().enumerate() {
        positions.entry(id.as_str()).or_insert(at);
    }
    positions
}
