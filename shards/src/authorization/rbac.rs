//! Decisions by a cluster's roles and bindings, which are followed from the first question on.

use std::sync::Arc;

use api::rbac::{Action, Grant, Who};
use api::{Registry, Status};
use hashbrown::HashMap;
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Decision, Grants};
use crate::service::UserInfo;
use crate::topology::Topology;

/// See the module.
pub struct Rbac {
    topology: Topology,
    registry: Arc<Registry>,
    clock: Arc<dyn api::ambient::Clock>,
    stopping: CancellationToken,
    following: TaskTracker,
    /// By the cluster's id.
    followed: Mutex<HashMap<SmolStr, Arc<Grants>>>,
}

impl Rbac {
    pub(super) fn new(
        topology: Topology,
        registry: Arc<Registry>,
        clock: Arc<dyn api::ambient::Clock>,
        stopping: CancellationToken,
    ) -> Self {
        Self { topology, registry, clock, stopping, following: TaskTracker::new(), followed: Mutex::default() }
    }

    pub(super) async fn decide(
        &self,
        cluster: &SmolStr,
        user: &UserInfo,
        action: &Action<'_>,
        in_words: bool,
    ) -> Result<Decision, Status> {
        let Some(grants) = self.of(cluster) else { return Ok(Decision::NoOpinion(String::new())) };
        let is_read = matches!(action.verb, "get" | "list" | "watch" | "head" | "options");
        grants.ready(!is_read).await?;
        let who = Who { name: &user.name, groups: &user.groups };
        Ok(grants.ask(|index| match index.allows(who, action) {
            true if !in_words => Decision::Allow(String::new()),
            true => {
                let is_it = |grant: &Grant<'_>| grant.compiled.allows(action);
                let grant = index.grants(who, action.namespace).find(is_it);
                Decision::Allow(grant.map(|grant| grant.reason()).unwrap_or_default())
            }
            false => Decision::NoOpinion(missing_roles(index.grants(who, action.namespace))),
        }))
    }

    /// What a user may do in a namespace and everywhere: asked of the index by `question`. `None` where roles are not served.
    pub async fn ask<R>(
        &self,
        cluster: &SmolStr,
        question: impl FnOnce(&api::rbac::Index) -> R,
    ) -> Result<Option<R>, Status> {
        let Some(grants) = self.of(cluster) else { return Ok(None) };
        grants.ready(false).await?;
        Ok(Some(grants.ask(question)))
    }

    /// A cluster's roles and bindings with all that was acknowledged before this was called; `None` where they are not served.
    pub(super) async fn caught_up(&self, cluster: &SmolStr) -> Result<Option<Arc<Grants>>, Status> {
        let Some(grants) = self.of(cluster) else { return Ok(None) };
        grants.catch_up().await?;
        Ok(Some(grants))
    }

    /// Waits until nothing is followed any more, after it was told to stop.
    pub(super) async fn ended(&self) {
        self.following.close();
        self.following.wait().await;
    }

    fn of(&self, cluster: &SmolStr) -> Option<Arc<Grants>> {
        let mut followed = self.followed.lock();
        if let Some(grants) = followed.get(cluster) {
            return Some(grants.clone());
        }
        let grants = Grants::new(&self.topology, &self.registry, cluster, &self.clock)?;
        self.following.spawn(grants.clone().run(self.stopping.clone()));
        followed.insert(cluster.clone(), grants.clone());
        Some(grants)
    }
}

/// A refusal says which bindings lead nowhere.
fn missing_roles<'i>(grants: impl Iterator<Item = Grant<'i>>) -> String {
    let missing = grants.filter(|grant| grant.rules.is_none()).map(|grant| {
        let kind = if grant.role_namespace.is_empty() { "clusterrole" } else { "role" };
        format!("{kind}.rbac.authorization.k8s.io {:?} not found", grant.role)
    });
    let mut missing: Vec<String> = missing.collect();
    missing.dedup();
    match &missing[..] {
        [] => String::new(),
        [one] => format!("RBAC: {one}"),
        _ => format!("RBAC: [{}]", missing.join(", ")),
    }
}
