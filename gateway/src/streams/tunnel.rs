//! portforward for a client that tunnels SPDY through a WebSocket, by a kubelet that speaks SPDY: the tunnel ends here.

use std::sync::Arc;

use api::Status;
use axum::body::Body;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use hyper_util::rt::TokioIo;
use streaming::remote::PROTOCOL_VERSION;
use streaming::websocket::{self, TUNNEL_PREFIX, Tunnel, Wanted, tunnelled};

use super::speaks_spdy;
use crate::Inner;
use crate::forward::{Backend, Begun, Passage, begin, prepare, pump};

/// Asks the kubelet for SPDY; once it has agreed, so does the gateway with the client.
pub(crate) async fn tunnel(
    inner: &Arc<Inner>,
    passage: Passage,
    wanted: &Wanted,
    (backend, target): (Backend, String),
    mut parts: Parts,
) -> Result<Response<Body>, Status> {
    prepare(&mut parts, &target).map_err(|error| Status::bad_request(error.to_string()))?;
    parts.method = Method::POST;
    for name in [SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_EXTENSIONS] {
        parts.headers.remove(name);
    }
    parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    parts.headers.insert(UPGRADE, HeaderValue::from_static(streaming::spdy::UPGRADE));
    parts.headers.remove(PROTOCOL_VERSION);
    for inner in wanted.protocols.iter().filter_map(|protocol| tunnelled(protocol)) {
        let inner = HeaderValue::from_str(inner).map_err(|error| Status::bad_request(error.to_string()))?;
        parts.headers.append(PROTOCOL_VERSION, inner);
    }
    let begun = begin(&backend, Request::from_parts(parts, Body::empty())).await;
    let code = match &begun {
        Ok(Begun::Agreed(answer, _)) => answer.status().as_u16(),
        Ok(Begun::Refused(answer)) => answer.status().as_u16(),
        Err(status) => status.code(),
    };
    inner.metrics.tunnelled(code);
    let (answer, upgrading) = match begun? {
        Begun::Agreed(answer, upgrading) => (answer, upgrading),
        Begun::Refused(answer) => return Ok(answer.map(Body::new)),
    };
    if !speaks_spdy(answer.headers()) {
        return Err(Status::said(500, "", "unable to upgrade: missing upgrade headers in response"));
    }
    let version = answer.headers().get(PROTOCOL_VERSION).and_then(|version| version.to_str().ok()).map(str::trim);
    let protocol = version.map(|version| format!("{TUNNEL_PREFIX}{version}")).unwrap_or_default();
    let response = wanted.accept(&protocol).map(|()| Body::empty());
    Ok(passage.take_over(response, |client, ends, carried| async move {
        let client = Tunnel::new(websocket::serve(client).await);
        match upgrading.await {
            Ok(backend) => pump(client, TokioIo::new(backend), &ends, &carried).await,
            Err(error) => tracing::debug!(%error, "a kubelet's connection was not handed over"),
        }
    }))
}
