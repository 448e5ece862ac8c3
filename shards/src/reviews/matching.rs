//! Which writes a webhook, a policy or a binding is meant for: its rules, and its selectors of namespaces and objects.

use std::sync::Arc;

use api::document::Document;
use api::resource::Resource;
use api::selector::LabelSelector;
use api::{Object, Value};

use super::Subject;
use crate::admission::Operation;
use crate::verbs::Call;

/// The namespace of a write, as namespaceSelector sees it.
#[derive(Clone, Debug)]
pub(crate) enum NamespaceLabels {
    /// There is none: whatever the selector says, it is met.
    ClusterScoped,
    /// Nobody has heard of it. It has no labels.
    Unknown,
    /// A namespace that is there.
    Of(Arc<Object>),
    /// metadata.labels of the namespace that is being written.
    Written(Option<Value>),
}

impl NamespaceLabels {
    fn meet(&self, selector: &LabelSelector) -> bool {
        match self {
            Self::ClusterScoped => true,
            _ if selector.is_everything() => true,
            Self::Unknown => selector.matches_labels(&Value::Null),
            Self::Of(namespace) => selector.matches(&**namespace),
            Self::Written(labels) => selector.matches_labels(labels.as_ref().unwrap_or(&Value::Null)),
        }
    }
}

/// What one webhook, policy or binding is meant for.
#[derive(Clone, Debug)]
pub(crate) struct Matching {
    rules: Vec<Rule>,
    /// What these match is left out, whatever the others say.
    excluded: Vec<Rule>,
    /// Where there are no rules, everything is meant: policies and their bindings.
    is_open: bool,
    /// matchPolicy is Equivalent.
    equivalent: bool,
    namespaces: LabelSelector,
    objects: LabelSelector,
}

impl Matching {
    /// Of `webhooks[i]`.
    pub(crate) fn of_webhook(hook: &Value) -> Self {
        Self { is_open: false, ..Self::read(hook, "rules") }
    }

    /// Of matchConstraints or matchResources.
    pub(crate) fn of_resources(resources: &Value) -> Self {
        Self::read(resources, "resourceRules")
    }

    fn read(of: &Value, key: &str) -> Self {
        // Validation has read them before.
        let selector = |key| match of.at(&[key]) {
            Value::Null => LabelSelector::default(),
            value => LabelSelector::from_value(value).unwrap_or_else(|_| LabelSelector::nothing()),
        };
        let rules = |key| of.list(&[key]).iter().map(Rule::read).collect::<Vec<_>>();
        Self {
            is_open: rules(key).is_empty(),
            rules: rules(key),
            excluded: rules("excludeResourceRules"),
            equivalent: of.text(&["matchPolicy"]) != "Exact",
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
        }
    }

    /// In which served version it wants to see what a request writes, if it may be meant for it: labels were not looked at.
    pub(crate) fn served(&self, call: Call<'_>, operation: Operation) -> Option<usize> {
        let target = Target {
            operation: operation.name(),
            group: &call.served.group,
            version: &call.served.version,
            plural: &call.resource.plural,
            subresource: &call.request.subresource,
            name: &call.request.name,
            in_namespace: call.resource.namespaced && !call.request.namespace.is_empty(),
        };
        let version = |rules: &[Rule]| version_of(rules, self.equivalent, call.resource, call.request.served, target);
        if version(&self.excluded).is_some() {
            return None;
        }
        if self.is_open { Some(call.request.served) } else { version(&self.rules) }
    }

    /// The same for all that is known of a write.
    pub(crate) fn matches(&self, call: Call<'_>, subject: &Subject) -> Option<usize> {
        let served = self.served(call, subject.operation)?;
        let objects = &self.objects;
        let selected = |document: &Value| !document.is_null() && objects.matches_labels(subject.labels(call, document));
        let meets =
            objects.is_everything() || selected(&subject.document) || subject.old.as_ref().is_some_and(selected);
        (meets && subject.namespace.meet(&self.namespaces)).then_some(served)
    }
}

/// `rules[i]`. Each list holds at least one entry.
#[derive(Clone, Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// `pods`, `pods/*`, `*/scale`, `*/*`: resource and subresource, of which the latter may be empty.
    resources: Vec<(String, String)>,
    scope: Scope,
    /// Of objects; any where there are none.
    names: Vec<String>,
}

/// `rules[i].scope`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Any,
    Cluster,
    Namespaced,
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
struct Target<'a> {
    operation: &'a str,
    group: &'a str,
    version: &'a str,
    plural: &'a str,
    subresource: &'a str,
    name: &'a str,
    /// Whether it lives in a namespace. A Namespace itself does not.
    in_namespace: bool,
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let texts = |key| rule.list(&[key]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let parts = |text: &str| {
            let (resource, subresource) = text.split_once('/').unwrap_or((text, ""));
            (resource.to_owned(), subresource.to_owned())
        };
        Self {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: rule.list(&["resources"]).iter().filter_map(Value::as_str).map(parts).collect(),
            scope: match rule.text(&["scope"]) {
                "Cluster" => Scope::Cluster,
                "Namespaced" => Scope::Namespaced,
                _ => Scope::Any,
            },
            names: texts("resourceNames"),
        }
    }

    fn matches(&self, target: Target<'_>) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|entry| is(entry, wanted));
        let in_scope = match self.scope {
            Scope::Any => true,
            Scope::Cluster => !target.in_namespace,
            Scope::Namespaced => target.in_namespace,
        };
        let mut resources = self.resources.iter();
        in_scope
            && has(&self.operations, target.operation)
            && has(&self.groups, target.group)
            && has(&self.versions, target.version)
            && resources.any(|(resource, sub)| is(resource, target.plural) && is(sub, target.subresource))
            && (self.names.is_empty() || self.names.iter().any(|name| name == target.name))
    }
}

fn is(entry: &str, wanted: &str) -> bool {
    entry == "*" || entry == wanted
}

/// The version of the resource that one of the rules names: the one asked for, or (matchPolicy Equivalent) another one that
/// the same objects are served in.
fn version_of(
    rules: &[Rule],
    equivalent: bool,
    resource: &Resource,
    served: usize,
    target: Target<'_>,
) -> Option<usize> {
    let matches = |target: Target<'_>| rules.iter().any(|rule| rule.matches(target));
    if matches(target) {
        return Some(served);
    }
    let mut others = resource.served.iter().enumerate().filter(|(at, other)| *at != served && other.is_public());
    others
        .find(|(_, other)| {
            let has_it = target.subresource.is_empty() || other.subresource(target.subresource).is_some();
            equivalent && has_it && matches(Target { group: &other.group, version: &other.version, ..target })
        })
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use api::builtin::{RuntimeConfig, registry};
    use serde_json::json;

    use super::*;

    fn rule(change: Value) -> Rule {
        let mut rule = json!({
            "operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "scope": "*",
        });
        rule.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        Rule::read(&rule)
    }

    const POD: Target<'_> = Target {
        operation: "CREATE",
        group: "",
        version: "v1",
        plural: "pods",
        subresource: "",
        name: "a",
        in_namespace: true,
    };

    #[test]
    fn rules_name_operations_groups_versions_and_resources() {
        let matches = |change: Value, target: Target<'_>| rule(change).matches(target);
        assert!(matches(json!({}), POD));
        assert!(!matches(json!({}), Target { operation: "DELETE", ..POD }));
        assert!(matches(json!({"operations": ["*"]}), Target { operation: "CONNECT", ..POD }));
        assert!(!matches(json!({}), Target { group: "apps", ..POD }));
        assert!(matches(
            json!({"apiGroups": ["*"], "apiVersions": ["*"]}),
            Target { group: "apps", version: "v9", ..POD }
        ));
        assert!(!matches(json!({}), Target { version: "v2", ..POD }));
        assert!(matches(json!({"resourceNames": ["a"]}), POD) && !matches(json!({"resourceNames": ["b"]}), POD));
    }

    #[test]
    fn subresources_have_to_be_named() {
        let matches = |resource: &str, subresource: &'static str| {
            rule(json!({"resources": [resource]})).matches(Target { subresource, ..POD })
        };
        for (resource, itself, status) in [
            ("pods", true, false),
            ("*", true, false),
            ("pods/*", true, true),
            ("pods/status", false, true),
            ("*/status", false, true),
            ("*/*", true, true),
            ("services/*", false, false),
        ] {
            assert_eq!((matches(resource, ""), matches(resource, "status")), (itself, status), "{resource}");
        }
    }

    #[test]
    fn scopes_tell_namespaces_from_what_lives_in_them() {
        let namespace = Target { plural: "namespaces", in_namespace: false, ..POD };
        let matches =
            |scope: &str, target: Target<'_>| rule(json!({"resources": ["*"], "scope": scope})).matches(target);
        assert!(matches("Namespaced", POD) && !matches("Cluster", POD) && matches("*", POD));
        assert!(!matches("Namespaced", namespace) && matches("Cluster", namespace) && matches("*", namespace));
    }

    #[test]
    fn equivalent_versions_match_unless_exactness_is_wanted() {
        let registry = registry(&RuntimeConfig::default());
        let scalers = registry.named("horizontalpodautoscalers.autoscaling").unwrap();
        let at = |version: &str| scalers.served.iter().position(|served| served.version == version).unwrap();
        let rules = [rule(json!({"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["*/*"]}))];
        let target = |version| Target { group: "autoscaling", version, plural: "horizontalpodautoscalers", ..POD };
        let seen = |version: &'static str, equivalent, subresource| {
            version_of(&rules, equivalent, scalers, at(version), Target { subresource, ..target(version) })
        };
        assert_eq!(seen("v1", false, ""), Some(at("v1")));
        assert_eq!(seen("v2", false, ""), None);
        assert_eq!(seen("v2", true, ""), Some(at("v1")));
        assert_eq!(seen("v2", true, "status"), Some(at("v1")));
        assert_eq!(seen("v2", true, "scale"), None, "there is none");
    }

    #[test]
    fn namespaces_are_selected_by_their_labels() {
        let selector = LabelSelector::parse("watched=yes").unwrap();
        assert!(NamespaceLabels::ClusterScoped.meet(&selector));
        assert!(!NamespaceLabels::Unknown.meet(&selector));
        assert!(NamespaceLabels::Unknown.meet(&LabelSelector::default()));
        assert!(NamespaceLabels::Written(Some(json!({"watched": "yes"}))).meet(&selector));
        assert!(!NamespaceLabels::Written(None).meet(&selector));
    }
}
