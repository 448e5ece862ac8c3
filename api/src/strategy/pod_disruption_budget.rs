//! PodDisruptionBudgets.

use super::path::Path;
use super::{Strategy, field, labels, replicas};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// policy/v1 PodDisruptionBudget.
pub(super) struct PodDisruptionBudget;

impl Strategy for PodDisruptionBudget {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        let keys = ["minAvailable", "maxUnavailable"];
        if keys.iter().all(|key| field::is_set(spec, key)) {
            causes.invalid(path, spec, "minAvailable and maxUnavailable cannot be both set");
        }
        for key in keys.into_iter().filter(|key| field::is_set(spec, key)) {
            replicas::count_or_percent(spec, key, &path, causes);
            replicas::at_most_all(spec, key, &path, causes);
        }
        labels::selector(spec, "selector", &path, causes);
        const POLICIES: &[&str] = &["AlwaysAllow", "IfHealthyBudget"];
        field::optional_choice(spec, "unhealthyPodEvictionPolicy", &path, POLICIES, causes);
    }

    fn validate_status(&self, object: &Value, _old: &Value, causes: &mut Causes) {
        let status = field::get(object, "status");
        for key in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
            field::nonnegative(status, key, &Path::new("status"), causes);
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
    use crate::strategy::tests::complaints;

    #[test]
    fn rules() {
        let of = |spec: Value| complaints(&PodDisruptionBudget, &json!({ "spec": spec }));
        assert_eq!(of(json!({"minAvailable": "50%", "selector": {}})), []);
        assert!(of(json!({"minAvailable": 1, "maxUnavailable": 1}))[0].1.ends_with("cannot be both set"));
        assert_eq!(of(json!({"maxUnavailable": "101%"}))[0].0, "spec.maxUnavailable");
        assert_eq!(of(json!({"minAvailable": -1}))[0].1, "Invalid value: -1: must be greater than or equal to 0");
        assert_eq!(of(json!({"unhealthyPodEvictionPolicy": "Never"}))[0].0, "spec.unhealthyPodEvictionPolicy");
    }
}
