//! MutatingWebhookConfigurations and ValidatingWebhookConfigurations.

use std::collections::BTreeSet;

use super::path::Path;
use super::{Strategy, field, fill, labels};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// Either kind.
pub(super) struct Webhooks {
    pub(super) mutating: bool,
}

impl Strategy for Webhooks {
    fn default(&self, object: &mut Value) {
        for hook in fill::each(object, "webhooks") {
            fill::text(hook, "failurePolicy", "Fail");
            matching(hook);
            fill::int(hook, "timeoutSeconds", 10);
            if self.mutating {
                fill::text(hook, "reinvocationPolicy", "Never");
            }
            if let Some(service) = fill::field(hook, "clientConfig").and_then(|it| fill::field(it, "service")) {
                fill::int(service, "port", 443);
            }
            for rule in fill::each(hook, "rules") {
                fill::value(rule, "scope", || "*".into());
            }
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let list = Path::new("webhooks");
        let mut names = BTreeSet::new();
        for (at, hook) in field::list(object, "webhooks").iter().enumerate() {
            let path = list.index(at);
            self.webhook(hook, &path, causes);
            let name = field::text(hook, "name");
            if !name.is_empty() && !names.insert(name) {
                causes.duplicate(path.child("name"), &name.into());
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// What webhooks and policies match by default: the same objects in every version, everywhere.
pub(super) fn matching(of: &mut Value) {
    fill::text(of, "matchPolicy", "Equivalent");
    fill::map(of, "namespaceSelector");
    fill::map(of, "objectSelector");
}

impl Webhooks {
    fn webhook(&self, hook: &Value, path: &Path<'_>, causes: &mut Causes) {
        field::fully_qualified_name(field::text(hook, "name"), path.child("name"), causes);
        let list = path.child("rules");
        for (at, rule) in field::list(hook, "rules").iter().enumerate() {
            self::rule(rule, &list.index(at), causes);
        }
        field::optional_choice(hook, "failurePolicy", path, &["Fail", "Ignore"], causes);
        field::optional_choice(hook, "matchPolicy", path, &["Equivalent", "Exact"], causes);
        match field::is_set(hook, "sideEffects") {
            true => field::choice(hook, "sideEffects", path, &["None", "NoneOnDryRun"], causes),
            false => causes.required(path.child("sideEffects"), "must specify one of None, NoneOnDryRun"),
        }
        if let Some(seconds) = field::int(hook, "timeoutSeconds").filter(|seconds| !(1..=30).contains(seconds)) {
            let words = "the timeout value must be between 1 and 30 seconds";
            causes.invalid(path.child("timeoutSeconds"), &seconds.into(), words);
        }
        labels::selector(hook, "namespaceSelector", path, causes);
        labels::selector(hook, "objectSelector", path, causes);
        if self.mutating {
            field::optional_choice(hook, "reinvocationPolicy", path, &["IfNeeded", "Never"], causes);
        }
        if !field::list(hook, "matchConditions").is_empty() {
            causes.forbidden(path.child("matchConditions"), "not supported by this server yet");
        }
        client(field::get(hook, "clientConfig"), &path.child("clientConfig"), causes);
        review_versions(hook, &path.child("admissionReviewVersions"), causes);
    }
}

fn rule(rule: &Value, path: &Path<'_>, causes: &mut Causes) {
    const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    let operations = field::list(rule, "operations");
    let list = path.child("operations");
    if operations.is_empty() {
        causes.required(list, "");
    }
    if operations.len() > 1 && operations.iter().any(|operation| operation == "*") {
        let words = "if '*' is present, must not specify other operations";
        causes.invalid(list, field::get(rule, "operations"), words);
    }
    for (at, operation) in operations.iter().enumerate() {
        if !OPERATIONS.contains(&operation.as_str().unwrap_or_default()) {
            causes.not_supported(list.index(at), operation, OPERATIONS);
        }
    }
    for (key, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions"), ("resources", "resources")] {
        let values = field::list(rule, key);
        if values.is_empty() {
            causes.required(path.child(key), "");
        }
        let wild = if key == "resources" { "*/*" } else { "*" };
        if values.len() > 1 && values.iter().any(|value| value == wild) {
            let words = format!("if '{wild}' is present, must not specify other {what}");
            causes.invalid(path.child(key), field::get(rule, key), &words);
        }
        for (at, value) in values.iter().enumerate() {
            // The core group is the empty one.
            if value == "" && key != "apiGroups" {
                causes.required(path.child(key).index(at), "");
            }
        }
    }
    field::optional_choice(rule, "scope", path, &["*", "Cluster", "Namespaced"], causes);
}

/// Where a webhook is: a URL or a Service, not both.
pub(super) fn client(config: &Value, path: &Path<'_>, causes: &mut Causes) {
    match (field::get(config, "url").as_str(), field::get(config, "service")) {
        (None, Value::Null) | (Some(_), Value::Object(_)) => {
            causes.required(path, "exactly one of url or service is required");
        }
        (Some(url), _) => self::url(url, path.child("url"), causes),
        (None, service) => self::service(service, &path.child("service"), causes),
    }
}

fn url(text: &str, path: Path<'_>, causes: &mut Causes) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = text.split_once("://").unwrap_or(("", ""));
    if scheme != "https" {
        causes.invalid(path, &scheme.into(), &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() {
        causes.invalid(path, &host.into(), &format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        causes.invalid(path, &user.into(), "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        causes.invalid(path, &fragment.into(), "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        causes.invalid(path, &query.into(), "query parameters are not permitted in the URL");
    }
}

fn service(service: &Value, path: &Path<'_>, causes: &mut Causes) {
    field::required_text(service, "name", path, causes);
    field::required_text(service, "namespace", path, causes);
    let port = field::int(service, "port").unwrap_or_default();
    if !(1..=65535).contains(&port) {
        let words = "port is not valid: must be between 1 and 65535, inclusive";
        causes.invalid(path.child("port"), &port.into(), words);
    }
    let url = field::text(service, "path");
    if matches!(url, "" | "/") {
        return;
    }
    let value = Value::from(url);
    if !url.starts_with('/') {
        causes.invalid(path.child("path"), &value, "must start with a '/'");
    }
    let steps = url.strip_prefix('/').unwrap_or(url);
    let steps = steps.strip_suffix('/').unwrap_or(steps);
    for (at, step) in steps.split('/').enumerate() {
        if step.is_empty() {
            causes.invalid(path.child("path"), &value, &format!("segment[{at}] may not be empty"));
            continue;
        }
        for words in names::is_dns1123_subdomain(step) {
            causes.invalid(path.child("path"), &value, &format!("segment[{at}]: {words}"));
        }
    }
}

fn review_versions(hook: &Value, list: &Path<'_>, causes: &mut Causes) {
    let versions = field::list(hook, "admissionReviewVersions");
    if versions.is_empty() {
        return causes.required(list, "must specify one of v1, v1beta1");
    }
    for (at, version) in versions.iter().enumerate() {
        if versions[..at].contains(version) {
            causes.invalid(list.index(at), version, "duplicate version");
            continue;
        }
        let text = version.as_str().unwrap_or_default();
        field::complain(names::is_dns1035_label(text), text, list.index(at), causes);
    }
    if !versions.iter().any(|version| version == "v1" || version == "v1beta1") {
        let words = "must include at least one of v1, v1beta1";
        causes.invalid(list, field::get(hook, "admissionReviewVersions"), words);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::complaints;

    fn hooks(change: Value) -> Value {
        let mut object = json!({"webhooks": [{
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "s", "namespace": "n", "path": "/validate"}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        }]});
        for (key, value) in change.as_object().unwrap() {
            object["webhooks"][0][key] = value.clone();
        }
        Webhooks { mutating: true }.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let strategy = Webhooks { mutating: true };
        let good = hooks(json!({}));
        let hook = &good["webhooks"][0];
        assert_eq!((&hook["failurePolicy"], &hook["timeoutSeconds"]), (&json!("Fail"), &json!(10)));
        assert_eq!((&hook["rules"][0]["scope"], &hook["namespaceSelector"]), (&json!("*"), &json!({})));
        assert_eq!(hook["clientConfig"]["service"]["port"], 443);
        assert_eq!(complaints(&strategy, &good), []);
        for (change, field, message) in [
            (
                json!({"name": "short"}),
                "webhooks[0].name",
                "Invalid value: \"short\": should be a domain with at least three segments separated by dots",
            ),
            (
                json!({"sideEffects": "Some"}),
                "webhooks[0].sideEffects",
                "Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
            ),
            (
                json!({"timeoutSeconds": 31}),
                "webhooks[0].timeoutSeconds",
                "Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            ),
            (
                json!({"clientConfig": {}}),
                "webhooks[0].clientConfig",
                "Required value: exactly one of url or service is required",
            ),
            (
                json!({"clientConfig": {"url": "http://a"}}),
                "webhooks[0].clientConfig.url",
                "Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            ),
            (
                json!({"admissionReviewVersions": ["v2"]}),
                "webhooks[0].admissionReviewVersions",
                "Invalid value: [\"v2\"]: must include at least one of v1, v1beta1",
            ),
        ] {
            assert_eq!(complaints(&strategy, &hooks(change)), [(field.to_owned(), message.to_owned())]);
        }
    }
}
