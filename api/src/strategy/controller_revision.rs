//! ControllerRevisions.

use super::path::Path;
use super::{Strategy, field};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// apps/v1 ControllerRevision: its data never changes.
pub(super) struct ControllerRevision;

impl Strategy for ControllerRevision {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        if let Some(revision) = field::int(object, "revision").filter(|revision| *revision < 0) {
            causes.invalid("revision", &Value::from(revision), field::NEGATIVE);
        }
        match field::get(object, "data") {
            Value::Null => causes.required("data", "data is mandatory"),
            Value::Object(_) => {}
            _ => causes.required("data", "data must be a valid JSON object"),
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        if field::get(object, "data") != field::get(old, "data") {
            causes.invalid(Path::new("data"), field::get(object, "data"), field::IMMUTABLE);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    #[test]
    fn rules() {
        let good = json!({"data": {"a": 1}, "revision": 1});
        assert_eq!(complaints(&ControllerRevision, &good), []);
        let found = complaints(&ControllerRevision, &json!({"revision": -1}));
        assert_eq!(found[0].0, "revision");
        assert_eq!(found[1], ("data".into(), "Required value: data is mandatory".into()));
        let found = complaints_update(&ControllerRevision, &json!({"data": {"a": 2}}), &good);
        assert_eq!(found[0].1, "Invalid value: {\"a\":2}: field is immutable");
    }
}
