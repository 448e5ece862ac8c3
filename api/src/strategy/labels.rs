//! Labels and label selectors as fields of other objects.

use super::field;
use super::path::Path;
use crate::document::Value;
use crate::names;
use crate::selector::LabelSelector;
use crate::status::Causes;

/// A map of labels; complaints name the map, not the key.
pub(super) fn labels(object: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    let path = path.child(key);
    for (name, value) in field::pairs(object, key) {
        field::qualified_name(name, path, causes);
        label_value(value.as_str().unwrap_or_default(), path, causes);
    }
}

pub(super) fn label_value(value: &str, path: Path<'_>, causes: &mut Causes) {
    field::complain(names::is_valid_label_value(value), value, path, causes);
}

/// Annotations: their keys' form and the size of all of them.
pub(super) fn annotations(object: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    const MOST: usize = 256 * 1024;
    let path = path.child(key);
    let mut size = 0;
    for (name, value) in field::pairs(object, key) {
        field::complain(names::is_qualified_name(&name.to_lowercase()), name, path, causes);
        size += name.len() + value.as_str().map_or(0, str::len);
    }
    if size > MOST {
        causes.too_long(path, MOST);
    }
}

/// A metav1.LabelSelector, if there is one.
pub(super) fn selector(object: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    selector_itself(field::get(object, key), &path.child(key), causes);
}

/// The same, for an element of a list.
pub(super) fn selector_itself(selector: &Value, path: &Path<'_>, causes: &mut Causes) {
    labels(selector, "matchLabels", path, causes);
    let expressions = path.child("matchExpressions");
    for (at, expression) in field::list(selector, "matchExpressions").iter().enumerate() {
        requirement(expression, &expressions.index(at), causes);
    }
}

fn requirement(expression: &Value, path: &Path<'_>, causes: &mut Causes) {
    let values = field::list(expression, "values");
    let operator = field::text(expression, "operator");
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            causes.required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let words = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            causes.forbidden(path.child("values"), words);
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => causes.invalid(path.child("operator"), &Value::from(other), "not a valid selector operator"),
    }
    field::qualified_name(field::text(expression, "key"), path.child("key"), causes);
    let path = path.child("values");
    for (at, value) in values.iter().enumerate() {
        label_value(value.as_str().unwrap_or_default(), path.index(at), causes);
    }
}

/// The selector that a workload finds its pods by: required, well-formed, not empty. What it selects is returned if
/// that can be said.
pub(super) fn workload_selector(spec: &Value, of: &str, path: &Path<'_>, causes: &mut Causes) -> Option<LabelSelector> {
    let value = field::get(spec, "selector");
    if value.is_null() {
        causes.required(path.child("selector"), "");
    } else {
        selector(spec, "selector", path, causes);
        if field::same(value, &Value::Null) {
            causes.invalid(path.child("selector"), value, &format!("empty selector is invalid for {of}"));
        }
    }
    match LabelSelector::from_value(value) {
        Ok(selector) => Some(selector),
        Err(_) => {
            causes.invalid(path.child("selector"), value, "invalid label selector");
            None
        }
    }
}

/// Whether a selector selects the labels at `metadata.labels` of a template.
pub(super) fn selects_template(selector: &LabelSelector, template: &Value) -> bool {
    let labels = template.pointer("/metadata/labels");
    selector.matches_with(|key| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors() {
        let mut causes = Causes::default();
        let spec = json!({"selector": {"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "k", "operator": "In", "values": ["v"]}, {"key": "k", "operator": "Exists"}]}});
        assert!(workload_selector(&spec, "deployment", &Path::new("spec"), &mut causes).is_some());
        assert!(causes.is_empty(), "{causes:?}");

        let spec = json!({"selector": {"matchExpressions": [{"key": "k", "operator": "In"}]}});
        selector(&spec, "selector", &Path::new("spec"), &mut causes);
        assert_eq!(causes.0[0].field, "spec.selector.matchExpressions[0].values");
        assert_eq!(causes.0[0].message, "Required value: must be specified when `operator` is 'In' or 'NotIn'");
    }

    #[test]
    fn an_empty_selector_is_refused() {
        let mut causes = Causes::default();
        workload_selector(&json!({"selector": {}}), "deployment", &Path::new("spec"), &mut causes);
        assert_eq!(causes.0[0].message, "Invalid value: {}: empty selector is invalid for deployment");
    }
}
