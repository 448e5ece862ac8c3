//! What the gateway counts, under the reference's names.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use smol_str::SmolStr;

use crate::relay::RelayMetrics;

/// A word of a row of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Word(SmolStr);

impl From<&SmolStr> for Word {
    fn from(word: &SmolStr) -> Self {
        Self(word.clone())
    }
}

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        self.0.as_str().encode(encoder)
    }
}

/// A logical cluster, as metrics name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ClusterLabel(SmolStr);

impl ClusterLabel {
    /// Of the cluster with that id. Its name comes before the dot.
    pub(crate) fn of(id: &SmolStr) -> Self {
        Self(id.split_once('.').map_or_else(|| id.clone(), |(name, _)| name.into()))
    }
}

impl EncodeLabelValue for ClusterLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        self.0.as_str().encode(encoder)
    }
}

/// What a request was. Cardinality is bounded: only clusters that are there, and only what the registry knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) logical_cluster: ClusterLabel,
    pub(crate) verb: &'static str,
    pub(crate) group: Word,
    pub(crate) version: Word,
    pub(crate) resource: Word,
    pub(crate) subresource: &'static str,
    pub(crate) scope: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CodeLabels {
    pub(crate) logical_cluster: ClusterLabel,
    pub(crate) verb: &'static str,
    pub(crate) group: Word,
    pub(crate) version: Word,
    pub(crate) resource: Word,
    pub(crate) subresource: &'static str,
    pub(crate) scope: &'static str,
    pub(crate) code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabels {
    pub(crate) logical_cluster: ClusterLabel,
    pub(crate) request_kind: &'static str,
}

/// `group`, `version` and `resource` of watches.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ResourceLabels {
    pub(crate) logical_cluster: ClusterLabel,
    pub(crate) group: Word,
    pub(crate) version: Word,
    pub(crate) resource: Word,
}

/// How WebSockets of exec, attach and portforward are answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct WebSocketLabels {
    pub(crate) subresource: &'static str,
    /// `proxied_to_kubelet` or `translated_at_apiserver`.
    pub(crate) proxy_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamCodeLabels {
    code: u16,
}

/// Which kind of stream to a kubelet or another server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StreamLabels {
    pub(crate) subresource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamByteLabels {
    subresource: &'static str,
    direction: &'static str,
}

type Durations = Family<RequestLabels, Histogram, fn() -> Histogram>;

/// The gateway's metrics.
pub(crate) struct Metrics {
    requests: Family<CodeLabels, Counter>,
    /// All of `requests` together.
    pub(crate) answered: AtomicU64,
    durations: Durations,
    pub(crate) inflight: Family<KindLabels, Gauge>,
    pub(crate) longrunning: Family<RequestLabels, Gauge>,
    pub(crate) watchers: Family<ResourceLabels, Gauge>,
    pub(crate) watch_events: Family<ResourceLabels, Counter>,
    pub(crate) slow_watchers: Family<ResourceLabels, Counter>,
    pub(crate) connections: Gauge,
    pub(crate) handshake_errors: Counter,
    pub(crate) relays: RelayMetrics,
    stream_bytes: Family<StreamByteLabels, Counter>,
    pub(crate) websockets: Family<WebSocketLabels, Counter>,
    translated: Family<StreamCodeLabels, Counter>,
    tunnelled: Family<StreamCodeLabels, Counter>,
}

const BUCKETS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            answered: AtomicU64::new(0),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            inflight: Family::default(),
            longrunning: Family::default(),
            watchers: Family::default(),
            watch_events: Family::default(),
            slow_watchers: Family::default(),
            connections: Gauge::default(),
            handshake_errors: Counter::default(),
            relays: RelayMetrics::register(registry),
            stream_bytes: Family::default(),
            websockets: Family::default(),
            translated: Family::default(),
            tunnelled: Family::default(),
        };
        metrics.register_streams(registry);
        let help = "Requests by verb, resource, scope and code";
        registry.register("apiserver_request", help, metrics.requests.clone());
        let help = "Response latency by verb, resource and scope, watches, logs and other streams excepted";
        registry.register("apiserver_request_duration_seconds", help, metrics.durations.clone());
        let help = "Requests that are being executed, by kind";
        registry.register("apiserver_current_inflight_requests", help, metrics.inflight.clone());
        let help = "Watches, logs and other streams that are open";
        registry.register("apiserver_longrunning_requests", help, metrics.longrunning.clone());
        let help = "Watchers that are registered, by resource";
        registry.register("apiserver_registered_watchers", help, metrics.watchers.clone());
        let help = "Events sent to watchers";
        registry.register("apiserver_watch_events", help, metrics.watch_events.clone());
        let help = "Watches closed because their client did not keep up";
        registry.register("apiserver_terminated_watchers", help, metrics.slow_watchers.clone());
        registry.register("apiserver_connections", "Connections that are open", metrics.connections.clone());
        let help = "TLS handshakes that failed";
        registry.register("apiserver_tls_handshake_errors", help, metrics.handshake_errors.clone());
        metrics
    }

    fn register_streams(&self, registry: &mut Registry) {
        let help = "Bytes of upgraded connections that have ended, from clients and to them";
        registry.register("shardplane_stream_bytes", help, self.stream_bytes.clone());
        let help = "WebSockets of exec, attach and portforward, by who speaks the rest of the protocol";
        registry.register("apiserver_websocket_streaming_requests", help, self.websockets.clone());
        let help = "exec and attach requests that were translated for a kubelet, by their result";
        registry.register("apiserver_stream_translator_requests", help, self.translated.clone());
        let help = "portforward requests whose tunnel ended here, by what the kubelet said";
        registry.register("apiserver_stream_tunnel_requests", help, self.tunnelled.clone());
    }

    /// Counts an exec or attach that was translated.
    pub(crate) fn translated(&self, code: u16) {
        self.translated.get_or_create(&StreamCodeLabels { code }).inc();
    }

    /// Counts a portforward whose tunnel ends here.
    pub(crate) fn tunnelled(&self, code: u16) {
        self.tunnelled.get_or_create(&StreamCodeLabels { code }).inc();
    }

    /// Counts what an upgraded connection carried.
    pub(crate) fn stream_bytes(&self, StreamLabels { subresource }: StreamLabels, from_client: u64, to_client: u64) {
        for (direction, bytes) in [("from_client", from_client), ("to_client", to_client)] {
            self.stream_bytes.get_or_create(&StreamByteLabels { subresource, direction }).inc_by(bytes);
        }
    }

    /// Counts an answer. `took` is absent for what lasts as long as the client wants.
    pub(crate) fn count(&self, labels: &RequestLabels, code: u16, took: Option<Duration>) {
        let RequestLabels { logical_cluster, verb, group, version, resource, subresource, scope } = labels.clone();
        let with_code = CodeLabels { logical_cluster, verb, group, version, resource, subresource, scope, code };
        self.requests.get_or_create(&with_code).inc();
        self.answered.fetch_add(1, Ordering::Relaxed);
        if let Some(took) = took {
            self.durations.get_or_create(labels).observe(took.as_secs_f64());
        }
    }
}
