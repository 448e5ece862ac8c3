//! APIServices: who serves a group and version. Without a Service it is this server.

use serde_json::json;

use super::path::Path;
use super::{Strategy, field};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// apiregistration.k8s.io/v1 APIService.
pub(super) struct ApiService;

impl Strategy for ApiService {
    fn default(&self, object: &mut Value) {
        if object.at(&["spec", "service"]).is_object() {
            object.set_default(&["spec", "service", "port"], 443);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        if object.at(&["spec", "service"]).is_object() {
            return;
        }
        // What is served here needs nobody to look after it.
        let now = object.text(&["metadata", "creationTimestamp"]).to_owned();
        let mut local = json!({
            "type": "Available", "status": "True", "reason": "Local",
            "message": "Local APIServices are always available",
        });
        if !now.is_empty() {
            local.set(&["lastTransitionTime"], now);
        }
        object.set(&["status", "conditions"], vec![local]);
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let path = Path::new("spec");
        let spec = object.at(&["spec"]);
        let (group, version) = (field::text(spec, "group"), field::text(spec, "version"));
        let wanted = format!("{version}.{group}");
        if names::is_path_segment_name(object.name()).is_empty() && object.name() != wanted {
            let words = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
            causes.invalid("metadata.name", &object.name().into(), &words);
        }
        if group.is_empty() && version != "v1" {
            let words = "only v1 may have an empty group and it better be legacy kube";
            causes.required(path.child("group"), words);
        }
        if !group.is_empty() {
            field::dns_subdomain(group, path.child("group"), causes);
        }
        field::complain(names::is_dns1035_label(version), version, path.child("version"), causes);
        for (key, most) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
            let priority = field::int(spec, key).unwrap_or_default();
            if !(1..=most).contains(&priority) {
                let words = format!("must be positive and less than {most}");
                causes.invalid(path.child(key), &priority.into(), &words);
            }
        }
        trust(spec, &path, causes);
    }

    fn validate_status(&self, object: &Value, _old: &Value, causes: &mut Causes) {
        let list = Path::new("status.conditions");
        for (at, condition) in object.list(&["status", "conditions"]).iter().enumerate() {
            let path = list.index(at);
            let status = field::text(condition, "status");
            if !["True", "False", "Unknown"].contains(&status) {
                causes.not_supported(path.child("status"), &status.into(), &["True", "False", "Unknown"]);
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_path_segment_name(name)
    }
}

/// Where the server is, and by what it is known.
fn trust(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let bundle = field::text(spec, "caBundle");
    let skips = field::is_true(spec, "insecureSkipTLSVerify");
    let service = field::get(spec, "service");
    if !service.is_object() {
        if !bundle.is_empty() {
            // Base64 of so many bytes.
            let bytes = bundle.trim_end_matches('=').len() * 3 / 4;
            let words = "local APIServices may not have a caBundle";
            causes.invalid(path.child("caBundle"), &format!("{bytes} bytes").into(), words);
        }
        if skips {
            let words = "local APIServices may not have insecureSkipTLSVerify";
            causes.invalid(path.child("insecureSkipTLSVerify"), &true.into(), words);
        }
        return;
    }
    let place = path.child("service");
    field::required_text(service, "namespace", &place, causes);
    field::required_text(service, "name", &place, causes);
    let port = field::int(service, "port").unwrap_or_default();
    if !(1..=65535).contains(&port) {
        let words = "port is not valid: must be between 1 and 65535, inclusive";
        causes.invalid(place.child("port"), &port.into(), words);
    }
    if skips && !bundle.is_empty() {
        let words = "may not be true if caBundle is present";
        causes.invalid(path.child("insecureSkipTLSVerify"), &true.into(), words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::tests::complaints;

    #[test]
    fn rules() {
        let service = |name: &str, spec: Value| {
            let mut object = json!({"metadata": {"name": name}, "spec": spec});
            ApiService.default(&mut object);
            object
        };
        let good = json!({
            "group": "a.example", "version": "v1", "groupPriorityMinimum": 20_000, "versionPriority": 1,
            "service": {"name": "s", "namespace": "n"},
        });
        assert_eq!(complaints(&ApiService, &service("v1.a.example", good.clone())), []);
        let with = |change: Value| {
            let mut spec = good.clone();
            spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            complaints(&ApiService, &service("v1.a.example", spec))
        };
        let say = |field: &str, message: &str| [(field.to_owned(), message.to_owned())];
        assert_eq!(
            with(json!({"version": "v2"})),
            say(
                "metadata.name",
                "Invalid value: \"v1.a.example\": must be `spec.version+\".\"+spec.group`: \"v2.a.example\""
            )
        );
        assert_eq!(
            with(json!({"groupPriorityMinimum": 20_001})),
            say("spec.groupPriorityMinimum", "Invalid value: 20001: must be positive and less than 20000")
        );
        assert_eq!(
            with(json!({"caBundle": "YQ==", "insecureSkipTLSVerify": true})),
            say("spec.insecureSkipTLSVerify", "Invalid value: true: may not be true if caBundle is present")
        );
        assert_eq!(
            with(json!({"caBundle": "YQ==", "service": null})),
            say("spec.caBundle", "Invalid value: \"1 bytes\": local APIServices may not have a caBundle")
        );
        assert_eq!(
            complaints(
                &ApiService,
                &service(
                    "v1.",
                    json!({
                        "version": "v1", "groupPriorityMinimum": 18_000, "versionPriority": 1,
                    })
                )
            ),
            []
        );
    }
}
