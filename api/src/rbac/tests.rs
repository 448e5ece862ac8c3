use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::index::Change;
use super::*;
use crate::document::{Document, Value};

fn act<'a>(verb: &'a str, group: &'a str, resource: &'a str, name: &'a str) -> Action<'a> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Action { verb, group, resource, subresource, name, ..Action::default() }
}

fn compiled(rule: Value) -> Compiled {
    Compiled::new(&rules_of(&json!({"rules": [rule]})))
}

#[test]
fn wildcards_names_and_subresources_are_those_of_the_reference() {
    let rules = compiled(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "*/scale"]}));
    assert!(rules.allows(&act("get", "", "pods", "a")));
    assert!(rules.allows(&act("get", "", "replicationcontrollers/scale", "a")));
    assert!(!rules.allows(&act("get", "", "pods/log", "a")), "a resource is not its subresources");
    assert!(!rules.allows(&act("list", "", "pods", "")));
    assert!(!rules.allows(&act("get", "apps", "pods", "a")));
    let rules = compiled(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["a", ""]}));
    assert!(rules.allows(&act("frobnicate", "x.io", "pods/log", "a")), "* is subresources, too");
    assert!(!rules.allows(&act("get", "", "pods", "b")));
    assert!(!rules.allows(&act("list", "", "pods", "")), "names restrict, and an empty one is nobody's");
    let rules = compiled(json!({"verbs": ["get"], "nonResourceURLs": ["/healthz/*", "/version"]}));
    for (path, expected) in [("/healthz/ping", true), ("/healthz", false), ("/version", true), ("/versions", false)] {
        assert_eq!(rules.allows(&Action { verb: "get", path, ..Action::default() }), expected, "{path}");
    }
}

#[test]
fn nobody_gives_what_they_do_not_have() {
    let held = compiled(json!({"verbs": ["get", "list"], "apiGroups": ["", "apps"], "resources": ["*"]}));
    let named = compiled(json!({"verbs": ["*"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}));
    let missing = |rule: Value| covered(&[&held, &named], &rules_of(&json!({"rules": [rule]}))).len();
    assert_eq!(missing(json!({"verbs": ["get"], "apiGroups": ["", "apps"], "resources": ["pods", "pods/log"]})), 0);
    assert_eq!(missing(json!({"verbs": ["get"], "apiGroups": ["*"], "resources": ["pods"]})), 1);
    assert_eq!(missing(json!({"verbs": ["*"], "apiGroups": [""], "resources": ["pods"]})), 1);
    assert_eq!(
        missing(json!({"verbs": ["delete"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]})),
        0
    );
    assert_eq!(missing(json!({"verbs": ["delete"], "apiGroups": [""], "resources": ["secrets"]})), 1);
    assert_eq!(missing(json!({"verbs": ["get"], "nonResourceURLs": ["/x"]})), 1);
}

#[test]
fn the_roles_of_the_start_are_whole() {
    let wanted = bootstrap::wanted();
    let mut index = Index::default();
    index.apply(wanted.iter().map(|wanted| match wanted.id_name.contains("bindings") {
        true => Change::Binding(&wanted.namespace, &wanted.name, Some(&wanted.document)),
        false => Change::Role(&wanted.namespace, &wanted.name, Some(&wanted.document)),
    }));
    let masters = ["system:masters".to_owned()];
    let anybody = ["system:authenticated".to_owned()];
    let may = |name, groups: &[String], action: Action<'_>| index.allows(Who { name, groups }, &action);
    assert!(may("x", &masters, act("delete", "apps", "deployments", "a")));
    assert!(!may("x", &anybody, act("get", "", "pods", "a")));
    assert!(may("x", &anybody, act("create", "authorization.k8s.io", "selfsubjectaccessreviews", "")));
    assert!(may("x", &anybody, Action { verb: "get", path: "/apis/apps/v1", ..Action::default() }));
    assert!(may("system:kube-scheduler", &[], act("create", "", "pods/binding", "a")));
    let deployments = "system:serviceaccount:kube-system:deployment-controller";
    assert!(may(deployments, &[], act("create", "apps", "replicasets", "")));
    assert!(!may(deployments, &[], act("get", "", "secrets", "a")));
    let scheduler = Who { name: "system:kube-scheduler", groups: &[] };
    let reason = index.grants(scheduler, "").map(|grant| grant.reason()).next();
    let words = "RBAC: allowed by ClusterRoleBinding \"system:kube-scheduler\" of ClusterRole \"system:kube-scheduler\" to \
                 User \"system:kube-scheduler\"";
    assert_eq!(reason.as_deref(), Some(words));
}

#[test]
fn what_is_missing_is_added_and_what_was_added_stays() {
    let wanted = bootstrap::wanted();
    let view = wanted.iter().find(|wanted| wanted.name == "system:aggregate-to-view").unwrap();
    assert_eq!(bootstrap::reconciled(&view.document, &view.document), None);
    let mut found = view.document.clone();
    let lost = found.at_mut(&["rules"]).as_array_mut().unwrap().remove(0);
    let own = json!({"verbs": ["get"], "apiGroups": ["x.io"], "resources": ["things"]});
    found.at_mut(&["rules"]).as_array_mut().unwrap().push(own.clone());
    found.remove(&["metadata", "labels", "kubernetes.io/bootstrapping"]);
    let merged = bootstrap::reconciled(&view.document, &found).unwrap();
    assert!(merged.list(&["rules"]).contains(&lost) && merged.list(&["rules"]).contains(&own));
    assert_eq!(merged.text(&["metadata", "labels", "kubernetes.io/bootstrapping"]), "rbac-defaults");
    found.set(&["metadata", "annotations", "rbac.authorization.kubernetes.io/autoupdate"], "false");
    assert_eq!(bootstrap::reconciled(&view.document, &found), None);
}

const VERBS: [&str; 4] = ["get", "list", "zap", "*"];
const GROUPS: [&str; 3] = ["", "apps", "*"];
const RESOURCES: [&str; 5] = ["pods", "pods/log", "*/log", "nodes", "*"];
const NAMES: [&str; 3] = ["a", "b", "c"];

fn some(random: &mut StdRng, from: &[&str]) -> Vec<String> {
    let count = random.random_range(1..=2);
    (0..count).map(|_| from[random.random_range(0..from.len())].to_owned()).collect()
}

fn random_role(random: &mut StdRng) -> Value {
    let count = random.random_range(0..3);
    let rules = (0..count).map(|_| {
        let mut rule = json!({
            "verbs": some(random, &VERBS), "apiGroups": some(random, &GROUPS), "resources": some(random, &RESOURCES),
        });
        if random.random_bool(0.3) {
            rule["resourceNames"] = json!(some(random, &NAMES));
        }
        rule
    });
    json!({"rules": rules.collect::<Vec<_>>()})
}

/// The rule as the documentation puts it, without any table.
fn plainly_allows(rule: &Rule, action: &Action<'_>) -> bool {
    let has = |list: &[smol_str::SmolStr], text: &str| list.iter().any(|own| own == text || own == "*");
    let whole = match action.subresource {
        "" => action.resource.to_owned(),
        sub => format!("{}/{sub}", action.resource),
    };
    let any_of = format!("*/{}", action.subresource);
    let is_resource = has(&rule.resources, &whole)
        || !action.subresource.is_empty() && rule.resources.iter().any(|own| *own == any_of);
    let is_name = rule.names.is_empty() || rule.names.iter().any(|name| name == action.name);
    has(&rule.verbs, action.verb) && has(&rule.groups, action.group) && is_resource && is_name
}

#[test]
fn a_random_walk_decides_like_the_plain_rules() {
    let seed = std::env::var("SHARDPLANE_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seed.map_or(0..150, |seed: u64| seed..seed + 1) {
        walk(seed);
    }
}

fn walk(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut index = Index::default();
    let mut roles: std::collections::BTreeMap<(String, String), Value> = Default::default();
    let mut bindings: std::collections::BTreeMap<(String, String), Value> = Default::default();
    for _ in 0..60 {
        let namespace = ["", "one", "two"][random.random_range(0..3)].to_owned();
        if random.random_bool(0.5) {
            let key = (namespace, format!("r{}", random.random_range(0..6)));
            let role = random.random_bool(0.8).then(|| random_role(&mut random));
            index.apply([Change::Role(&key.0, &key.1, role.as_ref())]);
            match role {
                Some(role) => roles.insert(key, role),
                None => roles.remove(&key),
            };
        } else {
            let key = (namespace, format!("b{}", random.random_range(0..30)));
            let kind = if key.0.is_empty() || random.random_bool(0.5) { "ClusterRole" } else { "Role" };
            let role = format!("r{}", random.random_range(0..6));
            let subjects: Vec<Value> = some(&mut random, &["u", "v"])
                .into_iter()
                .map(|name| {
                    let kind = ["User", "Group", "ServiceAccount"][random.random_range(0..3)];
                    json!({"kind": kind, "name": name, "namespace": "one"})
                })
                .collect();
            let binding = json!({"roleRef": {"kind": kind, "name": role}, "subjects": subjects});
            let binding = random.random_bool(0.8).then_some(binding);
            index.apply([Change::Binding(&key.0, &key.1, binding.as_ref())]);
            match binding {
                Some(binding) => bindings.insert(key, binding),
                None => bindings.remove(&key),
            };
        }
        for _ in 0..8 {
            let name = ["u", "v", "system:serviceaccount:one:u"][random.random_range(0..3)];
            let groups = if random.random_bool(0.5) { vec!["u".to_owned()] } else { vec![] };
            let verb = VERBS[random.random_range(0..3)];
            let mut action = act(
                verb,
                GROUPS[random.random_range(0..2)],
                ["pods", "pods/log", "nodes", "nodes/log"][random.random_range(0..4)],
                ["", "a", "b"][random.random_range(0..3)],
            );
            action.namespace = ["", "one", "two"][random.random_range(0..3)];
            let expected = bindings.iter().any(|((namespace, _), binding)| {
                let in_scope = namespace.is_empty() || namespace == action.namespace;
                let is_bound = binding.list(&["subjects"]).iter().any(|subject| match subject.text(&["kind"]) {
                    "User" => subject.text(&["name"]) == name,
                    "Group" => groups.iter().any(|group| group == subject.text(&["name"])),
                    _ => format!("system:serviceaccount:one:{}", subject.text(&["name"])) == name,
                });
                let role_namespace = match binding.text(&["roleRef", "kind"]) {
                    "Role" => namespace.clone(),
                    _ => String::new(),
                };
                let role = roles.get(&(role_namespace, binding.text(&["roleRef", "name"]).to_owned()));
                let allows = |role: &Value| rules_of(role).iter().any(|rule| plainly_allows(rule, &action));
                in_scope && is_bound && role.is_some_and(allows)
            });
            let who = Who { name, groups: &groups };
            assert_eq!(index.allows(who, &action), expected, "seed {seed}: {name} {groups:?} {action:?}");
        }
    }
}
