//! The kubelets' HTTPS server: `/containerLogs/NAMESPACE/POD/CONTAINER`, `/pods` and `/healthz`. One serves the whole
//! fleet: every node names it as its kubelet endpoint.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::Key;
use futures_util::stream::unfold;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::lines::Lines;
use super::query::LogOptions;
use super::{Life, Logs};

/// Connections at once.
const CONNECTIONS: usize = 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Lines per chunk of an answer.
const CHUNK: u64 = 256;

/// What the server shows to its clients.
pub enum LogIdentity {
    /// A certificate (leaf first) and its key.
    Given(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    /// A certificate of its own making for these names and addresses, as a kubelet without a serving certificate does.
    SelfSigned(Vec<String>),
}

/// How logs are served.
pub struct LogServerOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What is shown to clients.
    pub identity: LogIdentity,
    /// The CA of the clients; without one, everybody may read.
    pub client_ca: Option<Vec<CertificateDer<'static>>>,
}

/// Why logs cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LogServerError {
    /// The port is taken, or not allowed.
    #[error("cannot listen on {0} for logs: {1}")]
    Listen(SocketAddr, io::Error),
    /// Certificate, key or CA cannot be used.
    #[error("the log server's TLS cannot be set up: {0}")]
    Tls(String),
}

/// A running server. It ends with the token that it was started with.
#[derive(Debug)]
pub struct LogServer {
    address: SocketAddr,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl LogServer {
    /// Binds, then serves in the background.
    pub async fn start(
        options: LogServerOptions,
        logs: Logs,
        shutdown: CancellationToken,
    ) -> Result<Self, LogServerError> {
        let must_identify = options.client_ca.is_some();
        let acceptor = TlsAcceptor::from(Arc::new(tls(options.identity, options.client_ca)?));
        let listener = TcpListener::bind(options.listen).await;
        let listener = listener.map_err(|error| LogServerError::Listen(options.listen, error))?;
        let address = listener.local_addr().map_err(|error| LogServerError::Listen(options.listen, error))?;
        let serving = Arc::new(Serving { logs, acceptor, must_identify, shutdown: shutdown.clone() });
        tokio::spawn(async move { shutdown.run_until_cancelled(accept(listener, serving)).await });
        Ok(Self { address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn tls(
    identity: LogIdentity,
    client_ca: Option<Vec<CertificateDer<'static>>>,
) -> Result<rustls::ServerConfig, LogServerError> {
    let bad = |error: &dyn std::fmt::Display| LogServerError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| bad(&error))?;
    let builder = match client_ca {
        Some(certificates) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate).map_err(|error| bad(&error))?;
            }
            // Who shows no certificate is told so by a 401, which says more than a broken handshake.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| bad(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let (chain, key) = match identity {
        LogIdentity::Given(chain, key) => (chain, key),
        LogIdentity::SelfSigned(names) => {
            let made = rcgen::generate_simple_self_signed(names).map_err(|error| bad(&error))?;
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|error| bad(&error))?;
            (vec![made.cert.der().clone()], key)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| bad(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

struct Serving {
    logs: Logs,
    acceptor: TlsAcceptor,
    must_identify: bool,
    shutdown: CancellationToken,
}

async fn accept(listener: TcpListener, serving: Arc<Serving>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, _)) => {
                let serving = serving.clone();
                tokio::spawn(async move {
                    let token = serving.shutdown.clone();
                    token.run_until_cancelled(serving.connection(tcp)).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "the log server cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Serving {
    async fn connection(self: Arc<Self>, tcp: TcpStream) {
        let stream = match timeout(HANDSHAKE, self.acceptor.accept(tcp)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return debug!(%error, "a handshake with the log server failed"),
            Err(_) => return debug!("a handshake with the log server took too long"),
        };
        let identified = stream.get_ref().1.peer_certificates().is_some();
        let service = service_fn(move |request| {
            let serving = self.clone();
            async move { Ok::<_, Infallible>(serving.answer(&request, identified)) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
        if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
            debug!(%error, "a connection to the log server broke");
        }
    }

    fn answer(&self, request: &Request<Incoming>, identified: bool) -> Response<Body> {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        if path == ["healthz"] {
            return text(StatusCode::OK, "ok");
        }
        if self.must_identify && !identified {
            return text(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
        if request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
        }
        match path.as_slice() {
            ["pods"] => self.pods(),
            ["containerLogs", namespace, pod, container] => {
                let key = Key { namespace: (*namespace).into(), name: (*pod).into() };
                let query = request.uri().query().unwrap_or_default();
                self.container_logs(key, container, query).unwrap_or_else(|(code, message)| text(code, &message))
            }
            _ => text(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    fn pods(&self) -> Response<Body> {
        let items: Vec<_> = self
            .logs
            .all()
            .into_iter()
            .map(|(key, life)| {
                json!({
                    "metadata": {"namespace": key.namespace, "name": key.name, "uid": life.uid},
                    "spec": {"nodeName": life.node},
                })
            })
            .collect();
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
        let mut response = text(StatusCode::OK, &list.to_string());
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        response
    }

    fn container_logs(&self, key: Key, container: &str, query: &str) -> Result<Response<Body>, (StatusCode, String)> {
        let bad = |message| (StatusCode::BAD_REQUEST, message);
        let options = LogOptions::parse(query).map_err(bad)?;
        let life =
            self.logs.get(&key).ok_or_else(|| (StatusCode::NOT_FOUND, format!("pod {:?} does not exist", key.name)))?;
        let at = life.containers.iter().position(|(name, _)| name == container).ok_or_else(|| {
            (StatusCode::NOT_FOUND, format!("container {container:?} not found in pod {:?}", key.name))
        })?;
        let span = if options.previous {
            let message = || format!("previous terminated container {container:?} in pod {:?} not found", key.name);
            life.previous.ok_or_else(|| bad(message()))?
        } else {
            life.span
        };
        let now = self.logs.now();
        let reading = Reading::new(self.logs.clone(), key, life, at, span, options, now);
        let stream = unfold(reading, |mut reading| async {
            let chunk = reading.next().await?;
            Some((Ok(Frame::data(chunk)), reading))
        });
        let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(stream)));
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
        Ok(response)
    }
}

fn text(code: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())).boxed_unsync());
    *response.status_mut() = code;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
    response
}

/// One client's place in one log.
struct Reading {
    logs: Logs,
    key: Key,
    life: Life,
    container: usize,
    span: super::Span,
    options: LogOptions,
    next: u64,
    left: u64,
}

impl Reading {
    fn new(
        logs: Logs,
        key: Key,
        life: Life,
        container: usize,
        span: super::Span,
        options: LogOptions,
        now: i64,
    ) -> Self {
        let left = options.limit_bytes.unwrap_or(u64::MAX);
        let mut reading = Self { logs, key, life, container, span, options, next: 0, left };
        let lines = reading.lines();
        let count = lines.count(now);
        let by_tail = options.tail.map_or(0, |tail| count.saturating_sub(tail));
        let by_time = options.since(now).map_or(0, |since| {
            // Lines come at even steps, so the first one that is young enough can be computed, give or take one.
            let guess = u64::try_from((since - span.start) / super::lines::BEAT).unwrap_or(0).min(count);
            (guess..count).find(|at| lines.time(*at) >= since).unwrap_or(count)
        });
        reading.next = by_tail.max(by_time);
        reading
    }

    fn lines(&self) -> Lines<'_> {
        let pod = (self.key.namespace.as_str(), self.key.name.as_str());
        Lines { life: &self.life, pod, container: self.container, span: self.span }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut changes = self.logs.changes();
        loop {
            let now = self.logs.now();
            let lines = self.lines();
            let count = lines.count(now);
            if self.left == 0 {
                return None;
            }
            if self.next < count {
                let until = count.min(self.next + CHUNK);
                let mut chunk: String = (self.next..until).map(|at| lines.text(at, self.options.timestamps)).collect();
                self.next = until;
                if chunk.len() as u64 > self.left {
                    // Everything in a line is ASCII but names of images may not be.
                    let cut = usize::try_from(self.left).unwrap_or(usize::MAX);
                    chunk.truncate(chunk.floor_char_boundary(cut));
                    self.left = 0;
                } else {
                    self.left -= chunk.len() as u64;
                }
                return Some(chunk.into());
            }
            if !self.options.follow || lines.is_over(now) {
                return None;
            }
            let wait = u64::try_from(lines.time(self.next) - now).unwrap_or(0).max(1000);
            tokio::select! {
                () = sleep(Duration::from_micros(wait)) => {}
                // The sender lives as long as `self.logs`.
                _ = changes.changed() => self.look_again(),
            }
        }
    }

    /// Something about some life changed: this one may be over.
    fn look_again(&mut self) {
        let end = match self.logs.get(&self.key).filter(|life| life.uid == self.life.uid) {
            Some(life) if life.span.start == self.span.start => life.span.end,
            Some(life) => life.previous.filter(|previous| previous.start == self.span.start).and_then(|span| span.end),
            // The Pod has gone: so has its log.
            None => Some(self.logs.now()),
        };
        self.span.end = self.span.end.or(end);
    }
}

#[cfg(test)]
mod tests;
