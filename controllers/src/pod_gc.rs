//! Pods that nobody will end: their Node is gone, they never had one, or there are too many that have ended.
//!
//! Looks at everything every 20 s, in one elected member: the threshold for ended Pods counts the whole cluster.

use std::sync::Arc;
use std::time::Duration;

use api::patch::PatchType;
use client::{Client, ClientError, known};
use futures_util::stream::{self, StreamExt};
use hashbrown::{HashMap, HashSet};
use serde_json::{Value, json};
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::config::PodGcConfig;
use crate::informers::{Informers, cluster_key};
use crate::metrics::{Metrics, Reason};
use crate::views::{Partial, Pod};

/// Pods that are deleted at once.
const CONCURRENCY: usize = 32;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The controller.
pub struct PodGc {
    client: Client,
    informers: Arc<Informers>,
    metrics: Metrics,
    config: PodGcConfig,
    deadline: Duration,
}

/// A Pod that goes, and why.
type Doomed = (Arc<Pod>, &'static str);

impl PodGc {
    /// A controller over shared caches. No round takes longer than `deadline`.
    pub fn new(
        client: Client,
        informers: Arc<Informers>,
        metrics: Metrics,
        config: PodGcConfig,
        deadline: Duration,
    ) -> Arc<Self> {
        Arc::new(Self { client, informers, metrics, config, deadline })
    }

    /// One term of office.
    pub async fn run(self: Arc<Self>, end: CancellationToken) {
        let mut quarantine = Quarantine::default();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.config.period) => {}
                () = end.cancelled() => return,
            }
            let round = tokio::time::timeout(self.deadline, self.round(&mut quarantine));
            tokio::select! {
                done = round => if done.is_err() {
                    tracing::warn!(controller = "pod_gc", "a round missed its deadline; the next goes on");
                },
                () = end.cancelled() => return,
            }
        }
    }

    async fn round(&self, quarantine: &mut Quarantine) {
        let pods = self.informers.pods.list();
        let mut doomed = self.terminating_out_of_service(&pods);
        doomed.extend(too_many_terminated(&pods, self.config.terminated_threshold));
        doomed.extend(self.orphaned(&pods, quarantine).await);
        let unscheduled = |pod: &&Arc<Pod>| pod.metadata.is_deleting() && pod.spec.node_name.is_empty();
        doomed.extend(pods.iter().filter(unscheduled).map(|pod| (pod.clone(), "terminating-unscheduled")));
        let mut seen = HashSet::new();
        doomed.retain(|(pod, _)| seen.insert(pod.metadata.uid.clone()));
        let delete = |(pod, reason): Doomed| async move {
            if let Err(error) = self.delete(&pod, reason).await {
                // The next round tries again.
                tracing::debug!(controller = "pod_gc", pod = ?pod.metadata.key(), %error, "a Pod was not deleted");
            }
        };
        let deletions: Vec<_> = doomed.into_iter().map(delete).collect();
        stream::iter(deletions).buffer_unordered(CONCURRENCY).collect::<Vec<()>>().await;
    }

    fn terminating_out_of_service(&self, pods: &[Arc<Pod>]) -> Vec<Doomed> {
        let lost = |pod: &&Arc<Pod>| {
            let node = self.informers.nodes.get(&cluster_key(pod.spec.node_name.clone()));
            let tainted = |taint: &crate::views::Taint| taint.key == OUT_OF_SERVICE;
            node.is_some_and(|node| !node.is_ready() && node.spec.taints.iter().any(tainted))
        };
        let terminating = pods.iter().filter(|pod| pod.metadata.is_deleting());
        terminating.filter(lost).map(|pod| (pod.clone(), "out-of-service")).collect()
    }

    /// Pods on Nodes that were missing for the whole quarantine, and are according to the server too.
    async fn orphaned(&self, pods: &[Arc<Pod>], quarantine: &mut Quarantine) -> Vec<Doomed> {
        let is_missing = |name: &SmolStr| self.informers.nodes.get(&cluster_key(name.clone())).is_none();
        let bound = pods.iter().map(|pod| &pod.spec.node_name).filter(|name| !name.is_empty());
        let missing: HashSet<SmolStr> = bound.filter(|name| is_missing(name)).cloned().collect();
        let now = self.client.ambient().clock.boot();
        let mut gone = HashSet::new();
        for name in quarantine.due(missing, now, self.config.quarantine) {
            match self.client.get::<Partial>(&known::NODES, "", &name).await {
                Err(error) if error.is_not_found() => drop(gone.insert(name)),
                Err(error) => tracing::debug!(controller = "pod_gc", node = %name, %error, "a Node was not looked up"),
                Ok(_) => {}
            }
        }
        let orphaned = pods.iter().filter(|pod| gone.contains(&pod.spec.node_name));
        orphaned.map(|pod| (pod.clone(), "orphaned")).collect()
    }

    /// Marks a Pod as failed, so that whoever counts it knows, and removes it without waiting for a kubelet.
    async fn delete(&self, pod: &Pod, reason: &'static str) -> Result<(), ClientError> {
        let meta = &pod.metadata;
        if !pod.is_terminal() {
            let mut status = json!({ "phase": "Failed" });
            if reason == "orphaned" {
                let now = api::time::format_seconds(self.client.ambient().clock.wall_micros());
                status["conditions"] = json!([{
                    "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists", "lastTransitionTime": now,
                }]);
            }
            let patch = json!({ "metadata": { "uid": meta.uid }, "status": status });
            let (api, kind) = (known::PODS, PatchType::Strategic);
            let patched = self.client.patch::<Value>(&api, &meta.namespace, &meta.name, "status", kind, &patch).await;
            if patched.as_ref().is_err_and(ClientError::is_not_found) {
                return Ok(());
            }
            patched?;
        }
        let options = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": { "uid": meta.uid },
        });
        match self.client.delete(&known::PODS, &meta.namespace, &meta.name, &options).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => {
                self.metrics.force_deletes.get_or_create(&Reason { reason }).inc();
                Ok(())
            }
        }
    }
}

/// The oldest of the Pods that have ended, evicted ones first, above the threshold.
fn too_many_terminated(pods: &[Arc<Pod>], threshold: usize) -> Vec<Doomed> {
    let mut ended: Vec<&Arc<Pod>> = pods.iter().filter(|pod| pod.is_terminal()).collect();
    let spare = ended.len().saturating_sub(threshold);
    if threshold == 0 || spare == 0 {
        return Vec::new();
    }
    let evicted = |pod: &Pod| pod.status.phase == "Failed" && pod.status.reason == "Evicted";
    ended.sort_by(|a, b| {
        let age =
            (&a.metadata.creation_timestamp, &a.metadata.name).cmp(&(&b.metadata.creation_timestamp, &b.metadata.name));
        evicted(b).cmp(&evicted(a)).then(age)
    });
    ended.into_iter().take(spare).map(|pod| (pod.clone(), "terminated")).collect()
}

/// Since when Nodes are missing.
#[derive(Default)]
struct Quarantine {
    since: HashMap<SmolStr, Duration>,
}

impl Quarantine {
    /// Takes over which Nodes are missing now, and returns those that have been for `period`.
    fn due(&mut self, missing: HashSet<SmolStr>, now: Duration, period: Duration) -> Vec<SmolStr> {
        self.since.retain(|name, _| missing.contains(name));
        let mut due = Vec::new();
        for name in missing {
            let since = *self.since.entry(name.clone()).or_insert(now);
            if now.saturating_sub(since) >= period {
                due.push(name);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_ended_pods_go_and_evicted_ones_before_them() {
        let pod = |name: &str, phase: &str, reason: &str, created: &str| -> Arc<Pod> {
            Arc::new(
                serde_json::from_value(json!({
                    "metadata": { "name": name, "uid": name, "creationTimestamp": created },
                    "status": { "phase": phase, "reason": reason },
                }))
                .unwrap(),
            )
        };
        let pods = [
            pod("young", "Succeeded", "", "2026-01-03T00:00:00Z"),
            pod("old", "Failed", "", "2026-01-01T00:00:00Z"),
            pod("evicted", "Failed", "Evicted", "2026-01-04T00:00:00Z"),
            pod("running", "Running", "", "2025-01-01T00:00:00Z"),
        ];
        let names = |threshold| -> Vec<String> {
            too_many_terminated(&pods, threshold).iter().map(|(pod, _)| pod.metadata.name.to_string()).collect()
        };
        assert_eq!(names(1), ["evicted", "old"]);
        assert_eq!(names(2), ["evicted"]);
        assert!(names(3).is_empty() && names(0).is_empty());
    }

    #[test]
    fn a_node_must_be_missing_for_the_whole_quarantine() {
        let mut quarantine = Quarantine::default();
        let missing = |names: &[&str]| names.iter().map(|name| SmolStr::from(*name)).collect::<HashSet<_>>();
        let second = Duration::from_secs;
        assert!(quarantine.due(missing(&["a", "b"]), second(0), second(40)).is_empty());
        assert!(quarantine.due(missing(&["a"]), second(20), second(40)).is_empty());
        assert_eq!(quarantine.due(missing(&["a", "b"]), second(40), second(40)), ["a"]);
        assert!(quarantine.due(missing(&["b"]), second(79), second(40)).is_empty(), "b was back in between");
    }
}
