//! Role-based access control: who holds which roles, and what they may do with them. Pure: whoever follows a cluster's roles
//! and bindings keeps an [`Index`] of them and asks it.
//!
//! Start at [`Index::allows`]. A role's rules are compiled ([`Compiled`]) into a table by resource and name, and a subject's
//! roles are found by its name, so that a decision takes a few look-ups, whatever the number of roles and bindings.
//!
//! Invariants: an index that grew and shrank step by step decides like one that was made at once; nothing is allowed by what is
//! not there (a binding to a role that is missing grants nothing).
//!
//! Source: Kubernetes' RBAC authorizer, <https://kubernetes.io/docs/reference/access-authn-authz/rbac/>.

pub mod bootstrap;
mod compiled;
mod index;
mod rule;
mod subjects;
#[cfg(test)]
mod tests;
mod verbs;

pub use compiled::Compiled;
pub use index::{Change, Grant, Index};
pub use rule::{Rule, covered, rules_of};

/// What somebody wants to do. All texts as RequestInfo has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action<'a> {
    /// `get`, `list`, `bind` …; the method in lower case for what is no resource.
    pub verb: &'a str,
    /// Empty for the core group.
    pub group: &'a str,
    /// Plural; empty for what is no resource.
    pub resource: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Empty for what is in none, and for lists over all.
    pub namespace: &'a str,
    /// Empty where the request names none.
    pub name: &'a str,
    /// Of what is no resource.
    pub path: &'a str,
}

impl Action<'_> {
    /// Whether it is about a resource.
    pub fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }
}

/// Who wants to.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The user's name; ServiceAccounts are `system:serviceaccount:NAMESPACE:NAME`.
    pub name: &'a str,
    /// Their groups.
    pub groups: &'a [String],
}
