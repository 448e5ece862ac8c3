//! What a fleet does, in numbers.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Live numbers of a fleet. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Kubelets whose Node is registered.
    pub registered: Gauge,
    /// Kubelets that have reported ready and whose last heartbeat succeeded.
    pub ready: Gauge,
    /// Pods that kubelets know.
    pub pods: Gauge,
    /// Pods that were turned away because their node had no room: a scheduler has overcommitted it.
    pub rejected: Counter,
    /// Pods that run.
    pub pods_running: Gauge,
    /// Lease renewals that succeeded.
    pub renewals: Counter,
    /// Lease renewals that failed.
    pub failed_renewals: Counter,
}

impl Counters {
    /// Adds them to what `/metrics` shows.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("shardplane_fleet");
        registry.register("nodes_registered", "Simulated kubelets whose Node is registered", self.registered.clone());
        registry.register("nodes_ready", "Simulated kubelets that reported ready", self.ready.clone());
        registry.register("pods", "Pods on simulated kubelets", self.pods.clone());
        registry.register("pods_running", "Running Pods on simulated kubelets", self.pods_running.clone());
        registry.register("pods_rejected", "Pods that did not fit on their simulated node", self.rejected.clone());
        registry.register("lease_renewals", "Lease renewals that succeeded", self.renewals.clone());
        registry.register("lease_renewals_failed", "Lease renewals that failed", self.failed_renewals.clone());
    }
}

/// Counts one thing in a gauge while it lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
