//! Whether an applied document fits the schema. What it mentions is owned, so nothing in it is dropped or guessed.

use std::collections::BTreeSet;

use super::place::{Form, Items, Place, Scalar};
use crate::document::Value;

/// One complaint: a path in the words of conflicts, and what is wrong there.
struct Complaint {
    path: String,
    why: String,
}

/// Checks a document, in the reference's words.
pub(super) fn validate(place: Place<'_>, document: &Value) -> Result<(), String> {
    let mut complaints = Vec::new();
    visit(Some(place), document, &mut String::new(), &mut complaints);
    let lines: Vec<String> = complaints
        .into_iter()
        .map(|Complaint { path, why }| if path.is_empty() { why } else { format!("{path}: {why}") })
        .collect();
    match lines.as_slice() {
        [] => Ok(()),
        [line] => Err(line.clone()),
        lines => Err(format!("errors:\n  {}", lines.join("\n  "))),
    }
}

fn visit(place: Option<Place<'_>>, value: &Value, path: &mut String, complaints: &mut Vec<Complaint>) {
    let complain =
        |complaints: &mut Vec<Complaint>, why: String| complaints.push(Complaint { path: path.clone(), why });
    let Some(place) = place else { return complain(complaints, "field not declared in schema".to_owned()) };
    match (place.form(Some(value)), value) {
        (_, Value::Null) => {}
        (Form::Scalar(scalar), _) => {
            if let Err(why) = fits(scalar, value) {
                complain(complaints, why);
            }
        }
        (Form::Map(_), Value::Object(fields)) => {
            for (key, value) in fields {
                within(path, &format!(".{key}"), |path| visit(place.child(key), value, path, complaints));
            }
        }
        (Form::Map(_), _) => complain(complaints, format!("expected map, got &{{{}}}", go_plain(value))),
        (Form::List(items), Value::Array(list)) => visit_items(place, items, list, path, complaints),
        (Form::List(_), _) => complain(complaints, format!("expected list, got &{{{}}}", go_plain(value))),
    }
}

fn visit_items(place: Place<'_>, items: Items<'_>, list: &[Value], path: &mut String, complaints: &mut Vec<Complaint>) {
    let mut seen = BTreeSet::new();
    for (at, item) in list.iter().enumerate() {
        let step = match items {
            Items::Atomic => format!("[{at}]"),
            Items::Set | Items::Keyed(_) => match place.element(item) {
                Ok(element) => {
                    let step = element.to_string();
                    if !seen.insert(element) {
                        let why = format!("duplicate entries for key {step}");
                        complaints.push(Complaint { path: path.clone(), why });
                    }
                    step
                }
                Err(why) => {
                    // Without a name for it, nothing below it can be named.
                    complaints.push(Complaint { path: path.clone(), why: format!("element {at}: {why}") });
                    return;
                }
            },
        };
        within(path, &step, |path| visit(place.items(), item, path, complaints));
    }
}

/// Goes one step down and back.
fn within(path: &mut String, step: &str, visit: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push_str(step);
    visit(path);
    path.truncate(length);
}

fn fits(scalar: Scalar, value: &Value) -> Result<(), String> {
    match (scalar, value) {
        (Scalar::Text, Value::String(_)) | (Scalar::Number, Value::Number(_)) | (Scalar::Truth, Value::Bool(_)) => {
            Ok(())
        }
        (Scalar::Any, Value::String(_) | Value::Number(_) | Value::Bool(_)) => Ok(()),
        (Scalar::Text, _) => {
            Err(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value)))
        }
        (Scalar::Number, _) => Err(format!("expected numeric (int or float), got {}", go_type(value))),
        (Scalar::Truth, _) => Err(format!("expected boolean, got &{{{}}}", go_plain(value))),
        (Scalar::Any, _) => Err(format!("expected any scalar, got &{{{}}}", go_plain(value))),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// `%v`
fn go_plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_plain).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let pairs: Vec<String> = fields.iter().map(|(key, value)| format!("{key}:{}", go_plain(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// `%#v`
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let pairs: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key:?}:{}", go_syntax(value))).collect();
            format!("map[string]interface {{}}{{{}}}", pairs.join(", "))
        }
        Value::String(_) | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
