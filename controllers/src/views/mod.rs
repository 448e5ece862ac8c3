//! What the controllers keep of each kind: slim views that deserialise what is used and skip the rest, so that a cache of
//! 100,000 Pods costs what is needed of them (see [`client::Kept`]). A pod template stays a document, because it is
//! handed on whole.
//!
//! Everything here is read-only state of a cache; what is written back is built as a patch by the controller that owns it.

mod apps;
mod core;
mod discovery;
mod node;
mod pod;

pub use apps::{
    Deployment, DeploymentCondition, DeploymentStatus, IntOrPercent, ReplicaSet, ReplicaSetCondition, ReplicaSetStatus,
};
pub use core::{ConfigMap, Lease, Namespace, NamespaceCondition, Service, ServiceAccount, ServicePort};
pub use discovery::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice, TargetRef};
pub use node::{Node, Taint};
pub use pod::{Pod, Toleration};

use client::{Kept, Meta};
use serde::{Deserialize, Deserializer};

/// Only the metadata of an object of any kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Partial {
    /// metadata
    pub metadata: Meta,
}

impl Kept for Partial {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// Reads an explicit null as the empty value: Kubernetes writes `"endpoints": null`.
fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
