//! /api, /apis and below: which resources there are. [`legacy`] holds the documents of one group or version,
//! [`aggregated`] those of all at once, chosen by Accept.

mod aggregated;
mod legacy;

use std::sync::{Arc, OnceLock};

use api::Status;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, Response};
use serde::Serialize;
use serde_json::json;

use super::etag::Tagged;
use super::refusal;
use crate::media::by_quality;
use crate::{Inner, Ticket, render};

/// Aggregated documents, made when first asked for: `/api` and `/apis`, in v2 and v2beta1.
#[derive(Default)]
pub(crate) struct Documents([OnceLock<Tagged>; 4]);

/// `/`: where to go from here.
pub(super) async fn paths(State(inner): State<Arc<Inner>>, Extension(ticket): Extension<Ticket>) -> Response<Body> {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for group in legacy::groups_of(&inner.kinds.all(&ticket.info.cluster).await) {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|version| format!("/apis/{}/{version}", group.name)));
    }
    let others = ["/healthz", "/livez", "/metrics", "/openapi/v3", "/readyz", "/version"];
    paths.extend(others.map(str::to_owned));
    render::value(200, &json!({ "paths": paths }), ticket.info.query.flag("pretty") != Some(false))
}

/// `/api`
pub(super) async fn core_versions(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    headers: HeaderMap,
) -> Response<Body> {
    if let Some(answer) = aggregated_answer(&inner, &ticket, &headers, true).await {
        return answer;
    }
    let addresses = [json!({ "clientCIDR": "0.0.0.0/0", "serverAddress": inner.config.advertise })];
    plain(&json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses }))
}

/// `/apis`
pub(super) async fn groups(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    headers: HeaderMap,
) -> Response<Body> {
    match aggregated_answer(&inner, &ticket, &headers, false).await {
        Some(answer) => answer,
        None => plain(&legacy::group_list(&inner.kinds.all(&ticket.info.cluster).await)),
    }
}

/// `/apis/{group}`
pub(super) async fn group(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    Path(group): Path<String>,
) -> Response<Body> {
    match legacy::groups_of(&inner.kinds.all(&ticket.info.cluster).await).iter().find(|have| have.name == group) {
        Some(group) => plain(&group.to_value(true)),
        None => refusal(Status::unknown_path()),
    }
}

/// `/api/v1`
pub(super) async fn core_resources(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
) -> Response<Body> {
    resource_list(&inner, &ticket, "", "v1").await
}

/// `/apis/{group}/{version}`
pub(super) async fn resources(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    Path((group, version)): Path<(String, String)>,
) -> Response<Body> {
    resource_list(&inner, &ticket, &group, &version).await
}

async fn resource_list(inner: &Inner, ticket: &Ticket, group: &str, version: &str) -> Response<Body> {
    match legacy::resource_list(&inner.kinds.all(&ticket.info.cluster).await, group, version) {
        Some(list) => plain(&list),
        None => refusal(Status::unknown_path()),
    }
}

fn plain(document: &impl Serialize) -> Response<Body> {
    render::value(200, document, false)
}

/// The aggregated document, where the client prefers one of the forms that there are.
async fn aggregated_answer(inner: &Inner, ticket: &Ticket, headers: &HeaderMap, core: bool) -> Option<Response<Body>> {
    let accept = headers.get(ACCEPT)?.to_str().ok()?;
    let clause = by_quality(accept).find(|clause| {
        let legacy = clause.param("as").is_none();
        clause.takes_json() && (legacy || version_of(clause).is_some())
    })?;
    let (at, version, content_type) = match version_of(&clause)? {
        "v2" => (0, "v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
        _ => (1, "v2beta1", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"),
    };
    let kinds = inner.kinds.all(&ticket.info.cluster).await;
    let make = || Tagged::new(Bytes::from(aggregated::document(&kinds, core, version).to_string()));
    // What a cluster adds is added for it alone.
    if inner.kinds.generation(&ticket.info.cluster) > 0 && !core {
        return Some(make().answer(headers, content_type));
    }
    let place = &inner.documents.discovery.0[at + 2 * usize::from(core)];
    Some(place.get_or_init(make).answer(headers, content_type))
}

fn version_of<'a>(clause: &crate::media::Clause<'a>) -> Option<&'a str> {
    let asked = clause.param("as") == Some("APIGroupDiscoveryList") && clause.param("g") == Some("apidiscovery.k8s.io");
    clause.param("v").filter(|version| asked && matches!(*version, "v2" | "v2beta1"))
}
