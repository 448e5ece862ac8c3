//! The one line that says how the cluster is: nodes ready, pods by phase, requests a second, commit latency, memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, Informer, InformerOptions, Kept, Meta, known};
use gateway::Gateway;
use serde::{Deserialize, Deserializer};
use shards::ShardMetrics;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::progress::Progress;

/// A Node, as far as the line needs it.
#[derive(Deserialize)]
pub(crate) struct NodeLine {
    #[serde(deserialize_with = "client::identity")]
    metadata: Meta,
    #[serde(default, rename = "status", deserialize_with = "readiness")]
    is_ready: bool,
}

/// Whether a Node's status says that it is ready.
fn readiness<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    let NodeStatus { conditions } = NodeStatus::deserialize(from)?;
    Ok(conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True"))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: SmolStr,
    status: SmolStr,
}

impl Kept for NodeLine {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// A Pod, as far as the line needs it.
#[derive(Deserialize)]
pub(crate) struct PodLine {
    #[serde(deserialize_with = "client::identity")]
    metadata: Meta,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: SmolStr,
}

impl Kept for PodLine {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// What the line is made from.
pub(crate) struct StatusLine {
    nodes: Arc<Informer<NodeLine>>,
    pods: Arc<Informer<PodLine>>,
    gateway: Arc<Gateway>,
    shards: ShardMetrics,
    /// What the fleet is, if there is one.
    fleet: Option<&'static str>,
}

/// Between two lines where nobody looks at a terminal.
const LINES: Duration = Duration::from_secs(10);
/// Between two looks of a person.
const REFRESH: Duration = Duration::from_secs(1);

impl StatusLine {
    /// Starts following what it shows.
    pub(crate) fn start(
        client: &Client,
        gateway: &Arc<Gateway>,
        shards: ShardMetrics,
        fleet: Option<&'static str>,
        shutdown: &CancellationToken,
    ) -> Self {
        let options = InformerOptions::default();
        let nodes = Informer::start(client.clone(), known::NODES, options.clone(), shutdown.clone());
        let pods = Informer::start(client.clone(), known::PODS, options, shutdown.clone());
        Self { nodes, pods, gateway: gateway.clone(), shards, fleet }
    }

    /// Waits until so many nodes are ready, showing how far it is.
    pub(crate) async fn nodes_ready(&self, wanted: usize, progress: &Progress) {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            let ready = self.ready();
            progress.count("nodes ready", ready.min(wanted), wanted);
            if ready >= wanted {
                return;
            }
        }
    }

    fn ready(&self) -> usize {
        self.nodes.list().iter().filter(|node| node.is_ready).count()
    }

    /// Shows the line again and again.
    pub(crate) async fn run(&self, progress: &Progress) {
        let period = if progress.is_terminal() { REFRESH } else { LINES };
        let mut ticks = tokio::time::interval(period);
        let mut before = self.gateway.requests();
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let now = self.gateway.requests();
            progress.line(self.text((now - before) as f64 / period.as_secs_f64()));
            before = now;
        }
    }

    fn text(&self, requests: f64) -> String {
        let mut phases: BTreeMap<SmolStr, usize> = BTreeMap::new();
        for pod in self.pods.list() {
            *phases.entry(pod.status.phase.clone()).or_default() += 1;
        }
        let mut text = format!("nodes {}/{} ready, pods", self.ready(), self.nodes.len());
        if phases.is_empty() {
            text.push_str(" none");
        }
        for (phase, count) in phases {
            let _ = write!(text, " {count} {phase}");
        }
        let p99 = self.shards.commit_p99().as_secs_f64() * 1000.0;
        let memory = resident_bytes() >> 20;
        let _ = write!(text, ", {requests:.0} requests/s, commit p99 {p99:.1} ms, memory {memory} MiB");
        if let Some(fleet) = self.fleet {
            let _ = write!(text, ", kubelets {fleet}");
        }
        text
    }
}

/// Resident memory of this process; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
