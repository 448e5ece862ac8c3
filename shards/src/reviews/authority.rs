//! What those may do whom expressions ask about (`authorizer`), as far as a shard has to know: gateways have let the request
//! itself pass before.

use std::fmt;
use std::sync::Arc;

use expressions::{Authorizer, Check, Decision};
use smol_str::SmolStr;

use crate::service::UserInfo;
use crate::verbs::Call;

/// Who decides. It is asked while a write is decided, and answers from memory.
pub trait Authority: fmt::Debug + Send + Sync {
    /// Whether a user of a logical cluster may do what is asked about.
    fn decide(&self, cluster: &str, user: &UserInfo, check: &Check) -> Decision;
}

/// `system:masters` may do everything, others nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Masters;

impl Authority for Masters {
    fn decide(&self, _: &str, user: &UserInfo, _: &Check) -> Decision {
        let allowed = user.groups.iter().any(|group| group == "system:masters");
        Decision { allowed, ..Decision::default() }
    }
}

/// The authority, about one request.
#[derive(Debug)]
struct Asked {
    authority: Arc<dyn Authority>,
    cluster: SmolStr,
    user: Arc<UserInfo>,
}

impl Authorizer for Asked {
    fn authorize(&self, check: &Check) -> Decision {
        match &check.service_account {
            Some((namespace, name)) => self.authority.decide(&self.cluster, &service_account(namespace, name), check),
            None => self.authority.decide(&self.cluster, &self.user, check),
        }
    }
}

/// The user that a service account is.
fn service_account(namespace: &str, name: &str) -> UserInfo {
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".into(),
    ];
    UserInfo { name: format!("system:serviceaccount:{namespace}:{name}"), groups: groups.into(), ..UserInfo::default() }
}

impl Call<'_> {
    /// Whom expressions ask.
    pub(super) fn authorizer(&self) -> Arc<dyn Authorizer> {
        Arc::new(Asked {
            authority: self.shard.options.authority.clone(),
            cluster: self.request.cluster.clone(),
            user: self.request.user.clone(),
        })
    }

    /// `authorizer.requestResource`, and what is asked about the request's own object; the verb is missing.
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
}
