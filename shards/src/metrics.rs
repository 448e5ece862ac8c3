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

use crate::policies::PolicyMetrics;
use crate::webhooks::WebhookMetrics;

/// Commits that the percentile is taken over.
const SAMPLES: usize = 2048;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
    shard: u16,
}

/// A shard of this process, or one that it was before it was fenced.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByShard {
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
    batches: Family<ByShard, Histogram, fn() -> Histogram>,
    recent: Arc<Mutex<VecDeque<Duration>>>,
    webhooks: WebhookMetrics,
    policies: PolicyMetrics,
    membership: Membership,
}

/// How slots come and go.
#[derive(Clone)]
struct Membership {
    owned: Family<ByShard, Gauge>,
    lease_ages: Family<ByShard, Histogram, fn() -> Histogram>,
    fencings: Family<ByShard, Counter>,
    taken: Family<ByShard, Counter>,
    takeovers: Family<ByShard, Histogram, fn() -> Histogram>,
    moved: Family<ByShard, Counter>,
    stops: Family<ByShard, Histogram, fn() -> Histogram>,
}

/// From a quarter of a millisecond to eight seconds.
fn latency_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
}

/// From one write to as many as a batch may have.
fn batch_buckets() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 14))
}

/// From a millisecond to a minute: of what is done to slots.
fn slot_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

/// Finer around the 900 ms at which a shard with the usual lease stops.
fn age_buckets() -> Histogram {
    Histogram::new([0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 5.0])
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            owned: Family::default(),
            lease_ages: Family::new_with_constructor(age_buckets),
            fencings: Family::default(),
            taken: Family::default(),
            takeovers: Family::new_with_constructor(slot_buckets),
            moved: Family::default(),
            stops: Family::new_with_constructor(slot_buckets),
        }
    }
}

impl Membership {
    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("shardplane");
        registry.register("owned_slots", "Slots that the shard answers for", self.owned.clone());
        let help = "How long ago the lease was renewed before, each time that it is renewed";
        registry.register("lease_age_seconds", help, self.lease_ages.clone());
        registry.register("fencings", "Other shards that were found dead and fenced", self.fencings.clone());
        registry.register("slots_taken_over", "Slots taken that were nobody's", self.taken.clone());
        let help = "From the claim of slots that were nobody's until they are served";
        registry.register("takeover_seconds", help, self.takeovers.clone());
        registry.register("slots_moved", "Slots given to other shards", self.moved.clone());
        let help = "How long nobody could write to slots that were given to another shard";
        registry.register("slot_move_stop_seconds", help, self.stops.clone());
    }
}

impl Default for ShardMetrics {
    fn default() -> Self {
        Self {
            commits: Family::new_with_constructor(latency_buckets),
            errors: Family::default(),
            writes: Family::default(),
            objects: Family::default(),
            batches: Family::new_with_constructor(batch_buckets),
            recent: Arc::default(),
            webhooks: WebhookMetrics::default(),
            policies: PolicyMetrics::default(),
            membership: Membership::default(),
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
        metrics.policies.register(registry);
        let help = "Changes of objects that were made durable together";
        registry.register("shardplane_commit_batch_writes", help, metrics.batches.clone());
        metrics.membership.register(registry);
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
        self.shared.batches.get_or_create(&self.by_shard()).observe(writes as f64);
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

    pub(crate) fn policies(&self) -> &PolicyMetrics {
        &self.shared.policies
    }

    pub(crate) fn webhooks(&self) -> &WebhookMetrics {
        &self.shared.webhooks
    }

    fn by_shard(&self) -> ByShard {
        ByShard { shard: self.shard }
    }

    /// The shard answers for so many slots now.
    pub(crate) fn owned(&self, slots: usize) {
        self.shared.membership.owned.get_or_create(&self.by_shard()).set(slots as i64);
    }

    /// The lease was renewed, `age` after the last time.
    pub(crate) fn renewed(&self, age: Duration) {
        self.shared.membership.lease_ages.get_or_create(&self.by_shard()).observe(age.as_secs_f64());
    }

    /// Another shard was fenced.
    pub(crate) fn fenced(&self) {
        self.shared.membership.fencings.get_or_create(&self.by_shard()).inc();
    }

    /// Slots that were nobody's are served now.
    pub(crate) fn taken_over(&self, slots: usize, took: Duration) {
        let (labels, membership) = (self.by_shard(), &self.shared.membership);
        membership.taken.get_or_create(&labels).inc_by(slots as u64);
        membership.takeovers.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Slots were given to another shard.
    pub(crate) fn moved(&self, slots: usize, stopped: Duration) {
        let (labels, membership) = (self.by_shard(), &self.shared.membership);
        membership.moved.get_or_create(&labels).inc_by(slots as u64);
        membership.stops.get_or_create(&labels).observe(stopped.as_secs_f64());
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
    fn what_happens_to_slots_is_counted_by_shard() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(ShardMetrics::register(&mut registry), 3);
        metrics.owned(4096);
        metrics.renewed(Duration::from_millis(310));
        metrics.fenced();
        metrics.taken_over(1366, Duration::from_millis(80));
        metrics.moved(32, Duration::from_millis(12));
        metrics.committed(Duration::from_millis(1), 17, true);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "shardplane_owned_slots{shard=\"3\"} 4096",
            "shardplane_lease_age_seconds_bucket{le=\"0.4\",shard=\"3\"} 1",
            "shardplane_fencings_total{shard=\"3\"} 1",
            "shardplane_slots_taken_over_total{shard=\"3\"} 1366",
            "shardplane_takeover_seconds_count{shard=\"3\"} 1",
            "shardplane_slots_moved_total{shard=\"3\"} 32",
            "shardplane_slot_move_stop_seconds_sum{shard=\"3\"} 0.012",
            "shardplane_commit_batch_writes_sum{shard=\"3\"} 17.0",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
        }
    }

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
