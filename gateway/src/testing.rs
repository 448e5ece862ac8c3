//! What this crate's tests share: a clock, randomness, and small shards that a test can pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use api::ambient::{Ambient, Clock, Entropy};

/// The machine's clock, moved.
pub(crate) struct Shifted {
    pub(crate) by_micros: i64,
}

impl Clock for Shifted {
    #[expect(clippy::disallowed_methods, reason = "this is a test's clock")]
    fn wall_micros(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(since.as_micros()).unwrap() + self.by_micros
    }

    fn boot(&self) -> Duration {
        Duration::from_micros(self.wall_micros() as u64)
    }
}

/// A counter, well mixed.
struct Mixed(AtomicU64);

impl Entropy for Mixed {
    fn next_u64(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub(crate) fn ambient() -> Ambient {
    Ambient { clock: Arc::new(Shifted { by_micros: 0 }), entropy: Arc::new(Mixed(AtomicU64::new(1))) }
}
