//! What the controllers count, under the names of kube-controller-manager.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// `name`: the work queue's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QueueName {
    /// Name of the queue.
    pub name: &'static str,
}

/// `zone`: region and zone of Nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ZoneName {
    /// Key of the zone.
    pub zone: String,
}

/// `reason`: why something was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// Why.
    pub reason: &'static str,
}

/// `operation`: create, update, delete.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Operation {
    /// Which.
    pub operation: &'static str,
}

/// All of them. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// Keys that wait.
    pub depth: Family<QueueName, Gauge>,
    /// Keys that were added.
    pub adds: Family<QueueName, Counter>,
    /// Keys that came back after a failure.
    pub retries: Family<QueueName, Counter>,
    /// Reconciles that failed for another reason than a conflict.
    pub errors: Family<QueueName, Counter>,
    /// How long one reconcile took.
    pub work_duration: Family<QueueName, Histogram, fn() -> Histogram>,
    /// Nodes by zone.
    pub zone_size: Family<ZoneName, Gauge>,
    /// Percentage of Nodes that are healthy, by zone.
    pub zone_health: Family<ZoneName, Gauge<f64, AtomicU64>>,
    /// Nodes that are not ready, by zone.
    pub unhealthy_nodes: Family<ZoneName, Gauge>,
    /// Nodes that were tainted NoExecute, by zone.
    pub evictions: Family<ZoneName, Counter>,
    /// Pods that taints evicted.
    pub pod_deletions: Counter,
    /// Pods that were force deleted, by reason.
    pub force_deletes: Family<Reason, Counter>,
    /// EndpointSlices that were written, by operation.
    pub slice_changes: Family<Operation, Counter>,
    /// podCIDRs that were handed out.
    pub cidrs_allocated: Counter,
    /// podCIDRs that came back.
    pub cidrs_released: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            depth: Family::default(),
            adds: Family::default(),
            retries: Family::default(),
            errors: Family::default(),
            work_duration: Family::new_with_constructor(work_duration),
            zone_size: Family::default(),
            zone_health: Family::default(),
            unhealthy_nodes: Family::default(),
            evictions: Family::default(),
            pod_deletions: Counter::default(),
            force_deletes: Family::default(),
            slice_changes: Family::default(),
            cidrs_allocated: Counter::default(),
            cidrs_released: Counter::default(),
        }
    }
}

fn work_duration() -> Histogram {
    Histogram::new(exponential_buckets(1e-6, 10.0, 10))
}

impl Metrics {
    /// Shows them in a registry. The registry adds `_total` to counters.
    pub fn register(&self, registry: &mut Registry) {
        let queue = registry.sub_registry_with_prefix("workqueue");
        queue.register("depth", "Keys that wait", self.depth.clone());
        queue.register("adds", "Keys that were added", self.adds.clone());
        queue.register("retries", "Keys that came back after a failure", self.retries.clone());
        queue.register("work_duration_seconds", "How long one reconcile took", self.work_duration.clone());
        registry.register("controller_reconcile_errors", "Reconciles that failed", self.errors.clone());
        let nodes = registry.sub_registry_with_prefix("node_collector");
        nodes.register("zone_size", "Nodes by zone", self.zone_size.clone());
        nodes.register("zone_health", "Percentage of healthy Nodes by zone", self.zone_health.clone());
        nodes.register("unhealthy_nodes_in_zone", "Nodes that are not ready by zone", self.unhealthy_nodes.clone());
        nodes.register("evictions", "Nodes tainted NoExecute by zone", self.evictions.clone());
        let name = "taint_eviction_controller_pod_deletions";
        registry.register(name, "Pods that taints evicted", self.pod_deletions.clone());
        let name = "pod_gc_collector_force_delete_pods";
        registry.register(name, "Pods that were force deleted", self.force_deletes.clone());
        let name = "endpoint_slice_controller_changes";
        registry.register(name, "EndpointSlices written", self.slice_changes.clone());
        let ipam = registry.sub_registry_with_prefix("node_ipam_controller_cidrset");
        ipam.register("cidrs_allocations", "podCIDRs handed out", self.cidrs_allocated.clone());
        ipam.register("cidrs_releases", "podCIDRs that came back", self.cidrs_released.clone());
    }
}
