//! Nobody gives permissions that they do not have: not in a role's rules, not by binding a role, unless they may `escalate` or
//! `bind`. (The reference's registry does this.)

use std::sync::Arc;

use api::document::Document;
use api::rbac::{Action, Compiled, Index, Rule, Who, covered, rules_of};
use api::{Status, Value};
use smol_str::SmolStr;

use super::{Attributes, Operation};
use crate::authorization::{Settled, is_master};
use crate::service::UserInfo;
use crate::verbs::Call;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Who may what, where it matters for this call.
pub(super) async fn authority(call: Call<'_>) -> Result<Option<Settled>, Status> {
    if call.resource.group != GROUP || is_master(&call.request.user) {
        return Ok(None);
    }
    let authorizer = call.shard.authorizer.read().clone();
    let authorizer = authorizer.ok_or_else(|| Status::unavailable("roles are not followed yet"))?;
    authorizer.caught_up(&call.request.cluster).await.map(Some)
}

pub(super) fn validate(attributes: &mut Attributes<'_, '_, '_>, document: &Value) -> Result<(), Status> {
    let call = attributes.call;
    if attributes.operation == Operation::Delete || call.resource.group != GROUP || is_master(&call.request.user) {
        return Ok(());
    }
    let authority = attributes.looked_up.authority.as_ref();
    let authority = authority.ok_or_else(|| Status::unavailable("it is not known who may what"))?;
    let changes = |fields: &[&str]| {
        attributes.old.is_none_or(|old| fields.iter().any(|field| old.at(&[field]) != document.at(&[field])))
    };
    if call.resource.plural.ends_with("bindings") {
        return if changes(&["roleRef", "subjects"]) { admit_binding(call, authority, document) } else { Ok(()) };
    }
    match changes(&["rules", "aggregationRule"]) {
        true => admit_role(call, authority, document),
        false => Ok(()),
    }
}

fn admit_role(call: Call<'_>, authority: &Settled, role: &Value) -> Result<(), Status> {
    let (user, namespace) = (&*call.request.user, call.request.namespace.as_str());
    let escalate = Action {
        verb: "escalate",
        group: GROUP,
        resource: &call.resource.plural,
        namespace,
        name: &call.request.name,
        ..Action::default()
    };
    if authority.allows(user, &escalate) {
        return Ok(());
    }
    if !role.at(&["aggregationRule"]).is_null() {
        confirm(call, authority, user, &everything())
            .map_err(|_| call.forbidden("must have cluster-admin privileges to use an aggregationRule"))?;
    }
    confirm(call, authority, user, &rules_of(role))
}

fn admit_binding(call: Call<'_>, authority: &Settled, binding: &Value) -> Result<(), Status> {
    let (user, namespace) = (&*call.request.user, call.request.namespace.as_str());
    let name = binding.text(&["roleRef", "name"]);
    let is_role = binding.text(&["roleRef", "kind"]) == "Role";
    let resource = if is_role { "roles" } else { "clusterroles" };
    let bind = Action { verb: "bind", group: GROUP, resource, namespace, name, ..Action::default() };
    if authority.allows(user, &bind) {
        return Ok(());
    }
    let of = if is_role { namespace } else { "" };
    let rules: Option<Arc<[Rule]>> = authority.ask(|index| index.rules(of, name).cloned()).flatten();
    let Some(rules) = rules else { return Err(Status::not_found(GROUP, resource, name)) };
    confirm(call, authority, user, &rules)
}

/// 403 unless the user holds those rules where they are given.
fn confirm(call: Call<'_>, authority: &Settled, user: &UserInfo, rules: &[Rule]) -> Result<(), Status> {
    let who = Who { name: &user.name, groups: &user.groups };
    let missing = |index: &Index| {
        let held: Vec<&Compiled> = index.grants(who, &call.request.namespace).map(|grant| grant.compiled).collect();
        covered(&held, rules).into_iter().map(in_words).collect::<Vec<_>>()
    };
    let missing = authority.ask(missing).unwrap_or_else(|| rules.iter().map(in_words).collect());
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|group| format!("{group:?}")).collect();
    Err(call.forbidden(&format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        missing.join("\n")
    )))
}

/// What cluster-admin may.
fn everything() -> Vec<Rule> {
    let all = || vec![SmolStr::new_static("*")];
    let resources = Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() };
    vec![resources, Rule { verbs: all(), urls: all(), ..Rule::default() }]
}

/// As the reference prints a rule.
fn in_words(rule: &Rule) -> String {
    let list = |name: &str, words: &[SmolStr]| {
        let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        (!words.is_empty()).then(|| format!("{name}:[{}]", words.join(" ")))
    };
    let parts = [
        list("APIGroups", &rule.groups),
        list("Resources", &rule.resources),
        list("ResourceNames", &rule.names),
        list("NonResourceURLs", &rule.urls),
        list("Verbs", &rule.verbs),
    ];
    format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
