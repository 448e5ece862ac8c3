//! A node as scheduling sees it.

use client::{Kept, Meta};
use serde::Deserialize;
use smol_str::SmolStr;

use super::requests::{ResourceList, amount, is_scalar};
use super::toleration::Taint;

/// What a node can give to pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocatable {
    /// cpu, in thousandths.
    pub cpu: i64,
    /// memory, bytes.
    pub memory: i64,
    /// ephemeral-storage, bytes.
    pub ephemeral: i64,
    /// Number of pods.
    pub pods: i64,
    /// Resources counted by name, sorted by it.
    pub scalars: Vec<(SmolStr, i64)>,
}

/// A node as scheduling sees it: heartbeats, conditions and images are left out, so they change nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "RawNode")]
pub struct NodeView {
    /// Metadata: name, uid, version and labels only.
    pub meta: NodeMeta,
    /// spec.unschedulable
    pub unschedulable: bool,
    /// spec.taints
    pub taints: Vec<Taint>,
    /// status.allocatable
    pub allocatable: Allocatable,
}

/// Metadata of a node view.
#[derive(Clone, Debug, Default)]
pub struct NodeMeta(Meta);

impl std::ops::Deref for NodeMeta {
    type Target = Meta;

    fn deref(&self) -> &Meta {
        &self.0
    }
}

impl PartialEq for NodeMeta {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name && self.0.uid == other.0.uid && self.0.labels == other.0.labels
    }
}

impl NodeView {
    /// The node's name.
    pub fn name(&self) -> &SmolStr {
        &self.meta.name
    }
}

impl Kept for NodeView {
    fn meta(&self) -> &Meta {
        &self.meta
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawNode {
    metadata: Meta,
    spec: RawSpec,
    status: RawStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawSpec {
    unschedulable: bool,
    taints: Vec<Taint>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawStatus {
    allocatable: ResourceList,
}

impl From<RawNode> for NodeView {
    fn from(raw: RawNode) -> Self {
        let of = |name: &str| raw.status.allocatable.get(name).map_or(0, |text| amount(name, text, 0));
        let scalars = raw.status.allocatable.iter().filter(|(name, _)| is_scalar(name));
        let allocatable = Allocatable {
            cpu: of("cpu"),
            memory: of("memory"),
            ephemeral: of("ephemeral-storage"),
            pods: of("pods"),
            scalars: scalars.map(|(name, text)| (name.clone(), amount(name, text, 0))).collect(),
        };
        let Meta { name, uid, resource_version, labels, .. } = raw.metadata;
        Self {
            meta: NodeMeta(Meta { name, uid, resource_version, labels, ..Meta::default() }),
            unschedulable: raw.spec.unschedulable,
            taints: raw.spec.taints,
            allocatable,
        }
    }
}
