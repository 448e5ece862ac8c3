//! What a shard's /readyz, /livez and /metrics answer, from its first moment on.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use parking_lot::Mutex;
use prometheus_client::registry::Registry as MetricsRegistry;
use shards::membership::Member;
use store::StoreUrl;
use tokio_util::sync::CancellationToken;

use crate::{Failure, parts};

/// Served without TLS: it holds no secrets, and probes have no certificates.
pub(super) struct ShardHealth {
    pub(super) address: SocketAddr,
    stage: Arc<Mutex<Stage>>,
    metrics: Arc<OnceLock<MetricsRegistry>>,
}

#[derive(Clone)]
enum Stage {
    /// What is being done, or waited for.
    Starting(String),
    /// A member, with the name of its store.
    Running(Arc<Member>, Arc<str>),
}

type Answer = (StatusCode, String);

impl ShardHealth {
    /// Serves until `stop`.
    pub(super) fn serve(listen: SocketAddr, stop: CancellationToken) -> Result<Self, Failure> {
        let listener = gateway::tls::listen(listen).map_err(|error| format!("--health-listen {listen}: {error}"))?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let stage = Arc::new(Mutex::new(Stage::Starting("the shard is starting".to_owned())));
        let metrics = Arc::new(OnceLock::new());
        let (readyz, counted) = (stage.clone(), metrics.clone());
        let routes = Router::new()
            .route("/readyz", get(move || std::future::ready(ready(readyz.lock().clone()))))
            .route("/livez", get(|| std::future::ready("ok")))
            .route("/metrics", get(move || std::future::ready(exposition(&counted))));
        tokio::spawn(async move {
            let serve = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = serve.await {
                tracing::error!(%error, "health is not served any more");
            }
        });
        Ok(Self { address, stage, metrics })
    }

    /// What it waits for before it can serve.
    pub(super) fn waiting(&self, why: String) {
        *self.stage.lock() = Stage::Starting(why);
    }

    /// From now on the member knows.
    pub(super) fn running(&self, member: Arc<Member>, store: &StoreUrl) {
        *self.stage.lock() = Stage::Running(member, store.to_string().into());
    }

    /// Everything that counts is in there by now.
    pub(super) fn expose(&self, metrics: MetricsRegistry) {
        let _ = self.metrics.set(metrics);
    }
}

fn ready(stage: Stage) -> Answer {
    let unready = match stage {
        Stage::Starting(why) => Some(why),
        Stage::Running(member, store) => member.unready().map(|why| format!("{why} (--store {store})")),
    };
    unready.map_or((StatusCode::OK, "ok".to_owned()), |why| (StatusCode::SERVICE_UNAVAILABLE, why))
}

fn exposition(metrics: &OnceLock<MetricsRegistry>) -> Answer {
    match metrics.get() {
        Some(metrics) => parts::exposition(metrics),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the shard is starting".to_owned()),
    }
}
