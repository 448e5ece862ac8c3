//! The machine's time and randomness: the only place that asks for them (DESIGN D10).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::ambient::{Ambient, Clock, Entropy};
use rand::Rng;

struct MachineClock;

impl Clock for MachineClock {
    #[allow(clippy::disallowed_methods, reason = "this is the implementation that the ban points to")]
    fn wall_micros(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    }
}

struct MachineEntropy;

impl Entropy for MachineEntropy {
    #[allow(clippy::disallowed_methods, reason = "this is the implementation that the ban points to")]
    fn next_u64(&self) -> u64 {
        rand::rng().next_u64()
    }
}

/// This machine's.
pub(crate) fn machine() -> Ambient {
    Ambient { clock: Arc::new(MachineClock), entropy: Arc::new(MachineEntropy) }
}
