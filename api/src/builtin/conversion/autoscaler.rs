//! HorizontalPodAutoscalers: autoscaling/v2 is stored. autoscaling/v1 knows one CPU percentage and carries everything
//! else in annotations, whose JSON is that of an older type (metrics) or has Go's names of the fields (behavior).
//! Annotations that do not read as such are ignored, as in the reference.

use serde_json::{Map, json};

use super::settle;
use crate::codec;
use crate::document::{Document, Value};
use crate::resource::Conversion;
use crate::schema::Schema;

pub(super) const CONVERSION: Conversion = Conversion { from_stored, to_stored };

const V1: &str = "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler";
const V2: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler";

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const ANNOTATIONS: [&str; 6] = [
    METRICS,
    CURRENT_METRICS,
    CONDITIONS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

/// The percentage that v1 always implied (autoscaling.DefaultCPUUtilization).
const DEFAULT_UTILIZATION: i64 = 80;

/// Where a field of an annotation's metric stands in v2, for each source; and, with `true`, that it is never absent there.
type Fields = [(&'static str, &'static [&'static str], bool)];

const SPEC: [(&str, &Fields); 5] = [
    (
        "resource",
        &[
            ("name", &["name"], false),
            ("targetAverageUtilization", &["target", "averageUtilization"], false),
            ("targetAverageValue", &["target", "averageValue"], false),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", &["name"], false),
            ("container", &["container"], false),
            ("targetAverageUtilization", &["target", "averageUtilization"], false),
            ("targetAverageValue", &["target", "averageValue"], false),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"], false),
            ("selector", &["metric", "selector"], false),
            ("targetAverageValue", &["target", "averageValue"], true),
        ],
    ),
    (
        "object",
        &[
            ("target", &["describedObject"], false),
            ("metricName", &["metric", "name"], false),
            ("selector", &["metric", "selector"], false),
            ("targetValue", &["target", "value"], true),
            ("averageValue", &["target", "averageValue"], false),
        ],
    ),
    (
        "external",
        &[
            ("metricName", &["metric", "name"], false),
            ("metricSelector", &["metric", "selector"], false),
            ("targetValue", &["target", "value"], false),
            ("targetAverageValue", &["target", "averageValue"], false),
        ],
    ),
];

const STATUS: [(&str, &Fields); 5] = [
    (
        "resource",
        &[
            ("name", &["name"], false),
            ("currentAverageUtilization", &["current", "averageUtilization"], false),
            ("currentAverageValue", &["current", "averageValue"], true),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", &["name"], false),
            ("container", &["container"], false),
            ("currentAverageUtilization", &["current", "averageUtilization"], false),
            ("currentAverageValue", &["current", "averageValue"], true),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"], false),
            ("selector", &["metric", "selector"], false),
            ("currentAverageValue", &["current", "averageValue"], true),
        ],
    ),
    (
        "object",
        &[
            ("target", &["describedObject"], false),
            ("metricName", &["metric", "name"], false),
            ("selector", &["metric", "selector"], false),
            ("currentValue", &["current", "value"], true),
            ("averageValue", &["current", "averageValue"], false),
        ],
    ),
    (
        "external",
        &[
            ("metricName", &["metric", "name"], false),
            ("metricSelector", &["metric", "selector"], false),
            ("currentValue", &["current", "value"], true),
            ("currentAverageValue", &["current", "averageValue"], false),
        ],
    ),
];

fn from_stored(document: &mut Value) {
    drop_annotations(document);
    let metrics = take_list(document, &["spec", "metrics"]);
    if let Some(percent) = metrics.iter().find_map(|metric| cpu(metric, "target")) {
        document.set(&["spec", "targetCPUUtilizationPercentage"], percent);
    }
    let others = metrics.iter().filter(|metric| cpu(metric, "target").is_none());
    annotate(document, METRICS, others.map(|metric| to_old(metric, &SPEC)).collect::<Vec<_>>());
    let current = take_list(document, &["status", "currentMetrics"]);
    if let Some(percent) = current.iter().find_map(|metric| cpu(metric, "current")) {
        document.set(&["status", "currentCPUUtilizationPercentage"], percent);
    }
    annotate(document, CURRENT_METRICS, current.iter().map(|metric| to_old(metric, &STATUS)).collect::<Vec<_>>());
    let conditions = take_list(document, &["status", "conditions"]);
    annotate(document, CONDITIONS, conditions);
    if let Some(behavior) = document.remove(&["spec", "behavior"]) {
        let behavior = with_names(behavior, str::to_ascii_uppercase);
        document.set(&["metadata", "annotations", BEHAVIOR], behavior.to_string());
    }
    settle(document, V1);
}

fn to_stored(document: &mut Value) {
    let mut metrics =
        annotation(document, METRICS).and_then(|old| read(&["spec", "metrics"], name_targets(from_old(&old, &SPEC))));
    if let Some(percent) = document.remove(&["spec", "targetCPUUtilizationPercentage"]) {
        metrics.get_or_insert_default().push(cpu_metric("target", percent));
    }
    let metrics = metrics.filter(|metrics| !metrics.is_empty());
    let implied = || vec![cpu_metric("target", DEFAULT_UTILIZATION.into())];
    document.set(&["spec", "metrics"], metrics.unwrap_or_else(implied));
    let percent = document.remove(&["status", "currentCPUUtilizationPercentage"]);
    let current = annotation(document, CURRENT_METRICS);
    let current = current.and_then(|old| read(&["status", "currentMetrics"], from_old(&old, &STATUS)));
    match (current, percent) {
        (Some(current), _) => document.set(&["status", "currentMetrics"], current),
        (None, Some(percent)) => document.set(&["status", "currentMetrics"], vec![cpu_metric("current", percent)]),
        (None, None) => {}
    }
    let conditions = annotation(document, CONDITIONS);
    if let Some(conditions) = conditions.and_then(|conditions| read(&["status", "conditions"], conditions)) {
        document.set(&["status", "conditions"], conditions);
    }
    if let Some(behavior) = annotation(document, BEHAVIOR) {
        let behavior = json!({"spec": {"behavior": with_names(behavior, str::to_ascii_lowercase)}});
        let behavior = conform(behavior).and_then(|mut settled| settled.remove(&["spec", "behavior"]));
        if let Some(behavior) = behavior.filter(|behavior| behavior.as_object().is_some_and(|map| !map.is_empty())) {
            document.set(&["spec", "behavior"], behavior);
        }
    }
    drop_annotations(document);
    settle(document, V2);
}

fn take_list(document: &mut Value, path: &[&str]) -> Vec<Value> {
    match document.remove(path) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// The utilization of a metric of the CPU, by the only source that v1 knows.
fn cpu(metric: &Value, side: &str) -> Option<i64> {
    let is_cpu = metric.text(&["type"]) == "Resource" && metric.text(&["resource", "name"]) == "cpu";
    metric.int(&["resource", side, "averageUtilization"]).filter(|_| is_cpu)
}

fn cpu_metric(side: &str, percent: Value) -> Value {
    let mut metric = json!({"type": "Resource", "resource": {"name": "cpu", side: {"averageUtilization": percent}}});
    if side == "target" {
        metric.set(&["resource", "target", "type"], "Utilization");
    }
    metric
}

/// A v2 metric in the form of the annotation.
fn to_old(metric: &Value, sources: &[(&str, &Fields)]) -> Value {
    let mut old = json!({"type": metric.text(&["type"])});
    for (source, fields) in sources {
        if !metric.at(&[source]).is_object() {
            continue;
        }
        let mut inner = Map::new();
        for (name, path, always) in fields.iter() {
            match metric.at(&[source]).at(path) {
                Value::Null if *always => _ = inner.insert((*name).to_owned(), "0".into()),
                Value::Null => {}
                value => _ = inner.insert((*name).to_owned(), value.clone()),
            }
        }
        old.set(&[source], inner);
    }
    old
}

/// The annotation's metrics as v2 metrics, not checked yet.
fn from_old(old: &Value, sources: &[(&str, &Fields)]) -> Value {
    let metric = |old: &Value| {
        let mut metric = json!({"type": old.at(&["type"])});
        for (source, fields) in sources.iter().filter(|(source, _)| old.at(&[source]).is_object()) {
            let mut inner = json!({});
            for (name, path, _) in fields.iter().filter(|(name, ..)| !old.at(&[source, name]).is_null()) {
                inner.set(path, old.at(&[source, name]).clone());
            }
            metric.set(&[source], inner);
        }
        metric
    };
    old.as_array().map_or(Value::Null, |metrics| metrics.iter().map(metric).collect())
}

/// What v2 says about a target and the annotation leaves to be seen.
fn name_targets(metrics: Value) -> Value {
    let Value::Array(mut metrics) = metrics else { return metrics };
    for metric in &mut metrics {
        for (source, _) in SPEC.iter().filter(|(source, _)| metric.at(&[source]).is_object()).collect::<Vec<_>>() {
            let target = metric.at_mut(&[source, "target"]);
            let has = |name: &str| !target.at(&[name]).is_null();
            let kind = match *source {
                "resource" | "containerResource" if has("averageUtilization") => "Utilization",
                "object" if !has("averageValue") => "Value",
                "external" if has("value") => "Value",
                _ => "AverageValue",
            };
            // The old type cannot leave this value out.
            if *source == "object" && has("averageValue") && target.text(&["value"]) == "0" {
                target.remove(&["value"]);
            }
            target.set(&["type"], kind);
        }
    }
    Value::Array(metrics)
}

/// The list at `path` of a document that holds nothing else, in canonical form; `None` where it is not of that type.
fn read(path: &[&str], list: Value) -> Option<Vec<Value>> {
    let mut document = json!({});
    document.set(path, list);
    Some(take_list(&mut conform(document)?, path))
}

fn conform(document: Value) -> Option<Value> {
    let schema = Schema::builtin();
    let shape = schema.named(V2).expect("the table has the stored type");
    codec::conform(shape, document).ok().map(|decoded| decoded.value)
}

fn annotation(document: &Value, name: &str) -> Option<Value> {
    serde_json::from_str(document.text(&["metadata", "annotations", name])).ok()
}

fn annotate(document: &mut Value, name: &str, items: Vec<Value>) {
    if !items.is_empty() {
        document.set(&["metadata", "annotations", name], Value::Array(items).to_string());
    }
}

fn drop_annotations(document: &mut Value) {
    for name in ANNOTATIONS {
        document.remove(&["metadata", "annotations", name]);
    }
}

/// Every key with its first letter changed: the annotation has Go's names of the fields.
fn with_names(value: Value, change: fn(&str) -> String) -> Value {
    match value {
        Value::Object(fields) => {
            let rename = |name: &str| {
                let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
                format!("{}{rest}", change(first))
            };
            fields.into_iter().map(|(name, value)| (rename(&name), with_names(value, change))).collect()
        }
        Value::Array(items) => items.into_iter().map(|item| with_names(item, change)).collect(),
        other => other,
    }
}
