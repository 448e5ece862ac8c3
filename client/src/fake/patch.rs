//! Merge patch, and as much of strategic merge patch as the lists need that this project's clients patch.

use api::Value;

/// Which field tells the elements of a list apart under a strategic merge patch; lists that are not here are replaced.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "conditions" | "addresses" => Some("type"),
        "ownerReferences" => Some("uid"),
        "containers" | "volumes" | "images" => Some("name"),
        _ => None,
    }
}

/// Applies a patch in place.
pub(super) fn apply(target: &mut Value, patch: &Value, strategic: bool) {
    let Some(changes) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, change) in changes {
        if name.starts_with('$') {
            continue;
        }
        if change.is_null() {
            fields.remove(name);
            continue;
        }
        let place = fields.entry(name.clone()).or_insert(Value::Null);
        match (change.as_array(), merge_key(name)) {
            (Some(elements), Some(key)) if strategic => merge_list(place, elements, key),
            _ => apply(place, change, strategic),
        }
    }
}

fn merge_list(place: &mut Value, elements: &[Value], key: &str) {
    if !place.is_array() {
        *place = Value::Array(Vec::new());
    }
    let Some(list) = place.as_array_mut() else { return };
    for element in elements {
        let at = list.iter().position(|old| old[key] == element[key]);
        match at {
            Some(at) if element["$patch"] == "delete" => drop(list.remove(at)),
            Some(at) => apply(&mut list[at], element, true),
            None => list.push(element.clone()),
        }
    }
}
