//! The fleet: many kubelets, each of which can be stopped and started.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::ambient::Ambient;
use client::{Client, Recorder, known};
use hashbrown::HashMap;
use ipnet::IpNet;
use parking_lot::Mutex;
use serde::Deserialize;
use smol_str::SmolStr;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::config::FleetConfig;
use crate::counters::Counters;
use crate::follow::{Follow, Followed, Versioned};
use crate::logs::ClientFor;
use crate::node::Kubelet;
use crate::node::object::{NodeSpec, NodeStatus};
use crate::pod::admission::Room;

/// What the kubelets of a fleet share.
pub(crate) struct Shared {
    pub(crate) config: FleetConfig,
    pub(crate) counters: Counters,
    pub(crate) registrations: Semaphore,
    pub(crate) host_ip: String,
    /// What each node has room for; `None` where the configuration names no quantities.
    pub(crate) room: Option<Room>,
    client_for: ClientFor,
    recorder: Recorder,
    /// By name of the node.
    kubelets: Mutex<HashMap<SmolStr, Handle>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    fallback_told: AtomicBool,
}

struct Handle {
    at: usize,
    /// Stops the running kubelet; `None` while there is none.
    running: Option<CancellationToken>,
    /// Whether it was stopped through its Node's annotation, and not by a call.
    by_annotation: bool,
    ranges: watch::Sender<Vec<IpNet>>,
    must_report: Arc<AtomicBool>,
}

/// There is no node of that name in the fleet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no node {0:?} in this fleet")]
pub struct UnknownNode(pub String);

/// Simulated kubelets that run until `shutdown`.
pub struct Fleet {
    shared: Arc<Shared>,
}

impl Fleet {
    /// Starts the kubelets. `client_for` gives each of them a client under its own identity (`system:node:<name>`); over
    /// the wire each should have connections of its own.
    pub fn start(
        config: FleetConfig,
        client_for: impl Fn(&str) -> Client + Send + Sync + 'static,
        ambient: Ambient,
        shutdown: CancellationToken,
    ) -> Self {
        let client_for: ClientFor = Arc::new(client_for);
        config.logs.set_clock(ambient);
        config.logs.set_clients(client_for.clone());
        let recorder = Recorder::start(client_for(&config.node_name(0)), "kubelet", "", shutdown.child_token());
        let kubelets = (0..config.nodes).map(|at| {
            let handle = Handle {
                at,
                running: None,
                by_annotation: false,
                ranges: watch::Sender::default(),
                must_report: Arc::default(),
            };
            (SmolStr::from(config.node_name(at)), handle)
        });
        let shared = Arc::new(Shared {
            kubelets: Mutex::new(kubelets.collect()),
            counters: Counters::default(),
            registrations: Semaphore::new(config.registrations.max(1)),
            host_ip: config.address.to_string(),
            room: Room::of(&config).ok(),
            client_for,
            recorder,
            tasks: TaskTracker::new(),
            shutdown,
            fallback_told: AtomicBool::new(false),
            config,
        });
        let fleet = Self { shared };
        let stopped = &fleet.shared.config.stopped;
        let names = (0..fleet.shared.config.nodes).map(|at| fleet.shared.config.node_name(at));
        for name in names.filter(|name| !stopped.contains(name)) {
            fleet.shared.set_running(&name, true, false).expect("every name was entered above");
        }
        if let Some(control) = fleet.shared.config.control.clone() {
            fleet.shared.clone().follow_nodes(control);
        }
        fleet
    }

    /// Stops a kubelet, as if its machine had lost power: it says no last word.
    pub fn stop_node(&self, name: &str) -> Result<(), UnknownNode> {
        self.shared.set_running(name, false, false)
    }

    /// Starts a kubelet again. Its Pods go on without a restart.
    pub fn start_node(&self, name: &str) -> Result<(), UnknownNode> {
        self.shared.set_running(name, true, false)
    }

    /// Live numbers.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// How honest this fleet is.
    pub fn config(&self) -> &FleetConfig {
        &self.shared.config
    }

    /// Waits until every kubelet has ended, after `shutdown`.
    pub async fn stopped(&self) {
        self.shared.shutdown.cancelled().await;
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Shared {
    fn set_running(self: &Arc<Self>, name: &str, run: bool, by_annotation: bool) -> Result<(), UnknownNode> {
        let mut kubelets = self.kubelets.lock();
        let handle = kubelets.get_mut(name).ok_or_else(|| UnknownNode(name.to_owned()))?;
        match (run, &handle.running) {
            (true, None) => {
                let token = self.shutdown.child_token();
                let kubelet = self.kubelet(name, handle);
                handle.running = Some(token.clone());
                // Boxed: the task's future is large, and a spawned one is moved several times.
                let life = Box::pin(kubelet.run());
                self.tasks.spawn(async move { token.run_until_cancelled(life).await });
            }
            (false, Some(token)) => {
                token.cancel();
                handle.running = None;
                handle.by_annotation = by_annotation;
            }
            _ => {}
        }
        Ok(())
    }

    fn kubelet(self: &Arc<Self>, name: &str, handle: &Handle) -> Kubelet {
        let client = (self.client_for)(name);
        Kubelet {
            fleet: self.clone(),
            name: name.into(),
            at: handle.at,
            recorder: self.recorder.on_host(client.clone(), name),
            client,
            ranges: handle.ranges.clone(),
            must_report: handle.must_report.clone(),
        }
    }

    /// Says once that the cluster hands out no podCIDRs.
    pub(crate) fn tell_of_fallback(&self, node: &str) {
        if !self.fallback_told.swap(true, Ordering::Relaxed) {
            info!(node, "nodes have no podCIDR: Pods get addresses of 100.64.0.0/10");
        }
    }

    /// One watch for the whole fleet: annotations, ranges, and who is called not ready.
    fn follow_nodes(self: Arc<Self>, control: Client) {
        let (shared, token) = (self.clone(), self.shutdown.clone());
        let following = async move {
            let mut follow = Follow::<ControlView>::new(control, known::NODES, String::new());
            loop {
                if let Followed::Is(node) = follow.next().await {
                    shared.see_node(&node);
                }
            }
        };
        self.tasks.spawn(async move { token.run_until_cancelled(following).await });
    }

    fn see_node(self: &Arc<Self>, node: &ControlView) {
        let name = &node.metadata.name;
        let stop = node.metadata.annotations.as_ref().and_then(|wishes| wishes.kubelet.as_deref()) == Some("stopped");
        let (runs, by_annotation) = {
            let kubelets = self.kubelets.lock();
            let Some(handle) = kubelets.get(name) else { return };
            let ranges = node.spec.ranges();
            if !ranges.is_empty() && handle.ranges.borrow().is_empty() {
                handle.ranges.send_replace(ranges);
            }
            if !node.status.is_ready() {
                handle.must_report.store(true, Ordering::Relaxed);
            }
            (handle.running.is_some(), handle.by_annotation)
        };
        if stop == runs && (stop || by_annotation) {
            info!(node = %name, "the kubelet is {} by annotation", if stop { "stopped" } else { "started" });
            // The name was found just above, and handles are never removed.
            let _ = self.set_running(name, !stop, true);
        }
    }
}

/// What the fleet reads of all Nodes.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ControlView {
    metadata: ControlMeta,
    spec: NodeSpec,
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ControlMeta {
    name: SmolStr,
    resource_version: SmolStr,
    annotations: Option<ControlWishes>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ControlWishes {
    /// `stopped` stops the kubelet.
    #[serde(rename = "shardplane.dev/kubelet")]
    kubelet: Option<SmolStr>,
}

impl Versioned for ControlView {
    fn version(&self) -> &SmolStr {
        &self.metadata.resource_version
    }
}

#[cfg(test)]
mod tests;
