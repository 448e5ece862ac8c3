//! What no schema can say about one kind: defaults that depend on other fields, cross-field rules, immutable fields.
//!
//! The engine (shards) does what all kinds share: metadata, generation, dropping or keeping status. A strategy is asked in
//! this order: decode -> `default` -> `prepare_*` -> `validate*`.
//!
//! Invariants: a strategy is a function of its arguments; defaults are idempotent; what was stored once passes
//! [`Strategy::validate_update`] against itself. Paths, reasons and words of complaints are the reference's.
//!
//! Start reading at [`of`], then one small kind (`lease.rs`), then `deployment.rs` and `pod_spec/`.

use smol_str::SmolStr;

use crate::document::Value;
use crate::names;
use crate::status::Causes;

mod admission_policy;
mod api_service;
mod claim_spec;
mod config_map;
mod controller_revision;
mod cron_job;
mod csi;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod endpoint_slice;
mod endpoints;
mod event;
mod field;
mod fill;
mod flow_control;
mod horizontal_pod_autoscaler;
mod ingress;
mod job;
mod job_indexes;
mod job_spec;
mod job_status;
mod labels;
mod lease;
mod lease_candidate;
mod limit_range;
mod namespace;
mod network_policy;
mod node;
mod path;
mod persistent_volume;
mod persistent_volume_claim;
pub mod pod;
mod pod_annotations;
mod pod_disruption_budget;
mod pod_spec;
mod pod_status;
mod pod_update;
mod priority_class;
mod rbac;
mod replica_set;
mod replicas;
mod replication_controller;
mod resource_quota;
mod resources;
mod runtime_class;
mod schedule;
mod secret;
mod service;
mod service_account;
mod service_addresses;
mod service_cidr;
mod stateful_set;
mod storage_class;
mod template;
#[cfg(test)]
mod tests;
mod webhooks;

/// One kind's rules. Documents are canonical and in the stored version.
pub trait Strategy: Send + Sync {
    /// Fills in defaults. Must be idempotent.
    fn default(&self, _object: &mut Value) {}

    /// Last changes before a create: what clients may not set is cleared, what is always there is set.
    fn prepare_create(&self, _object: &mut Value) {}

    /// Last changes before an update of the main resource. Status was already taken from `old`.
    fn prepare_update(&self, _object: &mut Value, _old: &Value) {}

    /// Last changes before an update of `status`. Everything else was already taken from `old`.
    fn prepare_status(&self, _object: &mut Value, _old: &Value) {}

    /// Complaints about a new object, metadata excepted (the engine checks that).
    fn validate(&self, _object: &Value, _causes: &mut Causes) {}

    /// Complaints about a new object that are not repeated when it changes. Asked after [`Strategy::validate`].
    fn validate_create(&self, _object: &Value, _causes: &mut Causes) {}

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

    /// Whether a deletion that does not say so leaves dependents alone: kinds older than the garbage collector.
    fn orphans_by_default(&self) -> bool {
        false
    }

    /// Whether finalizers need a domain of their own.
    fn qualifies_finalizers(&self) -> bool {
        true
    }

    /// Paths of spec.replicas, status.replicas and the selector for the `scale` subresource.
    fn scale(&self) -> Option<ScalePaths> {
        None
    }
}

/// Where a kind keeps what autoscaling/v1 Scale shows.
#[derive(Clone, Debug)]
pub struct ScalePaths {
    /// `spec.replicas`
    pub replicas: Vec<SmolStr>,
    /// `status.replicas`
    pub status: Vec<SmolStr>,
    /// The label selector: a metav1.LabelSelector, a map of labels, or text; empty for none.
    pub selector: Vec<SmolStr>,
}

/// A kind about which the schema says everything.
struct Plain;

impl Strategy for Plain {}

/// The strategy of a stored kind.
pub fn of(group: &str, kind: &str) -> &'static dyn Strategy {
    match (group, kind) {
        ("", "ConfigMap") => &config_map::ConfigMap,
        ("", "Endpoints") => &endpoints::Endpoints,
        ("" | "events.k8s.io", "Event") => &event::Event,
        ("", "LimitRange") => &limit_range::LimitRange,
        ("", "Namespace") => &namespace::Namespace,
        ("", "Node") => &node::Node,
        ("", "PersistentVolume") => &persistent_volume::PersistentVolume,
        ("", "PersistentVolumeClaim") => &persistent_volume_claim::PersistentVolumeClaim,
        ("", "Pod") => &pod::Pod,
        ("", "PodTemplate") => &template::PodTemplate,
        ("", "ReplicationController") => &replication_controller::ReplicationController,
        ("", "ResourceQuota") => &resource_quota::ResourceQuota,
        ("", "Secret") => &secret::Secret,
        ("", "Service") => &service::Service,
        ("", "ServiceAccount") => &service_account::ServiceAccount,
        ("apps", "ControllerRevision") => &controller_revision::ControllerRevision,
        ("apps", "DaemonSet") => &daemon_set::DaemonSet,
        ("apps", "Deployment") => &deployment::Deployment,
        ("apps", "ReplicaSet") => &replica_set::ReplicaSet,
        ("apps", "StatefulSet") => &stateful_set::StatefulSet,
        ("autoscaling", "HorizontalPodAutoscaler") => &horizontal_pod_autoscaler::HorizontalPodAutoscaler,
        ("batch", "CronJob") => &cron_job::CronJob,
        ("batch", "Job") => &job::Job,
        ("discovery.k8s.io", "EndpointSlice") => &endpoint_slice::EndpointSlice,
        ("policy", "PodDisruptionBudget") => &pod_disruption_budget::PodDisruptionBudget,
        ("admissionregistration.k8s.io", _) => of_admission(kind),
        ("apiregistration.k8s.io", _) => &api_service::ApiService,
        ("apiextensions.k8s.io", _) => &custom_resource_definition::CustomResourceDefinition,
        ("coordination.k8s.io", "Lease") => &lease::Lease,
        ("coordination.k8s.io", "LeaseCandidate") => &lease_candidate::LeaseCandidate,
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => &flow_control::FlowSchema,
        ("flowcontrol.apiserver.k8s.io", _) => &flow_control::PriorityLevelConfiguration,
        ("networking.k8s.io", "Ingress") => &ingress::Ingress,
        ("networking.k8s.io", "IngressClass") => &ingress::IngressClass,
        ("networking.k8s.io", "IPAddress") => &service_cidr::IpAddress,
        ("networking.k8s.io", "NetworkPolicy") => &network_policy::NetworkPolicy,
        ("networking.k8s.io", "ServiceCIDR") => &service_cidr::ServiceCidr,
        ("node.k8s.io", "RuntimeClass") => &runtime_class::RuntimeClass,
        ("rbac.authorization.k8s.io", "Role") => &rbac::Role { namespaced: true },
        ("rbac.authorization.k8s.io", "ClusterRole") => &rbac::Role { namespaced: false },
        ("rbac.authorization.k8s.io", "RoleBinding") => &rbac::Binding { namespaced: true },
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => &rbac::Binding { namespaced: false },
        ("scheduling.k8s.io", "PriorityClass") => &priority_class::PriorityClass,
        ("storage.k8s.io", _) => of_storage(kind),
        _ => &Plain,
    }
}

fn of_admission(kind: &str) -> &'static dyn Strategy {
    match kind {
        "MutatingWebhookConfiguration" => &webhooks::Webhooks { mutating: true },
        "ValidatingWebhookConfiguration" => &webhooks::Webhooks { mutating: false },
        "MutatingAdmissionPolicy" | "ValidatingAdmissionPolicy" => &admission_policy::Policy,
        "MutatingAdmissionPolicyBinding" | "ValidatingAdmissionPolicyBinding" => &admission_policy::PolicyBinding,
        _ => &Plain,
    }
}

fn of_storage(kind: &str) -> &'static dyn Strategy {
    match kind {
        "CSIDriver" => &csi::CsiDriver,
        "CSINode" => &csi::CsiNode,
        "CSIStorageCapacity" => &csi::CsiStorageCapacity,
        "StorageClass" => &storage_class::StorageClass,
        "VolumeAttachment" => &csi::VolumeAttachment,
        "VolumeAttributesClass" => &storage_class::VolumeAttributesClass,
        _ => &Plain,
    }
}
