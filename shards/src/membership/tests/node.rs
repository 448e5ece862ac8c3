//! Processes of the model: each joins, works, dies and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::ambient::Ambient;
use api::slot::SlotSet;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::model::{Arena, ModelHolder, SLOTS};
use super::world::{Link, Seeded, SkewedClock};
use crate::membership::member::MemberConfig;
use crate::membership::{Ended, Identity, JoinError, Lease, Member, Peer, PeerError, Peers, Timing, register};
use crate::metrics::{Metrics, ShardMetrics};

/// Bugs that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// Leases are judged by the wall clock.
    WallClock,
    /// A takeover does not look whether the lease has moved.
    NoFences,
    /// A shard answers whatever its lease says.
    PastTtl,
}

/// A member and its process's link.
type Reached = (Arc<Member>, Arc<Link>);

/// What all processes share.
pub(super) struct Hall {
    pub(super) arena: Arc<Arena>,
    pub(super) timing: Timing,
    pub(super) bug: Bug,
    seed: u64,
    started: tokio::time::Instant,
    members: Mutex<BTreeMap<u16, Reached>>,
}

impl Hall {
    pub(super) fn new(seed: u64, bug: Bug) -> Arc<Self> {
        Arc::new(Self {
            arena: Arc::default(),
            timing: Timing::default(),
            bug,
            seed,
            started: tokio::time::Instant::now(),
            members: Mutex::default(),
        })
    }

    pub(super) fn member(&self, ordinal: u16) -> Option<Arc<Member>> {
        self.members.lock().get(&ordinal).map(|(member, _)| member.clone())
    }
}

/// The way from one process to the others.
struct Ways {
    hall: Arc<Hall>,
    random: Seeded,
    own: Arc<Link>,
}

impl Peers for Ways {
    fn peer(&self, ordinal: u16, _lease: &Lease) -> Option<Arc<dyn Peer>> {
        let (member, link) = self.hall.members.lock().get(&ordinal)?.clone();
        Some(Arc::new(Way { member, link, own: self.own.clone(), random: self.random.clone() }))
    }
}

struct Way {
    member: Arc<Member>,
    link: Arc<Link>,
    own: Arc<Link>,
    random: Seeded,
}

impl Way {
    /// Calls take time, and some are lost.
    async fn pass(&self) -> Result<(), PeerError> {
        tokio::time::sleep(Duration::from_micros(self.random.below(3000))).await;
        self.link.thawed().await;
        self.own.thawed().await;
        let lost =
            self.random.one_in(40) || self.own.cut.load(Ordering::Relaxed) || self.link.cut.load(Ordering::Relaxed);
        if lost { Err(PeerError("lost".to_owned())) } else { Ok(()) }
    }
}

impl Peer for Way {
    fn prefetch(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        async move {
            self.pass().await?;
            let answer = self.member.prefetch(slots).await;
            self.pass().await?;
            answer
        }
        .boxed()
    }

    fn adopt(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        async move {
            self.pass().await?;
            let answer = self.member.adopt(slots).await;
            self.pass().await?;
            answer
        }
        .boxed()
    }
}

/// A machine that runs one process after the other.
pub(super) struct Node {
    hall: Arc<Hall>,
    pub(super) link: Arc<Link>,
    pub(super) clock: Arc<SkewedClock>,
    ambient: Ambient,
    running: Mutex<Option<Running>>,
}

struct Running {
    shutdown: CancellationToken,
    process: JoinHandle<()>,
    killed: Arc<AtomicBool>,
    holder: Arc<Mutex<Option<Arc<ModelHolder>>>>,
}

impl Node {
    pub(super) fn new(hall: &Arc<Hall>, number: u64) -> Self {
        let clock = SkewedClock::new(hall.started, Duration::from_secs(1000 * (number + 1)));
        clock.boot_is_wall.store(hall.bug == Bug::WallClock, Ordering::Relaxed);
        let entropy = Seeded::new(hall.seed.wrapping_mul(0x1000).wrapping_add(number) << 20);
        let link = Link::new(&hall.arena.store, hall.seed ^ (number << 40));
        link.set_latency(Duration::from_millis(6));
        link.no_fences.store(hall.bug == Bug::NoFences, Ordering::Relaxed);
        let ambient = Ambient { clock: clock.clone(), entropy: Arc::new(entropy) };
        Self { hall: hall.clone(), link, clock, ambient, running: Mutex::default() }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.lock().as_ref().is_some_and(|running| !running.process.is_finished())
    }

    /// Starts a process; one that is fenced begins anew by itself.
    pub(super) fn start(&self, ordinal: Option<u16>) {
        if self.is_running() {
            return;
        }
        self.link.freeze(false);
        let (shutdown, killed) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let holder: Arc<Mutex<Option<Arc<ModelHolder>>>> = Arc::default();
        let process = Process {
            hall: self.hall.clone(),
            link: self.link.clone(),
            ambient: self.ambient.clone(),
            shutdown: shutdown.clone(),
            holder: holder.clone(),
        };
        let process = tokio::spawn(process.run(ordinal));
        *self.running.lock() = Some(Running { shutdown, process, killed, holder });
    }

    /// As by SIGKILL.
    pub(super) fn kill(&self) {
        let Some(running) = self.running.lock().take() else { return };
        running.killed.store(true, Ordering::Relaxed);
        running.process.abort();
        if let Some(holder) = running.holder.lock().take() {
            holder.close();
        }
    }

    /// As by SIGTERM.
    pub(super) fn shut_down(&self) {
        if let Some(running) = &*self.running.lock() {
            running.shutdown.cancel();
        }
    }

    pub(super) async fn ended(&self) {
        while self.is_running() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

struct Process {
    hall: Arc<Hall>,
    link: Arc<Link>,
    ambient: Ambient,
    shutdown: CancellationToken,
    holder: Arc<Mutex<Option<Arc<ModelHolder>>>>,
}

impl Process {
    async fn run(self, ordinal: Option<u16>) {
        let identity = Identity { ordinal, ..Identity::default() };
        while !self.shutdown.is_cancelled() {
            let registration = match register(&self.link.shared(), &self.ambient, &self.hall.timing, &identity).await {
                Ok(registration) => registration,
                Err(JoinError::Taken { .. }) => return,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let (ordinal, epoch) = (registration.ordinal, registration.epoch);
            let careless = self.hall.bug == Bug::PastTtl;
            let opened = ModelHolder::open(&self.hall.arena, &self.link, &self.ambient, epoch, careless).await;
            let Ok(holder) = opened else { continue };
            *self.holder.lock() = Some(holder.clone());
            let member = Member::new(MemberConfig {
                store: self.link.shared(),
                ambient: self.ambient.clone(),
                timing: self.hall.timing,
                holder: holder.clone(),
                peers: Arc::new(Ways {
                    hall: self.hall.clone(),
                    random: Seeded::new(self.hall.seed ^ u64::from(ordinal)),
                    own: self.link.clone(),
                }),
                registration,
                slots: SLOTS,
                metrics: Metrics::new(ShardMetrics::default(), ordinal),
            });
            self.hall.members.lock().insert(ordinal, (member.clone(), self.link.clone()));
            let work = tokio::spawn(holder.clone().work());
            let ended = member.run(self.shutdown.clone()).await;
            holder.close();
            work.abort();
            match ended {
                Ended::Drained(departure) => {
                    drop(departure.leave().await);
                    return;
                }
                Ended::Fenced => {}
                Ended::Broken(reason) => panic!("nothing breaks here: {reason}"),
            }
        }
    }
}
