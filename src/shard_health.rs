//! What a shard's /readyz, /livez and /metrics answer, from its first moment on.

use std::net::SocketAddr;
use std::sync::Arc;

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
pub(crate) struct ShardHealth {
    pub(crate) address: SocketAddr,
    stage: Arc<Mutex<Stage>>,
}

#[derive(Clone)]
enum Stage {
    /// What is being done, or waited for.
    Starting(String),
    /// With the name of its store.
    Running(Arc<Member>, Arc<MetricsRegistry>, Arc<str>),
}

type Answer = (StatusCode, String);

impl ShardHealth {
    /// Serves until `stop`.
    pub(crate) fn serve(listen: SocketAddr, stop: CancellationToken) -> Result<Self, Failure> {
        let listener = gateway::tls::listen(listen).map_err(|error| format!("--health-listen {listen}: {error}"))?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let stage = Arc::new(Mutex::new(Stage::Starting("the shard is starting".to_owned())));
        let answering = |answer: fn(Stage) -> Answer| {
            let stage = stage.clone();
            get(move || std::future::ready(answer(stage.lock().clone())))
        };
        let routes = Router::new()
            .route("/readyz", answering(ready))
            .route("/livez", get(|| std::future::ready("ok")))
            .route("/metrics", answering(metrics));
        tokio::spawn(async move {
            let serve = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = serve.await {
                tracing::error!(%error, "health is not served any more");
            }
        });
        Ok(Self { address, stage })
    }

    /// What it waits for before it can serve.
    pub(crate) fn waiting(&self, why: String) {
        *self.stage.lock() = Stage::Starting(why);
    }

    /// From now on the member knows.
    pub(crate) fn running(&self, member: Arc<Member>, metrics: MetricsRegistry, store: &StoreUrl) {
        *self.stage.lock() = Stage::Running(member, Arc::new(metrics), store.to_string().into());
    }
}

fn ready(stage: Stage) -> Answer {
    let unready = match stage {
        Stage::Starting(why) => Some(why),
        Stage::Running(member, _, store) => member.unready().map(|why| format!("{why} (--store {store})")),
    };
    unready.map_or((StatusCode::OK, "ok".to_owned()), |why| (StatusCode::SERVICE_UNAVAILABLE, why))
}

fn metrics(stage: Stage) -> Answer {
    match stage {
        Stage::Starting(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        Stage::Running(_, metrics, _) => parts::exposition(&metrics),
    }
}
