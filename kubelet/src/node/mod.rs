//! One kubelet's life: it registers its Node, then renews its Lease, reports its status and looks after its Pods until it
//! is stopped.

pub(crate) mod object;

mod lease;
mod register;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::patch::PatchType;
use api::time;
use client::{Client, ClientError, Recorder, known};
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use self::lease::Heartbeat;
use self::object::{NodeView, conditions, status};
use crate::config::Fidelity;
use crate::counters::Counted;
use crate::fleet::Shared;
use crate::follow::{Follow, Followed, Versioned, jittered};
use crate::pod::worker::Worker;

/// How often a kubelet looks whether its status must be reported.
const STATUS_CHECK: Duration = Duration::from_secs(10);
/// Pauses after a heartbeat that failed, as a kubelet has them.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(7);

/// One simulated kubelet.
pub(crate) struct Kubelet {
    pub(crate) fleet: Arc<Shared>,
    pub(crate) name: SmolStr,
    /// Its number in the fleet.
    pub(crate) at: usize,
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    /// The node's podCIDRs, as soon as somebody has seen them.
    pub(crate) ranges: watch::Sender<Vec<IpNet>>,
    /// Somebody saw that the Node's status is not what it should be.
    pub(crate) must_report: Arc<AtomicBool>,
}

impl Versioned for NodeView {
    fn version(&self) -> &SmolStr {
        &self.metadata.resource_version
    }
}

/// A Service, of which nothing is used: a real kubelet puts them into containers' environments.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceView {
    metadata: object::NodeMeta,
}

impl Versioned for ServiceView {
    fn version(&self) -> &SmolStr {
        &self.metadata.resource_version
    }
}

impl Kubelet {
    /// Runs until it is cancelled: dropping the future stops the kubelet wherever it is.
    pub(crate) async fn run(self) {
        // What is done once, or every few seconds, is boxed here and below: a kubelet's future is as large as the
        // largest thing that it waits for, and thousands of them wait for a long time.
        let uid = Box::pin(self.register()).await;
        let _registered = Counted::new(&self.fleet.counters.registered);
        match self.fleet.config.fidelity {
            Fidelity::InProcess => {
                tokio::join!(self.heartbeat(uid), Worker::new(&self).run());
            }
            Fidelity::Wire => {
                let watches = Box::pin(async { tokio::join!(self.watch_node(), self.watch_services()) });
                tokio::join!(self.heartbeat(uid), Worker::new(&self).run(), watches);
            }
        }
    }

    /// Renews the Lease and reports the status.
    async fn heartbeat(&self, uid: SmolStr) {
        let config = &self.fleet.config;
        let entropy = &*self.client.ambient().entropy;
        let mut heartbeat = Heartbeat::new(self, uid);
        let mut ready = None;
        let mut last_success = Instant::now();
        let mut failures = 0u32;
        // Spread over the interval from the start, so that a fleet that starts at once does not beat as one.
        let mut spread = Some(jittered(config.lease_interval, 1.0, entropy));
        let mut next_report = Instant::now() + jittered(config.status_interval, 0.5, entropy);
        loop {
            let pause = match Box::pin(heartbeat.beat()).await {
                Ok(()) => {
                    self.fleet.counters.renewals.inc();
                    // The node lifecycle controller may have called the node lost: the status says that it is not.
                    if last_success.elapsed() > config.lease_duration {
                        self.must_report.store(true, Ordering::Relaxed);
                    }
                    (last_success, failures) = (Instant::now(), 0);
                    ready.get_or_insert_with(|| Counted::new(&self.fleet.counters.ready));
                    let usual = config.lease_interval.mul_f64(1.04);
                    spread.take().unwrap_or_else(|| jittered(usual, 0.04, entropy))
                }
                Err(error) => {
                    self.fleet.counters.failed_renewals.inc();
                    debug!(node = %self.name, %error, "the Lease was not renewed");
                    ready = None;
                    let full = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
                    failures += 1;
                    jittered(full, 0.5, entropy)
                }
            };
            self.report_until(Instant::now() + pause, &mut next_report, ready.is_some()).await;
        }
    }

    /// Waits until `next` and reports the status when it must be reported.
    async fn report_until(&self, next: Instant, next_report: &mut Instant, connected: bool) {
        loop {
            let must = connected && self.must_report.load(Ordering::Relaxed);
            if must || Instant::now() >= *next_report {
                match Box::pin(self.report()).await {
                    Ok(()) => {
                        self.must_report.store(false, Ordering::Relaxed);
                        *next_report = Instant::now() + self.fleet.config.status_interval;
                    }
                    Err(error) => {
                        debug!(node = %self.name, %error, "the status was not reported");
                        *next_report = Instant::now() + STATUS_CHECK;
                    }
                }
            }
            let wake = match self.fleet.config.fidelity {
                Fidelity::Wire => next.min(Instant::now() + STATUS_CHECK),
                Fidelity::InProcess => next,
            };
            sleep_until(wake).await;
            if Instant::now() >= next {
                return;
            }
        }
    }

    /// Writes the conditions with a new heartbeat, and right where they were wrong.
    async fn report(&self) -> Result<(), ClientError> {
        let node: NodeView = self.client.get(&known::NODES, "", &self.name).await?;
        self.learn_ranges(&node);
        self.report_over(&node).await
    }

    /// The same over a state that has just been read.
    async fn report_over(&self, node: &NodeView) -> Result<(), ClientError> {
        let now = time::format_seconds(self.client.ambient().clock.wall_micros());
        let conditions = conditions(node.status.conditions.as_deref().unwrap_or_default(), true, &now);
        let body = json!({"status": status(&self.fleet.config, &self.name, conditions)});
        let patched =
            self.client.patch::<IgnoredAny>(&known::NODES, "", &self.name, "status", PatchType::Strategic, &body);
        patched.await.map(drop)
    }

    fn learn_ranges(&self, node: &NodeView) {
        let ranges = node.spec.ranges();
        if !ranges.is_empty() && self.ranges.borrow().is_empty() {
            self.ranges.send_replace(ranges);
        }
    }

    /// Asks the server for the node's ranges, unless a watch will say.
    pub(crate) async fn ask_for_range(&self) -> Vec<IpNet> {
        if self.fleet.config.fidelity == Fidelity::InProcess && self.fleet.config.control.is_none() {
            match self.client.get::<NodeView>(&known::NODES, "", &self.name).await {
                Ok(node) => self.learn_ranges(&node),
                Err(error) => debug!(node = %self.name, %error, "the podCIDR could not be asked for"),
            }
        }
        self.ranges.borrow().clone()
    }

    /// Follows the own Node, as a kubelet does.
    async fn watch_node(&self) {
        let fields = format!("metadata.name={}", self.name);
        let mut follow = Follow::<NodeView>::new(self.client.clone(), known::NODES, fields);
        loop {
            if let Followed::Is(node) = follow.next().await {
                self.learn_ranges(&node);
                self.must_report.store(!node.status.is_ready(), Ordering::Relaxed);
            }
        }
    }

    /// Follows all Services, as a kubelet does.
    async fn watch_services(&self) {
        let mut follow = Follow::<ServiceView>::new(self.client.clone(), known::SERVICES, String::new());
        loop {
            follow.next().await;
        }
    }
}
