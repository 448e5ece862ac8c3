use serde_json::json;

use super::*;

fn quota(spec: Value) -> Quota {
    Quota::of(&json!({"metadata": {"name": "q"}, "spec": spec}))
}

fn shown(usage: &Usage) -> Vec<String> {
    usage.amounts.iter().filter(|(_, it)| !it.is_zero()).map(|(name, amount)| format!("{name}={amount}")).collect()
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": spec})
}

#[test]
fn limits_are_about_the_kinds_that_the_reference_measures() {
    for (name, kinds) in [
        ("pods", &["pods"][..]),
        ("requests.cpu", &["pods"]),
        ("hugepages-2Mi", &["pods"]),
        ("requests.hugepages-2Mi", &["pods"]),
        ("requests.example.com/gpu", &["pods"]),
        ("requests.deviceclass.resource.kubernetes.io/gpu", &["pods"]),
        ("limits.example.com/gpu", &[]),
        ("requests.kubernetes.io/thing", &[]),
        ("example.com/gpu", &[]),
        ("services.nodeports", &["services"]),
        ("requests.storage", &["persistentvolumeclaims"]),
        ("gold.storageclass.storage.k8s.io/requests.storage", &["persistentvolumeclaims"]),
        ("gold.storageclass.storage.k8s.io/persistentvolumeclaims", &["persistentvolumeclaims"]),
        ("gpu.deviceclass.resource.k8s.io/devices", &["resourceclaims.resource.k8s.io"]),
        ("configmaps", &["configmaps"]),
        ("count/configmaps", &["configmaps"]),
        ("count/pods", &["pods"]),
        ("count/deployments.apps", &["deployments.apps"]),
        ("count/widgets.example.com", &["widgets.example.com"]),
        ("count/events", &[]),
        ("count/events.events.k8s.io", &[]),
    ] {
        let all = [
            "pods",
            "services",
            "persistentvolumeclaims",
            "resourceclaims.resource.k8s.io",
            "configmaps",
            "events",
            "events.events.k8s.io",
            "deployments.apps",
            "widgets.example.com",
        ];
        let found: Vec<&str> = all.into_iter().filter(|id_name| measures(id_name, name)).collect();
        assert_eq!((name, found.as_slice()), (name, kinds));
        assert_eq!(is_measured(name), !kinds.is_empty(), "{name}");
    }
}

#[test]
fn pods_take_what_they_ask_for_until_they_have_ended() {
    let resources = json!({
        "requests": {"cpu": "1", "example.com/gpu": "2", "hugepages-2Mi": "4Mi"}, "limits": {"cpu": "2", "memory": "1Gi"},
    });
    let mut pod = pod(json!({"containers": [{"name": "c", "resources": resources}]}));
    let expected = [
        "count/pods=1",
        "cpu=1",
        "hugepages-2Mi=4Mi",
        "limits.cpu=2",
        "limits.memory=1Gi",
        "pods=1",
        "requests.cpu=1",
        "requests.example.com/gpu=2",
        "requests.hugepages-2Mi=4Mi",
    ];
    assert_eq!(shown(&usage("pods", &pod)), expected);
    pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:30Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    let until = usage("pods", &pod).until.unwrap();
    assert_eq!(crate::time::format_seconds(until), "2026-01-01T00:01:00Z");
    for phase in ["Succeeded", "Failed"] {
        pod["status"] = json!({"phase": phase});
        let ended = usage("pods", &pod);
        assert_eq!((shown(&ended), ended.until), (vec!["count/pods=1".to_owned()], None));
    }
}

#[test]
fn services_take_ports_by_what_they_want() {
    for (spec, expected) in [
        (json!({"ports": [{}, {}]}), &["count/services=1", "services=1"][..]),
        (json!({"type": "NodePort", "ports": [{}, {}]}), &["count/services=1", "services=1", "services.nodeports=2"]),
        (
            json!({"type": "LoadBalancer", "ports": [{}]}),
            &["count/services=1", "services=1", "services.loadbalancers=1", "services.nodeports=1"],
        ),
        (
            json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{}, {"nodePort": 30000}, {}]}),
            &["count/services=1", "services=1", "services.loadbalancers=1", "services.nodeports=1"],
        ),
    ] {
        assert_eq!(shown(&usage("services", &json!({ "spec": spec }))), expected);
    }
}

#[test]
fn claims_take_whole_bytes_of_their_class() {
    let mut claim = json!({
        "metadata": {"name": "c"},
        "spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1500m"}}},
    });
    let expected = [
        "count/persistentvolumeclaims=1",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims=1",
        "gold.storageclass.storage.k8s.io/requests.storage=2",
        "persistentvolumeclaims=1",
        "requests.storage=2",
    ];
    assert_eq!(shown(&usage("persistentvolumeclaims", &claim)), expected);
    claim["spec"] = json!({"resources": {"requests": {"storage": "1Gi"}}});
    claim["status"] = json!({"allocatedResources": {"storage": "2Gi"}});
    let growing = usage("persistentvolumeclaims", &claim);
    assert_eq!(shown(&growing)[2], "requests.storage=2Gi", "what it was given is held");

    let scoped = quota(json!({"scopeSelector": {"matchExpressions": [
        {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["fast"]},
    ]}}));
    assert!(!scoped.is_about("persistentvolumeclaims", &claim));
    claim["status"]["modifyVolumeStatus"] = json!({"targetVolumeAttributesClassName": "fast"});
    assert!(scoped.is_about("persistentvolumeclaims", &claim));
    assert!(!scoped.is_about("configmaps", &claim), "what knows no scopes lies in none");
}

#[test]
fn claims_for_devices_take_the_worst_case() {
    let claim = json!({"spec": {"devices": {"requests": [
        {"exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
        {"firstAvailable": [
            {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 3},
            {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1},
            {"deviceClassName": "nic", "allocationMode": "All"},
        ]},
    ]}}});
    let expected = [
        "count/resourceclaims.resource.k8s.io=1",
        "gpu.deviceclass.resource.k8s.io/devices=5",
        "nic.deviceclass.resource.k8s.io/devices=32",
    ];
    assert_eq!(shown(&usage("resourceclaims.resource.k8s.io", &claim)), expected);
}

#[test]
fn scopes_choose_pods() {
    let scopes = |names: Value| quota(json!({ "scopes": names }));
    let class = |operator: &str, values: Value| {
        let expression = json!({"scopeName": "PriorityClass", "operator": operator, "values": values});
        quota(json!({"scopeSelector": {"matchExpressions": [expression]}}))
    };
    let limited = json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]});
    let plain = pod(json!({"containers": [{"name": "c"}]}));
    let ending = pod(json!({"containers": [{"name": "c"}], "activeDeadlineSeconds": 5}));
    let high = pod(json!({"priorityClassName": "high"}));
    let across = pod(json!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"podAffinityTerm": {"namespaceSelector": {}}},
    ]}}}));
    for (quota, pod, expected) in [
        (scopes(json!([])), &plain, true),
        (scopes(json!(["Terminating"])), &plain, false),
        (scopes(json!(["Terminating"])), &ending, true),
        (scopes(json!(["NotTerminating"])), &ending, false),
        (scopes(json!(["BestEffort"])), &plain, true),
        (scopes(json!(["BestEffort"])), &pod(limited.clone()), false),
        (scopes(json!(["NotBestEffort", "NotTerminating"])), &pod(limited), true),
        (scopes(json!(["PriorityClass"])), &high, true),
        (scopes(json!(["PriorityClass"])), &plain, false),
        (class("In", json!(["low", "high"])), &high, true),
        (class("In", json!(["low"])), &high, false),
        (class("NotIn", json!(["low"])), &high, true),
        (class("NotIn", json!(["high"])), &high, false),
        (class("NotIn", json!(["high"])), &plain, true),
        (class("DoesNotExist", json!([])), &plain, true),
        (class("DoesNotExist", json!([])), &high, false),
        (scopes(json!(["CrossNamespacePodAffinity"])), &across, true),
        (scopes(json!(["CrossNamespacePodAffinity"])), &plain, false),
        (scopes(json!(["VolumeAttributesClass"])), &plain, false),
    ] {
        assert_eq!(quota.is_about("pods", pod), expected, "{quota:?} {pod}");
    }
}

#[test]
fn containers_have_to_say_what_is_limited() {
    let said = json!({"requests": {"cpu": "1"}});
    let pod = pod(json!({
        "containers": [{"name": "b", "resources": said}, {"name": "a"}], "initContainers": [{"name": "c", "resources": said}],
    }));
    let names = ["requests.cpu", "limits.cpu", "pods", "requests.ephemeral-storage"];
    let expected = "must specify limits.cpu for: a,b,c; requests.cpu for: a";
    assert_eq!(unsaid("pods", &pod, names.into_iter()).as_deref(), Some(expected));
    assert_eq!(unsaid("pods", &pod, ["pods"].into_iter()), None);
    assert_eq!(unsaid("services", &pod, names.into_iter()), None);
    let mut whole = pod;
    whole["spec"]["resources"] = json!({"limits": {"cpu": "1"}});
    assert_eq!(unsaid("pods", &whole, names.into_iter()), None);
}

#[test]
fn writes_that_only_say_what_is_are_not_refused() {
    let plain = pod(json!({}));
    let ending = pod(json!({"activeDeadlineSeconds": 5}));
    assert!(may_refuse("pods", "", None, &plain));
    assert!(may_refuse("pods", "", Some(&plain), &ending));
    assert!(may_refuse("pods", "resize", Some(&plain), &plain));
    assert!(!may_refuse("pods", "", Some(&plain), &plain));
    assert!(!may_refuse("pods", "status", Some(&plain), &ending));
    assert!(may_refuse("services", "", Some(&plain), &plain));
    assert!(!may_refuse("persistentvolumeclaims", "status", Some(&plain), &plain));
    assert!(!may_refuse("configmaps", "", Some(&plain), &plain));
}
