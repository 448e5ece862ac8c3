//! A ClusterRole with an aggregation rule has the rules of all ClusterRoles that the rule selects.

use std::sync::Arc;

use api::Value;
use api::patch::PatchType;
use api::selector::LabelSelector;
use client::{Client, ClientError, Informer, InformerOptions, Kept, Key, Meta, known};
use serde::Deserialize;
use serde_json::json;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::informers::cluster_key;
use crate::reconcile::{After, Controller, Queue};
use crate::share::Part;
use crate::views::Partial;

/// What is read of a ClusterRole.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterRole {
    metadata: Meta,
    rules: Option<Vec<Value>>,
    aggregation_rule: Option<AggregationRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AggregationRule {
    cluster_role_selectors: Vec<Value>,
}

impl Kept for ClusterRole {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// The controller. Its key is the name of a role that aggregates others.
pub struct ClusterRoleAggregation {
    client: Client,
    roles: Arc<Informer<ClusterRole>>,
}

impl ClusterRoleAggregation {
    /// A controller with a cache of its own, of all ClusterRoles.
    pub fn new(client: Client, shutdown: CancellationToken) -> Arc<Self> {
        let roles = Informer::start(client.clone(), known::CLUSTER_ROLES, InformerOptions::default(), shutdown);
        Arc::new(Self { client, roles })
    }

    /// Waits until its cache holds its first list.
    pub async fn synced(&self) {
        self.roles.synced().await;
    }
}

/// The rules of those that are selected, in the order of names and each once.
fn aggregated(role: &ClusterRole, rule: &AggregationRule, all: &[Arc<ClusterRole>]) -> Vec<Value> {
    let mut parts: Vec<&Arc<ClusterRole>> = Vec::new();
    for selector in &rule.cluster_role_selectors {
        let Ok(selector) = LabelSelector::from_value(selector) else { continue };
        let selects =
            |part: &ClusterRole| selector.matches_with(|key| part.metadata.labels.get(key).map(SmolStr::as_str));
        let mut found: Vec<_> =
            all.iter().filter(|part| part.metadata.name != role.metadata.name && selects(part)).collect();
        found.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        parts.append(&mut found);
    }
    let mut rules: Vec<Value> = Vec::new();
    for rule in parts.iter().flat_map(|part| part.rules.iter().flatten()) {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    rules
}

impl Controller for ClusterRoleAggregation {
    type Key = SmolStr;

    fn name(&self) -> &'static str {
        "ClusterRoleAggregator"
    }

    fn start(self: Arc<Self>, queue: Queue<SmolStr>) {
        let watched = self.clone();
        // Any role may be, or may have been, part of any other.
        self.roles.on_change(move |_| watched.keys().into_iter().for_each(|key| queue.add(key)));
    }

    fn part(&self, _: &SmolStr) -> Part {
        Part::Term
    }

    fn keys(&self) -> Vec<SmolStr> {
        let roles = self.roles.list();
        let aggregating = roles.iter().filter(|role| role.aggregation_rule.is_some());
        aggregating.map(|role| role.metadata.name.clone()).collect()
    }

    async fn reconcile(&self, name: &SmolStr) -> Result<After, ClientError> {
        let Some(role) = self.roles.get(&cluster_key(name.clone())) else { return Ok(After::Done) };
        let Some(rule) = &role.aggregation_rule else { return Ok(After::Done) };
        let rules = aggregated(&role, rule, &self.roles.list());
        if role.rules.as_deref().unwrap_or_default() == rules {
            return Ok(After::Done);
        }
        let patch = json!({ "metadata": { "resourceVersion": role.metadata.resource_version }, "rules": rules });
        let Key { namespace, name } = cluster_key(name.clone());
        self.client.patch::<Partial>(&known::CLUSTER_ROLES, &namespace, &name, "", PatchType::Merge, &patch).await?;
        Ok(After::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(document: Value) -> Arc<ClusterRole> {
        Arc::new(serde_json::from_value(document).unwrap())
    }

    #[test]
    fn parts_are_joined_by_name_and_each_rule_comes_once() {
        let labels = |whole: &str| json!({ whole: "true" });
        let all = [
            role(
                json!({"metadata": {"name": "b", "labels": labels("x")}, "rules": [{"verbs": ["b"]}, {"verbs": ["a"]}]}),
            ),
            role(json!({"metadata": {"name": "a", "labels": labels("x")}, "rules": [{"verbs": ["a"]}]})),
            role(json!({"metadata": {"name": "c", "labels": labels("y")}, "rules": [{"verbs": ["c"]}]})),
            role(json!({"metadata": {"name": "x", "labels": labels("x")}, "rules": [{"verbs": ["old"]}],
                "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": labels("x")}]}})),
        ];
        let rule = all[3].aggregation_rule.as_ref().unwrap();
        assert_eq!(aggregated(&all[3], rule, &all), [json!({"verbs": ["a"]}), json!({"verbs": ["b"]})]);
    }
}
