//! The clients' host, to which nothing happens but what happens to its links: the load of `robustness` over HTTPS, and an
//! administrator who pins slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::shards::membership::Pin;
use ::shards::rpc::client::Ways;
use api::ambient::Ambient;
use api::slot::SlotSet;
use bytes::Bytes;
use client::https::{HttpsFactory, HttpsOptions};
use client::{BodyStream, Transport, TransportError};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use parking_lot::Mutex;
use robustness::load::{self, Fault, Ran, RunError};
use tokio::sync::mpsc;
use wire::Role;

use crate::setup::{GATEWAYS, SHARDS, Setup, Start, address, gateway, shard};

/// What an administrator does.
pub(crate) struct Pinning {
    pub(crate) slots: SlotSet,
    /// `None` takes pins away.
    pub(crate) pin: Option<Pin>,
}

/// What the world hears of the clients.
#[derive(Default)]
pub(crate) struct Heard {
    /// When they began, in microseconds; zero: not yet.
    pub(crate) began: AtomicU64,
    pub(crate) ran: Mutex<Option<Result<Ran, RunError>>>,
}

pub(crate) async fn run(
    setup: Arc<Setup>,
    start: Start,
    heard: Arc<Heard>,
    pins: mpsc::UnboundedReceiver<Pinning>,
) -> turmoil::Result {
    let ambient = start.ambient.clone();
    let calling = setup.calling(setup.identity(Role::Admin, &ambient)?, &start);
    tokio::spawn(administrate(Ways::new(calling, None), pins));
    // Nothing goes wrong before they all serve, and nothing is tried again.
    while !setup.serving.iter().all(|serving| serving.load(Ordering::Relaxed)) {
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    let options = HttpsOptions {
        connect_deadline: Duration::from_secs(1),
        ping_interval: Duration::from_millis(400),
        ping_timeout: Duration::from_millis(400),
        dial: start.network.dial_https(),
        ..HttpsOptions::new(ambient.clone())
    };
    let factories: Result<Vec<HttpsFactory>, _> =
        (0..GATEWAYS).map(|number| HttpsFactory::new(&setup.target(&gateway(number)), options.clone())).collect();
    let factories = factories?;
    let connect = |number: usize| {
        let ways = factories.iter().map(HttpsFactory::transport).collect();
        Arc::new(ToGateways { ways, usual: number, ambient: ambient.clone() }) as Arc<dyn Transport>
    };
    let now = {
        let (heard, clock) = (heard.clone(), ambient.clock.clone());
        async move { heard.began.store(clock.boot().as_micros().max(1) as u64, Ordering::Relaxed) }
    };
    let begin = Fault::new(Duration::ZERO, "all others", now);
    let ran = load::run(simulation::load(setup.seed), &ambient, &connect, vec![begin]).await;
    *heard.ran.lock() = Some(ran);
    Ok(())
}

async fn administrate(ways: Arc<Ways>, mut pins: mpsc::UnboundedReceiver<Pinning>) {
    while let Some(Pinning { slots, pin }) = pins.recv().await {
        for ordinal in 0..SHARDS {
            let Some(member) = ways.member(&address(&shard(ordinal))) else { continue };
            if member.pin(&slots, pin.as_ref()).await.is_ok() {
                break;
            }
        }
    }
}

/// How one client reaches the gateways: mostly the same one.
struct ToGateways {
    ways: Vec<Arc<dyn Transport>>,
    usual: usize,
    ambient: Ambient,
}

impl Transport for ToGateways {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<BodyStream>, TransportError>> {
        let other = usize::from(self.ambient.entropy.next_u64().is_multiple_of(12));
        self.ways[(self.usual + other) % self.ways.len()].send(request)
    }
}
