//! What a pod takes from a node: the sums of its containers' requests, as the API defines them (KEP-753 for init
//! containers and sidecars, KEP-2837 for pod-level resources, KEP-1287 for what a resize has allocated).

use std::collections::BTreeMap;

use api::quantity::Quantity;
use serde::Deserialize;
use smol_str::SmolStr;

/// Request that scoring assumes for a container without one: a tenth of a core, in thousandths.
const DEFAULT_CPU_MILLI: i64 = 100;
/// Request that scoring assumes for a container without one: 200 MiB.
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// The most that one pod can ask for of anything (32 PiB of memory): far more than any node has, and the sum over all
/// pods of a node still fits its column.
const LARGEST: i64 = 1 << 55;

/// Amounts by resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requests {
    /// cpu, in thousandths.
    pub cpu: i64,
    /// memory, bytes.
    pub memory: i64,
    /// ephemeral-storage, bytes.
    pub ephemeral: i64,
    /// Extended resources, huge pages and the like; sorted by name, none of them 0.
    pub scalars: Vec<(SmolStr, i64)>,
}

impl Requests {
    /// Whether nothing is asked for but a place among the node's pods.
    pub fn is_empty(&self) -> bool {
        self.cpu == 0 && self.memory == 0 && self.ephemeral == 0 && self.scalars.is_empty()
    }
}

/// A core/v1 ResourceList as text.
pub(super) type ResourceList = BTreeMap<SmolStr, SmolStr>;

/// A ResourceList in numbers: cpu in thousandths, everything else in whole units.
pub(super) type Amounts = BTreeMap<SmolStr, i64>;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct RawResources {
    pub(super) requests: ResourceList,
}

/// What the request sums need of a container.
pub(super) struct Container<'a> {
    pub(super) requests: &'a ResourceList,
    pub(super) is_sidecar: bool,
    /// What the kubelet says: actuated and allocated requests.
    pub(super) reported: Option<(&'a ResourceList, &'a ResourceList)>,
}

/// What the request sums need of a pod.
pub(super) struct Parts<'a> {
    pub(super) containers: Vec<Container<'a>>,
    pub(super) init_containers: Vec<Container<'a>>,
    pub(super) pod_level: Option<&'a ResourceList>,
    pub(super) overhead: &'a ResourceList,
    pub(super) resize_infeasible: bool,
}

/// Whether a resource is counted by name rather than in a column of its own.
pub(super) fn is_scalar(name: &str) -> bool {
    name.starts_with("hugepages-")
        || name.starts_with("attachable-volumes-")
        || name.contains("kubernetes.io/")
        || (name.contains('/') && !name.starts_with("requests."))
}

/// A quantity in the unit of its column. `broken` is what a text that validation should have refused counts as.
pub(super) fn amount(name: &str, text: &str, broken: i64) -> i64 {
    let Ok(quantity) = Quantity::parse(text) else { return broken };
    if name == "cpu" { quantity.milli() } else { quantity.value() }
}

fn amounts(list: &ResourceList) -> Amounts {
    // A request that cannot be read fits nowhere, rather than everywhere.
    list.iter().map(|(name, text)| (name.clone(), amount(name, text, LARGEST))).collect()
}

fn add(to: &mut Amounts, from: &Amounts) {
    for (name, value) in from {
        let sum = to.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*value);
    }
}

fn raise(to: &mut Amounts, from: &Amounts) {
    for (name, value) in from {
        let highest = to.entry(name.clone()).or_insert(*value);
        *highest = (*highest).max(*value);
    }
}

impl Container<'_> {
    fn amounts(&self, resize_infeasible: bool, with_defaults: bool) -> Amounts {
        let mut total = amounts(self.requests);
        if let Some((actuated, allocated)) = self.reported {
            if resize_infeasible {
                total.clear();
            }
            raise(&mut total, &amounts(actuated));
            raise(&mut total, &amounts(allocated));
        }
        if with_defaults {
            total.entry("cpu".into()).or_insert(DEFAULT_CPU_MILLI);
            total.entry("memory".into()).or_insert(DEFAULT_MEMORY);
        }
        total
    }
}

impl Parts<'_> {
    /// What the pod takes; `with_defaults`: as scoring counts it, where a container without a request counts too.
    pub(super) fn total(&self, with_defaults: bool) -> Amounts {
        let mut total = Amounts::new();
        for container in &self.containers {
            add(&mut total, &container.amounts(self.resize_infeasible, with_defaults));
        }
        let mut sidecars = Amounts::new();
        let mut highest = Amounts::new();
        for container in &self.init_containers {
            let mut own = container.amounts(self.resize_infeasible, with_defaults);
            if container.is_sidecar {
                add(&mut total, &own);
                add(&mut sidecars, &own);
                own = sidecars.clone();
            } else {
                add(&mut own, &sidecars);
            }
            raise(&mut highest, &own);
        }
        raise(&mut total, &highest);
        if let Some(list) = self.pod_level {
            let supported = |name: &str| name == "cpu" || name == "memory" || name.starts_with("hugepages-");
            total.extend(amounts(list).into_iter().filter(|(name, _)| supported(name)));
        }
        add(&mut total, &amounts(self.overhead));
        for value in total.values_mut() {
            *value = (*value).min(LARGEST);
        }
        total
    }
}

impl From<&Amounts> for Requests {
    fn from(total: &Amounts) -> Self {
        let of = |name: &str| total.get(name).copied().unwrap_or_default();
        let scalars = total.iter().filter(|(name, value)| is_scalar(name) && **value != 0);
        Self {
            cpu: of("cpu"),
            memory: of("memory"),
            ephemeral: of("ephemeral-storage"),
            scalars: scalars.map(|(name, value)| (name.clone(), *value)).collect(),
        }
    }
}
