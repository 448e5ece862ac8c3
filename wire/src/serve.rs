//! Serving within: who connects shows a certificate of the internal CA, and each service says which roles it serves.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;
use tower_service::Service;

use crate::net::BoxedIo;
use crate::pki::{Identity, Parts, PkiError, Role, TlsClock};
use crate::{Accept, Timing, tls};

/// Connections at once. Each peer needs one or a few; more than this is a fault somewhere.
const CONNECTIONS: usize = 4096;
/// Streams at once on one connection.
const STREAMS: u32 = 1024;
/// How long calls that are under way get when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// Who calls: in the extensions of every request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What its certificate says.
    pub role: Role,
    /// From where.
    pub address: Arc<str>,
}

/// An interceptor that lets only those roles call a service: `StoreServer::with_interceptor(service, only(&[Role::Shard]))`.
pub fn only(
    roles: &'static [Role],
) -> impl Fn(tonic::Request<()>) -> Result<tonic::Request<()>, Status> + Clone + Send + Sync + 'static {
    move |request| {
        let caller = request.extensions().get::<Caller>();
        match caller {
            Some(caller) if roles.contains(&caller.role) => Ok(request),
            Some(caller) => {
                let allowed: Vec<&str> = roles.iter().map(|role| role.name()).collect();
                let (role, allowed) = (caller.role, allowed.join(", "));
                tracing::warn!(%role, from = &*caller.address, "refused a call of a service that is for {allowed} only");
                Err(Status::permission_denied(format!(
                    "this service is for {allowed} only, and the caller is a {role}"
                )))
            }
            None => Err(Status::permission_denied("nobody knows who calls")),
        }
    }
}

/// Serves until `shutdown`, then lets calls that are under way end, for a while. Dropping the future cuts all connections.
/// Errors are those of the identity: what goes wrong with one connection is logged and ends that one.
pub fn serve<A: Accept>(
    mut listener: A,
    identity: &Identity,
    routes: Routes,
    timing: Timing,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + use<A>, PkiError> {
    let unusable =
        |error: rustls::Error| PkiError::Certificate { path: identity.role().to_string(), reason: error.to_string() };
    let mut parts = identity.parts();
    let mut acceptor = TlsAcceptor::from(Arc::new(tls::server(&parts, identity.clock()).map_err(unusable)?));
    let identity = identity.clone();
    let routes = routes.prepare();
    Ok(async move {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = async {
                    let place = room.clone().acquire_owned().await.expect("never closed");
                    (place, listener.accept().await)
                } => accepted,
            };
            let (place, (io, from)) = match accepted {
                (place, Ok(accepted)) => (place, accepted),
                (_, Err(error)) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    // Out of descriptors, for one: others must get a chance to close some.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            let now = identity.parts();
            if !Arc::ptr_eq(&parts, &now)
                && let Ok(config) = tls::server(&now, identity.clock())
            {
                (parts, acceptor) = (now, TlsAcceptor::from(Arc::new(config)));
            }
            let one = Serving {
                acceptor: acceptor.clone(),
                parts: parts.clone(),
                clock: identity.clock().clone(),
                routes: routes.clone(),
                timing,
                shutdown: shutdown.clone(),
            };
            connections.spawn(async move {
                one.run(io, from).await;
                drop(place);
            });
        }
        drop(listener);
        let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    })
}

struct Serving {
    acceptor: TlsAcceptor,
    parts: Arc<Parts>,
    clock: TlsClock,
    routes: Routes,
    timing: Timing,
    shutdown: CancellationToken,
}

impl Serving {
    async fn run(self, io: BoxedIo, from: String) {
        let (io, cork) = crate::cork(io);
        let stream = match timeout(self.timing.connect, self.acceptor.accept(io)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let why = error.get_ref().and_then(|error| error.downcast_ref()).and_then(tls::distrust);
                match why {
                    Some(why) => tracing::warn!(from, "refused a connection: {why}"),
                    None => tracing::debug!(from, %error, "no TLS"),
                }
                return;
            }
            Err(_) => {
                tracing::debug!(from, "no TLS in time");
                return;
            }
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let now = self.clock.now();
        let role = chain.split_first().map(|(own, rest)| self.parts.trust.check(own, rest, now));
        let Some(Ok(role)) = role else { return };
        let caller = Caller { role, address: from.into() };
        let routes = self.routes;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(caller.clone());
            routes.clone().call(request)
        });
        let connection = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(crate::STREAM_WINDOW)
            .initial_connection_window_size(crate::CONNECTION_WINDOW)
            .max_frame_size(crate::FRAME)
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(self.timing.ping_every)
            .keep_alive_timeout(self.timing.ping_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            ended = crate::after_others(connection.as_mut(), cork) => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }
}
