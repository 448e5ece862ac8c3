//! Everything that is no resource: health, version, metrics, discovery, OpenAPI; and the way to the resources.

mod backup;
mod clusters;
mod discovery;
mod etag;
mod health;
mod metrics;
mod openapi;
mod restore;
mod version;

use std::sync::Arc;

use api::Status;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::routing::{delete, get, post};
use http::Response;

use crate::completion::Failure;
use crate::media::Output;
use crate::{Inner, Ticket, render, verbs};

/// Documents that are made once, when first asked for.
#[derive(Default)]
pub(crate) struct Documents {
    discovery: discovery::Documents,
    openapi: openapi::Documents,
}

/// The table of routes; what is in none of them is a resource, or nothing.
pub(crate) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/healthz", get(health::all))
        .route("/healthz/{check}", get(health::one))
        .route("/livez", get(health::all))
        .route("/livez/{check}", get(health::one))
        .route("/readyz", get(health::all))
        .route("/readyz/{check}", get(health::one))
        .route("/version", get(version::serve))
        .route("/metrics", get(metrics::serve))
        .route("/", get(discovery::paths))
        .route("/api", get(discovery::core_versions))
        .route("/api/v1", get(discovery::core_resources))
        .route("/apis", get(discovery::groups))
        .route("/apis/{group}", get(discovery::group))
        .route("/apis/{group}/{version}", get(discovery::resources))
        .route("/openapi/v2", get(openapi::v2))
        .route("/openapi/v3", get(openapi::index))
        .route("/openapi/v3/{*path}", get(openapi::v3))
        .route("/shardplane/v1/clusters", get(clusters::list).post(clusters::create))
        .route("/shardplane/v1/clusters/{name}", delete(clusters::delete))
        .route(crate::backup::PATH, get(backup::serve))
        .route("/shardplane/v1/clusters/{name}/restore", post(restore::begin))
        .route("/shardplane/v1/clusters/{name}/restore/{id}/objects", post(restore::objects).layer(restore::limit()))
        .route("/shardplane/v1/clusters/{name}/restore/{id}/finish", post(restore::finish))
        .fallback(resource)
        .method_not_allowed_fallback(async || {
            refusal(Status::new(
                api::status::Reason::MethodNotAllowed,
                "the server does not allow this method on the requested resource",
            ))
        })
        .with_state(inner)
}

/// A failure as an answer, with its reason for the log. [`crate::Gateway::handle`] writes it as the client wants it.
pub(crate) fn refusal(status: Status) -> Response<Body> {
    let mut response = render::failure(&status, Some(Output::default()));
    response.extensions_mut().insert(Failure(status));
    response
}

async fn resource(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    request: Request,
) -> Response<Body> {
    let Ticket { info, user, cluster } = ticket;
    if !info.is_resource {
        return refusal(Status::unknown_path());
    }
    let (parts, body) = request.into_parts();
    verbs::dispatch(inner, info, (user, cluster.floor), parts.headers, body).await.unwrap_or_else(refusal)
}
