//! Who may. A chain of authorizers ([`Mode`], as `--authorization-mode` names them) is asked in order, and the first that has an
//! opinion decides; who has none denies. `system:masters` may everything, whatever the chain.
//!
//! Invariant: a decision about a cluster comes from that cluster's roles alone (DESIGN D11).

mod rbac;
mod refusal;

use std::str::FromStr;
use std::sync::Arc;

use api::rbac::Action;
use api::{Registry, Status};
use shards::Topology;
use shards::service::UserInfo;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::request::RequestInfo;
pub(crate) use rbac::Rbac;

/// The group that may do everything.
const MASTERS: &str = "system:masters";

/// One authorizer of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the cluster's roles and bindings.
    Rbac,
    /// Everybody may everything: for tests.
    AlwaysAllow,
    /// Nobody may anything: for tests.
    AlwaysDeny,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "RBAC" => Ok(Self::Rbac),
            "AlwaysAllow" => Ok(Self::AlwaysAllow),
            "AlwaysDeny" => Ok(Self::AlwaysDeny),
            "Node" | "Webhook" | "ABAC" => Err(format!("the authorization mode {text} is not there yet")),
            _ => Err(format!("there is no authorization mode {text:?}: RBAC, AlwaysAllow, AlwaysDeny")),
        }
    }
}

/// What the chain says, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allow(String),
    /// Said nothing, which is no where nobody else says anything.
    NoOpinion(String),
}

/// See the module.
pub(crate) struct Authorizer {
    chain: Vec<Mode>,
    pub(crate) rbac: Rbac,
}

impl Authorizer {
    pub(crate) fn new(
        chain: Vec<Mode>,
        topology: Topology,
        registry: Arc<Registry>,
        clock: Arc<dyn api::ambient::Clock>,
        stopping: CancellationToken,
    ) -> Self {
        Self { chain, rbac: Rbac::new(topology, registry, clock, stopping) }
    }

    /// 403 in the reference's words, unless the user may.
    pub(crate) async fn authorize(&self, user: &UserInfo, info: &RequestInfo) -> Result<(), Status> {
        if is_open(&info.path) {
            return Ok(());
        }
        self.require(&info.cluster, user, &action(info)).await
    }

    /// The same for what a request asks for beside itself.
    pub(crate) async fn require(&self, cluster: &SmolStr, user: &UserInfo, action: &Action<'_>) -> Result<(), Status> {
        if is_master(user) {
            return Ok(());
        }
        match self.walk(cluster, user, action, false).await? {
            Decision::Allow(_) => Ok(()),
            Decision::NoOpinion(reason) => Err(refusal::of(user, action, &reason)),
        }
    }

    #[expect(dead_code, reason = "access reviews ask it, which are next")]
    /// What the chain says of a cluster's user, with the reasons that access reviews show.
    pub(crate) async fn decide(
        &self,
        cluster: &SmolStr,
        user: &UserInfo,
        action: &Action<'_>,
    ) -> Result<Decision, Status> {
        match is_master(user) {
            true => Ok(Decision::Allow(String::new())),
            false => self.walk(cluster, user, action, true).await,
        }
    }

    async fn walk(
        &self,
        cluster: &SmolStr,
        user: &UserInfo,
        action: &Action<'_>,
        in_words: bool,
    ) -> Result<Decision, Status> {
        let mut reasons = Vec::new();
        for mode in &self.chain {
            let decision = match mode {
                Mode::Rbac => self.rbac.decide(cluster, user, action, in_words).await?,
                Mode::AlwaysAllow => Decision::Allow(String::new()),
                Mode::AlwaysDeny => Decision::NoOpinion("Everything is forbidden.".to_owned()),
            };
            match decision {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                opinion => return Ok(opinion),
            }
        }
        Ok(Decision::NoOpinion(reasons.join("\n")))
    }
}

/// Whether a path is open to everybody, known or not.
pub(crate) fn is_open(path: &str) -> bool {
    ["/healthz", "/livez", "/readyz"]
        .iter()
        .any(|open| path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

pub(crate) fn is_master(user: &UserInfo) -> bool {
    user.groups.iter().any(|group| group == MASTERS)
}

/// What a request wants to do.
pub(crate) fn action(info: &RequestInfo) -> Action<'_> {
    match info.is_resource {
        true => Action {
            verb: info.verb,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path: "",
        },
        false => Action { verb: info.verb, path: &info.path, ..Action::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_open_and_nothing_else() {
        assert!(is_open("/readyz") && is_open("/livez/ping") && !is_open("/healthzx") && !is_open("/metrics"));
    }

    #[test]
    fn modes_are_named_as_in_the_reference() {
        assert_eq!("RBAC".parse(), Ok(Mode::Rbac));
        assert!("Node".parse::<Mode>().unwrap_err().contains("not there yet"));
        assert!("rbac".parse::<Mode>().unwrap_err().contains("AlwaysAllow"));
    }
}
