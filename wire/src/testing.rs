//! What this crate's tests share: time, randomness, internal CAs in temporary directories, and a proxy that cuts.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use api::ambient::{Ambient, Clock, Entropy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{Identity, Link, Role, Tcp, Timing};

/// The machine's clock, moved.
pub(crate) struct Shifted {
    pub(crate) by: i64,
}

impl Clock for Shifted {
    #[expect(clippy::disallowed_methods, reason = "this is a test's clock")]
    fn wall_micros(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(since.as_micros()).unwrap() + self.by * 1_000_000
    }

    fn boot(&self) -> Duration {
        Duration::from_micros(self.wall_micros() as u64)
    }
}

/// SplitMix64.
pub(crate) struct Mixed(AtomicU64);

impl Entropy for Mixed {
    fn next_u64(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub(crate) fn seeded(seed: u64) -> Ambient {
    Ambient { clock: Arc::new(Shifted { by: 0 }), entropy: Arc::new(Mixed(AtomicU64::new(seed))) }
}

/// Randomness that differs from call to call.
pub(crate) fn ambient() -> Ambient {
    static SEEDS: AtomicU64 = AtomicU64::new(1);
    seeded(SEEDS.fetch_add(1, Ordering::Relaxed) << 32)
}

/// The seed of a random test: `SHARDPLANE_SEED`, or always the same. Printed, for it is shown when the test fails.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("SHARDPLANE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("SHARDPLANE_SEED={seed}");
    seed
}

pub(crate) fn identity(directory: &Path, role: Role) -> Identity {
    Identity::ensure(directory, role, &ambient()).unwrap()
}

/// A listener on a port of the system's choice.
pub(crate) fn listen() -> (TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (TcpListener::from_std(listener).unwrap(), address)
}

/// A server that is cut off when this is dropped.
pub(crate) struct Served {
    pub(crate) address: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    pub(crate) fn new(identity: &Identity, routes: Routes) -> Self {
        let (listener, address) = listen();
        let serving = crate::serve::serve(listener, identity, routes, quick(), CancellationToken::new()).unwrap();
        Self { address, task: tokio::spawn(serving) }
    }
}

/// Short pauses.
pub(crate) fn quick() -> Timing {
    Timing { pause_min: Duration::from_millis(1), pause_max: Duration::from_millis(20), ..Timing::default() }
}

pub(crate) fn link(address: &str, wanted: Role, own: &Identity) -> Link {
    Link::new(address, wanted, own, Arc::new(Tcp), quick(), &ambient()).unwrap()
}

/// A way to a server that is cut after a random number of bytes, again and again. Where it leads can be changed.
pub(crate) struct Cutting {
    pub(crate) address: String,
    pub(crate) cuts: Arc<AtomicUsize>,
    to: Arc<parking_lot::Mutex<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Cutting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cutting {
    pub(crate) fn new(to: &str, ambient: Ambient, bytes: u64) -> Self {
        let (listener, address) = listen();
        let (cuts, to) = (Arc::new(AtomicUsize::new(0)), Arc::new(parking_lot::Mutex::new(to.to_owned())));
        let task = tokio::spawn({
            let (cuts, to) = (cuts.clone(), to.clone());
            async move {
                loop {
                    let (near, _): (TcpStream, SocketAddr) = listener.accept().await.unwrap();
                    let allowed = 4000 + ambient.entropy.next_u64() % bytes;
                    let (cuts, to) = (cuts.clone(), to.lock().clone());
                    tokio::spawn(async move {
                        if let Ok(far) = TcpStream::connect(to).await {
                            relay(near, far, allowed).await;
                            cuts.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            }
        });
        Self { address, cuts, to, task }
    }

    pub(crate) fn leads_to(&self, address: &str) {
        *self.to.lock() = address.to_owned();
    }
}

/// Carries at most so many bytes, in both directions together, and then cuts both.
async fn relay(mut near: TcpStream, mut far: TcpStream, allowed: u64) {
    let (mut left, mut up, mut down) = (allowed as usize, [0; 1024], [0; 1024]);
    while left > 0 {
        let room = left.min(1024);
        let carried = tokio::select! {
            read = near.read(&mut up[..room]) => match read {
                Ok(count) if count > 0 => far.write_all(&up[..count]).await.map(|()| count),
                _ => return,
            },
            read = far.read(&mut down[..room]) => match read {
                Ok(count) if count > 0 => near.write_all(&down[..count]).await.map(|()| count),
                _ => return,
            },
        };
        match carried {
            Ok(count) => left -= count,
            Err(_) => return,
        }
    }
}
