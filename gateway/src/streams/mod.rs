//! What stands between a client and a kubelet that do not speak the same protocol, and a connection to a pod's port by way of
//! its kubelet.
//!
//! Clients prefer WebSockets; kubelets before v1.36 speak SPDY only. A command's streams are translated ([`translate()`]), a
//! tunnel is opened at this end ([`tunnel()`]). A kubelet that declares ExtendWebSocketsToKubelet gets everything as it came.

mod pod_port;
mod translate;
mod tunnel;

pub(crate) use pod_port::pod_port;
pub(crate) use translate::{PROTOCOL, translate};
pub(crate) use tunnel::tunnel;

use std::time::Duration;

use api::Status;
use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use streaming::remote::PROTOCOL_VERSION;

use crate::forward::Backend;

/// What is read of a refusal.
const REFUSAL: usize = 64 << 10;
/// How long a refusal may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request of our own for a connection that speaks SPDY.
fn spdy_request(backend: &Backend, target: &str, protocol: &str) -> Result<Request<Body>, Status> {
    Request::post(target)
        .header(HOST, backend.authority())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, streaming::spdy::UPGRADE)
        .header(PROTOCOL_VERSION, protocol)
        .body(Body::empty())
        .map_err(Status::internal)
}

/// What a server said instead of agreeing.
async fn refusal(answer: Response<Incoming>) -> Bytes {
    let code = answer.status();
    let body = Limited::new(answer.into_body(), REFUSAL).collect();
    match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => code.to_string().into(),
    }
}

/// Whether a server has agreed to speak SPDY.
fn speaks_spdy(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
    upgrade.eq_ignore_ascii_case(streaming::spdy::UPGRADE.as_bytes())
}
