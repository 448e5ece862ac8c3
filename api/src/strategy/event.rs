//! Events: one kind, served as core/v1 and as events.k8s.io/v1. The stored form is core's.

use super::path::Path;
use super::{Strategy, field};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// core/v1 Event.
pub(super) struct Event;

impl Strategy for Event {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let namespace = object.namespace();
        let involved = field::text(field::get(object, "involvedObject"), "namespace");
        let is_new = field::is_set(object, "eventTime");
        // Events about things without a namespace live in `default`; new ones may live in kube-system as well.
        let right = match (involved, is_new) {
            ("", false) => matches!(namespace, "" | "default"),
            ("", true) => matches!(namespace, "default" | "kube-system"),
            (involved, false) => involved == namespace,
            (_, true) => true,
        };
        if !right {
            causes.invalid("involvedObject.namespace", &involved.into(), "does not match event.namespace");
        }
        if is_new {
            reporter(object, causes);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// What an event of the new kind must say about who reports it and why.
fn reporter(object: &Value, causes: &mut Causes) {
    let controller = Path::new("reportingComponent");
    match field::text(object, "reportingComponent") {
        "" => causes.required(controller, ""),
        name => field::qualified_name(name, controller, causes),
    }
    for (key, most, required) in
        [("reportingInstance", 128, true), ("action", 128, true), ("reason", 128, true), ("message", 1024, false)]
    {
        let text = field::text(object, key);
        if text.is_empty() && required {
            causes.required(key, "");
        }
        if text.len() > most {
            causes.invalid(key, &"".into(), &format!("can have at most {most} characters"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::complaints;

    #[test]
    fn rules() {
        let of = |namespace: &str, involved: &str| json!({"metadata": {"namespace": namespace}, "involvedObject": {"namespace": involved}});
        assert_eq!(complaints(&Event, &of("web", "web")), []);
        assert_eq!(complaints(&Event, &of("default", "")), []);
        assert_eq!(
            complaints(&Event, &of("web", "db")),
            [("involvedObject.namespace".into(), "Invalid value: \"db\": does not match event.namespace".into())]
        );
        let mut new = of("web", "web");
        new["eventTime"] = json!("2026-01-01T00:00:00.000000Z");
        let fields: Vec<String> = complaints(&Event, &new).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["reportingComponent", "reportingInstance", "action", "reason"]);
    }
}
