use serde_json::json;

use super::*;

fn canonical(name: &str, value: Value) -> Value {
    let decoded = codec::conform(Schema::builtin().named(name).unwrap(), value).unwrap();
    assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
    decoded.value
}

fn there_and_back(conversion: Conversion, stored: &str, served: &str, document: Value) -> Value {
    let stored_document = canonical(stored, document);
    let mut other = stored_document.clone();
    (conversion.from_stored)(&mut other);
    assert_eq!(canonical(served, other.clone()), other, "what a conversion writes is canonical");
    let mut back = other.clone();
    (conversion.to_stored)(&mut back);
    assert_eq!(back, stored_document, "something was lost on the way");
    other
}

#[test]
fn events_keep_everything_under_other_names() {
    let event = json!({
        "metadata": {"name": "e", "namespace": "d"}, "involvedObject": {"kind": "Pod", "name": "p", "uid": "1"},
        "reason": "Scheduled", "message": "here", "type": "Normal", "count": 3,
        "source": {"component": "scheduler", "host": "h"}, "reportingComponent": "r", "reportingInstance": "i",
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:01Z",
        "eventTime": "2026-01-01T00:00:00.000001Z", "action": "Binding",
        "series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000001Z"},
        "related": {"kind": "Node", "name": "n"}
    });
    let served = there_and_back(event::CONVERSION, "io.k8s.api.core.v1.Event", "io.k8s.api.events.v1.Event", event);
    assert_eq!(served["regarding"]["name"], "p");
    assert_eq!(served["note"], "here");
    assert_eq!(served["deprecatedSource"], json!({"component": "scheduler", "host": "h"}));
    assert_eq!(served["deprecatedCount"], 3);
    assert!(served.get("involvedObject").is_none());
}

const HPA_V1: &str = "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler";
const HPA_V2: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler";

#[test]
fn an_autoscaler_survives_version_1_with_metrics_that_version_1_does_not_know() {
    let selector = json!({"matchLabels": {"a": "b"}});
    let document = json!({
        "metadata": {"name": "h", "annotations": {"mine": "kept"}},
        "spec": {
            "maxReplicas": 10, "minReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "web"},
            "metrics": [
                {"type": "Pods", "pods": {"metric": {"name": "m", "selector": selector},
                    "target": {"type": "AverageValue", "averageValue": "10"}}},
                {"type": "Object", "object": {"describedObject": {"kind": "Ingress", "name": "i"}, "metric": {"name": "rps"},
                    "target": {"type": "Value", "value": "2k"}}},
                {"type": "Object", "object": {"describedObject": {"kind": "Ingress", "name": "i"}, "metric": {"name": "rps"},
                    "target": {"type": "AverageValue", "averageValue": "2k"}}},
                {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "1"}}},
                {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "1"}}},
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}},
                {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
                    "target": {"type": "AverageValue", "averageValue": "100m"}}},
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Min",
                "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}], "tolerance": "50m"}},
        },
        "status": {
            "currentReplicas": 3, "desiredReplicas": 4, "observedGeneration": 1,
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 55, "averageValue": "110m"}}},
            ],
            "conditions": [{"type": "AbleToScale", "status": "True", "reason": "r", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        }
    });
    let served = there_and_back(autoscaler::CONVERSION, HPA_V2, HPA_V1, document);
    assert_eq!(served["spec"]["targetCPUUtilizationPercentage"], 60);
    assert_eq!(served["status"]["currentCPUUtilizationPercentage"], 55);
    let annotations = served["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations.len(), 5);
    let behavior: Value =
        serde_json::from_str(annotations["autoscaling.alpha.kubernetes.io/behavior"].as_str().unwrap()).unwrap();
    assert_eq!(behavior["ScaleDown"]["Policies"][0], json!({"Type": "Pods", "Value": 4, "PeriodSeconds": 60}));
}

#[test]
fn version_1_autoscalers_without_a_target_mean_80_percent_and_bad_annotations_are_ignored() {
    let mut document = canonical(
        HPA_V1,
        json!({"metadata": {"annotations": {
            "autoscaling.alpha.kubernetes.io/metrics": r#"[{"type":1}]"#,
            "autoscaling.alpha.kubernetes.io/conditions": "{",
            "autoscaling.alpha.kubernetes.io/behavior": r#"{"ScaleUp":3}"#,
            "autoscaling.alpha.kubernetes.io/current-metrics": format!("{}{}", "[".repeat(90), "]".repeat(90)),
        }}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}}),
    );
    (autoscaler::CONVERSION.to_stored)(&mut document);
    assert!(document["metadata"].get("annotations").is_none());
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
    let metrics = document["spec"]["metrics"].as_array().unwrap();
    assert_eq!(metrics.last().unwrap(), &cpu);
}

#[test]
fn device_requests_and_devices_move_between_versions() {
    let requests = json!([
        {"name": "a", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2,
            "selectors": [{"cel": {"expression": "true"}}]}},
        {"name": "b", "firstAvailable": [{"name": "x", "deviceClassName": "gpu"}]},
    ]);
    let claim = json!({"metadata": {"name": "c"}, "spec": {"devices": {"requests": requests}}});
    let v1 = "io.k8s.api.resource.v1.ResourceClaim";
    let served = there_and_back(device::CLAIM, v1, "io.k8s.api.resource.v1beta1.ResourceClaim", claim);
    assert_eq!(served["spec"]["devices"]["requests"][0]["deviceClassName"], "gpu");
    let template = json!({"spec": {"spec": {"devices": {"requests": requests}}}});
    let v1 = "io.k8s.api.resource.v1.ResourceClaimTemplate";
    there_and_back(device::TEMPLATE, v1, "io.k8s.api.resource.v1beta1.ResourceClaimTemplate", template);
    let devices = json!([{"name": "d", "attributes": {"model": {"string": "x"}}, "capacity": {"memory": {"value": "1Gi"}}}, {"name": "e"}]);
    let slice = json!({"spec": {"driver": "d", "pool": {"name": "p"}, "devices": devices}});
    let v1 = "io.k8s.api.resource.v1.ResourceSlice";
    let served = there_and_back(device::SLICE, v1, "io.k8s.api.resource.v1beta1.ResourceSlice", slice);
    assert_eq!(served["spec"]["devices"][0]["basic"]["attributes"]["model"]["string"], "x");
}
