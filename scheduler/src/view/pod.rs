//! A pod as scheduling sees it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use client::{Kept, Meta};
use hashbrown::DefaultHashBuilder;
use serde::Deserialize;
use serde::de::IgnoredAny;
use smol_str::SmolStr;

use super::affinity::{RawTerm, Term, only_names};
use super::requests::{Amounts, Container, Parts, RawResources, Requests, ResourceList};
use super::spread::{Owner, RawSpread, Spread, spread};
use super::toleration::Toleration;
use crate::refusal;

/// A port that a pod takes on its node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// The address; `0.0.0.0` for all of them.
    pub ip: SmolStr,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: SmolStr,
    /// The port.
    pub port: u16,
}

/// What a pod takes from the node that it is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Charge {
    /// What it has asked for.
    pub requests: Requests,
    /// cpu (thousandths) as scoring counts it.
    pub scored_cpu: i64,
    /// memory (bytes) as scoring counts it.
    pub scored_memory: i64,
    /// Host ports, sorted.
    pub ports: Vec<HostPort>,
}

/// A preferred node affinity term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Preferred {
    /// What a node that matches it gains.
    pub weight: i32,
    /// The term.
    pub term: Term,
}

/// Everything that filters and scores look at in a pod. Pods with equal needs are of one class.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// What it takes.
    pub charge: Arc<Charge>,
    /// spec.nodeName: the only node that will do. Empty in a pod that waits for a scheduler.
    pub node_name: SmolStr,
    /// spec.nodeSelector
    pub node_selector: BTreeMap<SmolStr, SmolStr>,
    /// Required node affinity: one of the terms must match. `None` where there is no such rule.
    pub required: Option<Vec<Term>>,
    /// The only nodes that the required node affinity can be met by, where every one of its terms names some.
    pub only_names: Option<Vec<SmolStr>>,
    /// Preferred node affinity.
    pub preferred: Vec<Preferred>,
    /// spec.tolerations, sorted.
    pub tolerations: Vec<Toleration>,
    /// How it should stand apart from other pods of its owner. (The owner is no part of the needs.)
    pub spread: Option<Spread>,
    /// What the pod needs and this scheduler does not do yet. Such a pod is not placed anywhere.
    pub missing: Vec<&'static str>,
    hash: u64,
}

impl Needs {
    /// Remembers the hash, so that finding a pod's class costs no walk.
    pub fn hashed(mut self) -> Self {
        let affinity = (&self.required, &self.only_names, &self.preferred);
        let rest = (affinity, &self.tolerations, &self.spread, &self.missing);
        // The seed only has to be the same for all needs of a process; nothing is decided by the hash's value.
        self.hash = hash_builder().hash_one((&self.charge, &self.node_name, &self.node_selector, rest));
        self
    }
}

fn hash_builder() -> &'static DefaultHashBuilder {
    static BUILDER: std::sync::OnceLock<DefaultHashBuilder> = std::sync::OnceLock::new();
    BUILDER.get_or_init(DefaultHashBuilder::default)
}

impl Hash for Needs {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Needs {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.charge == other.charge
            && self.node_name == other.node_name
            && self.node_selector == other.node_selector
            && self.required == other.required
            && self.only_names == other.only_names
            && self.preferred == other.preferred
            && self.tolerations == other.tolerations
            && self.spread == other.spread
            && self.missing == other.missing
    }
}

impl Eq for Needs {}

/// The PodScheduled condition of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// `True` or `False`.
    pub status: SmolStr,
    /// `Unschedulable`, `SchedulingGated`, `SchedulerError`.
    pub reason: SmolStr,
    /// Why.
    pub message: String,
}

/// A pod as scheduling sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "RawPod")]
pub struct PodView {
    /// Metadata, of annotations only the schedulers' own, no labels, owners and finalizers.
    pub meta: Meta,
    /// spec.schedulerName
    pub scheduler_name: SmolStr,
    /// spec.nodeName
    pub node_name: SmolStr,
    /// spec.priority
    pub priority: i32,
    /// spec.preemptionPolicy is Never.
    pub never_preempts: bool,
    /// status.phase is Succeeded or Failed: it takes nothing any more.
    pub is_terminal: bool,
    /// spec.schedulingGates
    pub gates: Vec<SmolStr>,
    /// The PodScheduled condition.
    pub scheduled: Option<Box<Scheduled>>,
    /// The controller that owns it.
    pub owner: Option<Owner>,
    /// What it takes from its node.
    pub charge: Arc<Charge>,
    /// What it asks of a node; `None` once it has one.
    pub needs: Option<Arc<Needs>>,
}

impl PodView {
    /// The pod's uid.
    pub fn uid(&self) -> &SmolStr {
        &self.meta.uid
    }
}

impl Kept for PodView {
    fn meta(&self) -> &Meta {
        &self.meta
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawPod {
    metadata: Meta,
    spec: RawSpec,
    status: RawStatus,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawSpec {
    scheduler_name: SmolStr,
    node_name: SmolStr,
    priority: Option<i32>,
    preemption_policy: SmolStr,
    scheduling_gates: Vec<Named>,
    containers: Vec<RawContainer>,
    init_containers: Vec<RawContainer>,
    resources: Option<RawResources>,
    overhead: ResourceList,
    node_selector: BTreeMap<SmolStr, SmolStr>,
    affinity: RawAffinity,
    tolerations: Vec<Toleration>,
    topology_spread_constraints: Vec<RawSpread>,
    volumes: Vec<BTreeMap<SmolStr, IgnoredAny>>,
    resource_claims: Vec<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: SmolStr,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawContainer {
    name: SmolStr,
    resources: RawResources,
    restart_policy: SmolStr,
    ports: Vec<RawPort>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawPort {
    host_port: u16,
    #[serde(rename = "hostIP")]
    host_ip: SmolStr,
    protocol: SmolStr,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawAffinity {
    node_affinity: RawNodeAffinity,
    pod_affinity: RawPodAffinity,
    pod_anti_affinity: RawPodAffinity,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawNodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<RawNodeSelector>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Vec<RawPreferred>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawNodeSelector {
    node_selector_terms: Vec<RawTerm>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawPreferred {
    weight: i32,
    preference: RawTerm,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawPodAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Vec<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawStatus {
    phase: SmolStr,
    conditions: Vec<RawCondition>,
    container_statuses: Vec<RawContainerStatus>,
    init_container_statuses: Vec<RawContainerStatus>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawCondition {
    #[serde(rename = "type")]
    kind: SmolStr,
    status: SmolStr,
    reason: SmolStr,
    message: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawContainerStatus {
    name: SmolStr,
    resources: Option<RawResources>,
    allocated_resources: ResourceList,
}

impl RawContainer {
    fn is_sidecar(&self) -> bool {
        self.restart_policy == "Always"
    }

    fn part<'a>(&'a self, statuses: &'a [RawContainerStatus]) -> Container<'a> {
        let status = statuses.iter().find(|status| status.name == self.name);
        let reported = status
            .and_then(|status| status.resources.as_ref().map(|actual| (&actual.requests, &status.allocated_resources)));
        Container { requests: &self.resources.requests, is_sidecar: self.is_sidecar(), reported }
    }
}

impl RawPod {
    fn charge(&self) -> Charge {
        let statuses = &self.status.container_statuses;
        let init = |one: &RawContainer| if one.is_sidecar() { &*self.status.init_container_statuses } else { &[] };
        let is_infeasible = |one: &RawCondition| one.kind == "PodResizePending" && one.reason == "Infeasible";
        let parts = Parts {
            containers: self.spec.containers.iter().map(|one| one.part(statuses)).collect(),
            init_containers: self.spec.init_containers.iter().map(|one| one.part(init(one))).collect(),
            pod_level: self.spec.resources.as_ref().map(|resources| &resources.requests),
            overhead: &self.spec.overhead,
            resize_infeasible: self.status.conditions.iter().any(is_infeasible),
        };
        let scored: Amounts = parts.total(true);
        let of = |name: &str| scored.get(name).copied().unwrap_or_default();
        Charge {
            requests: Requests::from(&parts.total(false)),
            scored_cpu: of("cpu"),
            scored_memory: of("memory"),
            ports: self.ports(),
        }
    }

    /// Host ports of everything that runs as long as the pod does.
    fn ports(&self) -> Vec<HostPort> {
        let sidecars = self.spec.init_containers.iter().filter(|one| one.is_sidecar());
        let taken = sidecars.chain(&self.spec.containers).flat_map(|one| &one.ports).filter(|port| port.host_port > 0);
        let or = |text: &SmolStr, default: &'static str| match text.is_empty() {
            true => SmolStr::new_static(default),
            false => text.clone(),
        };
        let mut ports: Vec<_> = taken
            .map(|port| HostPort {
                ip: or(&port.host_ip, "0.0.0.0"),
                protocol: or(&port.protocol, "TCP"),
                port: port.host_port,
            })
            .collect();
        ports.sort_unstable();
        ports
    }

    /// What this scheduler does not do yet.
    fn missing(&self) -> Vec<&'static str> {
        let affinity = &self.spec.affinity;
        let has_volume =
            |kinds: &[&str]| self.spec.volumes.iter().any(|volume| kinds.iter().any(|kind| volume.contains_key(*kind)));
        let exclusive = ["gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd"];
        [
            (!affinity.pod_affinity.required.is_empty(), "required pod affinity (InterPodAffinity)"),
            (!affinity.pod_anti_affinity.required.is_empty(), "required pod anti-affinity (InterPodAffinity)"),
            (
                !self.spec.topology_spread_constraints.iter().all(RawSpread::is_soft),
                "DoNotSchedule topology spread constraints (PodTopologySpread)",
            ),
            (has_volume(&["persistentVolumeClaim", "ephemeral"]), "persistent volume claims (VolumeBinding)"),
            (has_volume(&exclusive), "volumes of one node at a time (VolumeRestrictions)"),
            (!self.spec.resource_claims.is_empty(), "resource claims (DynamicResources)"),
        ]
        .into_iter()
        .filter_map(|(is_needed, what)| is_needed.then_some(what))
        .collect()
    }

    fn needs(&self, charge: &Arc<Charge>) -> Needs {
        let affinity = &self.spec.affinity.node_affinity;
        let required = affinity.required.as_ref().map(|selector| &selector.node_selector_terms);
        let preferred = affinity.preferred.iter().filter(|one| one.weight != 0).filter_map(|one| {
            let term = one.preference.parse()?;
            Some(Preferred { weight: one.weight, term })
        });
        let mut tolerations = self.spec.tolerations.clone();
        tolerations.sort_unstable();
        Needs {
            charge: charge.clone(),
            node_name: self.spec.node_name.clone(),
            node_selector: self.spec.node_selector.clone(),
            required: required.map(|terms| terms.iter().filter_map(RawTerm::parse).collect()),
            only_names: required.and_then(|terms| only_names(terms)),
            preferred: preferred.collect(),
            tolerations,
            spread: spread(&self.spec.topology_spread_constraints, &self.metadata),
            missing: self.missing(),
            hash: 0,
        }
        .hashed()
    }
}

impl From<RawPod> for PodView {
    fn from(raw: RawPod) -> Self {
        let charge = Arc::new(raw.charge());
        let needs = raw.spec.node_name.is_empty().then(|| Arc::new(raw.needs(&charge)));
        let condition = raw.status.conditions.into_iter().find(|one| one.kind == "PodScheduled");
        let owner = Owner::of(&raw.metadata);
        let mut meta = raw.metadata;
        meta.annotations.retain(|key, _| refusal::is_refusal(key));
        (meta.labels, meta.owner_references, meta.finalizers) = Default::default();
        Self {
            meta,
            scheduler_name: raw.spec.scheduler_name,
            node_name: raw.spec.node_name,
            priority: raw.spec.priority.unwrap_or_default(),
            never_preempts: raw.spec.preemption_policy == "Never",
            is_terminal: matches!(raw.status.phase.as_str(), "Succeeded" | "Failed"),
            gates: raw.spec.scheduling_gates.into_iter().map(|gate| gate.name).collect(),
            scheduled: condition
                .map(|RawCondition { status, reason, message, .. }| Box::new(Scheduled { status, reason, message })),
            owner,
            charge,
            needs,
        }
    }
}
