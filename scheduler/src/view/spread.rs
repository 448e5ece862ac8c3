//! Soft topology spread constraints: which pods want to stand apart, and over what.

use api::selector::LabelSelector;
use client::{Meta, OwnerReference};
use serde::Deserialize;
use serde_json::Value;
use smol_str::SmolStr;

/// The label that tells hosts apart.
pub const HOST: &str = "kubernetes.io/hostname";
/// The label that tells zones apart.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// Stands for the controller that owns a pod: a hash of its uid. Two controllers with one hash would spread their pods
/// as if they were one's, nothing worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u64);

impl Owner {
    /// The controller that owns a pod.
    pub fn of(meta: &Meta) -> Option<Self> {
        meta.controller().map(|owner| Self(crate::hash(&owner.uid)))
    }
}

/// A pod's ScheduleAnyway constraints over hosts and zones: how far pods of the same owner should stand apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    /// maxSkew of the constraint over hosts.
    pub host: Option<i32>,
    /// maxSkew of the constraint over zones.
    pub zone: Option<i32>,
    /// They are the pod's own and not the default: nodes that lack one of the labels get no score at all.
    pub is_own: bool,
}

impl Spread {
    /// The constraints that kube-scheduler gives to pods without any.
    pub const DEFAULT: Self = Self { host: Some(3), zone: Some(5), is_own: false };
}

/// core/v1 TopologySpreadConstraint.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawSpread {
    when_unsatisfiable: SmolStr,
    topology_key: SmolStr,
    max_skew: i32,
    label_selector: Option<Value>,
}

impl RawSpread {
    pub(super) fn is_soft(&self) -> bool {
        self.when_unsatisfiable == "ScheduleAnyway"
    }

    /// Whether the constraint speaks of the pod's own kind, whose other pods stand in for what it selects.
    fn selects(&self, pod: &Meta) -> bool {
        let selector = self.label_selector.as_ref().and_then(|selector| LabelSelector::from_value(selector).ok());
        let label = |key: &str| pod.labels.get(key).map(SmolStr::as_str);
        selector.is_some_and(|selector| !selector.is_everything() && selector.matches_with(label))
    }
}

/// The owners by whose selectors kube-scheduler spreads pods that say nothing.
fn is_spread_by_default(owner: &OwnerReference) -> bool {
    let kinds = [("v1", "ReplicationController"), ("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet")];
    kinds.contains(&(&owner.api_version, &owner.kind))
}

/// How a pod is spread; `None` for one that has no siblings to stand apart from.
pub(super) fn spread(constraints: &[RawSpread], pod: &Meta) -> Option<Spread> {
    let owner = pod.controller()?;
    if constraints.is_empty() {
        return is_spread_by_default(owner).then_some(Spread::DEFAULT);
    }
    let over = |key: &str| {
        let mut those = constraints.iter().filter(|one| one.is_soft() && one.topology_key == key);
        those.find(|one| one.selects(pod)).map(|one| one.max_skew)
    };
    let spread = Spread { host: over(HOST), zone: over(ZONE), is_own: true };
    (spread.host.is_some() || spread.zone.is_some()).then_some(spread)
}
