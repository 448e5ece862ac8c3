//! FlowSchemas and PriorityLevelConfigurations.

use super::path::Path;
use super::{Strategy, field, fill};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// flowcontrol.apiserver.k8s.io/v1 FlowSchema.
pub(super) struct FlowSchema;

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const KINDS: &[(&str, &str)] = &[("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];

impl Strategy for FlowSchema {
    fn default(&self, object: &mut Value) {
        fill::nonzero(fill::map(object, "spec"), "matchingPrecedence", 1000);
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        let precedence = field::int(spec, "matchingPrecedence").unwrap_or_default();
        let words = match precedence {
            ..1 => "must be a positive value",
            10_001.. => "must not be greater than 10000",
            1 if object.name() != "exempt" => "only the schema named 'exempt' may have matchingPrecedence 1",
            _ => "",
        };
        if !words.is_empty() {
            causes.invalid(path.child("matchingPrecedence"), &precedence.into(), words);
        }
        let method = field::get(spec, "distinguisherMethod");
        if !matches!(field::text(method, "type"), "ByNamespace" | "ByUser") && !method.is_null() {
            causes.not_supported(path.child("distinguisherMethod.type"), method, &["ByNamespace", "ByUser"]);
        }
        let level = path.child("priorityLevelConfiguration.name");
        match field::text(field::get(spec, "priorityLevelConfiguration"), "name") {
            "" => causes.required(level, "must reference a priority level"),
            name => field::dns_subdomain(name, level, causes),
        }
        let list = path.child("rules");
        for (at, rule) in field::list(spec, "rules").iter().enumerate() {
            self::rule(rule, &list.index(at), causes);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn rule(rule: &Value, path: &Path<'_>, causes: &mut Causes) {
    let subjects = field::list(rule, "subjects");
    let list = path.child("subjects");
    if subjects.is_empty() {
        causes.required(list, "subjects must contain at least one value");
    }
    for (at, subject) in subjects.iter().enumerate() {
        self::subject(subject, &list.index(at), causes);
    }
    let (resources, urls) = (field::list(rule, "resourceRules"), field::list(rule, "nonResourceRules"));
    if resources.is_empty() && urls.is_empty() {
        causes.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    let list = path.child("resourceRules");
    for (at, rule) in resources.iter().enumerate() {
        let path = list.index(at);
        verbs(rule, &path, causes);
        let one_of = |what: &str| format!("resource rules must supply at least one {what}");
        wildcard(rule, "apiGroups", "api groups", &one_of("api group"), &path, causes);
        wildcard(rule, "resources", "resources", &one_of("resource"), &path, causes);
        if !field::is_true(rule, "clusterScope") || !field::list(rule, "namespaces").is_empty() {
            let words = "resource rules that are not cluster scoped must supply at least one namespace";
            wildcard(rule, "namespaces", "namespaces", words, &path, causes);
        }
    }
    let list = path.child("nonResourceRules");
    for (at, rule) in urls.iter().enumerate() {
        let path = list.index(at);
        verbs(rule, &path, causes);
        let words = "nonResourceURLs must contain at least one value";
        wildcard(rule, "nonResourceURLs", "non-resource URLs", words, &path, causes);
    }
}

fn subject(subject: &Value, path: &Path<'_>, causes: &mut Causes) {
    let kind = field::text(subject, "kind");
    let Some((_, own)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return field::choice(subject, "kind", path, &["Group", "ServiceAccount", "User"], causes);
    };
    for (other, key) in KINDS.iter().filter(|(_, key)| key != own) {
        if field::is_set(subject, key) {
            causes.forbidden(path.child(key), &format!("{key} is forbidden when subject kind is not '{other}'"));
        }
    }
    let who = field::get(subject, own);
    let path = path.child(own);
    if who.is_null() {
        return causes.required(path, &format!("{own} is required when subject kind is '{kind}'"));
    }
    field::required_text(who, "name", &path, causes);
    if kind == "ServiceAccount" && field::text(who, "namespace").is_empty() {
        causes.required(path.child("namespace"), "must specify namespace for service account");
    }
}

fn verbs(rule: &Value, path: &Path<'_>, causes: &mut Causes) {
    wildcard(rule, "verbs", "verbs", "verbs must contain at least one value", path, causes);
    let verbs = field::list(rule, "verbs");
    let known = |verb: &Value| verb == "*" || VERBS.contains(&verb.as_str().unwrap_or_default());
    if !verbs.iter().all(known) {
        causes.not_supported(path.child("verbs"), field::get(rule, "verbs"), VERBS);
    }
}

fn wildcard(rule: &Value, key: &str, what: &str, missing: &str, path: &Path<'_>, causes: &mut Causes) {
    let values = field::list(rule, key);
    if values.is_empty() {
        causes.required(path.child(key), missing);
    }
    if values.len() > 1 && values.iter().any(|value| value == "*") {
        let words = format!("if '*' is present, must not specify other {what}");
        causes.invalid(path.child(key), field::get(rule, key), &words);
    }
}

/// flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration.
pub(super) struct PriorityLevelConfiguration;

impl Strategy for PriorityLevelConfiguration {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        if let Some(exempt) = fill::field(spec, "exempt") {
            fill::int(exempt, "nominalConcurrencyShares", 0);
            fill::int(exempt, "lendablePercent", 0);
        }
        if let Some(limited) = fill::field(spec, "limited") {
            fill::int(limited, "nominalConcurrencyShares", 30);
            fill::int(limited, "lendablePercent", 0);
            if let Some(queuing) = fill::field(limited, "limitResponse").and_then(|it| fill::field(it, "queuing")) {
                fill::nonzero(queuing, "handSize", 8);
                fill::nonzero(queuing, "queues", 64);
                fill::nonzero(queuing, "queueLengthLimit", 50);
            }
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        let (exempt, limited) = (field::get(spec, "exempt"), field::get(spec, "limited"));
        match field::text(spec, "type") {
            "Exempt" => {
                if !limited.is_null() {
                    causes.forbidden(path.child("limited"), "must be nil if the type is not Limited");
                }
                shares(exempt, &path.child("exempt"), causes);
            }
            "Limited" => {
                if !exempt.is_null() {
                    causes.forbidden(path.child("exempt"), "must be nil if the type is Limited");
                }
                if limited.is_null() {
                    return causes.required(path.child("limited"), "must not be empty when type is Limited");
                }
                shares(limited, &path.child("limited"), causes);
                response(field::get(limited, "limitResponse"), &path.child("limited.limitResponse"), causes);
            }
            _ => field::choice(spec, "type", &path, &["Exempt", "Limited"], causes),
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn shares(of: &Value, path: &Path<'_>, causes: &mut Causes) {
    let words = "must be a non-negative integer";
    field::at_least(of, "nominalConcurrencyShares", 0, words, path, causes);
    field::between(of, "lendablePercent", (0, 100), path, causes);
    let words = "if specified, must be a non-negative integer";
    field::at_least(of, "borrowingLimitPercent", 0, words, path, causes);
}

fn response(response: &Value, path: &Path<'_>, causes: &mut Causes) {
    let queuing = field::get(response, "queuing");
    let queuing_path = path.child("queuing");
    match field::text(response, "type") {
        "Reject" if !queuing.is_null() => {
            causes.forbidden(queuing_path, "must be nil if limited.limitResponse.type is not Limited");
        }
        "Reject" => {}
        "Queue" if queuing.is_null() => {
            causes.required(queuing_path, "must not be empty if limited.limitResponse.type is Limited");
        }
        "Queue" => {
            for key in ["queueLengthLimit", "queues", "handSize"] {
                let value = field::int(queuing, key).unwrap_or_default();
                if value <= 0 {
                    causes.invalid(queuing_path.child(key), &value.into(), "must be positive");
                }
            }
            let count = |key: &str| field::int(queuing, key).unwrap_or_default();
            if count("handSize") > count("queues") {
                let words = format!("should not be greater than queues ({})", count("queues"));
                causes.invalid(queuing_path.child("handSize"), &count("handSize").into(), &words);
            }
        }
        _ => field::choice(response, "type", path, &["Queue", "Reject"], causes),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::complaints;

    #[test]
    fn schemas() {
        let rule = json!({"subjects": [{"kind": "User", "user": {"name": "u"}}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["*"]}]});
        let mut schema = json!({"metadata": {"name": "a"}, "spec": {
            "priorityLevelConfiguration": {"name": "global"}, "rules": [rule]}});
        FlowSchema.default(&mut schema);
        assert_eq!(schema["spec"]["matchingPrecedence"], 1000);
        assert_eq!(complaints(&FlowSchema, &schema), []);
        schema["spec"]["matchingPrecedence"] = json!(1);
        schema["spec"]["rules"][0]["subjects"] = json!([{"kind": "User"}]);
        let fields: Vec<String> = complaints(&FlowSchema, &schema).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["spec.matchingPrecedence", "spec.rules[0].subjects[0].user"]);
    }

    #[test]
    fn levels() {
        let mut level =
            json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}});
        PriorityLevelConfiguration.default(&mut level);
        assert_eq!(level["spec"]["limited"]["nominalConcurrencyShares"], 30);
        assert_eq!(level["spec"]["limited"]["limitResponse"]["queuing"]["queues"], 64);
        assert_eq!(complaints(&PriorityLevelConfiguration, &level), []);
        let found = complaints(&PriorityLevelConfiguration, &json!({"spec": {"type": "Limited"}}));
        assert_eq!(found, [("spec.limited".into(), "Required value: must not be empty when type is Limited".into())]);
    }
}
