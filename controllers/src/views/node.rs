//! Nodes, as controllers see them.

use client::{Kept, Meta};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// metadata
    pub metadata: Meta,
    /// spec
    pub spec: NodeSpec,
    /// status
    pub status: NodeStatus,
}

/// spec of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// podCIDRs
    #[serde(rename = "podCIDRs", deserialize_with = "client::tight")]
    pub pod_cidrs: Vec<SmolStr>,
    /// podCIDR
    #[serde(rename = "podCIDR")]
    pub pod_cidr: SmolStr,
    /// Taints.
    #[serde(deserialize_with = "client::tight")]
    pub taints: Vec<Taint>,
    /// unschedulable
    pub unschedulable: bool,
}

/// A taint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    /// key
    pub key: SmolStr,
    /// value
    #[serde(skip_serializing_if = "SmolStr::is_empty")]
    pub value: SmolStr,
    /// NoSchedule, PreferNoSchedule, NoExecute.
    pub effect: SmolStr,
    /// When it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_added: Option<SmolStr>,
}

/// status of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Conditions.
    #[serde(deserialize_with = "client::tight")]
    pub conditions: Vec<NodeCondition>,
}

/// A condition of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCondition {
    /// type
    #[serde(rename = "type")]
    pub kind: SmolStr,
    /// True, False, Unknown.
    pub status: SmolStr,
    /// When the kubelet last said so.
    pub last_heartbeat_time: SmolStr,
    /// When it last changed.
    pub last_transition_time: SmolStr,
}

impl Kept for Node {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Node {
    /// A condition by its type.
    pub fn condition(&self, kind: &str) -> Option<&NodeCondition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Whether the Ready condition is True.
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|condition| condition.status == "True")
    }

    /// Whether it has this taint, whatever its value.
    pub fn has_taint(&self, key: &str, effect: &str) -> bool {
        self.spec.taints.iter().any(|taint| taint.key == key && taint.effect == effect)
    }

    /// A label, empty where it is missing.
    pub fn label(&self, key: &str) -> &str {
        self.metadata.labels.get(key).map_or("", SmolStr::as_str)
    }

    /// Region and zone, as one key; empty where it has neither.
    pub fn zone_key(&self) -> SmolStr {
        let either = |old, new| match self.label(old) {
            "" => self.label(new),
            value => value,
        };
        let zone = either("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone");
        let region = either("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region");
        if zone.is_empty() && region.is_empty() {
            return SmolStr::default();
        }
        SmolStr::from(format!("{region}:\0:{zone}"))
    }
}
