//! Holding a document against a schema, in the words of the reference's validator (kube-openapi).

use serde_json::Number;

use super::path::Path;
use super::props::{Additional, Limits};
use super::{Props, formats};
use crate::document::Value;
use crate::status::Causes;

/// The path of what the reference has no path for: alternatives.
const NOWHERE: &str = "<nil>";

/// Complaints about a document. What an update leaves as it was is let be.
pub(super) fn validate(document: &Value, old: Option<&Value>, schema: &Props, causes: &mut Causes) {
    check(document, old, schema, &Path::ROOT, causes);
}

fn check(value: &Value, old: Option<&Value>, schema: &Props, path: &Path<'_>, causes: &mut Causes) {
    if old == Some(value) {
        return;
    }
    if value.is_null() && schema.nullable {
        return;
    }
    if !of_type(value, schema) {
        let wanted = if schema.int_or_string { "integer,string" } else { schema.of.as_str() };
        let found = Value::from(type_of(value));
        causes.type_invalid(path_of(path), &found, &format!("{path} in body must be of type {wanted}: {found}"));
        return;
    }
    if !schema.limits.values.is_empty() && !schema.limits.values.contains(value) {
        let quoted = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let supported: Vec<String> = schema.limits.values.iter().map(quoted).collect();
        let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
        causes.not_supported(path_of(path), value, &supported);
    }
    match value {
        Value::String(text) => check_text(text, schema, path, causes),
        Value::Number(number) => check_number(number, &schema.limits, path, causes),
        Value::Array(items) => check_list(items, old, schema, path, causes),
        Value::Object(_) => check_object(value, old, schema, path, causes),
        Value::Bool(_) | Value::Null => {}
    }
    check_alternatives(value, old, schema, path, causes);
}

/// The path as causes name it.
fn path_of(path: &Path<'_>) -> String {
    if path.is_root() { NOWHERE.to_owned() } else { path.to_string() }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn of_type(value: &Value, schema: &Props) -> bool {
    let found = type_of(value);
    let whole = || value.as_f64().is_some_and(|number| number.fract() == 0.0);
    match schema.of.as_str() {
        _ if schema.int_or_string => matches!(found, "integer" | "string"),
        "" => true,
        "number" => matches!(found, "number" | "integer"),
        "integer" => found == "integer" || (found == "number" && whole()),
        wanted => found == wanted,
    }
}

fn check_text(text: &str, schema: &Props, path: &Path<'_>, causes: &mut Causes) {
    let (limits, value) = (&schema.limits, Value::from(text));
    let length = text.chars().count() as u64;
    if let Some(max) = limits.max_length.filter(|max| length > *max) {
        causes.too_long(path_of(path), usize::try_from(max).unwrap_or(usize::MAX));
    }
    if let Some(min) = limits.min_length.filter(|min| length < *min) {
        causes.invalid(path_of(path), &value, &format!("{path} in body should be at least {min} chars long"));
    }
    if let Some(pattern) = limits.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        causes.invalid(path_of(path), &value, &format!("{path} in body should match '{pattern}'"));
    }
    let is_text = matches!(schema.of.as_str(), "" | "string");
    if is_text && !limits.format.is_empty() && !formats::is(&limits.format, text) {
        let detail = format!("{path} in body must be of type {}: {value}", limits.format);
        causes.type_invalid(path_of(path), &value, &detail);
    }
}

fn check_number(number: &Number, limits: &Limits, path: &Path<'_>, causes: &mut Causes) {
    let value = Value::Number(number.clone());
    let found = number.as_f64().unwrap_or_default();
    let mut complain = |what: &str, bound: f64| {
        let bound = Number::from_f64(bound).map(|bound| shortest(&bound)).unwrap_or_default();
        causes.invalid(path_of(path), &value, &format!("{path} in body should be {what} {bound}"));
    };
    match (limits.maximum, limits.exclusive_maximum) {
        (Some(max), true) if found >= max => complain("less than", max),
        (Some(max), false) if found > max => complain("less than or equal to", max),
        _ => {}
    }
    match (limits.minimum, limits.exclusive_minimum) {
        (Some(min), true) if found <= min => complain("greater than", min),
        (Some(min), false) if found < min => complain("greater than or equal to", min),
        _ => {}
    }
    if let Some(of) = limits.multiple_of.filter(|of| *of > 0.0) {
        let times = found / of;
        if (times - times.round()).abs() > f64::EPSILON * times.abs().max(1.0) {
            complain("a multiple of", of);
        }
    }
}

/// `3` for `3.0`, as Go prints it.
fn shortest(number: &Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn check_list(items: &[Value], old: Option<&Value>, schema: &Props, path: &Path<'_>, causes: &mut Causes) {
    let (limits, count) = (&schema.limits, items.len() as u64);
    if let Some(max) = limits.max_items.filter(|max| count > *max) {
        causes.too_many(path_of(path), count, max);
    }
    if let Some(min) = limits.min_items.filter(|min| count < *min) {
        causes.invalid(path_of(path), &count.into(), &format!("{path} in body should have at least {min} items"));
    }
    if limits.unique && items.iter().enumerate().any(|(at, item)| items[..at].contains(item)) {
        causes.invalid(path_of(path), &"".into(), &format!("{path} in body shouldn't contain duplicates"));
    }
    let Some(inner) = &schema.items else { return };
    for (at, item) in items.iter().enumerate() {
        let old = old.and_then(|old| counterpart(item, old, schema));
        check(item, old, inner, &path.index(at), causes);
    }
}

/// The element of the old list with the same key.
fn counterpart<'a>(item: &Value, old: &'a Value, schema: &Props) -> Option<&'a Value> {
    if schema.list_type != "map" {
        return None;
    }
    let same = |other: &&Value| schema.list_keys.iter().all(|key| other.get(key.as_str()) == item.get(key.as_str()));
    old.as_array()?.iter().find(same)
}

fn check_object(value: &Value, old: Option<&Value>, schema: &Props, path: &Path<'_>, causes: &mut Causes) {
    let Some(fields) = value.as_object() else { return };
    let (limits, count) = (&schema.limits, fields.len() as u64);
    if let Some(max) = limits.max_properties.filter(|max| count > *max) {
        causes.too_many(path_of(path), count, max);
    }
    if let Some(min) = limits.min_properties.filter(|min| count < *min) {
        causes.invalid(path_of(path), &count.into(), &format!("{path} in body should have at least {min} properties"));
    }
    for name in limits.required.iter().filter(|name| !fields.contains_key(*name)) {
        causes.required(path.child(name), "");
    }
    for (name, value) in fields {
        // Metadata has rules of its own.
        if name == "metadata" && path.is_root() {
            if let Some(inner) = schema.properties.get(name) {
                check(value, old.and_then(|old| old.get(name)), inner, &path.child(name), causes);
            }
            continue;
        }
        if let Some(inner) = schema.field(name) {
            check(value, old.and_then(|old| old.get(name)), inner, &path.child(name), causes);
        } else if matches!(schema.additional, Some(Additional::Any(false))) {
            let detail = format!("{path}.{name} in body is a forbidden property");
            causes.invalid(path_of(path), &"".into(), &detail);
        }
    }
}

fn check_alternatives(value: &Value, old: Option<&Value>, schema: &Props, path: &Path<'_>, causes: &mut Causes) {
    let tried = |schema: &Props| {
        let mut found = Causes::default();
        check(value, old, schema, path, &mut found);
        found
    };
    let mut complain = |what: String, mut also: Causes| {
        causes.invalid(NOWHERE, &"".into(), &format!("{:?} {what}", path.to_string()));
        causes.0.append(&mut also.0);
    };
    let best = |all: Vec<Causes>| all.into_iter().min_by_key(|causes| causes.0.len()).unwrap_or_default();
    if !schema.any_of.is_empty() {
        let all: Vec<Causes> = schema.any_of.iter().map(tried).collect();
        if !all.iter().any(Causes::is_empty) {
            complain("must validate at least one schema (anyOf)".to_owned(), best(all));
        }
    }
    if !schema.one_of.is_empty() {
        let all: Vec<Causes> = schema.one_of.iter().map(tried).collect();
        match all.iter().filter(|causes| causes.is_empty()).count() {
            1 => {}
            0 => {
                let what = "must validate one and only one schema (oneOf). Found none valid";
                complain(what.to_owned(), best(all));
            }
            count => {
                let what = format!("must validate one and only one schema (oneOf). Found {count} valid alternatives");
                complain(what, Causes::default());
            }
        }
    }
    if !schema.all_of.is_empty() {
        let mut also = Causes::default();
        let failed = schema.all_of.iter().map(tried).filter(|causes| !causes.is_empty());
        let failed: Vec<Causes> = failed.collect();
        let none = if failed.len() == schema.all_of.len() { ". None validated" } else { "" };
        if !failed.is_empty() {
            failed.into_iter().for_each(|mut causes| also.0.append(&mut causes.0));
            complain(format!("must validate all the schemas (allOf){none}"), also);
        }
    }
    if schema.not.as_ref().is_some_and(|not| tried(not).is_empty()) {
        complain("must not validate the schema (not)".to_owned(), Causes::default());
    }
}
