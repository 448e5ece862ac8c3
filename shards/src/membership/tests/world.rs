//! A store behind links that fail, and clocks that agree about nothing.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use api::ambient::{Ambient, Clock, Entropy};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use store::memory::MemoryStore;
use store::{Batch, Page, SharedStore, Store, StoreError};

/// A wall clock's reading at the start of every test.
const WALL: i64 = 1_800_000_000_000_000;

/// One process's clocks: both follow tokio's, from a start of their own.
pub(super) struct SkewedClock {
    started: tokio::time::Instant,
    boot: Duration,
    /// Microseconds by which the wall clock is ahead of the truth.
    pub(super) skew: AtomicI64,
    /// Whether the boot clock is as wrong as the wall clock: a planted bug.
    pub(super) boot_is_wall: AtomicBool,
}

impl SkewedClock {
    pub(super) fn new(started: tokio::time::Instant, boot: Duration) -> Arc<Self> {
        Arc::new(Self { started, boot, skew: AtomicI64::new(0), boot_is_wall: AtomicBool::new(false) })
    }

    pub(super) fn skew(&self, micros: i64) {
        self.skew.store(micros, Ordering::Relaxed);
    }
}

impl Clock for SkewedClock {
    fn wall_micros(&self) -> i64 {
        WALL + self.started.elapsed().as_micros() as i64 + self.skew.load(Ordering::Relaxed)
    }

    fn boot(&self) -> Duration {
        let boot = self.boot + self.started.elapsed();
        match self.boot_is_wall.load(Ordering::Relaxed) {
            // Far from zero, so that steps back do not reach it.
            true => Duration::from_micros((1 << 40) + (self.wall_micros() - WALL).unsigned_abs()),
            false => boot,
        }
    }
}

/// SplitMix64. Clones go on from the same state.
#[derive(Clone)]
pub(super) struct Seeded(Arc<AtomicU64>);

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// Below `bound`.
    pub(super) fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound
    }

    /// Once in so many times.
    pub(super) fn one_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }
}

impl Entropy for Seeded {
    fn next_u64(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The seeds of a random test: the first `count`, as many as `SHARDPLANE_SEEDS` says, or the one of `SHARDPLANE_SEED`.
pub(super) fn seeds(count: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    match number("SHARDPLANE_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("SHARDPLANE_SEEDS").unwrap_or(count)).collect(),
    }
}

/// A clock and randomness of one process, unlike any other's: two must never make the same id.
pub(super) fn process() -> Ambient {
    static PROCESSES: AtomicU64 = AtomicU64::new(1);
    let seed = PROCESSES.fetch_add(1, Ordering::Relaxed);
    let clock = SkewedClock::new(tokio::time::Instant::now(), Duration::from_secs(seed * 1000));
    Ambient { clock, entropy: Arc::new(Seeded::new(seed << 32)) }
}

/// How one process reaches the store.
pub(super) struct Link {
    inner: MemoryStore,
    random: Seeded,
    /// Nothing gets through.
    pub(super) cut: AtomicBool,
    /// The process stands still, as under SIGSTOP: whatever it has asked for happens, and it learns of it later.
    frozen: AtomicBool,
    /// One commit in so many has an unknown outcome; zero: none.
    pub(super) unknown: AtomicU64,
    /// Fences are not checked: a planted bug.
    pub(super) no_fences: AtomicBool,
    /// The longest that a call takes, in microseconds.
    latency: AtomicU64,
}

impl Link {
    pub(super) fn new(inner: &MemoryStore, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            inner: inner.clone(),
            random: Seeded::new(seed),
            cut: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            unknown: AtomicU64::new(0),
            no_fences: AtomicBool::new(false),
            latency: AtomicU64::new(0),
        })
    }

    pub(super) fn shared(self: &Arc<Self>) -> SharedStore {
        self.clone()
    }

    pub(super) fn set_latency(&self, longest: Duration) {
        self.latency.store(longest.as_micros() as u64, Ordering::Relaxed);
    }

    fn delay(&self) -> Duration {
        match self.latency.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            longest => Duration::from_micros(self.random.below(longest)),
        }
    }

    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Relaxed);
    }

    /// Waits while the process stands still.
    pub(super) async fn thawed(&self) {
        // Not by a notification: the order in which many are told of one is random.
        while self.frozen.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// On the way there or back.
    async fn pass(&self) -> Result<(), StoreError> {
        self.thawed().await;
        let delay = self.delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.thawed().await;
        if self.cut.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Err(StoreError::Unavailable("the link is cut".to_owned()));
        }
        Ok(())
    }
}

impl Store for Link {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        async move {
            self.pass().await?;
            self.inner.get(key).await
        }
        .boxed()
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        async move {
            self.pass().await?;
            let page = self.inner.scan(from, to, limit).await;
            self.pass().await?;
            page
        }
        .boxed()
    }

    fn commit(&self, mut batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.pass().await?;
            if self.no_fences.load(Ordering::Relaxed) {
                batch.fences.clear();
            }
            let unknown = self.unknown.load(Ordering::Relaxed);
            if unknown > 0 && self.random.one_in(unknown) {
                // Never, now, or later, even if whoever asked has ended by then.
                match self.random.below(3) {
                    0 => {}
                    1 => drop(self.inner.commit(batch).await),
                    _ => {
                        let (inner, late) = (self.inner.clone(), Duration::from_millis(self.random.below(2000)));
                        tokio::spawn(async move {
                            tokio::time::sleep(late).await;
                            drop(inner.commit(batch).await);
                        });
                    }
                }
                return Err(StoreError::Unknown("the answer was lost".to_owned()));
            }
            // On a task of its own: it happens even if whoever asked stands still now.
            let (inner, delay) = (self.inner.clone(), self.delay());
            let commit = tokio::spawn(async move {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                inner.commit(batch).await
            });
            let outcome = commit.await.expect("the store does not panic");
            match self.pass().await {
                Ok(()) => outcome,
                Err(error) => Err(StoreError::Unknown(error.to_string())),
            }
        }
        .boxed()
    }
}
