//! Leases.

use super::path::Path;
use super::{Strategy, field};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// coordination.k8s.io/v1 Lease.
pub(super) struct Lease;

impl Strategy for Lease {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        field::at_least(spec, "leaseDurationSeconds", 1, "must be greater than 0", &path, causes);
        field::nonnegative(spec, "leaseTransitions", &path, causes);
        if field::is_set(spec, "strategy") {
            strategy(field::text(spec, "strategy"), path.child("strategy").child("strategy"), causes);
        }
        let chosen = field::text(spec, "strategy");
        if !field::text(spec, "preferredHolder").is_empty() && chosen.is_empty() {
            let words = "may only be specified if `strategy` is defined";
            causes.forbidden(path.child("preferredHolder"), words);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// How a coordinated leader is chosen. The reference's path has the last step twice, and so does ours.
pub(super) fn strategy(name: &str, path: Path<'_>, causes: &mut Causes) {
    if name.contains('/') {
        field::qualified_name(name, path, causes);
    } else if name != "OldestEmulationVersion" {
        causes.not_supported(path, &Value::from(name), &["OldestEmulationVersion"]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::complaints;

    #[test]
    fn rules() {
        let lease = |spec: Value| json!({ "spec": spec });
        let good = json!({"holderIdentity": "n", "leaseDurationSeconds": 40, "leaseTransitions": 0});
        assert_eq!(complaints(&Lease, &lease(good)), []);
        for (spec, field, message) in [
            (
                json!({"leaseDurationSeconds": 0}),
                "spec.leaseDurationSeconds",
                "Invalid value: 0: must be greater than 0",
            ),
            (
                json!({"leaseTransitions": -1}),
                "spec.leaseTransitions",
                "Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                json!({"preferredHolder": "n"}),
                "spec.preferredHolder",
                "Forbidden: may only be specified if `strategy` is defined",
            ),
        ] {
            assert_eq!(complaints(&Lease, &lease(spec)), [(field.to_owned(), message.to_owned())]);
        }
    }
}
