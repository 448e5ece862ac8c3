//! Until when a shard may answer (DESIGN D6).
//!
//! A shard that cannot renew its lease stops before another one may take its slots. It looks at the lease *after* it has
//! taken what it is about to answer: what was true then was not another's to change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::ambient::Clock;

/// A deadline on the boot clock, which whoever renews the lease moves.
pub struct Lease {
    clock: Arc<dyn Clock>,
    /// Microseconds; `u64::MAX`: for ever.
    until: AtomicU64,
}

impl Lease {
    /// One that does not end, as in a fixed topology.
    pub fn endless(clock: Arc<dyn Clock>) -> Self {
        Self { clock, until: AtomicU64::new(u64::MAX) }
    }

    /// The shard may answer until this moment of the boot clock, and not before it is moved again after it.
    pub fn set(&self, until: Duration) {
        self.until.store(u64::try_from(until.as_micros()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Whether it has not ended.
    pub fn is_valid(&self) -> bool {
        match self.until.load(Ordering::Acquire) {
            u64::MAX => true,
            until => self.clock.boot().as_micros() < u128::from(until),
        }
    }
}
