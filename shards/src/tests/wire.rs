//! A shard at the other end of a connection in memory, with TLS and everything.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::wire::{Accept, BoxedIo, Dial, Identity, Role, Timing};
use api::Registry;
use api::ambient::{Ambient, Clock};
use api::version::EPOCH_UNIX_MICROS;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::RoutesBuilder;

use super::cluster::Seeded;
use crate::rpc::client::{Calling, RemoteShard};
use crate::rpc::server::Offered;
use crate::service::ShardService;

/// Time that stands, so that certificates which all tests share are in force in each.
struct Standing;

impl Clock for Standing {
    fn wall_micros(&self) -> i64 {
        EPOCH_UNIX_MICROS + 50_000_000_000_000
    }

    fn boot(&self) -> Duration {
        Duration::ZERO
    }
}

/// The certificate of a role, of a CA that all tests share.
pub(super) fn identity(role: Role) -> Identity {
    static DIRECTORY: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("there is room"));
    static SEED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let seed = SEED.fetch_add(1 << 32, std::sync::atomic::Ordering::Relaxed);
    let ambient = Ambient { clock: Arc::new(Standing), entropy: Arc::new(Seeded::new(seed)) };
    Identity::ensure(DIRECTORY.path(), role, &ambient).expect("a directory of our own")
}

/// The only address there is.
pub(super) struct Memory(mpsc::UnboundedSender<BoxedIo>);

pub(super) struct Listening(mpsc::UnboundedReceiver<BoxedIo>);

pub(super) fn memory() -> (Memory, Listening) {
    let (send, receive) = mpsc::unbounded_channel();
    (Memory(send), Listening(receive))
}

impl Dial for Memory {
    fn dial<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<BoxedIo>> {
        let (near, far) = tokio::io::duplex(64 << 10);
        let sent = self.0.send(Box::new(far)).map_err(|_| io::ErrorKind::ConnectionRefused.into());
        std::future::ready(sent.map(|()| Box::new(near) as BoxedIo)).boxed()
    }
}

impl Accept for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxedIo, String)>> {
        async move {
            match self.0.recv().await {
                Some(io) => Ok((io, "memory".to_owned())),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
}

/// A service that is offered, and the way to it. Dropping it cuts the connections.
pub(super) struct Wire {
    pub(super) remote: Arc<RemoteShard>,
    _serving: AbortOnDropHandle<()>,
}

impl Wire {
    pub(super) fn new(service: Arc<dyn ShardService>, registry: &Arc<Registry>, ambient: &Ambient) -> Self {
        let (dial, listening) = memory();
        let mut calling = Calling::new(identity(Role::Gateway), registry.clone(), ambient.clone());
        calling.dial = Arc::new(dial);
        Self {
            remote: Arc::new(RemoteShard::new("memory:1", &calling).expect("a good certificate")),
            _serving: offer(service, registry, listening),
        }
    }
}

/// Offers a service until the handle is dropped.
pub(super) fn offer(
    service: Arc<dyn ShardService>,
    registry: &Arc<Registry>,
    listening: impl Accept,
) -> AbortOnDropHandle<()> {
    let shutdown = CancellationToken::new();
    let mut routes = RoutesBuilder::default();
    Offered::new(service, registry.clone(), shutdown.clone()).add_to(&mut routes);
    let shard = identity(Role::Shard);
    let serving = ::wire::serve::serve(listening, &shard, routes.routes(), Timing::default(), shutdown);
    AbortOnDropHandle::new(tokio::spawn(serving.expect("a good certificate")))
}
