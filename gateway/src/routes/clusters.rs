//! `/shardplane/v1/clusters`: what `shardplane admin clusters` speaks to. Only paths of the cluster `default` lead here.

use std::sync::Arc;

use api::Status;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::json;
use shards::{Bootstrap, Trust};

use super::refusal;
use crate::clusters::DEFAULT;
use crate::{Inner, Ticket, render};

/// What a creation says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
}

/// Every cluster, the default one included.
pub(super) async fn list(State(inner): State<Arc<Inner>>, Extension(ticket): Extension<Ticket>) -> Response<Body> {
    let listed = async {
        check_place(&ticket)?;
        let others = inner.clusters.all().await?;
        let default = json!({"name": DEFAULT, "id": &*inner.config.cluster, "phase": "Ready"});
        let items: Vec<_> = std::iter::once(default).chain(others.iter().map(|record| record.shown())).collect();
        Ok(render::value(200, &json!({ "items": items }), false))
    };
    listed.await.unwrap_or_else(refusal)
}

/// Makes one. The answer holds its administrator's token, which nothing else will show again.
pub(super) async fn create(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    body: Bytes,
) -> Response<Body> {
    let created = async {
        check_place(&ticket)?;
        let Create { name } = serde_json::from_slice(&body)
            .map_err(|error| Status::bad_request(format!("a body like {{\"name\": \"blue\"}} is wanted: {error}")))?;
        let token = new_token(&inner);
        let record = inner.clusters.create(&name, &token, &bootstrap(&inner)).await?;
        let mut shown = record.shown();
        shown["token"] = token.into();
        Ok(render::value(201, &shown, false))
    };
    created.await.unwrap_or_else(refusal)
}

/// Removes one.
pub(super) async fn delete(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    Path(name): Path<String>,
) -> Response<Body> {
    let deleted = async {
        check_place(&ticket)?;
        inner.clusters.delete(&name).await?;
        Ok(render::value(200, &json!({"name": name, "phase": "Deleted"}), false))
    };
    deleted.await.unwrap_or_else(refusal)
}

/// A bearer token that nobody guesses.
pub(super) fn new_token(inner: &Inner) -> String {
    let (high, low) = (inner.ambient.entropy.next_u128(), inner.ambient.entropy.next_u128());
    BASE64_URL_SAFE_NO_PAD.encode([high.to_be_bytes(), low.to_be_bytes()].concat())
}

/// What a cluster that is not the default one is made with.
pub(super) fn bootstrap(inner: &Inner) -> Bootstrap {
    Bootstrap {
        cluster: inner.config.cluster.clone(),
        registry: inner.registry.clone(),
        ambient: inner.ambient.clone(),
        service_cidr: inner.config.service_cidr,
        // Behind the address is the default cluster.
        advertise: None,
        // It knows nobody by a certificate.
        trust: inner
            .config
            .front_proxy
            .as_ref()
            .map(|proxy| Trust { clients: String::new(), front_proxy: proxy.ca.clone() }),
    }
}

/// A tenant's administrator is nobody here.
pub(super) fn check_place(ticket: &Ticket) -> Result<(), Status> {
    if ticket.cluster.is_default() { Ok(()) } else { Err(Status::unknown_path()) }
}
