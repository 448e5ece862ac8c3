//! PriorityClasses.

use super::path::Path;
use super::{Strategy, field, fill};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// scheduling.k8s.io/v1 PriorityClass.
pub(super) struct PriorityClass;

/// What users may define lies below what the system keeps for itself.
const MOST: i64 = 1_000_000_000;
/// The system's own classes.
const SYSTEM: &[(&str, i64)] = &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

impl Strategy for PriorityClass {
    fn default(&self, object: &mut Value) {
        fill::text(object, "preemptionPolicy", "PreemptLowerPriority");
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let name = object.name();
        let value = field::int(object, "value").unwrap_or_default();
        if name.starts_with("system-") {
            let problem = match SYSTEM.iter().find(|(known, _)| *known == name) {
                None => Some(format!("{name} is not a known system priority class")),
                Some((_, right)) if *right != value => Some(format!("value of {name} PriorityClass must be {right}")),
                Some(_) if field::is_true(object, "globalDefault") => {
                    Some(format!("globalDefault of {name} PriorityClass must be false"))
                }
                Some(_) => None,
            };
            if let Some(problem) = problem {
                let words = "priority class names with 'system-' prefix are reserved for system use only. error: ";
                causes.forbidden("metadata.name", &format!("{words}{problem}"));
            }
        } else if value > MOST {
            causes.forbidden("value", &format!("maximum allowed value of a user defined priority is {MOST}"));
        }
        const POLICIES: &[&str] = &["PreemptLowerPriority", "Never"];
        if !field::text(object, "preemptionPolicy").is_empty()
            && !POLICIES.contains(&field::text(object, "preemptionPolicy"))
        {
            causes.not_supported("preemptionPolicy", field::get(object, "preemptionPolicy"), POLICIES);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        if field::int(object, "value").unwrap_or_default() != field::int(old, "value").unwrap_or_default() {
            causes.forbidden("value", "may not be changed in an update.");
        }
        let policy = field::get(object, "preemptionPolicy");
        if policy != field::get(old, "preemptionPolicy") {
            causes.invalid(Path::new("preemptionPolicy"), policy, field::IMMUTABLE);
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
        let class = |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value});
        assert_eq!(complaints(&PriorityClass, &class("high", MOST)), []);
        assert_eq!(complaints(&PriorityClass, &class("system-node-critical", 2_000_001_000)), []);
        assert_eq!(
            complaints(&PriorityClass, &class("high", MOST + 1)),
            [("value".into(), "Forbidden: maximum allowed value of a user defined priority is 1000000000".into())]
        );
        assert_eq!(complaints(&PriorityClass, &class("system-mine", 1))[0].0, "metadata.name");
        let found = complaints_update(&PriorityClass, &class("high", 2), &class("high", 1));
        assert_eq!(found, [("value".into(), "Forbidden: may not be changed in an update.".into())]);
    }
}
