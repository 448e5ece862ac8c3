//! /api, /apis and below: which resources there are. [`legacy`] holds the documents of one group or version,
//! [`aggregated`] those of all at once, chosen by Accept.

mod aggregated;
mod legacy;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::Status;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use hashbrown::HashMap;
use http::{HeaderMap, Response};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;

use super::etag::Tagged;
use super::refusal;
use crate::media::{Encoding, Output};
use crate::{Inner, Ticket, render};

/// Aggregated documents, made when first asked for: `/api` and `/apis`, in v2 and v2beta1.
#[derive(Default)]
pub(crate) struct Documents(Mutex<HashMap<Form, Arc<Tagged>>>);

/// Version, whether it is the core group's, and encoding.
type Form = (&'static str, bool, Encoding);

/// `/`: where to go from here.
pub(super) async fn paths(State(inner): State<Arc<Inner>>, Extension(ticket): Extension<Ticket>) -> Response<Body> {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for group in legacy::groups_of(&inner.kinds.all(&ticket.info.cluster).await) {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|version| format!("/apis/{}/{version}", group.name)));
    }
    let others = ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"];
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
    let versions = json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses });
    plain(&versions, &headers, &ticket)
}

/// `/apis`
pub(super) async fn groups(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    headers: HeaderMap,
) -> Response<Body> {
    match aggregated_answer(&inner, &ticket, &headers, false).await {
        Some(answer) => answer,
        None => plain(&legacy::group_list(&inner.kinds.all(&ticket.info.cluster).await), &headers, &ticket),
    }
}

/// `/apis/{group}`
pub(super) async fn group(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    Path(group): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    match legacy::groups_of(&inner.kinds.all(&ticket.info.cluster).await).iter().find(|have| have.name == group) {
        Some(group) => plain(&group.to_value(true), &headers, &ticket),
        None => refusal(Status::unknown_path()),
    }
}

/// `/api/v1`
pub(super) async fn core_resources(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    headers: HeaderMap,
) -> Response<Body> {
    resource_list(&inner, "", "v1", &headers, &ticket).await
}

/// `/apis/{group}/{version}`
pub(super) async fn resources(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    Path((group, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response<Body> {
    resource_list(&inner, &group, &version, &headers, &ticket).await
}

async fn resource_list(
    inner: &Inner,
    group: &str,
    version: &str,
    headers: &HeaderMap,
    ticket: &Ticket,
) -> Response<Body> {
    match legacy::resource_list(&inner.kinds.all(&ticket.info.cluster).await, group, version) {
        Some(list) => plain(&list, headers, ticket),
        None => refusal(Status::unknown_path()),
    }
}

fn plain(document: &impl Serialize, headers: &HeaderMap, ticket: &Ticket) -> Response<Body> {
    Output::plain(headers, &ticket.info.query)
        .and_then(|output| render::serialized(200, document, output))
        .unwrap_or_else(refusal)
}

/// The aggregated document, where that is among what the client accepts.
async fn aggregated_answer(inner: &Inner, ticket: &Ticket, headers: &HeaderMap, core: bool) -> Option<Response<Body>> {
    let (encoding, version) = Output::aggregated(headers)?;
    let media = format!("{};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList", encoding.media());
    let kinds = inner.kinds.all(&ticket.info.cluster).await;
    let make = || Tagged::in_form(&aggregated::document(&kinds, core, version), encoding);
    // What a cluster adds is added for it alone.
    if inner.kinds.generation(&ticket.info.cluster) > 0 && !core {
        return Some(make().map_or_else(refusal, |made| made.answer(headers, &media)));
    }
    let mut documents = inner.documents.discovery.0.lock();
    let made = match documents.get(&(version, core, encoding)) {
        Some(made) => made.clone(),
        None => {
            let made = Arc::new(make().ok()?);
            documents.insert((version, core, encoding), made.clone());
            made
        }
    };
    Some(made.answer(headers, &media))
}
