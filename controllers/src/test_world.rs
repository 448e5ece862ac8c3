//! What tests hand in instead of the machine.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::ambient::Clock;

/// A clock that stands still until it is moved.
#[derive(Default)]
pub struct HandClock {
    micros: AtomicU64,
}

impl HandClock {
    /// Moves it.
    pub fn advance(&self, by: Duration) {
        self.micros.fetch_add(by.as_micros() as u64, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn wall_micros(&self) -> i64 {
        1_800_000_000_000_000 + self.micros.load(Ordering::SeqCst) as i64
    }

    fn boot(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::SeqCst))
    }
}
