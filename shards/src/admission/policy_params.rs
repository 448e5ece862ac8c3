//! Nobody reads through a policy what they may not read: who writes one that has parameters must be allowed to get all objects of
//! their kind, and who binds it those that the binding names. (The reference's registry does this.)

use api::document::Document;
use api::rbac::Action;
use api::{Causes, Status, Value};

use super::{Attributes, Operation, bypass};
use crate::authorization::is_master;
use crate::follow::Kind;
use crate::service::UserInfo;
use crate::verbs::Call;

pub(super) fn validate(attributes: &mut Attributes<'_, '_, '_>, document: &Value) -> Result<(), Status> {
    let call = attributes.call;
    let user = &call.request.user;
    if attributes.operation == Operation::Delete || call.resource.group != bypass::GROUP || is_master(user) {
        return Ok(());
    }
    let spec = document.at(&["spec"]);
    let same = |keys: &[&str]| {
        attributes.old.is_some_and(|old| keys.iter().all(|key| old.at(&["spec", key]) == spec.at(&[key])))
    };
    let wanted = match call.resource.plural.as_str() {
        "validatingadmissionpolicies" | "mutatingadmissionpolicies" if !same(&["paramKind"]) => of_policy(call, spec),
        "validatingadmissionpolicybindings" | "mutatingadmissionpolicybindings"
            if !same(&["paramRef", "policyName"]) =>
        {
            of_binding(call, spec)
        }
        _ => None,
    };
    let Some(wanted) = wanted else { return Ok(()) };
    let authority = attributes.looked_up.authority.as_ref();
    let authority = authority.ok_or_else(|| Status::unavailable("it is not known who may what"))?;
    if authority.allows(user, &wanted.action()) {
        return Ok(());
    }
    let mut causes = Causes::default();
    causes.forbidden(wanted.field, &wanted.words);
    call.invalid_unless_empty(causes)
}

/// What a writer must be allowed to read.
struct Wanted {
    verb: &'static str,
    group: String,
    resource: String,
    namespace: String,
    name: String,
    /// Where it is said, and what is said where they may not.
    field: &'static str,
    words: String,
}

impl Wanted {
    fn action(&self) -> Action<'_> {
        let Self { group, resource, namespace, name, .. } = self;
        Action { verb: self.verb, group, resource, namespace, name, ..Action::default() }
    }
}

/// Group and resource of a kind; of what nobody knows, all.
fn resource_of(call: Call<'_>, kind: &Value) -> (String, String) {
    let api_version = kind.text(&["apiVersion"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let found = call.shard.registry.of_kind(&call.request.cluster, group, version, kind.text(&["kind"]));
    (group.to_owned(), found.map_or_else(|| "*".to_owned(), |(resource, _)| resource.plural.to_string()))
}

fn of_policy(call: Call<'_>, spec: &Value) -> Option<Wanted> {
    let kind = Some(spec.at(&["paramKind"])).filter(|kind| !kind.is_null())?;
    let (group, resource) = resource_of(call, kind);
    let words = format!(
        "user {} must have \"get\" permission on all objects of the referenced paramKind (kind={}, apiVersion={})",
        shown(&call.request.user),
        kind.text(&["kind"]),
        kind.text(&["apiVersion"])
    );
    let all = || "*".to_owned();
    Some(Wanted { verb: "get", group, resource, namespace: all(), name: all(), field: "spec.paramKind", words })
}

fn of_binding(call: Call<'_>, spec: &Value) -> Option<Wanted> {
    let of = Some(spec.at(&["paramRef"])).filter(|of| !of.is_null())?;
    let is_mutating = call.resource.plural.starts_with("mutating");
    let policies = if is_mutating { Kind::MutatingPolicies } else { Kind::ValidatingPolicies };
    let policy = call.shard.followed.get(call, policies, spec.text(&["policyName"])).map(|policy| policy.document());
    let kind = policy.as_ref().map_or(&Value::Null, |policy| policy.at(&["spec", "paramKind"]));
    let (group, resource) = match kind.is_null() {
        true => ("*".to_owned(), "*".to_owned()),
        false => resource_of(call, kind),
    };
    let verb = if of.text(&["name"]).is_empty() { "list" } else { "get" };
    let who = shown(&call.request.user);
    let words = match policy {
        Some(_) => format!("user {who} does not have {verb:?} permission on the object referenced by paramRef"),
        None => format!(
            "unable to get policy {} to determine minimum required permissions and user {who} does not have {verb:?} \
             permission for all groups, versions and resources",
            spec.text(&["policyName"])
        ),
    };
    let text = |key| of.text(&[key]).to_owned();
    Some(Wanted {
        verb,
        group,
        resource,
        namespace: text("namespace"),
        name: text("name"),
        field: "spec.paramRef",
        words,
    })
}

/// A user as Go prints one.
fn shown(user: &UserInfo) -> String {
    let extra: Vec<String> = user.extra.iter().map(|(key, values)| format!("{key}:[{}]", values.join(" "))).collect();
    format!("&{{{} {} [{}] map[{}]}}", user.name, user.uid, user.groups.join(" "), extra.join(" "))
}
