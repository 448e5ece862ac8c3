//! What no schema can say about one kind: defaults that depend on other fields, cross-field rules, immutable fields.
//!
//! The engine (shards) does what all kinds share: metadata, generation, dropping or keeping status. A strategy is asked in
//! this order: decode -> `default` -> `prepare_*` -> `validate*`.
//!
//! Invariants: a strategy is a function of its arguments; defaults are idempotent; what was stored once passes
//! [`Strategy::validate_update`] against itself. Paths, reasons and words of complaints are the reference's.
//!
//! Start reading at [`of`], then one small kind (`lease.rs`), then `deployment.rs` and `pod_spec/`.

use std::fmt;

use crate::document::Value;
use crate::names;
use crate::status::Causes;

mod claim_spec;
mod config_map;
mod deployment;
mod endpoint_slice;
mod field;
mod fill;
mod labels;
mod lease;
mod namespace;
mod node;
mod path;
pub mod pod;
mod pod_annotations;
mod pod_spec;
mod pod_status;
mod pod_update;
mod replica_set;
mod replicas;
mod resources;
mod secret;
mod service;
mod service_account;
mod service_addresses;
mod template;
#[cfg(test)]
mod tests;

/// One kind's rules. Documents are canonical and in the stored version.
pub trait Strategy: Send + Sync {
    /// Fills in defaults. Must be idempotent.
    fn default(&self, _object: &mut Value) {}

    /// Whether a create keeps the client's `status`. Where it does not, `status` is empty when `prepare_create` is asked.
    fn keeps_status_on_create(&self) -> bool {
        false
    }

    /// Last changes before a create: what clients may not set is cleared, what is always there is set.
    fn prepare_create(&self, _object: &mut Value) {}

    /// Last changes before an update of the main resource. Status was already taken from `old`.
    fn prepare_update(&self, _object: &mut Value, _old: &Value) {}

    /// Last changes before an update of `status`. Everything else was already taken from `old`.
    fn prepare_status(&self, _object: &mut Value, _old: &Value) {}

    /// Complaints about a new object, metadata excepted (the engine checks that).
    fn validate(&self, _object: &Value, _causes: &mut Causes) {}

    /// Complaints about a change. [`Strategy::validate`] is asked as well, by the engine.
    fn validate_update(&self, _object: &Value, _old: &Value, _causes: &mut Causes) {}

    /// Complaints about a change of `status`.
    fn validate_status(&self, _object: &Value, _old: &Value, _causes: &mut Causes) {}

    /// The form of metadata.name: complaints about it, one sentence each.
    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }

    /// Seconds of grace that a deletion starts with, given what the client asked for; `None` deletes at once.
    fn grace(&self, _object: &Value, _asked: Option<i64>) -> Option<i64> {
        None
    }

    /// Paths of spec.replicas, status.replicas and the selector for the `scale` subresource.
    fn scale(&self) -> Option<ScalePaths> {
        None
    }
}

impl fmt::Debug for dyn Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Strategy")
    }
}

/// Where a kind keeps what autoscaling/v1 Scale shows.
#[derive(Clone, Copy, Debug)]
pub struct ScalePaths {
    /// `spec.replicas`
    pub replicas: &'static [&'static str],
    /// `status.replicas`
    pub status: &'static [&'static str],
    /// The label selector: a metav1.LabelSelector or a map of labels.
    pub selector: &'static [&'static str],
}

/// A kind about which the schema says everything.
struct Plain;

impl Strategy for Plain {}

/// The strategy of a stored kind.
pub fn of(group: &str, kind: &str) -> &'static dyn Strategy {
    match (group, kind) {
        ("", "ConfigMap") => &config_map::ConfigMap,
        ("", "Namespace") => &namespace::Namespace,
        ("", "Node") => &node::Node,
        ("", "Pod") => &pod::Pod,
        ("", "PodTemplate") => &template::PodTemplate,
        ("", "Secret") => &secret::Secret,
        ("", "Service") => &service::Service,
        ("", "ServiceAccount") => &service_account::ServiceAccount,
        ("apps", "Deployment") => &deployment::Deployment,
        ("apps", "ReplicaSet") => &replica_set::ReplicaSet,
        ("coordination.k8s.io", "Lease") => &lease::Lease,
        ("discovery.k8s.io", "EndpointSlice") => &endpoint_slice::EndpointSlice,
        _ => &Plain,
    }
}

/// Kinds whose rules are tested all alike.
#[cfg(test)]
const KINDS: &[(&str, &str)] = &[
    ("", "ConfigMap"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "Pod"),
    ("", "PodTemplate"),
    ("", "Secret"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("coordination.k8s.io", "Lease"),
    ("discovery.k8s.io", "EndpointSlice"),
];
