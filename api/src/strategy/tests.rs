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

/// A document as the engine hands it to strategies.
fn canonical(resource: &crate::Resource, document: Value) -> Value {
    let decoded = crate::codec::conform(resource.stored_shape(), document).unwrap();
    assert_eq!(decoded.problems, Vec::<String>::new(), "{}", resource.id_name);
    decoded.value
}

fn made(resource: &crate::Resource, document: Value) -> Value {
    let mut object = canonical(resource, document);
    resource.strategy.default(&mut object);
    resource.strategy.prepare_create(&mut object);
    object
}

#[test]
fn what_defaults_write_is_canonical() {
    let registry = crate::builtin::registry(&crate::builtin::RuntimeConfig(vec![("api/all".to_owned(), true)]));
    for resource in registry.iter() {
        let object = made(resource, serde_json::json!({"metadata": {"name": "a"}}));
        assert_eq!(canonical(resource, object.clone()), object, "{}", resource.id_name);
    }
    let pods = registry.named("pods").unwrap();
    let pod = serde_json::json!({"metadata": {"name": "a", "labels": {"a": "b"}}, "spec": {
        "hostNetwork": true, "serviceAccountName": "s", "schedulingGates": [{"name": "g"}],
        "resources": {"limits": {"cpu": "2"}},
        "containers": [{
            "name": "a", "image": "i", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}},
            "livenessProbe": {"grpc": {"port": 1}}, "readinessProbe": {"httpGet": {"port": "x"}},
            "lifecycle": {"preStop": {"httpGet": {"port": 1}}},
            "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        }],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"a": "b"}}, "matchLabelKeys": ["a"]}],
        "volumes": [
            {"name": "a"}, {"name": "b", "hostPath": {"path": "/"}}, {"name": "c", "secret": {"secretName": "s"}},
            {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}},
                {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
            {"name": "e", "image": {"reference": "r"}}, {"name": "f", "azureDisk": {"diskName": "d", "diskURI": "u"}},
            {"name": "g", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}, {"name": "h", "iscsi": {
                "targetPortal": "p", "iqn": "i", "lun": 0}},
        ],
    }});
    let object = made(pods, pod);
    assert_eq!(canonical(pods, object.clone()), object);
}

#[test]
fn the_tutorial_is_accepted() {
    let registry = crate::builtin::registry(&crate::builtin::RuntimeConfig::default());
    let file = include_str!("../../../examples/nginx.yaml");
    for (text, id_name) in file.split("\n---\n").zip(["deployments.apps", "services"]) {
        let resource = registry.named(id_name).unwrap();
        let decoded =
            crate::codec::decode(resource.stored_shape(), text.as_bytes(), crate::codec::Format::Yaml).unwrap();
        assert!(decoded.problems.is_empty());
        let object = made(resource, decoded.value);
        assert_eq!(complaints(&*resource.strategy, &object), [], "{id_name}");
        assert_eq!(complaints_update(&*resource.strategy, &object, &object), [], "{id_name}");
        assert_eq!(canonical(resource, object.clone()), object, "{id_name}");
    }
}
