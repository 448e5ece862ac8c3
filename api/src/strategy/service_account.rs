//! ServiceAccounts.

use super::Strategy;
use crate::names;

/// core/v1 ServiceAccount: everything but the name is free.
pub(super) struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}
