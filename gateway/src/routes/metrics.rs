//! /metrics

use std::sync::Arc;

use api::Status;
use axum::body::Body;
use axum::extract::State;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use super::refusal;
use crate::Inner;

/// Everything that the process has registered, as OpenMetrics text.
pub(super) async fn serve(State(inner): State<Arc<Inner>>) -> Response<Body> {
    let Some(registry) = inner.exposed.get() else {
        return refusal(Status::unavailable("metrics are not collected yet"));
    };
    let mut text = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, registry) {
        return refusal(Status::internal(error));
    }
    let mut response = Response::new(Body::from(text));
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
