//! Node lifecycle: which Nodes are alive, and what happens to those that are not.
//!
//! Three things run in one elected member. A queue brings taints in line with conditions the moment a Node changes
//! ([`taints`]): thousands of fresh Nodes lose their not-ready taint as fast as they become ready. A round every 5 s
//! judges silence ([`health`]) and the state of zones. And NoExecute taints, which evict, are added one by one at the rate
//! that the zone's state allows ([`zones`]). Label reconciliation of the old beta labels is left out.

mod health;
mod monitor;
mod taints;
mod zones;

use std::sync::{Arc, Weak};
use std::time::Duration;

use api::ambient::Clock;
use api::patch::PatchType;
use client::{Change, Client, ClientError, EventKind, Recorder, Regarding, known};
use hashbrown::HashMap;
use parking_lot::Mutex;
use serde_json::json;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::config::NodeLifecycleConfig;
use crate::informers::{Informers, cluster_key};
use crate::metrics::{Metrics, ZoneName};
use crate::reconcile::{After, Controller, Loop, Queue};
use crate::share::Part;
use crate::views::{Node, Taint};

use health::Health;
use zones::Zones;

/// How often it is looked whether a Node may be tainted NoExecute.
const EVICTION_PERIOD: Duration = Duration::from_millis(100);

/// One term of the controller. Its key is the name of a Node.
pub struct NodeLifecycle {
    client: Client,
    informers: Arc<Informers>,
    recorder: Recorder,
    metrics: Metrics,
    config: NodeLifecycleConfig,
    clock: Arc<dyn Clock>,
    zones: Mutex<Zones>,
    /// Signs of life by name, and the uid that they are of.
    health: Mutex<HashMap<SmolStr, (SmolStr, Health)>>,
}

impl NodeLifecycle {
    /// A term, which knows nothing yet.
    pub fn new(
        client: Client,
        informers: Arc<Informers>,
        recorder: Recorder,
        metrics: Metrics,
        config: NodeLifecycleConfig,
    ) -> Arc<Self> {
        let clock = client.ambient().clock.clone();
        let zones = Mutex::new(Zones::new(config));
        Arc::new(Self { client, informers, recorder, metrics, config, clock, zones, health: Mutex::default() })
    }

    /// Runs the term to its end.
    pub async fn run(self: Arc<Self>, work: Loop, end: CancellationToken) {
        let deadline = work.deadline;
        tokio::join!(work.run(self.clone()), self.monitor(deadline, end.clone()), self.evict(end));
    }

    fn now(&self) -> SmolStr {
        api::time::format_seconds(self.clock.wall_micros()).into()
    }

    async fn set_taints(&self, node: &Node, taints: &[Taint]) -> Result<(), ClientError> {
        let meta = &node.metadata;
        let patch = json!({ "metadata": { "resourceVersion": meta.resource_version }, "spec": { "taints": taints } });
        let patched = self.client.patch::<Node>(&known::NODES, "", &meta.name, "", PatchType::Merge, &patch).await;
        match patched {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Adds NoExecute taints as fast as the zones allow.
    async fn evict(&self, end: CancellationToken) {
        let mut tick = tokio::time::interval(EVICTION_PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = end.cancelled() => return,
            }
            let due = self.zones.lock().due(self.clock.boot());
            for (zone, name) in due {
                let Some(node) = self.informers.nodes.get(&cluster_key(name.clone())) else { continue };
                let Some(taints) = taints::with_no_execute(&node, &self.now()) else { continue };
                let tainted = tokio::select! {
                    tainted = self.set_taints(&node, &taints) => tainted,
                    () = end.cancelled() => return,
                };
                match tainted {
                    Ok(()) => {
                        tracing::info!(node = %name, "not ready for too long: its Pods are evicted");
                        self.metrics.evictions.get_or_create(&ZoneName { zone: zone.to_string() }).inc();
                    }
                    Err(error) => {
                        tracing::debug!(node = %name, %error, "not tainted; it is next again");
                        self.zones.lock().give_back(&zone, &name);
                    }
                }
            }
        }
    }

    fn event(&self, node: &Node, reason: &str, message: &str) {
        self.recorder.event(&Regarding::object(known::NODES, &node.metadata), EventKind::Normal, reason, message);
    }
}

impl Controller for NodeLifecycle {
    type Key = SmolStr;

    fn name(&self) -> &'static str {
        "node_lifecycle_controller"
    }

    fn start(self: Arc<Self>, queue: Queue<SmolStr>) {
        // A term must not outlive its end because of this handler.
        let term: Weak<Self> = Arc::downgrade(&self);
        self.informers.nodes.on_change(move |change| {
            let (Some(term), Change::Added(node) | Change::Updated(_, node)) = (term.upgrade(), change) else { return };
            if taints::wanted(node, &SmolStr::default()).is_some() {
                queue.add(node.metadata.name.clone());
            }
            if node.is_ready() {
                term.zones.lock().remove(&node.zone_key(), &node.metadata.name);
            }
        });
    }

    fn part(&self, _node: &SmolStr) -> Part {
        Part::Term
    }

    fn keys(&self) -> Vec<SmolStr> {
        Vec::new()
    }

    async fn reconcile(&self, name: &SmolStr) -> Result<After, ClientError> {
        let Some(node) = self.informers.nodes.get(&cluster_key(name.clone())) else { return Ok(After::Done) };
        if let Some(taints) = taints::wanted(&node, &self.now()) {
            self.set_taints(&node, &taints).await?;
        }
        Ok(After::Done)
    }
}
