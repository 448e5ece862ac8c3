//! Pods, as controllers see them.

use client::{Kept, Meta};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// metadata
    pub metadata: Meta,
    /// spec
    pub spec: PodSpec,
    /// status
    pub status: PodStatus,
}

/// spec of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Empty until it is bound.
    pub node_name: SmolStr,
    /// hostname
    pub hostname: SmolStr,
    /// subdomain
    pub subdomain: SmolStr,
    /// Tolerations.
    #[serde(deserialize_with = "client::tight")]
    pub tolerations: Vec<Toleration>,
    /// Containers: their named ports.
    #[serde(deserialize_with = "client::tight")]
    pub containers: Vec<Container>,
    /// Init containers, of which those that restart always count as sidecars.
    #[serde(deserialize_with = "client::tight")]
    pub init_containers: Vec<Container>,
    /// terminationGracePeriodSeconds
    pub termination_grace_period_seconds: Option<i64>,
}

/// A container: what a Service needs of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// name
    pub name: SmolStr,
    /// ports
    #[serde(deserialize_with = "client::tight")]
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: SmolStr,
}

/// A port of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// name
    pub name: SmolStr,
    /// containerPort
    pub container_port: i32,
    /// protocol
    pub protocol: SmolStr,
}

/// A toleration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// Empty for every key.
    pub key: SmolStr,
    /// `Equal` (default), `Exists`, `Lt`, `Gt`.
    pub operator: SmolStr,
    /// value
    pub value: SmolStr,
    /// Empty for every effect.
    pub effect: SmolStr,
    /// For how long a NoExecute taint is tolerated; absent: for ever.
    pub toleration_seconds: Option<i64>,
}

/// status of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Pending, Running, Succeeded, Failed, Unknown.
    pub phase: SmolStr,
    /// reason: `Evicted`.
    pub reason: SmolStr,
    /// podIP
    #[serde(rename = "podIP")]
    pub pod_ip: SmolStr,
    /// podIPs
    #[serde(rename = "podIPs", deserialize_with = "client::tight")]
    pub pod_ips: Vec<PodIp>,
    /// Conditions.
    #[serde(deserialize_with = "client::tight")]
    pub conditions: Vec<PodCondition>,
    /// containerStatuses
    #[serde(deserialize_with = "client::tight")]
    pub container_statuses: Vec<ContainerStatus>,
    /// initContainerStatuses
    #[serde(deserialize_with = "client::tight")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// An address of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: SmolStr,
}

/// A condition of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCondition {
    /// type
    #[serde(rename = "type")]
    pub kind: SmolStr,
    /// True, False, Unknown.
    pub status: SmolStr,
    /// RFC 3339.
    pub last_transition_time: SmolStr,
}

/// How often a container was restarted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// name
    pub name: SmolStr,
    /// restartCount
    pub restart_count: i32,
}

impl Kept for Pod {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Pod {
    /// Whether it has run to its end.
    pub fn is_terminal(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Neither at its end nor on its way there: it counts as a replica.
    pub fn is_active(&self) -> bool {
        !self.is_terminal() && !self.metadata.is_deleting()
    }

    /// On its way to the end, and not there yet.
    pub fn is_terminating(&self) -> bool {
        !self.is_terminal() && self.metadata.is_deleting()
    }

    /// The Ready condition.
    pub fn ready_condition(&self) -> Option<&PodCondition> {
        self.status.conditions.iter().find(|condition| condition.kind == "Ready")
    }

    /// Whether the Ready condition is True.
    pub fn is_ready(&self) -> bool {
        self.ready_condition().is_some_and(|condition| condition.status == "True")
    }

    /// Since when it is ready, in microseconds since 1970.
    pub fn ready_since(&self) -> Option<i64> {
        let ready = self.ready_condition().filter(|condition| condition.status == "True")?;
        api::time::parse(&ready.last_transition_time)
    }

    /// Its addresses; podIP where podIPs is not filled.
    pub fn addresses(&self) -> impl Iterator<Item = &SmolStr> {
        let single = (self.status.pod_ips.is_empty() && !self.status.pod_ip.is_empty()).then_some(&self.status.pod_ip);
        self.status.pod_ips.iter().map(|pod_ip| &pod_ip.ip).chain(single)
    }
}
