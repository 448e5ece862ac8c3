//! What a kubelet reads of a Pod, and what it remembers.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use smol_str::SmolStr;

use super::admission::{Requests, Resources};
use crate::follow::Versioned;

/// A Pod as it comes from the server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodView {
    pub(crate) metadata: PodMeta,
    pub(crate) spec: PodSpec,
    pub(crate) status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodMeta {
    pub(crate) name: SmolStr,
    pub(crate) namespace: SmolStr,
    pub(crate) uid: SmolStr,
    pub(crate) resource_version: SmolStr,
    pub(crate) generation: i64,
    pub(crate) deletion_timestamp: Option<SmolStr>,
    pub(crate) deletion_grace_period_seconds: Option<u64>,
    pub(crate) annotations: Option<Wishes>,
}

/// The annotations that say what the containers do.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wishes {
    #[serde(rename = "shardplane.dev/run-seconds")]
    pub(crate) run_seconds: Option<SmolStr>,
    #[serde(rename = "shardplane.dev/exit-code")]
    pub(crate) exit_code: Option<SmolStr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub(crate) containers: Vec<Container>,
    pub(crate) init_containers: Option<Vec<Container>>,
    pub(crate) host_network: Option<bool>,
    pub(crate) restart_policy: RestartPolicy,
    pub(crate) active_deadline_seconds: Option<u64>,
    pub(crate) readiness_gates: Option<Vec<ReadinessGate>>,
    pub(crate) resources: Option<Resources>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ReadinessGate {
    pub(crate) condition_type: SmolStr,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Container {
    pub(crate) name: SmolStr,
    pub(crate) image: SmolStr,
    /// `Always` makes an init container a sidecar.
    pub(crate) restart_policy: Option<SmolStr>,
    pub(crate) resources: Option<Resources>,
}

impl Container {
    pub(crate) fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

impl<'de> Deserialize<'de> for Phase {
    /// `Unknown` and what else may come count as running: nothing says that it ended.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = SmolStr::deserialize(from)?;
        Ok(match text.as_str() {
            "" | "Pending" => Self::Pending,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            _ => Self::Running,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodStatus {
    pub(crate) phase: Phase,
    #[serde(rename = "podIPs")]
    pub(crate) pod_ips: Option<Vec<PodIp>>,
    pub(crate) start_time: Option<SmolStr>,
    pub(crate) conditions: Option<Vec<ConditionView>>,
    pub(crate) container_statuses: Option<Vec<ContainerStatusView>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodIp {
    pub(crate) ip: SmolStr,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConditionView {
    #[serde(rename = "type")]
    pub(crate) kind: SmolStr,
    pub(crate) status: SmolStr,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStatusView {
    pub(crate) restart_count: u32,
    pub(crate) state: ContainerStateView,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStateView {
    pub(crate) waiting: Option<serde::de::IgnoredAny>,
    pub(crate) running: Option<RunningView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RunningView {
    pub(crate) started_at: Option<SmolStr>,
}

impl Versioned for PodView {
    fn version(&self) -> &SmolStr {
        &self.metadata.resource_version
    }
}

/// A container without its resources, which are summed up already.
fn remembered(container: &Container) -> Container {
    Container { resources: None, ..container.clone() }
}

/// What a kubelet remembers of a Pod: what does not change while it lives.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) namespace: SmolStr,
    pub(crate) name: SmolStr,
    pub(crate) uid: SmolStr,
    pub(crate) containers: Arc<[Container]>,
    pub(crate) init_containers: Arc<[Container]>,
    pub(crate) host_network: bool,
    pub(crate) restart_policy: RestartPolicy,
    /// Seconds until the containers exit.
    pub(crate) run_seconds: Option<f64>,
    pub(crate) exit_code: i32,
    pub(crate) active_deadline_seconds: Option<u64>,
    pub(crate) readiness_gates: Box<[SmolStr]>,
    pub(crate) requests: Requests,
}

impl Plan {
    pub(crate) fn of(view: &PodView) -> Self {
        let wishes = view.metadata.annotations.as_ref();
        let run = wishes.and_then(|wishes| wishes.run_seconds.as_ref()?.parse::<f64>().ok());
        let exit_code = wishes.and_then(|wishes| wishes.exit_code.as_ref()?.parse().ok()).unwrap_or(0);
        let gates = view.spec.readiness_gates.iter().flatten().map(|gate| gate.condition_type.clone());
        Self {
            namespace: view.metadata.namespace.clone(),
            name: view.metadata.name.clone(),
            uid: view.metadata.uid.clone(),
            containers: view.spec.containers.iter().map(remembered).collect(),
            init_containers: view.spec.init_containers.iter().flatten().map(remembered).collect(),
            requests: Requests::of_pod(&view.spec),
            host_network: view.spec.host_network.unwrap_or(false),
            restart_policy: view.spec.restart_policy,
            run_seconds: run.filter(|seconds| seconds.is_finite() && (0.0..1e9).contains(seconds)),
            exit_code,
            active_deadline_seconds: view.spec.active_deadline_seconds,
            readiness_gates: gates.collect(),
        }
    }

    /// The container's id in its `restart`th life: the same whenever it is asked for.
    pub(crate) fn container_id(&self, container: &str, restart: u32) -> String {
        let mut id = String::from("shardplane-sim://");
        for seed in 0..4u64 {
            let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let text = self.uid.bytes().chain([0]).chain(container.bytes()).chain(restart.to_le_bytes());
            for byte in text {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            id.push_str(&format!("{:016x}", hash ^ (hash >> 29)));
        }
        id
    }
}
