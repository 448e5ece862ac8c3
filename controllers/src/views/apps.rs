//! Deployments and ReplicaSets, as controllers see them.

use api::Value;
use client::{Kept, Meta};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A Deployment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// metadata
    pub metadata: Meta,
    /// spec
    pub spec: DeploymentSpec,
    /// status
    pub status: DeploymentStatus,
}

/// spec of a Deployment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    /// Defaulted to 1 by the server.
    pub replicas: Option<i32>,
    /// metav1.LabelSelector
    pub selector: Value,
    /// PodTemplateSpec
    pub template: Value,
    /// strategy
    pub strategy: Strategy,
    /// minReadySeconds
    pub min_ready_seconds: i32,
    /// revisionHistoryLimit
    pub revision_history_limit: Option<i32>,
    /// progressDeadlineSeconds
    pub progress_deadline_seconds: Option<i32>,
    /// paused
    pub paused: bool,
}

/// How Pods are replaced.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// RollingUpdate, Recreate.
    #[serde(rename = "type")]
    pub kind: SmolStr,
    /// rollingUpdate
    pub rolling_update: RollingUpdate,
}

/// Limits of a rolling update.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    /// How many Pods there may be above the desired number.
    pub max_surge: Option<IntOrPercent>,
    /// How many Pods may be missing.
    pub max_unavailable: Option<IntOrPercent>,
}

/// `3` or `25%`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum IntOrPercent {
    /// A number of Pods.
    Number(i32),
    /// A percentage of the desired number.
    Percent(SmolStr),
}

/// status of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    /// observedGeneration
    pub observed_generation: i64,
    /// replicas
    pub replicas: i32,
    /// updatedReplicas
    pub updated_replicas: i32,
    /// readyReplicas
    pub ready_replicas: i32,
    /// availableReplicas
    pub available_replicas: i32,
    /// unavailableReplicas
    pub unavailable_replicas: i32,
    /// terminatingReplicas
    pub terminating_replicas: Option<i32>,
    /// Conditions.
    pub conditions: Vec<DeploymentCondition>,
    /// collisionCount
    pub collision_count: Option<i32>,
}

/// A condition of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentCondition {
    /// type
    #[serde(rename = "type")]
    pub kind: SmolStr,
    /// True, False, Unknown.
    pub status: SmolStr,
    /// RFC 3339.
    pub last_update_time: SmolStr,
    /// RFC 3339.
    pub last_transition_time: SmolStr,
    /// reason
    pub reason: SmolStr,
    /// message
    pub message: String,
}

/// A ReplicaSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    /// metadata
    pub metadata: Meta,
    /// spec
    pub spec: ReplicaSetSpec,
    /// status
    pub status: ReplicaSetStatus,
}

/// spec of a ReplicaSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetSpec {
    /// Defaulted to 1 by the server.
    pub replicas: Option<i32>,
    /// metav1.LabelSelector
    pub selector: Value,
    /// PodTemplateSpec
    pub template: Value,
    /// minReadySeconds
    pub min_ready_seconds: i32,
}

/// status of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetStatus {
    /// replicas
    pub replicas: i32,
    /// fullyLabeledReplicas
    pub fully_labeled_replicas: i32,
    /// readyReplicas
    pub ready_replicas: i32,
    /// availableReplicas
    pub available_replicas: i32,
    /// terminatingReplicas
    pub terminating_replicas: Option<i32>,
    /// observedGeneration
    pub observed_generation: i64,
    /// Conditions.
    pub conditions: Vec<ReplicaSetCondition>,
}

/// A condition of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetCondition {
    /// type
    #[serde(rename = "type")]
    pub kind: SmolStr,
    /// True, False.
    pub status: SmolStr,
    /// RFC 3339.
    pub last_transition_time: SmolStr,
    /// reason
    pub reason: SmolStr,
    /// message
    pub message: String,
}

impl Kept for Deployment {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Kept for ReplicaSet {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Deployment {
    /// spec.replicas
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// Whether a lack of progress is to be reported.
    pub fn has_progress_deadline(&self) -> bool {
        self.spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX)
    }
}

impl DeploymentStatus {
    /// A condition by its type.
    pub fn condition(&self, kind: &str) -> Option<&DeploymentCondition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}

impl ReplicaSet {
    /// spec.replicas
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// An annotation that holds a number.
    pub fn number(&self, annotation: &str) -> Option<i32> {
        let number = self.metadata.annotations.get(annotation)?.parse().ok()?;
        (number >= 0).then_some(number)
    }
}
