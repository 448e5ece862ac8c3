//! What a fleet is like.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use api::ambient::Entropy;
use client::Client;
use serde::Serialize;

use crate::Logs;
use crate::pod::admission::Room;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// How much of a kubelet's traffic is real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    /// Call for call what a kubelet does: the Node is registered not ready and reported ready afterwards, the Lease is
    /// asked for before it is made, a Pod's acceptance (Pending, ContainerCreating) is posted before it runs, and every
    /// kubelet watches its own Node and all Services as well.
    Wire,
    /// The same results by fewer calls: a Node is created ready, a Lease without a look at what is there, a Pod is posted
    /// once per change of its phase, and there are no watches but that of the Pods.
    InProcess,
}

impl Fidelity {
    /// As it stands in a status line or a report.
    pub fn label(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::InProcess => "in-process",
        }
    }
}

/// Which Events kubelets write about Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Events {
    /// None.
    None,
    /// `Started`, and what somebody should look at (`BackOff`).
    Started,
    /// `Pulled`, `Created`, `Started`, `Killing`, `BackOff`, as a kubelet does.
    All,
}

/// A log-normal distribution: what takes `median` half of the time and, now and then, much longer.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Half of all samples are shorter.
    pub median: Duration,
    /// Standard deviation of the logarithm: 0.5 puts the 99th percentile at 3.2 times the median; 0 makes all alike.
    pub sigma: f64,
}

impl Latency {
    /// The usual spread around a median.
    pub fn around(median: Duration) -> Self {
        Self { median, sigma: 0.5 }
    }

    /// One sample, at most 20 times the median.
    pub fn sample(&self, entropy: &dyn Entropy) -> Duration {
        // Box-Muller: two uniform numbers, of which the first is never 0, make a normal one.
        let uniform = || ((entropy.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let normal = (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        self.median.mul_f64((self.sigma * normal).exp().min(20.0))
    }
}

/// A taint that nodes register with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// What a fleet is like. Start from [`FleetConfig::in_process`] or [`FleetConfig::wire`].
#[derive(Clone)]
pub struct FleetConfig {
    /// Number of nodes.
    pub nodes: usize,
    /// Number of the first one: several processes can each run a part of one fleet.
    pub first: usize,
    /// Nodes are called this and their number.
    pub name_prefix: String,
    /// Zones, `<region>-a`, `-b` and so on, that nodes are dealt to in turn.
    pub zones: usize,
    /// topology.kubernetes.io/region
    pub region: String,
    /// node.kubernetes.io/instance-type
    pub instance_type: String,
    /// Capacity and allocatable cpu of each node (quantity).
    pub cpu: String,
    /// The same of memory.
    pub memory: String,
    /// The same of ephemeral-storage.
    pub ephemeral_storage: String,
    /// The same of Pods.
    pub pods: u32,
    /// More labels of each node.
    pub labels: BTreeMap<String, String>,
    /// Taints that each node registers with.
    pub taints: Vec<Taint>,
    /// How often a Lease is renewed, with 4 % jitter.
    pub lease_interval: Duration,
    /// spec.leaseDurationSeconds
    pub lease_duration: Duration,
    /// How often a status that did not change is reported.
    pub status_interval: Duration,
    /// From binding to Running.
    pub pod_start: Latency,
    /// From deletion to gone; never longer than the grace period.
    pub pod_stop: Latency,
    /// How much of the traffic is real.
    pub fidelity: Fidelity,
    /// Which Events are written.
    pub events: Events,
    /// status.addresses of every node and status.hostIP of every Pod: where [`crate::Server`] listens.
    pub address: IpAddr,
    /// status.daemonEndpoints.kubeletEndpoint.Port of every node.
    pub port: u16,
    /// Registrations under way at once.
    pub registrations: usize,
    /// Names of nodes whose kubelets are stopped from the beginning: they never register.
    pub stopped: Vec<String>,
    /// Where containers' lives are kept for [`crate::Server`].
    pub logs: Logs,
    /// A client of the fleet's own, allowed to watch all Nodes. With it, Nodes can be annotated
    /// (`shardplane.dev/kubelet: stopped`), and in-process kubelets learn their podCIDR from one shared watch; without it
    /// each asks for its own when its first Pod comes.
    pub control: Option<Client>,
}

impl FleetConfig {
    /// For `up`: Pods start within 0.1 s (median) and stop within 0.05 s, and one Event each is written.
    pub fn in_process(nodes: usize) -> Self {
        Self {
            nodes,
            first: 0,
            name_prefix: "node-".to_owned(),
            zones: 3,
            region: "sim".to_owned(),
            instance_type: "shardplane-sim".to_owned(),
            cpu: "32".to_owned(),
            memory: "128Gi".to_owned(),
            ephemeral_storage: "1Ti".to_owned(),
            pods: 110,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            lease_interval: Duration::from_secs(10),
            lease_duration: Duration::from_secs(40),
            status_interval: Duration::from_secs(300),
            pod_start: Latency::around(Duration::from_millis(100)),
            pod_stop: Latency::around(Duration::from_millis(50)),
            fidelity: Fidelity::InProcess,
            events: Events::Started,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 10250,
            registrations: 64,
            stopped: Vec::new(),
            logs: Logs::default(),
            control: None,
        }
    }

    /// For kubelets over connections of their own: Pods start within 1 s (median) and stop within 0.5 s, and all Events
    /// are written.
    pub fn wire(nodes: usize) -> Self {
        Self {
            pod_start: Latency::around(Duration::from_secs(1)),
            pod_stop: Latency::around(Duration::from_millis(500)),
            fidelity: Fidelity::Wire,
            events: Events::All,
            registrations: 32,
            ..Self::in_process(nodes)
        }
    }

    /// Whether quantities are quantities and names can be names of nodes; the error is a sentence for the user.
    pub fn validate(&self) -> Result<(), String> {
        Room::of(self)?;
        let prefix = self.name_prefix.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(byte);
        if prefix.len() > 240 || !prefix.iter().all(allowed) || matches!(prefix.first(), Some(b'-' | b'.')) {
            return Err(format!(
                "{:?} cannot begin the name of a node: a-z, 0-9, '-' and '.' are allowed",
                self.name_prefix
            ));
        }
        if let Some(taint) = self.taints.iter().find(|taint| !EFFECTS.contains(&taint.effect.as_str())) {
            return Err(format!(
                "the effect {:?} of taint {:?} is none of {}",
                taint.effect,
                taint.key,
                EFFECTS.join(", ")
            ));
        }
        Ok(())
    }

    /// The name of the `at`th node of this fleet.
    pub fn node_name(&self, at: usize) -> String {
        format!("{}{}", self.name_prefix, self.first + at)
    }
}

#[cfg(test)]
mod tests {
    use client::fake::manual_ambient;

    use super::*;

    #[test]
    fn a_bad_configuration_is_named() {
        let good = FleetConfig::in_process(3);
        assert_eq!(good.validate(), Ok(()));
        let taint = Taint { key: "a".into(), value: String::new(), effect: "Sometimes".into() };
        for (bad, says) in [
            (FleetConfig { memory: "lots".into(), ..good.clone() }, "memory"),
            (FleetConfig { name_prefix: "Node_".into(), ..good.clone() }, "Node_"),
            (FleetConfig { taints: vec![taint], ..good.clone() }, "Sometimes"),
        ] {
            assert!(bad.validate().unwrap_err().contains(says));
        }
    }

    #[tokio::test]
    async fn half_of_all_samples_are_below_the_median() {
        let entropy = manual_ambient().entropy;
        let latency = Latency::around(Duration::from_millis(100));
        let mut samples: Vec<_> = (0..10_000).map(|_| latency.sample(&*entropy)).collect();
        samples.sort_unstable();
        let (median, late) = (samples[5000].as_secs_f64(), samples[9900].as_secs_f64());
        assert!((0.097..0.103).contains(&median), "{median}");
        assert!((0.29..0.35).contains(&late), "{late}");
        let fixed = Latency { sigma: 0.0, ..latency };
        assert_eq!(fixed.sample(&*entropy), Duration::from_millis(100));
    }
}
