//! Parameters of policies: objects of a kind that the policy names, found by its bindings. They are read from a copy.

use std::sync::Arc;
use std::time::Duration;

use api::document::Document;
use api::resource::Resource;
use api::selector::LabelSelector;
use api::{Object, Value};

use super::Policies;
use crate::verbs::Call;

/// How long a write waits for a copy that has just been asked for.
const WAIT: Duration = Duration::from_secs(1);
/// Pause before it is looked at again.
const AGAIN: Duration = Duration::from_millis(5);

/// `paramKind`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParamKind {
    api_version: String,
    kind: String,
}

impl ParamKind {
    pub(super) fn read(of: &Value) -> Option<Self> {
        let text = |key| of.text(&[key]).to_owned();
        (!of.is_null()).then(|| Self { api_version: text("apiVersion"), kind: text("kind") })
    }

    fn group_version(&self) -> (&str, &str) {
        self.api_version.split_once('/').unwrap_or(("", &self.api_version))
    }

    /// The resource that it names, and which of its versions, as long as the cluster serves it.
    pub(super) fn resolve(&self, call: Call<'_>) -> Option<(Arc<Resource>, usize)> {
        let (group, version) = self.group_version();
        call.shard.registry.of_kind(&call.request.cluster, group, version, &self.kind)
    }

    /// As the reference shows it where nobody knows it.
    pub(super) fn unknown(&self) -> String {
        let (group, version) = self.group_version();
        format!("failed to find resource referenced by paramKind: '{group}/{version}, Kind={}'", self.kind)
    }

    fn shown(&self) -> String {
        format!("&ParamKind{{APIVersion:{},Kind:{},}}", self.api_version, self.kind)
    }
}

/// `paramRef`
#[derive(Clone, Debug)]
pub(super) struct ParamRef {
    name: String,
    namespace: String,
    selector: Option<LabelSelector>,
    /// parameterNotFoundAction is Deny.
    denies: bool,
}

impl ParamRef {
    pub(super) fn read(of: &Value) -> Option<Self> {
        if of.is_null() {
            return None;
        }
        let selector = Some(of.at(&["selector"])).filter(|selector| !selector.is_null());
        Some(Self {
            name: of.text(&["name"]).to_owned(),
            namespace: of.text(&["namespace"]).to_owned(),
            // Validation has read it before.
            selector: selector.map(|it| LabelSelector::from_value(it).unwrap_or_else(|_| LabelSelector::nothing())),
            denies: of.text(&["parameterNotFoundAction"]) == "Deny",
        })
    }
}

/// Begins to follow what those policies need that may be meant for a request, and waits a little for it.
pub(crate) async fn follow(call: Call<'_>, policies: &Policies) {
    let deadline = tokio::time::Instant::now() + WAIT;
    for bound in policies.iter() {
        let is_wanted = bound.bindings.iter().any(|binding| binding.param_ref.is_some());
        let Some(kind) = bound.policy.param_kind.as_ref().filter(|_| is_wanted) else { continue };
        let Some((resource, _)) = kind.resolve(call) else { continue };
        let is_whole = || call.shard.followed.also(call, resource.id).is_some_and(|copy| copy.glance().is_some());
        while !is_whole() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// The parameters of one binding, each of which is a run; `None` for a run without one. Errors are the reference's words.
pub(super) fn collect(
    call: Call<'_>,
    kind: Option<&ParamKind>,
    wanted: Option<&ParamRef>,
) -> Result<Vec<Option<Value>>, String> {
    let Some((kind, wanted)) = kind.zip(wanted) else { return Ok(vec![None]) };
    let (resource, served) = kind.resolve(call).ok_or_else(|| kind.unknown())?;
    let namespace = match (resource.namespaced, wanted.namespace.as_str()) {
        (true, "") if call.request.namespace.is_empty() => {
            return Err("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".into());
        }
        (true, "") => call.request.namespace.as_str(),
        (false, "") => "",
        (true, given) => given,
        (false, _) => return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into()),
    };
    let copy = call.shard.followed.also(call, resource.id).filter(|copy| copy.glance().is_some());
    let Some(copy) = copy else {
        return Err(format!("paramKind kind `{}` not yet synced to use for admission", kind.shown()));
    };
    let found = match &wanted.selector {
        None => copy.get(namespace, &wanted.name).into_iter().collect(),
        Some(selector) => {
            let mut found = copy.all();
            found.retain(|object| object.namespace == namespace && selector.matches(&**object));
            found
        }
    };
    if found.is_empty() && wanted.denies {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".into());
    }
    Ok(found.iter().map(|object| Some(shown(&resource, served, object))).collect())
}

/// A parameter in the version that the policy names.
fn shown(resource: &Resource, served: usize, object: &Object) -> Value {
    let served = &resource.served[served];
    let mut document = object.document();
    document.remove(&["metadata", "managedFields"]);
    if let Some(convert) = &served.convert {
        (convert.from_stored)(&mut document);
    }
    document.set(&["kind"], resource.kind.as_str());
    document.set(&["apiVersion"], served.api_version());
    document
}
