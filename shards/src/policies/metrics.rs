//! What is counted about policies, by the reference's names. Their names come from tenants, so only some are told apart.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::reviews::SPENT;

/// Pairs of policy and binding that have series of their own; all others are `other`.
const PAIRS: usize = 100;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Validated {
    policy: String,
    policy_binding: String,
    error_type: &'static str,
    enforcement_action: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Mutated {
    policy: String,
    policy_binding: String,
    error_type: &'static str,
}

/// What followed from a validation that failed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Enforced {
    Deny,
    Audit,
    Warn,
}

#[derive(Clone, Default)]
pub(crate) struct PolicyMetrics {
    validations: Family<Validated, Counter>,
    mutations: Family<Mutated, Counter>,
    pairs: Arc<Mutex<HashSet<(String, String)>>>,
}

/// What kind of error a message is about.
fn error_type(message: &str) -> &'static str {
    match message {
        "" => "no_error",
        text if text.starts_with("compilation") => "compile_error",
        text if text.starts_with(SPENT) => "out_of_budget",
        _ => "invalid_error",
    }
}

impl PolicyMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_validating_admission_policy_check",
            "Validations of admission policies that failed, by what followed",
            self.validations.clone(),
        );
        registry.register(
            "apiserver_mutating_admission_policy_check",
            "Mutations by admission policies",
            self.mutations.clone(),
        );
    }

    pub(super) fn validated(&self, policy: &str, binding: &str, enforced: Enforced, message: &str) {
        let (policy, policy_binding) = self.pair(policy, binding);
        let enforcement_action = match enforced {
            Enforced::Deny => "deny",
            Enforced::Audit => "audit",
            Enforced::Warn => "warn",
        };
        let labels = Validated { policy, policy_binding, error_type: error_type(message), enforcement_action };
        self.validations.get_or_create(&labels).inc();
    }

    /// The message is what went wrong, empty for nothing.
    pub(super) fn mutated(&self, policy: &str, binding: &str, message: &str) {
        let (policy, policy_binding) = self.pair(policy, binding);
        self.mutations.get_or_create(&Mutated { policy, policy_binding, error_type: error_type(message) }).inc();
    }

    fn pair(&self, policy: &str, binding: &str) -> (String, String) {
        let pair = (policy.to_owned(), binding.to_owned());
        let mut pairs = self.pairs.lock();
        if pairs.contains(&pair) || pairs.len() < PAIRS {
            pairs.insert(pair.clone());
            return pair;
        }
        ("other".to_owned(), "other".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_cannot_make_series_without_end() {
        let metrics = PolicyMetrics::default();
        let pairs: HashSet<_> = (0..10 * PAIRS).map(|at| metrics.pair("p", &at.to_string())).collect();
        assert_eq!(pairs.len(), PAIRS + 1);
    }
}
