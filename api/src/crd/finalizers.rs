//! Finalizers of custom objects: any name goes, and those that others may take for theirs are warned of.

use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// Finalizers that need no domain.
const STANDARD: [&str; 3] = ["foregroundDeletion", "kubernetes", "orphan"];

/// Warns of what an object has and did not have before.
pub(super) fn warn(object: &Value, old: &Value, causes: &mut Causes) {
    const PATH: [&str; 2] = ["metadata", "finalizers"];
    let before = old.list(&PATH);
    let mut added: Vec<&str> =
        object.list(&PATH).iter().filter(|name| !before.contains(name)).filter_map(Value::as_str).collect();
    added.sort_unstable();
    added.dedup();
    for name in added {
        for why in names::is_qualified_name(name) {
            causes.warn(format!("metadata.finalizers: {name:?}: {why}"));
        }
        if name.contains('/') || STANDARD.contains(&name) {
            continue;
        }
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        causes.warn(format!(
            "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with \
             other finalizer writers"
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_may_take_for_theirs_is_warned_of() {
        let object = |names: Value| json!({"metadata": {"finalizers": names}});
        let mut causes = Causes::default();
        warn(&object(json!(["abc", "a.b", "x/y", "orphan", "old"])), &object(json!(["old"])), &mut causes);
        let end = "to avoid accidental conflicts with other finalizer writers";
        assert_eq!(
            causes.take_warnings(),
            [
                format!(
                    "metadata.finalizers: \"a.b\": prefer a domain-qualified finalizer name including a path (/) {end}"
                ),
                format!("metadata.finalizers: \"abc\": prefer a domain-qualified finalizer name {end}"),
            ]
        );
    }
}
