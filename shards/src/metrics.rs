//! What a shard counts, by the reference's names where it has one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::webhooks::WebhookMetrics;

/// Commits that the percentile is taken over.
const SAMPLES: usize = 2048;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
    shard: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Stored {
    cluster: String,
    resource: String,
    shard: u16,
}

/// The counters of all shards of one process. Cheap to clone.
#[derive(Clone)]
pub struct ShardMetrics {
    commits: Family<Operation, Histogram, fn() -> Histogram>,
    errors: Family<Operation, Counter>,
    writes: Family<Operation, Counter>,
    objects: Family<Stored, Gauge<i64, AtomicI64>>,
    recent: Arc<Mutex<VecDeque<Duration>>>,
    webhooks: WebhookMetrics,
}

fn latency_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
}

impl Default for ShardMetrics {
    fn default() -> Self {
        Self {
            commits: Family::new_with_constructor(latency_buckets),
            errors: Family::default(),
            writes: Family::default(),
            objects: Family::default(),
            recent: Arc::default(),
            webhooks: WebhookMetrics::default(),
        }
    }
}

impl ShardMetrics {
    /// Counters that a registry shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "etcd_request_duration_seconds",
            "Time that the store took, by operation",
            metrics.commits.clone(),
        );
        registry.register("etcd_request_errors", "Batches that the store did not take", metrics.errors.clone());
        registry.register("shardplane_committed_writes", "Changes of objects made durable", metrics.writes.clone());
        registry.register("apiserver_storage_objects", "Objects held, by resource", metrics.objects.clone());
        metrics.webhooks.register(registry);
        metrics
    }

    /// The 99th percentile of the last commits; zero before the first.
    pub fn commit_p99(&self) -> Duration {
        let mut samples: Vec<Duration> = self.recent.lock().iter().copied().collect();
        if samples.is_empty() {
            return Duration::ZERO;
        }
        let at = (samples.len() * 99).div_ceil(100) - 1;
        *samples.select_nth_unstable(at).1
    }
}

/// One shard's view of them.
#[derive(Clone)]
pub(crate) struct Metrics {
    shared: ShardMetrics,
    shard: u16,
}

impl Metrics {
    pub(crate) fn new(shared: ShardMetrics, shard: u16) -> Self {
        Self { shared, shard }
    }

    pub(crate) fn committed(&self, took: Duration, writes: usize, ok: bool) {
        let labels = Operation { operation: "commit", shard: self.shard };
        self.shared.commits.get_or_create(&labels).observe(took.as_secs_f64());
        if ok {
            self.shared.writes.get_or_create(&labels).inc_by(writes as u64);
        } else {
            self.shared.errors.get_or_create(&labels).inc();
        }
        let mut recent = self.shared.recent.lock();
        if recent.len() == SAMPLES {
            recent.pop_front();
        }
        recent.push_back(took);
    }

    pub(crate) fn webhooks(&self) -> &WebhookMetrics {
        &self.shared.webhooks
    }

    pub(crate) fn objects(&self, cluster: &str, resource: &str, count: usize) {
        let labels = Stored { cluster: cluster.to_owned(), resource: resource.to_owned(), shard: self.shard };
        self.shared.objects.get_or_create(&labels).set(count as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_over_recent_commits() {
        let shared = ShardMetrics::register(&mut Registry::default());
        assert_eq!(shared.commit_p99(), Duration::ZERO);
        let metrics = Metrics::new(shared.clone(), 0);
        for millis in 1..=100 {
            metrics.committed(Duration::from_millis(millis), 1, true);
        }
        assert_eq!(shared.commit_p99(), Duration::from_millis(99));
    }
}
