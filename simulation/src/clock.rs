//! What a process takes for time and chance. Its wall clock may be wrong by seconds, its boot clock runs a little fast or slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use api::ambient::{Clock, Entropy};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::net::Net;

/// The wall clock's reading at the beginning, microseconds since 1970.
pub const WALL: i64 = 1_800_000_000_000_000;

/// The clocks of one machine.
pub(crate) struct MachineClock {
    net: Arc<Net>,
    /// When its process's runtime began, on that runtime's own clock and on the world's.
    began: Mutex<Option<(Instant, u64)>>,
    boot: Duration,
    /// Microseconds in a second by which the boot clock is fast.
    drift: i64,
    /// Microseconds by which the wall clock is ahead.
    skew: AtomicI64,
}

impl MachineClock {
    pub(crate) fn new(net: &Arc<Net>, boot: Duration, drift: i64) -> Arc<Self> {
        Arc::new(Self { net: net.clone(), began: Mutex::new(None), boot, drift, skew: AtomicI64::new(0) })
    }

    pub(crate) fn begin(&self, instant: Instant) {
        *self.began.lock() = Some((instant, self.net.now()));
    }

    pub(crate) fn skew(&self, micros: i64) {
        self.skew.store(micros, Ordering::Relaxed);
    }

    /// The world's time, as far as this process has come.
    fn micros(&self) -> u64 {
        match *self.began.lock() {
            Some((instant, at)) if Handle::try_current().is_ok() => at + instant.elapsed().as_micros() as u64,
            _ => self.net.now(),
        }
    }
}

impl Clock for MachineClock {
    fn wall_micros(&self) -> i64 {
        WALL + self.micros() as i64 + self.skew.load(Ordering::Relaxed)
    }

    fn boot(&self) -> Duration {
        let micros = self.micros() as i64;
        self.boot + Duration::from_micros((micros + micros * self.drift / 1_000_000) as u64)
    }
}

/// A boot clock that stands still: for a shard, a lease that never ends.
pub(crate) struct Standing(pub(crate) Arc<MachineClock>);

impl Clock for Standing {
    fn wall_micros(&self) -> i64 {
        self.0.wall_micros()
    }

    fn boot(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// SplitMix64.
pub struct Seeded(AtomicU64);

impl Seeded {
    /// Two of one seed draw the same.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
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
