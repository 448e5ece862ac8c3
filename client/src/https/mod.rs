//! HTTPS to any Kubernetes API, by hyper and rustls.
//!
//! A [`HttpsTransport`] owns its connections: HTTP/2 where the server speaks it, else a few of HTTP/1.1. A connection is
//! made when it is first needed and again, with back-off, after it broke; while it cannot be made, requests fail at once
//! with what happened. Thousands of kubelets in one process each have a transport of their own, made from one
//! [`HttpsFactory`], which holds what they share (the TLS configuration with its CA and keys).

mod credentials;
mod slot;
mod stream;
mod tls;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::ambient::Ambient;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, Uri};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use self::credentials::Credentials;
use self::slot::Slot;
use crate::kubeconfig::Target;
use crate::{BodyStream, Transport, TransportError};

/// How connections are made and kept.
#[derive(Clone)]
pub struct HttpsOptions {
    /// Connections that requests are spread over. More are opened while each of them has
    /// [`HttpsOptions::streams`] requests under way, up to eight times as many.
    pub connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: usize,
    /// How long making a connection may take, TLS included.
    pub connect_deadline: Duration,
    /// How long a connection may be silent before it is asked for a sign of life.
    pub ping_interval: Duration,
    /// How long that sign may take before the connection counts as broken.
    pub ping_timeout: Duration,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// Time and randomness, for expiring credentials and back-off.
    pub ambient: Ambient,
    /// How the server is reached.
    pub dial: Dial,
}

/// Opens a connection to a host and port: over TCP ([`tcp`]), or whatever a test puts in its place.
pub type Dial = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<BoxedIo>> + Send + Sync>;

/// Both directions of a connection.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, whatever carries it.
pub type BoxedIo = Box<dyn Io>;

/// TCP, as the machine has it.
pub fn tcp() -> Dial {
    Arc::new(|host, port| {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            // Small requests must not wait for one another; without it everything still works.
            let _ = stream.set_nodelay(true);
            Ok(Box::new(stream) as BoxedIo)
        })
    })
}

impl HttpsOptions {
    /// Over TCP: one connection, 100 requests at once on it, 10 s to connect, a ping after 30 s of silence with 15 s to answer.
    pub fn new(ambient: Ambient) -> Self {
        Self {
            connections: 1,
            streams: 100,
            connect_deadline: Duration::from_secs(10),
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(15),
            http2: true,
            ambient,
            dial: tcp(),
        }
    }
}

/// Why no transport can be made: the message says which part of the kubeconfig is wrong.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct HttpsError(pub String);

/// What the transports to one server under one identity share.
#[derive(Clone)]
pub struct HttpsFactory {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    target: Target,
    options: HttpsOptions,
    credentials: Credentials,
    authority: String,
}

impl HttpsFactory {
    /// Reads CA, keys and credentials once.
    pub fn new(target: &Target, options: HttpsOptions) -> Result<Self, HttpsError> {
        let credentials = Credentials::new(target, options.http2, options.ambient.clone())?;
        let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
        let authority = format!("{host}:{}", target.port);
        Ok(Self { shared: Arc::new(Shared { target: target.clone(), options, credentials, authority }) })
    }

    /// A transport with connections of its own. None is made before the first request.
    pub fn transport(&self) -> Arc<dyn Transport> {
        let count = self.shared.options.connections.max(1);
        let slots = (0..count).map(|_| Arc::new(Slot::default())).collect();
        let inner = Inner { shared: self.shared.clone(), slots: Mutex::new(slots), next: AtomicUsize::new(0) };
        Arc::new(HttpsTransport { inner: Arc::new(inner) })
    }
}

/// Connections to one server under one identity.
pub struct HttpsTransport {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    slots: Mutex<Vec<Arc<Slot>>>,
    next: AtomicUsize,
}

impl HttpsTransport {
    /// A transport of its own: [`HttpsFactory`] makes many that share their TLS configuration.
    #[expect(clippy::new_ret_no_self, reason = "callers hold transports of any kind")]
    pub fn new(target: &Target, options: HttpsOptions) -> Result<Arc<dyn Transport>, HttpsError> {
        Ok(HttpsFactory::new(target, options)?.transport())
    }
}

impl Transport for HttpsTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<BodyStream>, TransportError>> {
        let inner = self.inner.clone();
        Box::pin(async move { inner.send(request).await })
    }
}

impl Inner {
    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<BodyStream>, TransportError> {
        self.shared.complete(&mut request).await?;
        // A connection that was idle may turn out to be closed: what was certainly not sent goes over a new one, once.
        let kept = copy(&request);
        match self.slot().send(&self.shared, request).await {
            Err(error) if !error.sent && error.was_connected => {
                let again = self.slot().send(&self.shared, kept).await;
                again.map_err(|error| error.error())
            }
            done => done.map_err(|error| error.error()),
        }
    }

    /// The next connection in turn; another one while all are full.
    fn slot(&self) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let count = slots.len();
        let full = self.shared.options.streams;
        let free = (0..count).map(|step| &slots[(start + step) % count]).find(|slot| slot.load() < full);
        if let Some(free) = free {
            return free.clone();
        }
        if count < 8 * self.shared.options.connections.max(1) {
            let slot = Arc::new(Slot::default());
            slots.push(slot.clone());
            return slot;
        }
        slots[start % count].clone()
    }
}

impl Shared {
    /// Adds scheme, authority, prefix and credentials.
    async fn complete(&self, request: &mut Request<Bytes>) -> Result<(), TransportError> {
        let unsent = |message: String| TransportError { message, sent: false };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let scheme = match self.target.scheme {
            crate::kubeconfig::Scheme::Https => "https",
            crate::kubeconfig::Scheme::Http => "http",
        };
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(self.authority.as_str())
            .path_and_query(format!("{}{path}", self.target.prefix))
            .build()
            .map_err(|error| unsent(format!("{path} is no path: {error}")))?;
        *request.uri_mut() = uri;
        if let Some(text) = self.credentials.authorization().await.map_err(unsent)? {
            let mut value = HeaderValue::try_from(text)
                .map_err(|_| unsent("the credentials hold characters that no header may".to_owned()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(http::header::AUTHORIZATION, value);
        }
        Ok(())
    }
}

fn copy(request: &Request<Bytes>) -> Request<Bytes> {
    let mut copy = Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

#[cfg(test)]
mod tests;
