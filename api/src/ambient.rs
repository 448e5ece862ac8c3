//! What the world gives and a test must be able to replace: time and randomness (DESIGN D10).
//!
//! Only the interfaces are here. The binary hands in the machine's; a test hands in a seeded or hand-cranked one.

use std::sync::Arc;
use std::time::Duration;

/// A source of time. Implementations never block and never fail.
pub trait Clock: Send + Sync + 'static {
    /// Wall time as microseconds since 1970-01-01T00:00:00Z. May step backwards when the machine's clock is set.
    fn wall_micros(&self) -> i64;

    /// Time since an arbitrary point of this boot, counting suspended time (CLOCK_BOOTTIME). Never steps backwards;
    /// leases are judged by it (DESIGN D6).
    fn boot(&self) -> Duration;
}

/// A source of randomness.
pub trait Entropy: Send + Sync + 'static {
    /// 64 uniformly distributed bits.
    fn next_u64(&self) -> u64;

    /// 128 uniformly distributed bits, as a UUID or a request id wants them.
    fn next_u128(&self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }
}

/// Both, as they are handed from the binary to every part.
#[derive(Clone)]
pub struct Ambient {
    /// The clock of this process.
    pub clock: Arc<dyn Clock>,
    /// The randomness of this process.
    pub entropy: Arc<dyn Entropy>,
}
