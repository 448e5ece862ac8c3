//! Roles and their bindings.

use super::path::Path;
use super::{Strategy, field, fill, labels};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Role (namespaced) or ClusterRole.
pub(super) struct Role {
    pub(super) namespaced: bool,
}

impl Strategy for Role {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let list = Path::new("rules");
        for (at, rule) in field::list(object, "rules").iter().enumerate() {
            self.rule(rule, &list.index(at), causes);
        }
        let aggregation = field::get(object, "aggregationRule");
        if self.namespaced || aggregation.is_null() {
            return;
        }
        let list = Path::new("aggregationRule.clusterRoleSelectors");
        let selectors = field::list(aggregation, "clusterRoleSelectors");
        if selectors.is_empty() {
            let words = "at least one clusterRoleSelector required if aggregationRule is non-nil";
            causes.required(list, words);
        }
        for (at, selector) in selectors.iter().enumerate() {
            labels::selector_itself(selector, &list.index(at), causes);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_path_segment_name(name)
    }
}

impl Role {
    fn rule(&self, rule: &Value, path: &Path<'_>, causes: &mut Causes) {
        let is_empty = |key: &str| field::list(rule, key).is_empty();
        if is_empty("verbs") {
            causes.required(path.child("verbs"), "verbs must contain at least one value");
        }
        if !is_empty("nonResourceURLs") {
            let urls = field::get(rule, "nonResourceURLs");
            let path = path.child("nonResourceURLs");
            if self.namespaced {
                causes.invalid(path, urls, "namespaced rules cannot apply to non-resource URLs");
            }
            if !is_empty("apiGroups") || !is_empty("resources") || !is_empty("resourceNames") {
                let words = "rules cannot apply to both regular resources and non-resource URLs";
                causes.invalid(path, urls, words);
            }
            return;
        }
        if is_empty("apiGroups") {
            causes.required(path.child("apiGroups"), "resource rules must supply at least one api group");
        }
        if is_empty("resources") {
            causes.required(path.child("resources"), "resource rules must supply at least one resource");
        }
    }
}

/// RoleBinding (namespaced) or ClusterRoleBinding.
pub(super) struct Binding {
    pub(super) namespaced: bool,
}

impl Strategy for Binding {
    fn default(&self, object: &mut Value) {
        fill::text(fill::map(object, "roleRef"), "apiGroup", GROUP);
        for subject in fill::each(object, "subjects") {
            if matches!(field::text(subject, "kind"), "User" | "Group") {
                fill::text(subject, "apiGroup", GROUP);
            }
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let role = field::get(object, "roleRef");
        let path = Path::new("roleRef");
        field::choice(role, "apiGroup", &path, &[GROUP], causes);
        let kinds: &[&str] = if self.namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
        field::choice(role, "kind", &path, kinds, causes);
        if field::required_text(role, "name", &path, causes) {
            let name = field::text(role, "name");
            field::complain(names::is_path_segment_name(name), name, path.child("name"), causes);
        }
        let list = Path::new("subjects");
        for (at, subject) in field::list(object, "subjects").iter().enumerate() {
            self.subject(subject, &list.index(at), causes);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let role = field::get(object, "roleRef");
        if !field::same(role, field::get(old, "roleRef")) {
            causes.invalid("roleRef", role, "cannot change roleRef");
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_path_segment_name(name)
    }
}

impl Binding {
    fn subject(&self, subject: &Value, path: &Path<'_>, causes: &mut Causes) {
        let named = field::required_text(subject, "name", path, causes);
        match field::text(subject, "kind") {
            "ServiceAccount" => {
                if named {
                    field::dns_subdomain(field::text(subject, "name"), path.child("name"), causes);
                }
                if !field::text(subject, "apiGroup").is_empty() {
                    field::choice(subject, "apiGroup", path, &[""], causes);
                }
                if !self.namespaced {
                    field::required_text(subject, "namespace", path, causes);
                }
            }
            "User" | "Group" => field::choice(subject, "apiGroup", path, &[GROUP], causes),
            _ => field::choice(subject, "kind", path, &["ServiceAccount", "User", "Group"], causes),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    #[test]
    fn roles() {
        let role = |rule: Value| json!({"rules": [rule]});
        let pods = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        assert_eq!(complaints(&Role { namespaced: true }, &role(pods)), []);
        let urls = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz"]});
        assert_eq!(complaints(&Role { namespaced: false }, &role(urls.clone())), []);
        let found = complaints(&Role { namespaced: true }, &role(urls));
        assert_eq!(
            found,
            [(
                "rules[0].nonResourceURLs".into(),
                "Invalid value: [\"/healthz\"]: namespaced rules cannot apply to non-resource URLs".into()
            )]
        );
        let fields: Vec<String> =
            complaints(&Role { namespaced: true }, &role(json!({}))).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["rules[0].verbs", "rules[0].apiGroups", "rules[0].resources"]);
        let found = complaints(&Role { namespaced: false }, &json!({"aggregationRule": {}}));
        assert_eq!(found[0].0, "aggregationRule.clusterRoleSelectors");
    }

    #[test]
    fn bindings() {
        let (one, all) = (Binding { namespaced: true }, Binding { namespaced: false });
        let mut binding = json!({
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}],
        });
        one.default(&mut binding);
        assert_eq!(binding["roleRef"]["apiGroup"], GROUP);
        assert_eq!(binding["subjects"][0]["apiGroup"], GROUP);
        assert_eq!(complaints(&one, &binding), []);
        assert_eq!(complaints(&all, &binding), [("subjects[1].namespace".into(), "Required value".into())]);
        let mut other = binding.clone();
        other["roleRef"]["name"] = json!("edit");
        assert_eq!(complaints_update(&one, &other, &binding)[0].0, "roleRef");
        other["roleRef"]["kind"] = json!("Role");
        assert_eq!(complaints(&all, &other)[0].1, "Unsupported value: \"Role\": supported values: \"ClusterRole\"");
    }
}
