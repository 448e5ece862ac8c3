//! Exponential back-off with jitter, so that a thousand clients of one restarted server do not return as one.

use std::time::Duration;

use api::ambient::Entropy;

/// Delays that double up to a ceiling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, failures: 0 }
    }

    /// The delay after one more failure: between a half and the whole of `base` doubled per failure.
    pub(crate) fn next(&mut self, entropy: &dyn Entropy) -> Duration {
        let full = self.base.saturating_mul(1 << self.failures.min(20)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        jitter(full, 0.5, entropy)
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// `full`, shortened by up to the share `spread` of it.
pub(crate) fn jitter(full: Duration, spread: f64, entropy: &dyn Entropy) -> Duration {
    let unit = (entropy.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    full.mul_f64(1.0 - spread * unit)
}
