//! HTTPS: accepting connections, TLS by rustls, HTTP/1.1 and HTTP/2 by hyper.
//!
//! A connection's client certificate is looked at once, when it is made. Start reading at [`Gateway::serve`].

pub(crate) mod client;
mod fresh;
mod server;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::{Accept, BoxedIo};

#[cfg(test)]
pub(crate) use server::config as server_config;

use fresh::Fresh;

use crate::authn::certificate_user;
use crate::config::Limits;
use crate::{Gateway, Inner};

/// PEM files of a serving certificate (with its chain) and its key.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, then its chain.
    pub certificate: PathBuf,
    /// PKCS#8.
    pub key: PathBuf,
}

/// Why a gateway cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A certificate or key cannot be used.
    #[error("cannot use {path}: {reason}")]
    Credentials {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

/// Listens on an address, so that a taken port is known before anything else starts.
pub fn listen(address: SocketAddr) -> Result<std::net::TcpListener, ServeError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for the connections of the last run.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        Ok(socket.into())
    };
    open().map_err(|error| ServeError::Listen { address, error })
}

impl Gateway {
    /// Serves HTTPS until `shutdown`: then nothing more is accepted, watches end at once, and what is under way gets
    /// [`Limits::grace`]. Returns when all connections are closed.
    pub async fn serve(
        self: Arc<Self>,
        listener: std::net::TcpListener,
        files: TlsFiles,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        let listen_error = |error| ServeError::Listen { address, error };
        listener.set_nonblocking(true).map_err(listen_error)?;
        let listener = TcpListener::from_std(listener).map_err(listen_error)?;
        self.serve_on(listener, files, shutdown).await
    }

    /// The same for connections of any kind.
    pub async fn serve_on<A: Accept>(
        self: Arc<Self>,
        mut listener: A,
        files: TlsFiles,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let fresh = Fresh::new(files, self.inner.config.client_ca.as_deref())?;
        let connections = TaskTracker::new();
        let budget = Arc::new(Semaphore::new(self.inner.config.limits.connections));
        let accept = self.accept(&mut listener, &fresh, &budget, &connections, &shutdown);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            never = accept => match never {},
            never = fresh.keep() => match never {},
        }
        drop(listener);
        self.stop();
        connections.close();
        // Connections end by themselves within the grace; the rest is for their last words.
        let wait = self.inner.config.limits.grace + Duration::from_millis(200);
        let _ = tokio::time::timeout(wait, connections.wait()).await;
        Ok(())
    }

    async fn accept<A: Accept>(
        &self,
        listener: &mut A,
        fresh: &Fresh,
        budget: &Arc<Semaphore>,
        connections: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> std::convert::Infallible {
        loop {
            // Without budget the next client waits in the kernel's queue.
            let permit = budget.clone().acquire_owned().await.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let connection =
                        connect(self.inner.clone(), self.handler(), stream, peer, fresh.acceptor(), shutdown.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: somebody has to close one.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// A cheap copy that a connection can own.
    fn handler(&self) -> Self {
        Self { inner: self.inner.clone(), routes: self.routes.clone() }
    }
}

/// One connection from its first byte to its last.
async fn connect(
    inner: Arc<Inner>,
    gateway: Gateway,
    stream: BoxedIo,
    peer: String,
    acceptor: TlsAcceptor,
    shutdown: CancellationToken,
) {
    let limits = &inner.config.limits;
    let (stream, cork) = wire::cork(stream);
    let handshake = tokio::time::timeout(limits.arrival.min(Duration::from_secs(10)), acceptor.accept(stream));
    let stream = tokio::select! {
        biased;
        () = shutdown.cancelled() => return,
        result = handshake => match result {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                inner.metrics.handshake_errors.inc();
                return tracing::debug!(%peer, %error, "TLS handshake failed");
            }
            Err(_) => {
                inner.metrics.handshake_errors.inc();
                return tracing::debug!(%peer, "TLS handshake timed out");
            }
        },
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let identity = certificates.and_then(|chain| certificate_user(chain.first()?));
    let service = service_fn(move |request: http::Request<Incoming>| {
        // Boxed, for whatever holds it is moved many times on the way into its task.
        let answer = gateway.handle(request.map(Body::new), identity.clone()).boxed();
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    inner.metrics.connections.inc();
    let builder = builder(limits);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        biased;
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(limits.grace, connection).await.unwrap_or(Ok(()))
        }
        result = wire::after_others(connection.as_mut(), cork) => result,
    };
    inner.metrics.connections.dec();
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection ended early");
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.arrival).max_buf_size(limits.header.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header).unwrap_or(u32::MAX))
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20)
        .max_send_buf_size(256 << 10)
        .max_pending_accept_reset_streams(limits.streams as usize / 4)
        .max_local_error_reset_streams(1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
