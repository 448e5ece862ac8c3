//! What those may do whom expressions ask about (`authorizer`): by the roles that the shard had heard of when the request came.

use std::fmt;
use std::sync::Arc;

use api::Status;
use api::rbac::Action;
use expressions::{Authorizer, Check, Decision};

use crate::authorization::{self, Settled};
use crate::service::UserInfo;
use crate::verbs::Call;

/// Who decides about one request. `None`: no expression asks.
struct Asked {
    settled: Option<Settled>,
    user: Arc<UserInfo>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("user", &self.user.name).finish_non_exhaustive()
    }
}

impl Authorizer for Asked {
    fn authorize(&self, check: &Check) -> Decision {
        let Some(settled) = &self.settled else { return Decision::default() };
        let decided = match &check.service_account {
            Some((namespace, name)) => settled.decide(&service_account(namespace, name), &action(check)),
            None => settled.decide(&self.user, &action(check)),
        };
        match decided {
            authorization::Decision::Allow(reason) => Decision { allowed: true, reason, error: None },
            authorization::Decision::NoOpinion(reason) => Decision { allowed: false, reason, error: None },
        }
    }
}

/// What is asked about, as roles say it.
pub(crate) fn action(check: &Check) -> Action<'_> {
    match &check.path {
        Some(path) => Action { verb: &check.verb, path, ..Action::default() },
        None => Action {
            verb: &check.verb,
            group: &check.group,
            resource: &check.resource,
            subresource: &check.subresource,
            namespace: &check.namespace,
            name: &check.name,
            path: "",
        },
    }
}

/// The user that a service account is.
fn service_account(namespace: &str, name: &str) -> UserInfo {
    let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), "system:authenticated"];
    let groups = groups.map(str::to_owned).into();
    UserInfo { name: format!("system:serviceaccount:{namespace}:{name}"), groups, ..UserInfo::default() }
}

impl Call<'_> {
    /// Whom expressions ask.
    pub(super) fn authorizer(&self) -> Arc<dyn Authorizer> {
        Arc::new(Asked { settled: self.reviews.authority(), user: self.request.user.clone() })
    }

    /// `authorizer.requestResource`: what is asked about the request's own object; the verb is missing.
    pub(crate) fn check(&self) -> Check {
        Check {
            group: self.served.group.to_string(),
            resource: self.resource.plural.to_string(),
            subresource: self.request.subresource.to_string(),
            namespace: self.request.namespace.to_string(),
            name: self.request.name.to_string(),
            ..Check::default()
        }
    }

    /// The chain of authorizers, by what is known of roles.
    pub(crate) async fn authority(&self) -> Result<Settled, Status> {
        let authorizer = self.shard.authorizer.read().clone();
        let authorizer = authorizer.ok_or_else(|| Status::unavailable("roles are not followed yet"))?;
        authorizer.settled(&self.request.cluster).await
    }
}
