//! What a host takes for time: turmoil's, which goes on while the host is down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use api::ambient::{Ambient, Clock, Entropy};
use simulation::{Seeded, WALL};
use tokio::runtime::Handle;

/// The clocks of one host.
pub(crate) struct HostClock {
    boot: Duration,
    /// Microseconds by which the wall clock is ahead.
    skew: i64,
    /// The last reading, for what is dropped with its runtime.
    last: AtomicU64,
}

impl HostClock {
    pub(crate) fn new(boot: Duration, skew: i64) -> Arc<Self> {
        Arc::new(Self { boot, skew, last: AtomicU64::new(0) })
    }

    /// Microseconds since the beginning.
    fn micros(&self) -> u64 {
        if Handle::try_current().is_ok()
            && let Some(elapsed) = turmoil::sim_elapsed()
        {
            self.last.store(elapsed.as_micros() as u64, Ordering::Relaxed);
        }
        self.last.load(Ordering::Relaxed)
    }
}

impl Clock for HostClock {
    fn wall_micros(&self) -> i64 {
        WALL + self.micros() as i64 + self.skew
    }

    fn boot(&self) -> Duration {
        self.boot + Duration::from_micros(self.micros())
    }
}

/// The machine's: rustls looks at the certificates of HTTPS by no other.
struct Machine;

impl Clock for Machine {
    #[expect(
        clippy::disallowed_methods,
        reason = "certificates must be in force now, and nothing else is done by this clock"
    )]
    fn wall_micros(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_micros() as i64
    }

    fn boot(&self) -> Duration {
        Duration::from_micros(self.wall_micros() as u64)
    }
}

/// For those who make certificates of HTTPS.
pub(crate) fn machine(seed: u64) -> Ambient {
    Ambient { clock: Arc::new(Machine), entropy: Arc::new(Seeded::new(seed)) as Arc<dyn Entropy> }
}
