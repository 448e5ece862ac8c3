//! ResourceQuotas: what they limit, which objects they are about, and what an object takes of them (the evaluators of the
//! reference's `pkg/quota/v1`). Who keeps the sums is whoever owns the namespace.
//!
//! One file for each kind that is measured by more than its number; every kind is counted, as `count/<resource>.<group>`.
//! Start reading at [`Quota`] and [`usage`].
//!
//! Not here: what a ResourceClaim takes under the name of an extended resource (`requests.example.com/gpu`), which depends on
//! DeviceClasses, and these live elsewhere.

mod persistent_volume_claim;
mod pod;
mod resource_claim;
mod scope;
mod service;
#[cfg(test)]
mod tests;

use smol_str::SmolStr;

use crate::document::{Document, Value};
use crate::pod_resources::{self, Amounts};
use crate::quantity::{Format, Quantity};
use scope::Scope;

/// Kinds whose number is limited by their plain name too.
const PLAIN_COUNTS: [&str; 4] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];
/// Kinds of which more is measured than their number.
const MEASURED: [&str; 4] = ["pods", "services", "persistentvolumeclaims", "resourceclaims.resource.k8s.io"];
/// Kinds that no quota counts.
const IGNORED: [&str; 2] = ["events", "events.events.k8s.io"];

/// A ResourceQuota, as far as it decides about writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// metadata.name
    pub name: SmolStr,
    /// spec.hard
    pub hard: Amounts,
    /// spec.scopes and spec.scopeSelector: all of them must hold.
    scopes: Vec<Scope>,
}

impl Quota {
    /// Reads what is stored.
    pub fn of(document: &Value) -> Self {
        let spec = document.at(&["spec"]);
        Self { name: document.name().into(), hard: pod_resources::parsed(spec.at(&["hard"])), scopes: scope::of(spec) }
    }

    /// Whether an object of a kind lies in its scopes. What knows no scopes lies in none.
    pub fn is_about(&self, id_name: &str, document: &Value) -> bool {
        self.scopes.iter().all(|scope| match id_name {
            "pods" => pod::lies_in(document, scope),
            "persistentvolumeclaims" => persistent_volume_claim::lies_in(document, scope),
            _ => false,
        })
    }
}

/// What an object takes, by the names that quotas limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How much.
    pub amounts: Amounts,
    /// Microseconds since 1970, after which it takes nothing any more but its place (`count/…`): a Pod that should have been
    /// gone long ago, because its node is.
    pub until: Option<i64>,
}

/// Whether a quota's limit of that name is about objects of a kind.
pub fn measures(id_name: &str, name: &str) -> bool {
    match id_name {
        _ if IGNORED.contains(&id_name) => false,
        _ if counted(name) == Some(id_name) => true,
        "pods" => pod::measures(name),
        "services" => service::MEASURED.contains(&name),
        "persistentvolumeclaims" => persistent_volume_claim::measures(name),
        "resourceclaims.resource.k8s.io" => resource_claim::measures(name),
        plain => plain == name && PLAIN_COUNTS.contains(&plain),
    }
}

/// Whether a limit of that name is about anything.
pub fn is_measured(name: &str) -> bool {
    match counted(name) {
        Some(id_name) => !IGNORED.contains(&id_name),
        None => PLAIN_COUNTS.contains(&name) || MEASURED.iter().any(|id_name| measures(id_name, name)),
    }
}

/// The kind that `count/…` counts.
pub fn counted(name: &str) -> Option<&str> {
    name.strip_prefix("count/")
}

/// What an object of a kind takes: its document in the stored version.
pub fn usage(id_name: &str, document: &Value) -> Usage {
    let mut usage = match id_name {
        "pods" => pod::usage(document),
        "services" => Usage { amounts: service::usage(document), until: None },
        "persistentvolumeclaims" => Usage { amounts: persistent_volume_claim::usage(document), until: None },
        "resourceclaims.resource.k8s.io" => Usage { amounts: resource_claim::usage(document), until: None },
        plain if PLAIN_COUNTS.contains(&plain) => Usage { amounts: [(plain.into(), number(1))].into(), until: None },
        _ => Usage::default(),
    };
    usage.amounts.insert(smol_str::format_smolstr!("count/{id_name}"), number(1));
    usage
}

/// Whether what an object of a kind takes depends on its document: of most kinds it does not.
pub fn depends_on_document(id_name: &str) -> bool {
    MEASURED.contains(&id_name)
}

/// Whether a write of an object may be refused because of what it takes. Whatever else is written is only counted: a status
/// says what is.
pub fn may_refuse(id_name: &str, subresource: &str, old: Option<&Value>, new: &Value) -> bool {
    match (id_name, subresource, old) {
        (_, "", None) => true,
        ("pods", "resize", Some(_)) => true,
        ("pods", "", Some(old)) => pod::is_terminating(old) != pod::is_terminating(new),
        ("services" | "persistentvolumeclaims" | "resourceclaims.resource.k8s.io", "", Some(_)) => true,
        _ => false,
    }
}

/// What an object has to say because a quota limits those names, in the words of a refusal: every container of a Pod its
/// requests and limits of cpu and memory.
pub fn unsaid<'n>(id_name: &str, document: &Value, names: impl Iterator<Item = &'n str>) -> Option<String> {
    if id_name == "pods" { pod::unsaid(document, names) } else { None }
}

fn number(count: i64) -> Quantity {
    Quantity::from_int(count, Format::DecimalSi)
}
