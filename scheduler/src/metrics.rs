//! Metrics, by kube-scheduler's names. One set is shared by all schedulers of a process.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::queue::Pending;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Attempt {
    result: &'static str,
    profile: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByQueue {
    queue: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByType {
    r#type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByPlugin {
    plugin: &'static str,
    profile: String,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Scheduled,
    Unschedulable,
    Error,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Unschedulable => "unschedulable",
            Self::Error => "error",
        }
    }
}

/// What schedulers count.
pub struct Metrics {
    attempts: Family<Attempt, Counter>,
    attempt_duration: Family<Attempt, Histogram>,
    algorithm_duration: Histogram,
    pending: Family<ByQueue, Gauge>,
    attempts_per_pod: Histogram,
    since_first_seen: Histogram,
    cache: Family<ByType, Gauge>,
    refusing: Family<ByPlugin, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            attempts: Family::default(),
            attempt_duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15))),
            algorithm_duration: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            pending: Family::default(),
            attempts_per_pod: Histogram::new(exponential_buckets(1.0, 2.0, 5)),
            since_first_seen: Histogram::new(exponential_buckets(0.01, 2.0, 20)),
            cache: Family::default(),
            refusing: Family::default(),
        }
    }
}

impl Metrics {
    /// Metrics that the registry shows.
    pub fn register(registry: &mut Registry) -> Arc<Self> {
        let metrics = Arc::new(Self::default());
        let registry = registry.sub_registry_with_prefix("scheduler");
        registry.register(
            "schedule_attempts",
            "Number of attempts to schedule pods, by the result",
            metrics.attempts.clone(),
        );
        registry.register(
            "scheduling_attempt_duration_seconds",
            "Scheduling attempt latency in seconds, binding included",
            metrics.attempt_duration.clone(),
        );
        registry.register(
            "scheduling_algorithm_duration_seconds",
            "Scheduling algorithm latency in seconds",
            metrics.algorithm_duration.clone(),
        );
        registry.register(
            "pending_pods",
            "Number of pending pods by queue; parked: another scheduler tries first",
            metrics.pending.clone(),
        );
        registry.register(
            "pod_scheduling_attempts",
            "Number of attempts to successfully schedule a pod",
            metrics.attempts_per_pod.clone(),
        );
        registry.register(
            "pod_scheduling_sli_duration_seconds",
            "Time from a pod's first being seen to its binding, in seconds",
            metrics.since_first_seen.clone(),
        );
        registry.register(
            "cache_size",
            "Number of nodes, pods and assumed pods that are counted",
            metrics.cache.clone(),
        );
        registry.register(
            "unschedulable_attempts",
            "Number of attempts that found no node, by the plugins that refused",
            metrics.refusing.clone(),
        );
        metrics
    }

    pub(crate) fn attempt(&self, profile: &str, outcome: Outcome, took: Duration) {
        let label = Attempt { result: outcome.label(), profile: profile.to_owned() };
        self.attempts.get_or_create(&label).inc();
        self.attempt_duration.get_or_create(&label).observe(took.as_secs_f64());
    }

    pub(crate) fn algorithm(&self, took: Duration) {
        self.algorithm_duration.observe(took.as_secs_f64());
    }

    pub(crate) fn scheduled(&self, attempts: u32, since_first_seen: Duration) {
        self.attempts_per_pod.observe(f64::from(attempts));
        self.since_first_seen.observe(since_first_seen.as_secs_f64());
    }

    pub(crate) fn refused(&self, profile: &str, plugins: &[&'static str]) {
        for plugin in plugins {
            self.refusing.get_or_create(&ByPlugin { plugin, profile: profile.to_owned() }).inc();
        }
    }

    /// Moves the gauges by what has changed in one scheduler since it last reported.
    pub(crate) fn sizes(&self, before: &Sizes, now: &Sizes) {
        let change = |before: usize, now: usize| now as i64 - before as i64;
        for (queue, of) in Sizes::QUEUES {
            self.pending.get_or_create(&ByQueue { queue }).inc_by(change(of(&before.pending), of(&now.pending)));
        }
        let caches = [("nodes", before.nodes, now.nodes), ("pods", before.pods, now.pods)];
        for (r#type, before, now) in caches.into_iter().chain([("assumed_pods", before.assumed, now.assumed)]) {
            self.cache.get_or_create(&ByType { r#type }).inc_by(change(before, now));
        }
    }
}

/// How much one scheduler holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) pending: Pending,
    pub(crate) nodes: usize,
    pub(crate) pods: usize,
    pub(crate) assumed: usize,
}

type OfQueue = (&'static str, fn(&Pending) -> usize);

impl Sizes {
    const QUEUES: [OfQueue; 5] = [
        ("active", |pending| pending.active),
        ("backoff", |pending| pending.backoff),
        ("unschedulable", |pending| pending.unschedulable),
        ("gated", |pending| pending.gated),
        ("parked", |pending| pending.parked),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_kube_scheduler() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.attempt("default-scheduler", Outcome::Scheduled, Duration::from_millis(3));
        metrics.algorithm(Duration::from_micros(3));
        metrics.scheduled(2, Duration::from_millis(30));
        let pending = Pending { unschedulable: 2, ..Pending::default() };
        metrics.sizes(&Sizes::default(), &Sizes { pending, nodes: 5, pods: 7, assumed: 1 });
        metrics.sizes(&Sizes::default(), &Sizes { pending, nodes: 5, pods: 7, assumed: 1 });
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "scheduler_schedule_attempts_total{result=\"scheduled\",profile=\"default-scheduler\"} 1",
            "scheduler_scheduling_attempt_duration_seconds_count{result=\"scheduled\",profile=\"default-scheduler\"} 1",
            "scheduler_scheduling_algorithm_duration_seconds_count 1",
            "scheduler_pending_pods{queue=\"unschedulable\"} 4",
            "scheduler_pod_scheduling_attempts_sum 2.0",
            "scheduler_pod_scheduling_sli_duration_seconds_count 1",
            "scheduler_cache_size{type=\"assumed_pods\"} 2",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing in\n{text}");
        }
    }
}
