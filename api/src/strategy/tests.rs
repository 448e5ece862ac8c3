//! What the tests of all kinds share.

use super::*;
use crate::document::Document;

/// Every kind that has a strategy of its own.
const KINDS: &[(&str, &str)] = &[
    ("", "ConfigMap"),
    ("", "Endpoints"),
    ("", "Event"),
    ("", "LimitRange"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "PodTemplate"),
    ("", "ReplicationController"),
    ("", "ResourceQuota"),
    ("", "Secret"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("apps", "ControllerRevision"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("coordination.k8s.io", "Lease"),
    ("coordination.k8s.io", "LeaseCandidate"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("policy", "PodDisruptionBudget"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("node.k8s.io", "RuntimeClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "CSIStorageCapacity"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
];

/// The complaints about a new object.
pub(super) fn causes_of(strategy: &dyn Strategy, object: &Value) -> Causes {
    let mut causes = Causes::default();
    strategy.validate(object, &mut causes);
    causes
}

/// The same as pairs of path and message.
pub(super) fn complaints(strategy: &dyn Strategy, object: &Value) -> Vec<(String, String)> {
    causes_of(strategy, object).0.into_iter().map(|cause| (cause.field, cause.message)).collect()
}

/// The complaints about a change, those about the new object excepted.
pub(super) fn complaints_update(strategy: &dyn Strategy, object: &Value, old: &Value) -> Vec<(String, String)> {
    let mut causes = Causes::default();
    strategy.validate_update(object, old, &mut causes);
    causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
}

#[test]
fn every_kind_survives_an_empty_object() {
    for (group, kind) in KINDS {
        let strategy = of(group, kind);
        let mut object = serde_json::json!({"metadata": {"name": "a"}});
        strategy.default(&mut object);
        strategy.prepare_create(&mut object);
        let once = object.clone();
        strategy.default(&mut object);
        assert_eq!(object, once, "{kind}: defaults are idempotent");
        strategy.prepare_update(&mut object, &once);
        strategy.prepare_status(&mut object, &once);
        let mut causes = Causes::default();
        strategy.validate(&object, &mut causes);
        let mut causes = Causes::default();
        strategy.validate_update(&object, &once, &mut causes);
        assert!(causes.is_empty(), "{kind}: no change is always allowed, but {causes:?}");
        assert_eq!(object.name(), "a");
    }
}

#[test]
fn names_have_their_kinds_form() {
    for (group, kind, name, right) in [
        ("", "Pod", "a.b", true),
        ("", "Pod", "A", false),
        ("", "Namespace", "a.b", false),
        ("", "Service", "1a", true),
        ("", "Service", "a.b", false),
        ("apps", "StatefulSet", "a.b", false),
        ("apps", "Deployment", "a.b", true),
        ("rbac.authorization.k8s.io", "ClusterRole", "system:node", true),
        ("rbac.authorization.k8s.io", "ClusterRole", "a/b", false),
        ("example.com", "Unknown", "a.b", true),
        ("example.com", "Unknown", "a_b", false),
    ] {
        assert_eq!(of(group, kind).validate_name(name).is_empty(), right, "{kind} {name}");
    }
}

#[test]
fn what_scales() {
    for kind in ["Deployment", "ReplicaSet", "StatefulSet"] {
        assert!(of("apps", kind).scale().is_some(), "{kind}");
    }
    assert!(of("", "ReplicationController").scale().is_some());
    assert!(of("", "Pod").scale().is_none());
}
