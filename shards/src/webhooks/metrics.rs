//! What is counted about webhooks, by the reference's names. Their names come from tenants, so only some are told apart.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Names of webhooks that have series of their own; all others are `other`.
const NAMES: usize = 100;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    rejected: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Rejected {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    error_type: &'static str,
    rejection_code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Named {
    name: String,
    r#type: &'static str,
}

/// Why a write was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ErrorType {
    /// The webhook refused it.
    None,
    /// The webhook could not be asked.
    Calling,
}

/// Name, type and operation.
type Labels<'a> = (&'a str, &'static str, &'static str);

/// Counts that the reference's names do not end in `_total` for: the registry would append it to a counter's name.
type Count = Gauge<i64, AtomicI64>;

#[derive(Clone)]
pub(crate) struct WebhookMetrics {
    durations: Family<Answered, Histogram, fn() -> Histogram>,
    rejections: Family<Rejected, Count>,
    open: Family<Named, Count>,
    breakers: Family<Named, Count>,
    names: Arc<Mutex<HashSet<String>>>,
}

fn buckets() -> Histogram {
    Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0])
}

impl Default for WebhookMetrics {
    fn default() -> Self {
        Self {
            durations: Family::new_with_constructor(buckets),
            rejections: Family::default(),
            open: Family::default(),
            breakers: Family::default(),
            names: Arc::default(),
        }
    }
}

impl WebhookMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_admission_webhook_admission_duration_seconds",
            "Time that admission webhooks took, by name, type, operation and whether they refused",
            self.durations.clone(),
        );
        registry.register(
            "apiserver_admission_webhook_rejection_count",
            "Writes that were refused by a webhook, or for its failure",
            self.rejections.clone(),
        );
        registry.register(
            "apiserver_admission_webhook_fail_open_count",
            "Failures of webhooks that were ignored",
            self.open.clone(),
        );
        registry.register(
            "shardplane_admission_webhook_breaker_opened",
            "How often a webhook was not called any more because it kept failing",
            self.breakers.clone(),
        );
    }

    pub(super) fn answered(&self, (name, r#type, operation): Labels<'_>, took: Duration, rejected: bool) {
        let rejected = if rejected { "true" } else { "false" };
        let labels = Answered { name: self.name(name), r#type, operation, rejected };
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(super) fn rejected(&self, (name, r#type, operation): Labels<'_>, why: ErrorType, code: u16) {
        let error_type = match why {
            ErrorType::None => "no_error",
            ErrorType::Calling => "calling_webhook_error",
        };
        let labels = Rejected { name: self.name(name), r#type, operation, error_type, rejection_code: code };
        self.rejections.get_or_create(&labels).inc();
    }

    pub(super) fn failed_open(&self, (name, r#type, _): Labels<'_>) {
        self.open.get_or_create(&Named { name: self.name(name), r#type }).inc();
    }

    pub(super) fn opened(&self, name: &str, r#type: &'static str) {
        self.breakers.get_or_create(&Named { name: self.name(name), r#type }).inc();
    }

    fn name(&self, name: &str) -> String {
        let mut names = self.names.lock();
        if names.contains(name) || names.len() < NAMES {
            names.insert(name.to_owned());
            return name.to_owned();
        }
        "other".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_cannot_make_series_without_end() {
        let metrics = WebhookMetrics::default();
        let names: HashSet<String> = (0..10 * NAMES).map(|at| metrics.name(&at.to_string())).collect();
        assert_eq!(names.len(), NAMES + 1);
        assert_eq!(metrics.name("0"), "0");
    }
}
