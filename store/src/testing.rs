//! Stores that misbehave as real ones do, for tests of whoever uses a store.
//!
//! [`FaultyStore`] stands before another store and fails calls, by plan or by chance. [`VolatileStore`] keeps what is not
//! synced apart, and loses it in a crash. Both are deterministic: the same seed and the same order of calls give the same
//! faults, and all waiting is tokio's time, so that a test may stop the clock. [`Servers`] are real ones.

mod faulty;
mod servers;
mod volatile;

pub use faulty::{Fault, FaultyStore, Rates};
pub use servers::{Programs, Servers};
pub use volatile::VolatileStore;

/// A sequence of numbers from a seed: splitmix64, which is enough to toss coins.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of that seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// Whether something of that probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        // 53 bits: all that a fraction has room for.
        ((self.roll() >> 11) as f64) < probability * (1u64 << 53) as f64
    }
}
