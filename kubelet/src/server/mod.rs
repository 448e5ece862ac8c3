//! The kubelets' HTTPS server. One serves the whole fleet: every node names it as its kubelet endpoint.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | ok, to anybody |
//! | `/containerLogs/NAMESPACE/POD/CONTAINER` | a log |
//! | `/exec/NAMESPACE/POD/CONTAINER`, `/attach/…` | a command's streams, or those of the container, over SPDY or a WebSocket |
//! | `/portForward/NAMESPACE/POD` | connections to the Pod's ports, over SPDY, bare or in a WebSocket |
//! | `/pods`, `/metrics` | what the fleet runs |
//!
//! Where it answers otherwise than a kubelet does: there is no `/stats`, `/configz`, `/run` or `/checkpoint`; port-forward knows
//! no WebSocket without SPDY in it (`v4.channel.k8s.io`); what is attached to takes no input.

mod commands;
mod logs;
mod ports;
mod status;
#[cfg(test)]
mod tests;
mod tls;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use bytes::Bytes;
use client::Key;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::container::{Container, Place, PodFacts};
use crate::logs::{Life, Logs};

/// Connections at once, those that are streams by now among them.
const CONNECTIONS: usize = 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What the server shows to its clients.
pub enum Identity {
    /// A certificate (leaf first) and its key.
    Given(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    /// A certificate of its own making for these names and addresses, as a kubelet without a serving certificate does.
    SelfSigned(Vec<String>),
}

/// How the fleet is served.
pub struct ServerOptions {
    /// What to accept connections from.
    pub listener: TcpListener,
    /// What is shown to clients.
    pub identity: Identity,
    /// The CA of the clients; without one, everybody may come in.
    pub client_ca: Option<Vec<CertificateDer<'static>>>,
}

/// Why the fleet cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The listener is of no use.
    #[error("the kubelets' server cannot listen: {0}")]
    Listen(#[from] io::Error),
    /// Certificate, key or CA cannot be used.
    #[error("the kubelets' TLS cannot be set up: {0}")]
    Tls(String),
}

/// A running server. It ends with the token that it was started with.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;
/// An answer, or a code with the words that go with it.
type Answered = Result<Response<Body>, (StatusCode, String)>;

impl Server {
    /// Serves in the background.
    pub fn start(options: ServerOptions, logs: Logs, shutdown: CancellationToken) -> Result<Self, ServerError> {
        let must_identify = options.client_ca.is_some();
        let acceptor = TlsAcceptor::from(Arc::new(tls::config(options.identity, options.client_ca)?));
        options.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(options.listener)?;
        let address = listener.local_addr()?;
        let serving = Arc::new(Serving { logs, acceptor, must_identify, shutdown: shutdown.clone() });
        tokio::spawn(async move { shutdown.run_until_cancelled(accept(listener, serving)).await });
        Ok(Self { address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

struct Serving {
    logs: Logs,
    acceptor: TlsAcceptor,
    must_identify: bool,
    shutdown: CancellationToken,
}

async fn accept(listener: tokio::net::TcpListener, serving: Arc<Serving>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((tcp, _)) => {
                let serving = serving.clone();
                tokio::spawn(async move {
                    let token = serving.shutdown.clone();
                    token.run_until_cancelled(serving.connection(tcp, Arc::new(place))).await;
                });
            }
            Err(error) => {
                warn!(%error, "the kubelets' server cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Serving {
    async fn connection(self: Arc<Self>, tcp: TcpStream, place: Arc<OwnedSemaphorePermit>) {
        if let Err(error) = tcp.set_nodelay(true) {
            return debug!(%error, "a connection to the kubelets' server is gone already");
        }
        let stream = match timeout(HANDSHAKE, self.acceptor.accept(tcp)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return debug!(%error, "a handshake with the kubelets' server failed"),
            Err(_) => return debug!("a handshake with the kubelets' server took too long"),
        };
        let identified = stream.get_ref().1.peer_certificates().is_some();
        let service = service_fn(move |request| {
            let (serving, place) = (self.clone(), place.clone());
            async move { Ok::<_, Infallible>(serving.answer(request, identified, place).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
        if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
            debug!(%error, "a connection to the kubelets' server broke");
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        identified: bool,
        place: Arc<OwnedSemaphorePermit>,
    ) -> Response<Body> {
        let path = request.uri().path().trim_matches('/').to_owned();
        let path: Vec<&str> = path.split('/').collect();
        if path == ["healthz"] {
            return text(StatusCode::OK, "ok");
        }
        if self.must_identify && !identified {
            return text(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
        let key = |namespace: &str, pod: &str| Key { namespace: namespace.into(), name: pod.into() };
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let query = request.uri().query().unwrap_or_default();
        let answered = match path.as_slice() {
            ["exec" | "attach" | "portForward", ..] if !reads && request.method() != Method::POST => {
                Err(wrong_method())
            }
            ["exec", namespace, pod, container] => self.exec(request, place, key(namespace, pod), container).await,
            ["attach", namespace, pod, container] => self.attach(request, place, key(namespace, pod), container).await,
            ["portForward", namespace, pod] => self.port_forward(request, place, key(namespace, pod)).await,
            _ if !reads => Err(wrong_method()),
            ["pods"] => Ok(self.pods()),
            ["metrics"] => Ok(self.metrics()),
            ["containerLogs", namespace, pod, container] => self.container_logs(key(namespace, pod), container, query),
            _ => Err((StatusCode::NOT_FOUND, "404 page not found".to_owned())),
        };
        answered.unwrap_or_else(|(code, message)| text(code, &message))
    }

    /// A Pod that has a life here, and what the API says of it.
    async fn pod(&self, key: &Key) -> Result<(Life, PodFacts), (StatusCode, String)> {
        let gone = || (StatusCode::NOT_FOUND, "pod does not exist".to_owned());
        let life = self.logs.get(key).ok_or_else(gone)?;
        match self.logs.facts(key, &life).await {
            Ok(Some(facts)) => Ok((life, facts)),
            Ok(None) => Err(gone()),
            Err(error) if error.is_not_found() => Err(gone()),
            Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("the pod cannot be asked for: {error}"))),
        }
    }

    /// A container that runs.
    async fn container(&self, key: &Key, name: &str) -> Result<Container, (StatusCode, String)> {
        let missing = || (StatusCode::INTERNAL_SERVER_ERROR, format!("container not found ({name:?})"));
        let (life, facts) = self.pod(key).await?;
        if !life.runs(name, self.logs.now()) {
            return Err(missing());
        }
        let files = self.logs.files(key, name, &life);
        Container::of(&facts, place_of(key, &life), name, files).ok_or_else(missing)
    }

    fn ambient(&self) -> Result<Ambient, (StatusCode, String)> {
        let none = || (StatusCode::SERVICE_UNAVAILABLE, "no kubelet runs".to_owned());
        self.logs.ambient().cloned().ok_or_else(none)
    }
}

fn place_of(key: &Key, life: &Life) -> Place {
    Place { namespace: key.namespace.to_string(), pod: key.name.to_string(), node: life.node.to_string() }
}

fn wrong_method() -> (StatusCode, String) {
    (StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed".to_owned())
}

fn text(code: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())).boxed_unsync());
    *response.status_mut() = code;
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    response
}

/// An answer without a body.
fn bare(response: Response<()>) -> Response<Body> {
    response.map(|()| Full::default().boxed_unsync())
}
