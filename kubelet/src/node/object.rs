//! What a node says about itself.

use api::Value;
use serde::Deserialize;
use serde_json::json;
use smol_str::SmolStr;
use std::collections::BTreeMap;

use crate::config::FleetConfig;

/// What a kubelet reads of its Node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeView {
    pub(crate) metadata: NodeMeta,
    pub(crate) spec: NodeSpec,
    pub(crate) status: NodeStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeMeta {
    pub(crate) uid: SmolStr,
    pub(crate) resource_version: SmolStr,
    pub(crate) labels: Option<BTreeMap<SmolStr, SmolStr>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pub(crate) pod_cidr: Option<SmolStr>,
    #[serde(rename = "podCIDRs")]
    pub(crate) pod_cidrs: Option<Vec<SmolStr>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatus {
    pub(crate) conditions: Option<Vec<NodeCondition>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeCondition {
    #[serde(rename = "type")]
    pub(crate) kind: SmolStr,
    pub(crate) status: SmolStr,
    pub(crate) last_transition_time: Option<SmolStr>,
}

impl NodeStatus {
    pub(crate) fn is_ready(&self) -> bool {
        self.conditions.iter().flatten().any(|condition| condition.kind == "Ready" && condition.status == "True")
    }
}

impl NodeSpec {
    /// The node's ranges; empty while it has none.
    pub(crate) fn ranges(&self) -> Vec<ipnet::IpNet> {
        let several = self.pod_cidrs.iter().flatten().chain(self.pod_cidr.iter().filter(|_| self.pod_cidrs.is_none()));
        several.filter_map(|range| range.parse().ok()).collect()
    }
}

/// The labels that a kubelet sets and keeps right.
pub(crate) fn labels(config: &FleetConfig, name: &str, at: usize) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("kubernetes.io/hostname".to_owned(), name.to_owned()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), "amd64".to_owned()),
        ("beta.kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("beta.kubernetes.io/arch".to_owned(), "amd64".to_owned()),
        ("node.kubernetes.io/instance-type".to_owned(), config.instance_type.clone()),
        ("topology.kubernetes.io/region".to_owned(), config.region.clone()),
        ("topology.kubernetes.io/zone".to_owned(), zone(config, at)),
    ]);
    labels.extend(config.labels.clone());
    labels
}

/// `sim-a` to `sim-z`, then `sim-26` and so on.
fn zone(config: &FleetConfig, at: usize) -> String {
    let zone = (config.first + at) % config.zones.max(1);
    match u8::try_from(zone).ok().filter(|zone| *zone < 26) {
        Some(letter) => format!("{}-{}", config.region, char::from(b'a' + letter)),
        None => format!("{}-{zone}", config.region),
    }
}

/// The Node as a kubelet registers it, with or without being ready.
pub(crate) fn node(config: &FleetConfig, name: &str, at: usize, ready: bool, now: &str) -> Value {
    let mut spec = json!({});
    if !config.taints.is_empty() {
        spec["taints"] = json!(config.taints);
    }
    json!({
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "labels": labels(config, name, at),
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": spec,
        "status": status(config, name, conditions(&[], ready, now)),
    })
}

/// The whole status.
pub(crate) fn status(config: &FleetConfig, name: &str, conditions: Vec<Value>) -> Value {
    let resources = json!({
        "cpu": config.cpu,
        "memory": config.memory,
        "ephemeral-storage": config.ephemeral_storage,
        "pods": config.pods.to_string(),
    });
    json!({
        "capacity": resources,
        "allocatable": resources,
        "conditions": conditions,
        "addresses": [
            {"type": "InternalIP", "address": config.address.to_string()},
            {"type": "Hostname", "address": name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        // As kubelets of v1.36 do: WebSockets need not be translated for it.
        "declaredFeatures": ["ExtendWebSocketsToKubelet"],
        "nodeInfo": {
            "machineID": format!("sim-{name}"),
            "systemUUID": format!("sim-{name}"),
            "bootID": format!("sim-{name}"),
            "kernelVersion": "simulated",
            "osImage": "Shardplane simulation",
            "containerRuntimeVersion": "shardplane-sim://0.1",
            "kubeletVersion": "v1.36.0",
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    })
}

/// Conditions as a kubelet reports them, keeping the time of what did not change.
pub(crate) fn conditions(old: &[NodeCondition], ready: bool, now: &str) -> Vec<Value> {
    let (ready_reason, ready_message) = if ready {
        ("KubeletReady", "kubelet is posting ready status")
    } else {
        ("KubeletNotReady", "container runtime status check may not have completed yet")
    };
    let rows = [
        ("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", ready, ready_reason, ready_message),
    ];
    rows.into_iter()
        .map(|(kind, is, reason, message)| {
            let is = if is { "True" } else { "False" };
            let same = old.iter().find(|condition| condition.kind == kind && condition.status == is);
            let since = same.and_then(|condition| condition.last_transition_time.as_deref()).unwrap_or(now);
            json!({
                "type": kind, "status": is, "reason": reason, "message": message,
                "lastHeartbeatTime": now, "lastTransitionTime": since,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_dealt_in_turn_and_labels_added() {
        let config =
            FleetConfig { labels: BTreeMap::from([("pool".to_owned(), "a".to_owned())]), ..FleetConfig::in_process(5) };
        let zones: Vec<_> = (0..4).map(|at| zone(&config, at)).collect();
        assert_eq!(zones, ["sim-a", "sim-b", "sim-c", "sim-a"]);
        let node = node(&config, "node-1", 1, true, "T");
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "node-1");
        assert_eq!(node["metadata"]["labels"]["pool"], "a");
        assert!(node["spec"].get("podCIDR").is_none() && node["spec"].get("taints").is_none());
    }

    #[test]
    fn what_did_not_change_keeps_its_time() {
        let old = |kind: &str, status: &str| NodeCondition {
            kind: kind.into(),
            status: status.into(),
            last_transition_time: Some("OLD".into()),
        };
        let now = conditions(&[old("Ready", "Unknown"), old("DiskPressure", "False")], true, "NOW");
        let since = |kind: &str| now.iter().find(|row| row["type"] == kind).unwrap()["lastTransitionTime"].clone();
        assert_eq!(
            (since("Ready"), since("DiskPressure"), since("PIDPressure")),
            ("NOW".into(), "OLD".into(), "NOW".into())
        );
    }
}
