//! What every cluster starts with: `api/schema/roles.txt`, whose head describes its format.

use serde_json::json;
use smol_str::SmolStr;

use super::Compiled;
use super::rule::{Rule, covered, rules_of};
use crate::document::{Document, Value};

const TABLE: &str = include_str!("../../schema/roles.txt");
const GROUP: &str = "rbac.authorization.k8s.io";
/// Who says `false` here keeps their own changes.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const PART_OF: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// An object that should be there.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// How its kind is stored.
    pub id_name: &'static str,
    /// Empty for what is cluster-wide.
    pub namespace: SmolStr,
    /// Its name.
    pub name: SmolStr,
    /// The document as it is created.
    pub document: Value,
}

/// Roles, then bindings.
pub fn wanted() -> Vec<Wanted> {
    let (mut roles, mut bindings): (Vec<Wanted>, Vec<Wanted>) = Default::default();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ClusterRole", name] => roles.push(object("clusterroles.rbac.authorization.k8s.io", "", name)),
            ["Role", namespace, name] => roles.push(object("roles.rbac.authorization.k8s.io", namespace, name)),
            ["bound", ref subjects @ ..] => bindings.push(binding(last(&mut roles, line), None, subjects)),
            ["bound-as", name, ref subjects @ ..] => {
                bindings.push(binding(last(&mut roles, line), Some(name), subjects));
            }
            _ if detail(&mut last(&mut roles, line).document, &words).is_some() => {}
            _ => panic!("roles.txt has a bad line: {line}"),
        }
    }
    roles.append(&mut bindings);
    roles
}

fn last<'r>(roles: &'r mut [Wanted], line: &str) -> &'r mut Wanted {
    roles.last_mut().unwrap_or_else(|| panic!("roles.txt has a line before any role: {line}"))
}

fn object(id_name: &'static str, namespace: &str, name: &str) -> Wanted {
    let mut document = json!({"metadata": {
        "name": name,
        "annotations": {AUTOUPDATE: "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    }});
    if !namespace.is_empty() {
        document.set(&["metadata", "namespace"], namespace);
    }
    Wanted { id_name, namespace: namespace.into(), name: name.into(), document }
}

fn detail(role: &mut Value, words: &[&str]) -> Option<()> {
    let list = |text: &str| -> Vec<String> {
        text.split(',').map(|word| if word == "core" { String::new() } else { word.to_owned() }).collect()
    };
    let rule = match *words {
        ["part-of", whole] => {
            role.set(&["metadata", "labels", &format!("{PART_OF}{whole}")], "true");
            return Some(());
        }
        ["aggregates", whole] => {
            let selector = json!([{"matchLabels": {format!("{PART_OF}{whole}"): "true"}}]);
            role.set(&["aggregationRule", "clusterRoleSelectors"], selector);
            return Some(());
        }
        ["url", verbs, urls] => json!({"verbs": list(verbs), "nonResourceURLs": list(urls)}),
        ["may", verbs, groups, resources] => {
            json!({"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)})
        }
        ["may", verbs, groups, resources, names] => json!({
            "verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources), "resourceNames": list(names),
        }),
        _ => return None,
    };
    match role.at_mut(&["rules"]) {
        Value::Array(rules) => rules.push(rule),
        rules => *rules = json!([rule]),
    }
    Some(())
}

fn binding(role: &Wanted, name: Option<&str>, subjects: &[&str]) -> Wanted {
    let (id_name, kind) = match role.namespace.is_empty() {
        true => ("clusterrolebindings.rbac.authorization.k8s.io", "ClusterRole"),
        false => ("rolebindings.rbac.authorization.k8s.io", "Role"),
    };
    let mut wanted = object(id_name, &role.namespace, name.unwrap_or(&role.name));
    wanted.document.set(&["roleRef"], json!({"apiGroup": GROUP, "kind": kind, "name": role.name}));
    if !subjects.is_empty() {
        wanted.document.set(&["subjects"], subjects.iter().map(|subject| self::subject(subject)).collect::<Vec<_>>());
    }
    wanted
}

fn subject(text: &str) -> Value {
    match text.split_once(':') {
        Some(("user", name)) => json!({"apiGroup": GROUP, "kind": "User", "name": name}),
        Some(("group", name)) => json!({"apiGroup": GROUP, "kind": "Group", "name": name}),
        Some(("serviceaccount", at)) => {
            let (namespace, name) = at.split_once('/').unwrap_or_default();
            json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
        }
        _ => panic!("roles.txt has a bad subject: {text}"),
    }
}

/// What has to become of an object that is there, so that nothing wanted is missing; `None` where nothing is, or its
/// owner wants to be left alone. What somebody added stays, as in the reference.
pub fn reconciled(wanted: &Value, found: &Value) -> Option<Value> {
    if found.text(&["metadata", "annotations", AUTOUPDATE]) == "false" {
        return None;
    }
    let mut merged = found.clone();
    for part in ["labels", "annotations"] {
        for (key, value) in wanted.at(&["metadata", part]).as_object().into_iter().flatten() {
            if found.at(&["metadata", part, key]).is_null() {
                merged.set(&["metadata", part, key], value.clone());
            }
        }
    }
    if !wanted.at(&["aggregationRule"]).is_null() {
        merged.set_default(&["aggregationRule"], wanted.at(&["aggregationRule"]).clone());
    }
    let held = Compiled::new(&rules_of(found));
    let rules = rules_of(wanted);
    let missing = covered(&[&held], &rules);
    for (rule, value) in rules.iter().zip(wanted.list(&["rules"])) {
        if missing.iter().any(|missing| std::ptr::eq::<Rule>(*missing, rule)) {
            push(merged.at_mut(&["rules"]), value);
        }
    }
    for subject in wanted.list(&["subjects"]) {
        if !found.list(&["subjects"]).contains(subject) {
            push(merged.at_mut(&["subjects"]), subject);
        }
    }
    (merged != *found).then_some(merged)
}

fn push(list: &mut Value, value: &Value) {
    match list {
        Value::Array(values) => values.push(value.clone()),
        other => *other = json!([value]),
    }
}
