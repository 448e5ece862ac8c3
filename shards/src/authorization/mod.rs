//! Who may. A chain of authorizers ([`Mode`], as `--authorization-mode` names them) is asked in order, and the first that has an
//! opinion decides; who has none denies. `system:masters` may everything, whatever the chain. Gateways ask it for each request,
//! shards where admission needs to know more.
//!
//! Invariants: a decision about a cluster comes from that cluster's roles alone (DESIGN D11); nothing is decided by roles before
//! the whole copy of them is there, and no write by one that is old ([`Grants`]).

mod grants;
mod rbac;
mod refusal;

use std::str::FromStr;
use std::sync::Arc;

use api::ambient::Clock;
use api::rbac::{Action, Index, Who};
use api::{Registry, Status};
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::service::UserInfo;
use crate::topology::Topology;
pub use grants::Grants;
pub use rbac::Rbac;

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
pub enum Decision {
    /// Somebody said yes.
    Allow(String),
    /// Nobody said anything, which is no.
    NoOpinion(String),
}

/// See the module.
pub struct Authorizer {
    chain: Vec<Mode>,
    rbac: Rbac,
}

impl Authorizer {
    /// A chain over clusters' roles, which it follows from the first question on until it is told to stop.
    pub fn new(
        chain: Vec<Mode>,
        topology: Topology,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        stopping: CancellationToken,
    ) -> Self {
        Self { chain, rbac: Rbac::new(topology, registry, clock, stopping) }
    }

    /// 403 in the reference's words, unless the user may.
    pub async fn require(&self, cluster: &SmolStr, user: &UserInfo, action: &Action<'_>) -> Result<(), Status> {
        if is_master(user) {
            return Ok(());
        }
        match self.walk(cluster, user, action, false).await? {
            Decision::Allow(_) => Ok(()),
            Decision::NoOpinion(reason) => Err(refusal::of(user, action, &reason)),
        }
    }

    /// What the chain says of a cluster's user, with the reasons that access reviews show.
    pub async fn decide(&self, cluster: &SmolStr, user: &UserInfo, action: &Action<'_>) -> Result<Decision, Status> {
        match is_master(user) {
            true => Ok(Decision::Allow(String::new())),
            false => self.walk(cluster, user, action, true).await,
        }
    }

    /// The chain for a cluster, with all roles and bindings that were acknowledged before this was called.
    pub async fn caught_up(&self, cluster: &SmolStr) -> Result<Settled, Status> {
        let grants = self.rbac.caught_up(cluster).await?;
        Ok(Settled { chain: self.chain.clone(), grants })
    }

    /// Waits until nothing is followed any more, after it was told to stop.
    pub async fn ended(&self) {
        self.rbac.ended().await;
    }

    /// The roles that decisions come from.
    pub fn rbac(&self) -> &Rbac {
        &self.rbac
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

/// The chain for one cluster, which decides without waiting.
#[derive(Clone)]
pub struct Settled {
    chain: Vec<Mode>,
    grants: Option<Arc<Grants>>,
}

impl Settled {
    /// Whether a user may.
    pub fn allows(&self, user: &UserInfo, action: &Action<'_>) -> bool {
        let by_roles = |index: &Index| index.allows(Who { name: &user.name, groups: &user.groups }, action);
        is_master(user)
            || self.chain.iter().any(|mode| match mode {
                Mode::Rbac => self.ask(by_roles).unwrap_or_default(),
                Mode::AlwaysAllow => true,
                Mode::AlwaysDeny => false,
            })
    }

    /// Asks the index of roles and bindings; `None` where they are not served.
    pub fn ask<R>(&self, question: impl FnOnce(&Index) -> R) -> Option<R> {
        self.grants.as_ref().map(|grants| grants.ask(question))
    }
}

/// Whether somebody may do everything.
pub fn is_master(user: &UserInfo) -> bool {
    user.groups.iter().any(|group| group == MASTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_named_as_in_the_reference() {
        assert_eq!("RBAC".parse(), Ok(Mode::Rbac));
        assert!("Node".parse::<Mode>().unwrap_err().contains("not there yet"));
        assert!("rbac".parse::<Mode>().unwrap_err().contains("AlwaysAllow"));
    }
}
