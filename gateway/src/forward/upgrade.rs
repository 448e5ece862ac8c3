//! Requests that want another protocol than HTTP: the other server agrees first, then the client hears of it, then both
//! connections are theirs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::Status;
use axum::body::Body;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use super::headers::without_hops;
use super::{Backend, Carried, Ends, Link, Place, pump};
use crate::Inner;
use crate::completion::Lasting;
use crate::metrics::StreamLabels;

/// How long a server may take to agree, or to refuse.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client's connection may take to be handed over once it was told.
const HANDOVER: Duration = Duration::from_secs(10);
/// Streams that carry nothing for so long are closed, as a kubelet does by default.
const IDLE: Duration = Duration::from_secs(4 * 3600);

/// A client's connection, to be taken over.
pub(crate) struct Passage {
    inner: Arc<Inner>,
    on_upgrade: OnUpgrade,
    place: Option<Place>,
    labels: StreamLabels,
}

/// What another server said to a request for an upgrade.
pub(crate) enum Begun {
    /// It agreed: its answer, and the connection behind it.
    Agreed(Response<()>, OnUpgrade),
    /// It refused. The answer is for the client.
    Refused(Response<Incoming>),
}

impl Passage {
    /// The connection that a request came by.
    pub(crate) fn of(inner: &Arc<Inner>, parts: &mut Parts, subresource: &'static str) -> Self {
        // Without one in the extensions (HTTP/2, calls within the process) it fails when the client should take over.
        let on_upgrade = match parts.extensions.remove::<OnUpgrade>() {
            Some(on_upgrade) => on_upgrade,
            None => hyper::upgrade::on(Request::new(())),
        };
        let labels = StreamLabels { subresource };
        Self { inner: inner.clone(), on_upgrade, place: parts.extensions.remove(), labels }
    }

    /// Answers the client with `response`, whose code must be 101, and runs `work` on its connection from then on. The request
    /// is over when the work is.
    pub(crate) fn take_over<F, W>(self, mut response: Response<Body>, work: F) -> Response<Body>
    where
        F: FnOnce(TokioIo<Upgraded>, Ends, Arc<Carried>) -> W + Send + 'static,
        W: Future<Output = ()> + Send,
    {
        let (lasting, completion) = Lasting::new();
        response.extensions_mut().insert(lasting);
        tokio::spawn(async move {
            let Self { inner, on_upgrade, place, labels } = self;
            let _completion = completion.await.ok();
            let ends = Ends { stopping: inner.stopping.clone(), idle: IDLE };
            let carried = Arc::new(Carried::default());
            match tokio::time::timeout(HANDOVER, on_upgrade).await {
                Ok(Ok(upgraded)) => work(TokioIo::new(upgraded), ends, carried.clone()).await,
                Ok(Err(error)) => tracing::debug!(%error, "a client's connection was not handed over"),
                Err(_) => tracing::debug!("a client's connection was not handed over in time"),
            }
            let bytes = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
            inner.metrics.stream_bytes(labels, bytes(&carried.from_client), bytes(&carried.to_client));
            drop(place);
        });
        response
    }
}

/// Asks another server for an upgrade. The headers that ask for it are the caller's.
pub(crate) async fn begin(backend: &Backend, request: Request<Body>) -> Result<Begun, Status> {
    let link = backend.connect().await.map_err(|error| broken("error dialing backend", &error))?;
    send(link, request).await
}

/// The same by a link that is open.
pub(crate) async fn send(link: Link, request: Request<Body>) -> Result<Begun, Status> {
    let failed = |error: hyper::Error| broken("error sending request", &error);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(link)).await.map_err(failed)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to another server ended early");
        }
    });
    let mut answer = match tokio::time::timeout(PATIENCE, sender.send_request(request)).await {
        Ok(answer) => answer.map_err(failed)?,
        Err(_) => return Err(broken("error sending request", &"it took too long")),
    };
    match answer.status() {
        StatusCode::SWITCHING_PROTOCOLS => {
            let on_upgrade = hyper::upgrade::on(&mut answer);
            Ok(Begun::Agreed(answer.map(drop), on_upgrade))
        }
        code if code.as_u16() < 400 => {
            Err(Status::said(500, "", format!("invalid upgrade response: status code {}", code.as_u16())))
        }
        _ => {
            without_hops(answer.headers_mut());
            Ok(Begun::Refused(answer))
        }
    }
}

fn broken(what: &str, why: &dyn std::fmt::Display) -> Status {
    Status::said(500, "", format!("{what}: {why}"))
}

/// Passes a request for an upgrade on as it is, and then the bytes.
pub(crate) async fn upgrade(
    passage: Passage,
    backend: &Backend,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    match begin(backend, request).await? {
        Begun::Refused(answer) => Ok(answer.map(Body::new)),
        Begun::Agreed(answer, theirs) => Ok(finish(passage, answer, theirs)),
    }
}

/// Tells the client that another server has agreed, and carries the bytes.
pub(crate) fn finish(passage: Passage, answer: Response<()>, theirs: OnUpgrade) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = answer.headers().clone();
    passage.take_over(response, |client, ends, carried| async move {
        match theirs.await {
            Ok(backend) => pump(client, TokioIo::new(backend), &ends, &carried).await,
            Err(error) => tracing::debug!(%error, "another server's connection was not handed over"),
        }
    })
}
