//! Admission policies and their bindings: defaults only. Their rules need a CEL parser, and come with the evaluator.

use super::{Strategy, fill, webhooks};
use crate::document::Value;

/// ValidatingAdmissionPolicy or MutatingAdmissionPolicy.
pub(super) struct Policy;

impl Strategy for Policy {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        fill::text(spec, "failurePolicy", "Fail");
        if let Some(constraints) = fill::field(spec, "matchConstraints") {
            match_resources(constraints);
        }
    }
}

/// The binding of either.
pub(super) struct PolicyBinding;

impl Strategy for PolicyBinding {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        if let Some(resources) = fill::field(spec, "matchResources") {
            match_resources(resources);
        }
    }
}

fn match_resources(of: &mut Value) {
    webhooks::matching(of);
    for key in ["resourceRules", "excludeResourceRules"] {
        for rule in fill::each(of, key) {
            fill::value(rule, "scope", || "*".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults() {
        let mut policy = json!({"spec": {"matchConstraints": {"resourceRules": [{}]}}});
        Policy.default(&mut policy);
        assert_eq!(
            policy["spec"],
            json!({"failurePolicy": "Fail", "matchConstraints": {
                "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
                "resourceRules": [{"scope": "*"}]}})
        );
    }
}
