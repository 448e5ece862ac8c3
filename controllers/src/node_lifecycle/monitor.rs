//! The round that judges every Node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::patch::PatchType;
use client::{ClientError, EventKind, Key, Regarding, known};
use futures_util::stream::{self, StreamExt};
use hashbrown::HashMap;
use serde_json::{Value, json};
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use super::health::{self, Health};
use super::zones::{Count, Turn};
use super::{NodeLifecycle, taints};
use crate::informers::NODE_LEASES;
use crate::metrics::ZoneName;
use crate::views::{Node, Pod};

/// Writes of one round at once.
const CONCURRENCY: usize = 32;
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";

impl NodeLifecycle {
    pub(super) async fn monitor(&self, deadline: Duration, end: CancellationToken) {
        let mut last = self.clock.boot();
        loop {
            let now = self.clock.boot();
            self.forgive_own_pause(now.saturating_sub(last));
            last = now;
            let round = tokio::time::timeout(deadline, self.round());
            tokio::select! {
                done = round => if done.is_err() {
                    tracing::warn!(controller = "node_lifecycle", "a round missed its deadline; the next goes on");
                },
                () = end.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(self.config.monitor_period) => {}
                () = end.cancelled() => return,
            }
        }
    }

    /// A machine that slept has heard of nobody meanwhile: its own silence is not the Nodes'.
    fn forgive_own_pause(&self, gap: Duration) {
        if gap <= self.config.monitor_period * 3 {
            return;
        }
        for (_, health) in self.health.lock().values_mut() {
            health.probe += gap;
        }
    }

    async fn round(&self) {
        let nodes = self.informers.nodes.list();
        let silent = self.observe(&nodes);
        let mut marked: HashMap<SmolStr, ()> = HashMap::new();
        let marks: Vec<_> = silent.iter().map(|node| async move { (node, self.mark_silent(node).await) }).collect();
        let mut results = stream::iter(marks).buffer_unordered(CONCURRENCY);
        while let Some((node, result)) = results.next().await {
            match result {
                Ok(()) => drop(marked.insert(node.metadata.name.clone(), ())),
                // A conflict: it has just said something. Anything else: the next round tries again.
                Err(error) => tracing::debug!(node = %node.metadata.name, %error, "not marked as silent"),
            }
        }
        drop(results);
        let is_ready = |node: &Node| node.is_ready() && !marked.contains_key(&node.metadata.name);
        self.ration(&nodes, is_ready).await;
        self.mark_pods(&nodes).await;
    }

    /// Takes over every sign of life, and returns the Nodes that are to be marked as silent.
    fn observe(&self, nodes: &[Arc<Node>]) -> Vec<Arc<Node>> {
        let (now, wall) = (self.clock.boot(), self.clock.wall_micros());
        let mut silent = Vec::new();
        let mut known = self.health.lock();
        let mut before = std::mem::take(&mut *known);
        for node in nodes {
            let meta = &node.metadata;
            let old = before.remove(&meta.name).filter(|(uid, _)| *uid == meta.uid);
            let mut health = old.map(|(_, health)| health).unwrap_or_else(|| {
                let message = format!("Node {0} event: Registered Node {0} in Controller", meta.name);
                self.event(node, "RegisteredNode", &message);
                Health::first(node, now, wall)
            });
            let lease = Key { namespace: NODE_LEASES.into(), name: meta.name.clone() };
            let renewed = self.informers.leases.get(&lease).map(|lease| lease.spec.renew_time);
            health.observe(node, renewed, now);
            if health.is_silent(&self.config, now) && health::unknown_conditions(node, "").is_some() {
                silent.push(node.clone());
            }
            known.insert(meta.name.clone(), (meta.uid.clone(), health));
        }
        drop(known);
        for (name, (uid, _)) in before {
            let message = format!("Node {name} event: Removing Node {name} from Controller");
            let (name, uid) = (name.to_string(), uid.to_string());
            let (namespace, field_path) = (String::new(), String::new());
            let regarding = Regarding { api: known::NODES, namespace, name, uid, field_path };
            self.recorder.event(&regarding, EventKind::Normal, "RemovingNode", &message);
        }
        silent
    }

    async fn mark_silent(&self, node: &Node) -> Result<(), ClientError> {
        let Some(conditions) = health::unknown_conditions(node, &self.now()) else { return Ok(()) };
        let meta = &node.metadata;
        let patch = json!({
            "metadata": { "resourceVersion": meta.resource_version }, "status": { "conditions": conditions },
        });
        let (api, kind) = (known::NODES, PatchType::Strategic);
        self.client.patch::<Value>(&api, "", &meta.name, "status", kind, &patch).await?;
        if node.is_ready() {
            let message = format!("Node {} status is now: NodeNotReady", meta.name);
            self.event(node, "NodeNotReady", &message);
        }
        Ok(())
    }

    /// Judges the zones, and queues the Nodes that are to be tainted NoExecute.
    async fn ration(&self, nodes: &[Arc<Node>], is_ready: impl Fn(&Node) -> bool) {
        let now = self.clock.boot();
        let mut counts: BTreeMap<SmolStr, Count> = BTreeMap::new();
        for node in nodes {
            let count = counts.entry(node.zone_key()).or_default();
            if node.metadata.labels.contains_key(EXCLUDED) {
                continue;
            }
            if is_ready(node) {
                count.ready += 1;
            } else {
                count.not_ready += 1;
            }
        }
        for (zone, count) in &counts {
            self.gauge(zone, *count);
        }
        let turn = {
            let mut zones = self.zones.lock();
            let turn = zones.update(&counts, now);
            for node in nodes {
                let (zone, name) = (node.zone_key(), &node.metadata.name);
                if taints::with_no_execute(node, &zone).is_some() {
                    zones.add(&zone, name, now);
                } else {
                    zones.remove(&zone, name);
                }
            }
            turn
        };
        match turn {
            Turn::None => {}
            Turn::EnteredFull => {
                tracing::info!("no Node is ready: nothing is evicted until one is");
                self.clear_no_execute(nodes).await;
            }
            Turn::LeftFull => {
                tracing::info!("some Node is ready again: eviction goes on");
                for (_, health) in self.health.lock().values_mut() {
                    health.probe = now;
                }
            }
        }
    }

    fn gauge(&self, zone: &SmolStr, count: Count) {
        let (name, total) = (ZoneName { zone: zone.to_string() }, count.ready + count.not_ready);
        self.metrics.zone_size.get_or_create(&name).set(total as i64);
        self.metrics.unhealthy_nodes.get_or_create(&name).set(count.not_ready as i64);
        self.metrics.zone_health.get_or_create(&name).set(100.0 * count.ready as f64 / total.max(1) as f64);
    }

    async fn clear_no_execute(&self, nodes: &[Arc<Node>]) {
        let clears = nodes.iter().filter_map(|node| Some((node, taints::without_no_execute(node)?)));
        let clear = |(node, taints): (&Arc<Node>, Vec<_>)| {
            let node = node.clone();
            async move {
                if let Err(error) = self.set_taints(&node, &taints).await {
                    tracing::debug!(node = %node.metadata.name, %error, "the taint that evicts was not removed");
                }
            }
        };
        let clears: Vec<_> = clears.map(clear).collect();
        stream::iter(clears).buffer_unordered(CONCURRENCY).collect::<Vec<()>>().await;
    }

    /// Pods of a silent Node are not ready either: nobody else can say so. Repeated each round, for those that were bound
    /// late or not reached.
    async fn mark_pods(&self, nodes: &[Arc<Node>]) {
        let silent = nodes.iter().filter(|node| node.condition("Ready").is_some_and(|ready| ready.status == "Unknown"));
        let pods = silent.flat_map(|node| self.informers.pods_by_node.group(node.metadata.name.as_str()));
        let mark = |pod: Arc<Pod>| async move {
            if let Err(error) = self.mark_pod(&pod).await {
                tracing::debug!(pod = ?pod.metadata.key(), %error, "not marked as not ready; the next round tries again");
            }
        };
        let marks: Vec<_> = pods.filter(|pod| pod.is_ready()).map(mark).collect();
        stream::iter(marks).buffer_unordered(CONCURRENCY).collect::<Vec<()>>().await;
    }

    async fn mark_pod(&self, pod: &Pod) -> Result<(), ClientError> {
        let meta = &pod.metadata;
        let patch = json!({ "metadata": { "uid": meta.uid }, "status": { "conditions": [
            { "type": "Ready", "status": "False", "lastTransitionTime": self.now() },
        ] } });
        let (api, kind) = (known::PODS, PatchType::Strategic);
        match self.client.patch::<Value>(&api, &meta.namespace, &meta.name, "status", kind, &patch).await {
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                let regarding = Regarding::object(known::PODS, meta);
                self.recorder.event(&regarding, EventKind::Warning, "NodeNotReady", "Node is not ready");
                Ok(())
            }
        }
    }
}
