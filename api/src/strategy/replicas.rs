//! Counts of replicas: what workloads are asked for and what they report.

use super::path::Path;
use smol_str::SmolStr;

use super::{ScalePaths, field};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// The `scale` subresource of everything with spec.replicas and a selector.
pub(super) fn scale() -> ScalePaths {
    let path = |steps: [&'static str; 2]| steps.map(SmolStr::new_static).to_vec();
    ScalePaths {
        replicas: path(["spec", "replicas"]),
        status: path(["status", "replicas"]),
        selector: path(["spec", "selector"]),
    }
}

/// The counts of a status: none negative, no part more than the whole.
pub(super) fn status(status: &Value, counts: &[&str], parts: &[&str], causes: &mut Causes) {
    let path = Path::new("status");
    for key in counts {
        field::nonnegative(status, key, &path, causes);
    }
    let count = |key: &str| field::int(status, key).unwrap_or_default();
    for key in parts.iter().copied().filter(|key| count(key) > count("replicas")) {
        causes.invalid(path.child(key), &Value::from(count(key)), "cannot be greater than status.replicas");
    }
    if count("availableReplicas") > count("readyReplicas") {
        let value = Value::from(count("availableReplicas"));
        causes.invalid(path.child("availableReplicas"), &value, "cannot be greater than readyReplicas");
    }
}

/// Collisions of names are counted, never uncounted.
pub(super) fn collisions(new: &Value, old: &Value, causes: &mut Causes) {
    let count = |of: &Value| field::int(of, "collisionCount");
    let now = count(new).unwrap_or_default();
    if count(old).is_some_and(|before| now < before) {
        causes.invalid("status.collisionCount", &Value::from(now), "cannot be decremented");
    }
}

/// An IntOrString that is a count or a percentage.
pub(super) fn count_or_percent(of: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    match field::get(of, key) {
        Value::String(text) => field::complain(names::is_valid_percent(text), text, path.child(key), causes),
        _ => field::nonnegative(of, key, path, causes),
    }
}

/// At most 100%, if it is a percentage.
pub(super) fn at_most_all(of: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    let value = field::get(of, key);
    if value.as_str().is_some() && amount(value) > 100 {
        causes.invalid(path.child(key), value, "must not be greater than 100%");
    }
}

/// The number in a count or a percentage, 0 where there is none.
pub(super) fn amount(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or(0),
        other => other.as_i64().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_the_whole() {
        let mut causes = Causes::default();
        let good = json!({"replicas": 3, "readyReplicas": 2, "availableReplicas": 2});
        status(&good, &["replicas"], &["readyReplicas", "availableReplicas"], &mut causes);
        assert!(causes.is_empty());
        let bad = json!({"replicas": 1, "readyReplicas": 2});
        status(&bad, &["replicas"], &["readyReplicas", "availableReplicas"], &mut causes);
        assert_eq!(causes.0[0].message, "Invalid value: 2: cannot be greater than status.replicas");
    }

    #[test]
    fn percentages() {
        for (value, right) in [(json!(0), true), (json!("25%"), true), (json!(-1), false), (json!("25"), false)] {
            let mut causes = Causes::default();
            count_or_percent(&json!({"x": value}), "x", &Path::new("p"), &mut causes);
            assert_eq!(causes.is_empty(), right, "{value}");
        }
        assert_eq!((amount(&json!("25%")), amount(&json!(3)), amount(&json!("x"))), (25, 3, 0));
    }
}
