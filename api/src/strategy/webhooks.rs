//! MutatingWebhookConfigurations and ValidatingWebhookConfigurations.

use std::collections::BTreeSet;

use super::path::Path;
use super::{Strategy, field, fill, labels, match_rules};
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
            match_rules::default_matching(hook);
            fill::int(hook, "timeoutSeconds", 10);
            if self.mutating {
                fill::text(hook, "reinvocationPolicy", "Never");
            }
            if let Some(service) = fill::field(hook, "clientConfig").and_then(|it| fill::field(it, "service")) {
                fill::int(service, "port", 443);
            }
            match_rules::default_rules(hook, "rules");
        }
    }

    fn validate_create(&self, object: &Value, causes: &mut Causes) {
        self.check(object, true, causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let conditions = |object| {
            let hooks = field::list(object, "webhooks").iter();
            hooks.map(|hook| field::list(hook, "matchConditions").to_vec()).collect::<Vec<_>>()
        };
        // What was accepted once stays accepted.
        if !field::same(field::get(object, "webhooks"), field::get(old, "webhooks")) {
            self.check(object, conditions(object) != conditions(old), causes);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

impl Webhooks {
    fn check(&self, object: &Value, conditions: bool, causes: &mut Causes) {
        let list = Path::new("webhooks");
        let mut names = BTreeSet::new();
        for (at, hook) in field::list(object, "webhooks").iter().enumerate() {
            let path = list.index(at);
            self.webhook(hook, conditions, &path, causes);
            let name = field::text(hook, "name");
            if !name.is_empty() && !names.insert(name) {
                causes.duplicate(path.child("name"), &name.into());
            }
        }
    }

    fn webhook(&self, hook: &Value, conditions: bool, path: &Path<'_>, causes: &mut Causes) {
        field::fully_qualified_name(field::text(hook, "name"), path.child("name"), causes);
        let list = path.child("rules");
        for (at, rule) in field::list(hook, "rules").iter().enumerate() {
            match_rules::rule(rule, &list.index(at), causes);
        }
        field::optional_choice(hook, "failurePolicy", path, match_rules::FAILURE_POLICIES, causes);
        field::optional_choice(hook, "matchPolicy", path, match_rules::MATCH_POLICIES, causes);
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
            field::optional_choice(hook, "reinvocationPolicy", path, match_rules::REINVOCATION_POLICIES, causes);
        }
        client(field::get(hook, "clientConfig"), &path.child("clientConfig"), causes);
        if conditions {
            match_rules::conditions(hook, false, path, causes);
        }
        review_versions(hook, &path.child("admissionReviewVersions"), causes);
    }
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

    fn complaints(strategy: &Webhooks, object: &Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        strategy.validate_create(object, &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
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
                json!({"matchConditions": [{"name": "a", "expression": "object.a"}]}),
                "webhooks[0].matchConditions[0].expression",
                "Invalid value: \"object.a\": must evaluate to bool but got dyn",
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
