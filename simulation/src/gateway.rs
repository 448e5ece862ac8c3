//! A gateway's process, and the way of clients to it: a call into [`Gateway::handle`], whose answer goes over the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::gateway::{Gateway, GatewayConfig, Limits, RelayLimits};
use api::Registry;
use api::ambient::Ambient;
use axum::body::Body;
use bytes::Bytes;
use client::{BodyStream, Transport, TransportError};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use http::response::Parts;
use http::{Request, Response};
use prometheus_client::registry::Registry as MetricsRegistry;
use shards::membership::Mapping;
use shards::service::UserInfo;
use shards::{Bootstrap, ShardOptions};
use tokio::sync::mpsc;

use crate::call::{Failed, call, stream};
use crate::net::{CLIENTS, GATEWAYS, Net, Place, SHARDS};
use crate::shard::Ways;

/// What a gateway's process is made of.
pub(crate) struct GatewayProcess {
    pub(crate) net: Arc<Net>,
    pub(crate) at: usize,
    pub(crate) ambient: Ambient,
    pub(crate) registry: Arc<Registry>,
    /// Set once the cluster has what every cluster has.
    pub(crate) bootstrapped: Arc<AtomicBool>,
}

impl GatewayProcess {
    /// For ever.
    pub(crate) async fn run(self) -> String {
        let Self { net, at, ambient, registry, bootstrapped } = self;
        let ways = Ways::new(&net, at, None);
        let mapping = Mapping::new(ways.clone());
        let topology = mapping.topology();
        tokio::spawn(async move { ways.follow(&mapping).await });
        let mut map = topology.current();
        while !map.is_complete() {
            map = topology.newer_than(map.generation).await;
        }
        if !bootstrapped.load(Ordering::Relaxed) {
            let bootstrap = Bootstrap {
                cluster: "default".into(),
                registry: registry.clone(),
                ambient: ambient.clone(),
                service_cidr: ShardOptions::default().service_cidr,
                advertise: None,
                trust: None,
            };
            if let Err(status) = bootstrap.run(&topology).await {
                return format!("the cluster cannot be made: {status}");
            }
            bootstrapped.store(true, Ordering::Relaxed);
        }
        let config = GatewayConfig {
            limits: Limits { bookmark: Duration::from_millis(400), ..Limits::default() },
            relay: RelayLimits { tick: Duration::from_millis(700), ..RelayLimits::default() },
            ..GatewayConfig::default()
        };
        let gateway = Gateway::new(config, topology, registry, ambient, &mut MetricsRegistry::default());
        net.set_place(at, |place| place.gateway = Some(gateway));
        std::future::pending().await
    }
}

/// How one client reaches the gateways: mostly the same one.
pub(crate) struct ToGateways {
    pub(crate) net: Arc<Net>,
    pub(crate) usual: usize,
}

/// The head of an answer and its body, whole or as it comes.
type Answered = (Parts, Result<Bytes, mpsc::Receiver<Option<Bytes>>>);

impl Transport for ToGateways {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<BodyStream>, TransportError>> {
        let net = self.net.clone();
        let other = net.one_in(12) || net.place(SHARDS + self.usual).gateway.is_none();
        let to = SHARDS + (self.usual + usize::from(other)) % GATEWAYS;
        async move {
            let within = net.clone();
            let work = move |place: Place| answer(within, to, place, request).boxed();
            let broken = |sent| TransportError { message: "the connection broke".to_owned(), sent };
            let answered = call(&net, CLIENTS, to, work).await.map_err(|failed| broken(failed == Failed::Lost))?;
            let Some((head, body)) = answered else { return Err(broken(false)) };
            let body = match body {
                Ok(whole) => futures_util::stream::iter([Ok(whole)]).boxed(),
                Err(pieces) => pieces_of(pieces).boxed(),
            };
            Ok(Response::from_parts(head, body))
        }
        .boxed()
    }
}

/// In the gateway's process. `None`: it does not serve yet.
async fn answer(net: Arc<Net>, at: usize, place: Place, request: Request<Bytes>) -> Option<Answered> {
    let gateway = place.gateway?;
    let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    let user = UserInfo { name: "client".to_owned(), groups: vec!["system:masters".to_owned()], ..UserInfo::default() };
    let (head, body) = gateway.handle(request.map(Body::from), Some(Arc::new(user))).await.into_parts();
    if !watches || !head.status.is_success() {
        let whole = axum::body::to_bytes(body, usize::MAX).await.ok()?;
        return Some((head, Ok(whole)));
    }
    let (send, receive) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut body = body.into_data_stream();
        loop {
            let piece = tokio::select! {
                biased;
                () = send.closed() => return,
                piece = body.next() => piece,
            };
            let piece = piece.and_then(Result::ok);
            let over = piece.is_none();
            if send.send(piece).await.is_err() || over {
                return;
            }
        }
    });
    Some((head, Err(stream(&net, at, CLIENTS, receive))))
}

/// The pieces of a body, and an error where it breaks off.
fn pieces_of(pieces: mpsc::Receiver<Option<Bytes>>) -> impl futures_util::Stream<Item = Result<Bytes, TransportError>> {
    futures_util::stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Some(piece)) => Some((Ok(piece), Some(pieces))),
            Some(None) => None,
            None => Some((Err(TransportError { message: "the watch broke off".to_owned(), sent: true }), None)),
        }
    })
}
