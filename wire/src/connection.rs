//! One connection to one peer: TLS with both certificates checked, and HTTP/2 on it.

use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Uri;
use http::uri::{Authority, Scheme};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::body::Body;

use crate::pki::{Distrust, Identity, Parts, Role};
use crate::{BoxedIo, Cork, Dial, Timing, latest, tls};

/// Why there is no connection. Nothing was sent on it, so nothing happened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody is there, or the network is not.
    #[error("{address} cannot be reached: {why}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// What the system said.
        why: String,
    },
    /// Nothing came in time.
    #[error("{address} does not answer")]
    Timeout {
        /// `host:port`.
        address: String,
    },
    /// The peer is not who it should be.
    #[error("{address} is not to be trusted: {why}")]
    Distrust {
        /// `host:port`.
        address: String,
        /// What is wrong with its certificate.
        why: Distrust,
    },
    /// The peer does not take this process for who it should be.
    #[error(
        "{address} refuses this {role}'s certificate ({why}): both must belong to the same internal CA and be in force"
    )]
    Refused {
        /// `host:port`.
        address: String,
        /// What this process says to be.
        role: Role,
        /// TLS' word for it.
        why: String,
    },
    /// There was one, and it ended.
    #[error("the connection to {address} ended: {why}")]
    Closed {
        /// `host:port`.
        address: String,
        /// Why.
        why: String,
    },
}

/// Makes connections to one peer.
pub(crate) struct Connector {
    address: String,
    own: Role,
    wanted: Role,
    identity: Identity,
    /// Made of what is in force.
    tls: Mutex<(Arc<Parts>, TlsConnector)>,
    dial: Arc<dyn Dial>,
    timing: Timing,
}

impl Connector {
    pub(crate) fn new(
        address: &str,
        wanted: Role,
        identity: &Identity,
        dial: Arc<dyn Dial>,
        timing: Timing,
    ) -> Result<Self, ConnectError> {
        let parts = identity.parts();
        let config: ClientConfig = tls::client(&parts, identity.clock(), wanted)
            .map_err(|error| ConnectError::Unreachable { address: address.to_owned(), why: error.to_string() })?;
        let tls = Mutex::new((parts, TlsConnector::from(Arc::new(config))));
        let (address, own, identity) = (address.to_owned(), identity.role(), identity.clone());
        Ok(Self { address, own, wanted, identity, tls, dial, timing })
    }

    /// With the certificates that are in force now.
    fn tls(&self) -> TlsConnector {
        let (mut tls, parts) = (self.tls.lock(), self.identity.parts());
        if !Arc::ptr_eq(&tls.0, &parts)
            && let Ok(config) = tls::client(&parts, self.identity.clock(), self.wanted)
        {
            *tls = (parts, TlsConnector::from(Arc::new(config)));
        }
        tls.1.clone()
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) async fn connect(&self) -> Result<Connection, ConnectError> {
        match timeout(self.timing.connect, self.attempt()).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::Timeout { address: self.address.clone() }),
        }
    }

    async fn attempt(&self) -> Result<Connection, ConnectError> {
        let io = self.dial.dial(&self.address).await.map_err(|error| self.failed(&error))?;
        let (io, cork) = crate::cork(io);
        // Not looked at: who the peer is, its certificate's role says.
        let name = ServerName::try_from("internal").expect("a DNS name");
        let stream = self.tls().connect(name, io).await.map_err(|error| self.failed(&error))?;
        // In TLS 1.3 a server looks at our certificate after we are through. Its first bytes say that it liked it.
        let mut stream = BufReader::with_capacity(1024, stream);
        if stream.fill_buf().await.map_err(|error| self.failed(&error))?.is_empty() {
            let why = "it hung up".to_owned();
            return Err(ConnectError::Unreachable { address: self.address.clone(), why });
        }
        let timing = &self.timing;
        let handshake = Builder::new(InTurn(cork))
            .timer(TokioTimer::new())
            .initial_stream_window_size(crate::STREAM_WINDOW)
            .initial_connection_window_size(crate::CONNECTION_WINDOW)
            .max_frame_size(crate::FRAME)
            .keep_alive_interval(timing.ping_every)
            .keep_alive_timeout(timing.ping_timeout)
            .handshake::<_, Body>(TokioIo::new(stream));
        let (send, driver) = handshake.await.map_err(|error| self.failed(&error))?;
        let end = latest::Sender::new(None);
        let ended = end.subscribe();
        let address = self.address.clone();
        tokio::spawn(async move {
            let why = match driver.await {
                Ok(()) => "it was closed".into(),
                Err(error) => innermost(&error).to_string().into(),
            };
            end.send_replace(Some(why));
        });
        Ok(Connection { send, ended, address: address.into() })
    }

    /// What an error of the set-up means.
    fn failed(&self, error: &(dyn Error + 'static)) -> ConnectError {
        let address = self.address.clone();
        let mut at = Some(error);
        while let Some(error) = at {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return match tls {
                    rustls::Error::AlertReceived(alert) => {
                        ConnectError::Refused { address, role: self.own, why: format!("{alert:?}") }
                    }
                    other => match tls::distrust(other) {
                        Some(why) => ConnectError::Distrust { address, why },
                        None => ConnectError::Unreachable { address, why: other.to_string() },
                    },
                };
            }
            // An io::Error hides what it was made of from `source`.
            let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            at = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
        }
        ConnectError::Unreachable { address, why: innermost(error).to_string() }
    }
}

/// Runs what hyper makes of a connection, one task of which writes to the socket: each after the others.
#[derive(Clone)]
struct InTurn(Cork<BoxedIo>);

impl<F> Executor<F> for InTurn
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, task: F) {
        tokio::spawn(crate::after_others(Box::pin(task), self.0.clone()));
    }
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at
}

/// A connection; clones share it. It ends when the last one and the last call on it are gone. It is a service that the clients of `crate::proto` call through.
#[derive(Clone)]
pub struct Connection {
    send: SendRequest<Body>,
    ended: latest::Receiver<Option<Arc<str>>>,
    address: Arc<str>,
}

impl Connection {
    /// `host:port` of the peer.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.send.is_closed() || self.ended.get().is_some()
    }

    /// Waits for its end, and says why it ended.
    pub async fn closed(&self) -> String {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(why) => why.map(|why| why.to_string()).unwrap_or_default(),
            Err(_) => "this process let it go".to_owned(),
        }
    }
}

impl tower_service::Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.send.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // HTTP/2 wants a whole URI; who the peer is has nothing to do with names.
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(Authority::from_static("shardplane.internal"));
        *request.uri_mut() = Uri::from_parts(uri).expect("a path, and what was added just now");
        self.send.send_request(request).boxed()
    }
}
