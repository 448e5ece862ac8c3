//! Time that follows tokio's (paused or not) and seeded randomness.

use std::sync::Arc;
use std::time::Duration;

use api::ambient::{Ambient, Clock, Entropy};
use parking_lot::Mutex;
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z
const WALL: i64 = 1_767_225_600_000_000;

struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    fn wall_micros(&self) -> i64 {
        WALL + i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    fn boot(&self) -> Duration {
        Duration::from_secs(1000) + self.start.elapsed()
    }
}

struct Seeded(Mutex<u64>);

impl Entropy for Seeded {
    /// SplitMix64.
    fn next_u64(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Time that a test cranks by tokio's paused clock, starting at 2026-01-01, and the same randomness in every run.
pub fn manual_ambient() -> Ambient {
    seeded_ambient(1)
}

/// The same with other randomness.
pub fn seeded_ambient(seed: u64) -> Ambient {
    Ambient { clock: Arc::new(TokioClock { start: Instant::now() }), entropy: Arc::new(Seeded(Mutex::new(seed))) }
}
