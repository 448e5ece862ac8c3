use serde_json::json;

use super::*;
use crate::time;

const NOW: &str = "2026-11-22T10:00:00Z";

/// A row as kubectl prints it: cells between bars, those of `-o wide` after a double one.
fn shown(resource: &str, mut object: Value) -> String {
    object["metadata"]["name"] = json!("x");
    object["metadata"]["creationTimestamp"] = json!("2026-11-22T09:55:00Z");
    let printer = PRINTERS.get(resource).unwrap_or_else(|| panic!("{resource} has no printer"));
    let cells = printer.row(&object, time::parse(NOW).unwrap());
    let text = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
    let of = |priority| {
        let cells = printer.columns.iter().zip(&cells).filter(move |(column, _)| column.priority == priority);
        cells.map(|(_, cell)| text(cell)).collect::<Vec<_>>().join(" | ")
    };
    let wide = of(1);
    if wide.is_empty() { of(0) } else { format!("{} || {wide}", of(0)) }
}

#[test]
fn every_row_has_a_cell_for_every_column() {
    for printer in PRINTERS.values().chain([&&PLAIN]) {
        for object in [json!({}), json!({"metadata": {"name": "x"}, "spec": {}, "status": {}})] {
            let cells = printer.row(&object, 0);
            assert_eq!(cells.len(), printer.columns.len(), "{}", printer.resource);
            for (column, cell) in printer.columns.iter().zip(&cells) {
                let fits = match column.kind {
                    "integer" => cell.is_number(),
                    "boolean" => cell.is_boolean() || cell.is_string(),
                    _ => cell.is_string() || cell.is_number() || cell.is_boolean(),
                };
                assert!(fits, "{} {}: {cell}", printer.resource, column.name);
            }
        }
        let names = printer.columns.iter().filter(|column| column.name == "Name").count();
        assert_eq!(names, 1, "{}", printer.resource);
    }
}

#[test]
fn every_served_kind_has_a_printer() {
    let registry = crate::builtin::registry(&crate::builtin::RuntimeConfig::parse("api/all=true").unwrap());
    // What the reference, too, shows with nothing but names.
    let plain: Vec<&str> =
        registry.iter().map(|resource| resource.id_name.as_str()).filter(|name| !PRINTERS.contains_key(name)).collect();
    assert_eq!(plain, ["nodeports.internal.shardplane", "logicalclusters.internal.shardplane"]);
}

/// A pod of containers a and b, with what `status` says.
fn pod(status: Value) -> Value {
    json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "n"}, "status": status})
}

/// READY, STATUS and RESTARTS of a pod.
fn state(pod: Value) -> String {
    let row = shown("pods", pod);
    row.split(" | ").skip(1).take(3).collect::<Vec<_>>().join(" | ")
}

fn running(ready: bool) -> Value {
    json!({"ready": ready, "state": {"running": {}}, "restartCount": 0})
}

fn ended(code: i64, reason: &str) -> Value {
    json!({"ready": false, "state": {"terminated": {"exitCode": code, "reason": reason}}})
}

#[test]
fn pods_show_where_they_are() {
    let object = json!({
        "spec": {"containers": [{"name": "a"}], "nodeName": "n1", "readinessGates": [{"conditionType": "x/y"}, {"conditionType": "z"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "containerStatuses": [running(true)],
            "conditions": [{"type": "x/y", "status": "True"}]},
    });
    assert_eq!(shown("pods", object), "x | 1/1 | Running | 0 | 5m || 10.0.0.1 | n1 | <none> | 1/2");
    assert_eq!(
        shown("pods", json!({"status": {"phase": "Pending"}})),
        "x | 0/0 | Pending | 0 | 5m || <none> | <none> | <none> | <none>"
    );
}

#[test]
fn pods_say_what_their_containers_do() {
    let containers = |statuses: Vec<Value>| pod(json!({"phase": "Running", "containerStatuses": statuses}));
    let waiting = json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3,
        "lastState": {"terminated": {"finishedAt": "2026-11-22T09:59:30Z"}}});
    let cases = [
        (containers(vec![running(true), running(true)]), "2/2 | Running | 0"),
        (containers(vec![running(true), running(false)]), "1/2 | Running | 0"),
        (containers(vec![running(true), waiting.clone()]), "1/2 | CrashLoopBackOff | 3 (30s ago)"),
        (containers(vec![ended(0, "Completed"), ended(1, "Error")]), "0/2 | Error | 0"),
        (containers(vec![ended(0, "Completed"), running(true)]), "1/2 | NotReady | 0"),
        (containers(vec![ended(137, ""), running(true)]), "1/2 | ExitCode:137 | 0"),
        (containers(vec![json!({"state": {"terminated": {"exitCode": 1, "signal": 9}}})]), "0/2 | Signal:9 | 0"),
        (containers(vec![json!({"state": {"waiting": {"reason": "ImagePullBackOff"}}})]), "0/2 | ImagePullBackOff | 0"),
    ];
    for (object, wanted) in cases {
        assert_eq!(state(object.clone()), wanted, "{object}");
    }
    let mut ready = containers(vec![ended(0, "Completed"), running(true)]);
    ready["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    assert_eq!(state(ready), "1/2 | Running | 0");
    assert_eq!(state(pod(json!({"phase": "Failed", "reason": "Evicted"}))), "0/2 | Evicted | 0");
    let gated = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]});
    assert_eq!(state(pod(gated)), "0/2 | SchedulingGated | 0");
}

#[test]
fn pods_say_that_they_are_deleted() {
    let deleted = |status: Value| {
        let mut object = pod(status);
        object["metadata"]["deletionTimestamp"] = json!(NOW);
        state(object)
    };
    assert_eq!(deleted(json!({"phase": "Running", "containerStatuses": [running(true)]})), "1/2 | Terminating | 0");
    assert_eq!(deleted(json!({"phase": "Running", "reason": "NodeLost"})), "0/2 | Unknown | 0");
    let done = json!({"phase": "Succeeded", "containerStatuses": [ended(0, "Completed")]});
    assert_eq!(deleted(done), "0/2 | Completed | 0");
}

#[test]
fn pods_say_how_far_initialization_is() {
    let initializing = |inits: Vec<Value>, statuses: Vec<Value>| {
        let mut object = pod(json!({"phase": "Pending", "initContainerStatuses": statuses,
            "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}));
        object["spec"]["initContainers"] = json!(inits);
        state(object)
    };
    let inits = || vec![json!({"name": "i"}), json!({"name": "j"})];
    let done = || json!({"name": "i", "state": {"terminated": {"exitCode": 0}}, "restartCount": 1});
    let cases = [
        (vec![json!({"name": "i", "state": {"running": {}}})], "0/2 | Init:0/2 | 0"),
        (vec![done(), json!({"name": "j", "state": {"waiting": {"reason": "PodInitializing"}}})], "0/2 | Init:1/2 | 1"),
        (
            vec![done(), json!({"name": "j", "state": {"waiting": {"reason": "ErrImagePull"}}})],
            "0/2 | Init:ErrImagePull | 1",
        ),
        (vec![json!({"name": "i", "state": {"terminated": {"exitCode": 2}}})], "0/2 | Init:ExitCode:2 | 0"),
        (
            vec![json!({"name": "i", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}})],
            "0/2 | Init:Error | 0",
        ),
        (vec![done(), json!({"name": "j", "state": {"terminated": {"exitCode": 0}}})], "0/2 | PodInitializing | 0"),
    ];
    for (statuses, wanted) in cases {
        assert_eq!(initializing(inits(), statuses.clone()), wanted, "{statuses:?}");
    }
    let sidecar = vec![json!({"name": "i", "restartPolicy": "Always"})];
    let started =
        vec![json!({"name": "i", "started": true, "ready": true, "state": {"running": {}}, "restartCount": 2})];
    assert_eq!(initializing(sidecar, started), "1/3 | PodInitializing | 2");
}

#[test]
fn workloads() {
    let spec = || {
        json!({"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
        "template": {"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j"}]}}})
    };
    let status = || json!({"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2});
    let object = || json!({"spec": spec(), "status": status()});
    assert_eq!(shown("deployments.apps", object()), "x | 2/3 | 1 | 2 | 5m || a,b | i:1,j | app=web");
    assert_eq!(shown("replicasets.apps", object()), "x | 3 | 3 | 2 | 5m || a,b | i:1,j | app=web");
    assert_eq!(shown("statefulsets.apps", object()), "x | 2/3 | 5m || a,b | i:1,j");
    let daemons = json!({"spec": spec(), "status": {"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3,
        "updatedNumberScheduled": 2, "numberAvailable": 1}});
    assert_eq!(shown("daemonsets.apps", daemons), "x | 5 | 4 | 3 | 2 | 1 | <none> | 5m || a,b | i:1,j | app=web");
    let revision = json!({"revision": 7, "metadata": {"ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true}]}});
    assert_eq!(shown("controllerrevisions.apps", revision), "x | statefulset.apps/web | 7 | 5m");
    let job = json!({"spec": {"completions": 3}, "status": {"succeeded": 1, "startTime": "2026-11-22T09:58:00Z"}});
    assert_eq!(shown("jobs.batch", job), "x | Running | 1/3 | 2m | 5m ||  |  | <none>");
    let job = json!({"spec": {"parallelism": 2}, "status": {"conditions": [{"type": "Complete", "status": "True"}],
        "startTime": "2026-11-22T09:58:00Z", "completionTime": "2026-11-22T09:58:07Z", "succeeded": 2}});
    assert_eq!(shown("jobs.batch", job), "x | Complete | 2/1 of 2 | 7s | 5m ||  |  | <none>");
    let cron = json!({"spec": {"schedule": "* * * * *", "suspend": false}, "status": {"lastScheduleTime": "2026-11-22T09:59:00Z"}});
    assert_eq!(shown("cronjobs.batch", cron), "x | * * * * * | <none> | False | 0 | 60s | 5m ||  |  | <none>");
}

#[test]
fn services_and_their_endpoints() {
    let service = |spec: Value| shown("services", json!({"spec": spec}));
    let ports = json!([{"port": 80, "protocol": "TCP"}, {"port": 53, "nodePort": 30053, "protocol": "UDP"}]);
    assert_eq!(
        service(json!({"type": "NodePort", "clusterIPs": ["10.0.0.1"], "ports": ports, "selector": {"a": "b"}})),
        "x | NodePort | 10.0.0.1 | <none> | 80/TCP,53:30053/UDP | 5m || a=b"
    );
    assert_eq!(
        service(json!({"type": "ExternalName", "externalName": "e.x"})),
        "x | ExternalName | <none> | e.x | <none> | 5m || <none>"
    );
    assert_eq!(
        service(json!({"type": "LoadBalancer"})),
        "x | LoadBalancer | <none> | <pending> | <none> | 5m || <none>"
    );
    let endpoints = json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80}, {"port": 81}]}]});
    assert_eq!(shown("endpoints", endpoints), "x | 10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more... | 5m");
    assert_eq!(shown("endpoints", json!({})), "x | <none> | 5m");
    let slice = json!({"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["1"]}, {"addresses": ["2"]}]});
    assert_eq!(shown("endpointslices.discovery.k8s.io", slice), "x | IPv4 | 80 | 1,2 | 5m");
    assert_eq!(shown("endpointslices.discovery.k8s.io", json!({})), "x |  | <unset> | <unset> | 5m");
    let hosts = |count: i32| json!({"spec": {"rules": (0..count).map(|at| json!({"host": format!("h{at}")})).collect::<Vec<_>>()}});
    assert_eq!(shown("ingresses.networking.k8s.io", hosts(2)), "x | <none> | h0,h1 |  | 80 | 5m");
    assert_eq!(shown("ingresses.networking.k8s.io", hosts(5)), "x | <none> | h0,h1,h2 + 2 more... |  | 80 | 5m");
    let address =
        json!({"spec": {"parentRef": {"group": "", "resource": "services", "namespace": "default", "name": "web"}}});
    assert_eq!(shown("ipaddresses.networking.k8s.io", address), "x | services/default/web");
}

#[test]
fn nodes_and_namespaces() {
    let node = json!({
        "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "a"}},
        "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}], "addresses": [{"type": "InternalIP", "address": "10.1.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "OS", "kernelVersion": "6", "architecture": "amd64", "containerRuntimeVersion": "c://2"}},
    });
    assert_eq!(
        shown("nodes", node),
        "x | NotReady,SchedulingDisabled | a,control-plane | 5m | v1.36.0 || 10.1.0.1 | <none> | OS | 6 (amd64) | c://2"
    );
    assert_eq!(
        shown("nodes", json!({})),
        "x | Unknown | <none> | 5m |  || <none> | <none> | <unknown> | <unknown> | <unknown>"
    );
    assert_eq!(shown("namespaces", json!({"status": {"phase": "Active"}})), "x | Active | 5m");
}

#[test]
fn events_say_who_saw_what() {
    let event = json!({
        "type": "Normal", "reason": "Scheduled", "message": " assigned \n", "count": 4, "source": {"component": "scheduler"},
        "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec"},
        "firstTimestamp": "2026-11-22T09:50:00Z", "lastTimestamp": "2026-11-22T09:59:50Z",
    });
    assert_eq!(
        shown("events", event),
        "10s | Normal | Scheduled | pod/web | assigned || spec | scheduler | 10m | 4 | x"
    );
    let series = json!({
        "eventTime": "2026-11-22T09:50:00.000000Z", "reportingComponent": "r", "reportingInstance": "r-1",
        "series": {"count": 3, "lastObservedTime": "2026-11-22T09:59:55.000000Z"},
    });
    assert_eq!(shown("events", series), "5s |  |  |  |  ||  | r, r-1 | 10m | 3 | x");
}

#[test]
fn storage() {
    let volume = json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "volumeMode": "Block",
        "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "s"}, "status": {"phase": "Bound"}});
    assert_eq!(
        shown("persistentvolumes", volume),
        "x | 1Gi | RWO,RWX | Retain | Bound | n/c | s | <unset> |  | 5m || Block"
    );
    let claim = json!({"spec": {"storageClassName": "s"}, "status": {"phase": "Pending"}});
    assert_eq!(shown("persistentvolumeclaims", claim), "x | Pending |  |  |  | s | <unset> | 5m || <unset>");
    let class = json!({"provisioner": "p", "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
    assert_eq!(shown("storageclasses.storage.k8s.io", class), "x (default) | p | Delete | Immediate | false | 5m");
    assert_eq!(
        shown("csidrivers.storage.k8s.io", json!({})),
        "x | true | false | false | <unset> | false | <none> | 5m"
    );
}

#[test]
fn the_rest() {
    let autoscaler = json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 5, "metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
        {"type": "Pods", "pods": {"target": {"averageValue": "100m"}}},
        {"type": "Object", "object": {"target": {"value": "1"}}}]},
        "status": {"currentReplicas": 2, "currentMetrics": [{"type": "Resource", "resource": {"current": {"averageUtilization": 20}}}]}});
    let wanted = "x | Deployment/web | cpu: 20%/80%, <unknown>/100m + 1 more... | 1 | 5 | 2 | 5m";
    assert_eq!(shown("horizontalpodautoscalers.autoscaling", autoscaler), wanted);
    let quota = json!({"status": {"hard": {"pods": "10", "limits.cpu": "2"}, "used": {"pods": "3"}}});
    assert_eq!(shown("resourcequotas", quota), "x | pods: 3/10 | limits.cpu: 0/2 | 5m");
    let binding = json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"},
        {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]});
    assert_eq!(shown("rolebindings.rbac.authorization.k8s.io", binding), "x | Role/r | 5m || u, v |  | n/s");
    assert_eq!(shown("clusterroles.rbac.authorization.k8s.io", json!({})), "x | 2026-11-22T09:55:00Z");
    let budget = json!({"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}});
    assert_eq!(shown("poddisruptionbudgets.policy", budget), "x | 50% | N/A | 1 | 5m");
    let level = json!({"spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 10}}});
    assert_eq!(
        shown("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", level),
        "x | Limited | 10 | <none> | <none> | <none> | 5m"
    );
    let csr = json!({"spec": {"signerName": "s", "username": "u", "expirationSeconds": 3600}, "status": {"certificate": "Zm9v",
        "conditions": [{"type": "Approved"}]}});
    assert_eq!(shown("certificatesigningrequests.certificates.k8s.io", csr), "x | 5m | s | u | 60m | Approved,Issued");
    assert_eq!(shown("leases.coordination.k8s.io", json!({"spec": {"holderIdentity": "h"}})), "x | h | 5m");
    let claim = json!({"status": {"allocation": {}, "reservedFor": [{}]}});
    assert_eq!(shown("resourceclaims.resource.k8s.io", claim), "x | allocated,reserved | 5m");
    assert_eq!(shown("configmaps", json!({"data": {"a": "", "b": ""}, "binaryData": {"c": ""}})), "x | 3 | 5m");
    assert_eq!(shown("secrets", json!({"type": "Opaque", "data": {"a": ""}})), "x | Opaque | 1 | 5m");
    let policy = json!({"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}});
    assert_eq!(shown("networkpolicies.networking.k8s.io", policy), "x | a | 5m");
}
