//! What relays count.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use api::Version;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::metrics::ResourceLabels;

/// Seconds.
const PAUSES: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Of all relays.
#[derive(Clone)]
pub(crate) struct RelayMetrics {
    events: Family<ResourceLabels, Counter>,
    held: Family<ResourceLabels, Gauge>,
    lag: Family<ResourceLabels, Gauge<f64, AtomicU64>>,
    pauses: Family<ResourceLabels, Histogram, fn() -> Histogram>,
}

impl RelayMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            events: Family::default(),
            held: Family::default(),
            lag: Family::default(),
            pauses: Family::new_with_constructor(|| Histogram::new(PAUSES)),
        };
        let help = "Events that came from shards";
        registry.register("shardplane_relay_events", help, metrics.events.clone());
        let help = "Bytes of events that wait for a shard which has not passed them";
        registry.register("shardplane_relay_held_bytes", help, metrics.held.clone());
        let help = "How far what is released lies behind the shard that is furthest";
        registry.register("shardplane_relay_lag_seconds", help, metrics.lag.clone());
        let help = "How long nothing was released to watches across slots while events waited";
        registry.register("shardplane_relay_pause_seconds", help, metrics.pauses.clone());
        metrics
    }

    pub(super) fn of(&self, labels: &ResourceLabels) -> Gauges {
        Gauges {
            events: self.events.get_or_create_owned(labels),
            held: self.held.get_or_create_owned(labels),
            lag: self.lag.get_or_create_owned(labels),
            pauses: self.pauses.get_or_create_owned(labels),
            paused: None,
        }
    }
}

/// Of one relay.
pub(super) struct Gauges {
    events: Counter,
    held: Gauge,
    lag: Gauge<f64, AtomicU64>,
    pauses: Histogram,
    /// Where the mark has stood still with events waiting, and since when (time of this boot).
    paused: Option<(Version, Duration)>,
}

impl Gauges {
    /// After something has happened: `held` bytes wait, `mark` is released, and some source is at `newest`.
    pub(super) fn note(
        &mut self,
        events: u64,
        held: usize,
        mark: Version,
        newest: Version,
        now: impl Fn() -> Duration,
    ) {
        if events > 0 {
            self.events.inc_by(events);
        }
        if held == 0 && self.paused.is_none() {
            return;
        }
        self.held.set(i64::try_from(held).unwrap_or(i64::MAX));
        let behind = if held == 0 { 0 } else { newest.micros().saturating_sub(mark.micros()) };
        self.lag.set(Duration::from_micros(behind).as_secs_f64());
        if let Some((at, since)) = self.paused {
            if held > 0 && at == mark {
                return;
            }
            self.pauses.observe(now().saturating_sub(since).as_secs_f64());
        }
        self.paused = (held > 0).then(|| (mark, now()));
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.held.set(0);
        self.lag.set(0.0);
    }
}
