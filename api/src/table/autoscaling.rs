//! autoscaling: HorizontalPodAutoscalers, in both of their stored forms.

use super::Printer;
use super::cell::{AGE, NAME, Row, some_of, text, text_or};
use crate::document::{Document, Value};

pub(super) const PRINTERS: &[Printer] = &[Printer {
    resource: "horizontalpodautoscalers.autoscaling",
    columns: &[
        NAME,
        text("Reference", "What is scaled."),
        text("Targets", "Metrics: what they are, and what they should be."),
        text("MinPods", "Fewest pods."),
        text("MaxPods", "Most pods."),
        text("Replicas", "Pods now."),
        AGE,
    ],
    print: autoscaler,
}];

fn autoscaler(row: &mut Row<'_>) {
    let target = row.object.at(&["spec", "scaleTargetRef"]);
    row.name().put(format!("{}/{}", target.text(&["kind"]), target.text(&["name"]))).of(metrics);
    row.text_or(&["spec", "minReplicas"], "<unset>").int(&["spec", "maxReplicas"]);
    row.int(&["status", "currentReplicas"]).age();
}

fn metrics(object: &Value) -> String {
    let specs = object.list(&["spec", "metrics"]);
    let statuses = object.list(&["status", "currentMetrics"]);
    let shown = |(at, spec): (usize, &Value)| metric(spec, statuses.get(at).unwrap_or(&Value::Null));
    let parts: Vec<String> = specs.iter().enumerate().map(shown).collect();
    // autoscaling/v1 knows one metric.
    let target = object.at(&["spec", "targetCPUUtilizationPercentage"]);
    if parts.is_empty() && !target.is_null() {
        let current = percent(object.at(&["status", "currentCPUUtilizationPercentage"]), "<unknown>");
        return format!("cpu: {current}/{}", percent(target, ""));
    }
    if parts.is_empty() { "<none>".to_owned() } else { some_of(&parts, 2, ", ") }
}

fn metric(spec: &Value, status: &Value) -> String {
    let field = match spec.text(&["type"]) {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let (target, current) = (spec.at(&[field, "target"]), status.at(&[field, "current"]));
    let average = text_or(target.at(&["averageValue"]), "<nil>");
    let now = |name: &str| text_or(current.at(&[name]), "<unknown>");
    let name = spec.text(&[field, "name"]);
    match (field, average.as_str()) {
        ("pods", _) => format!("{}/{average}", now("averageValue")),
        ("resource" | "containerResource", "<nil>") => {
            let wanted = percent(target.at(&["averageUtilization"]), "<auto>");
            format!("{name}: {}/{wanted}", percent(current.at(&["averageUtilization"]), "<unknown>"))
        }
        ("resource" | "containerResource", _) => format!("{name}: {}/{average}", now("averageValue")),
        (_, "<nil>") => format!("{}/{}", now("value"), text_or(target.at(&["value"]), "<nil>")),
        _ => format!("{}/{average} (avg)", now("averageValue")),
    }
}

fn percent(value: &Value, absent: &str) -> String {
    value.as_i64().map_or_else(|| absent.to_owned(), |value| format!("{value}%"))
}
