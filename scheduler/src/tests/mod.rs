//! Tests of the whole engine against plain models, by seeds. A failing test names its seed; run it alone with
//! `SEED=<number> cargo test -p shardplane-scheduler <test>`. `SEEDS=<number>` runs that many.

mod cluster;
mod model;
mod naive;
mod offers;
mod running;
mod spreading;
mod views;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::ambient::{Ambient, Clock, Entropy};

/// Time that only a test moves, and randomness by a seed.
#[derive(Clone)]
struct World {
    micros: Arc<AtomicU64>,
    state: Arc<AtomicU64>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self { micros: Arc::new(AtomicU64::new(3_600_000_000)), state: Arc::new(AtomicU64::new(seed)) }
    }

    fn advance(&self, by: Duration) {
        self.micros.fetch_add(by.as_micros() as u64, Ordering::Relaxed);
    }

    fn ambient(&self) -> Ambient {
        Ambient { clock: Arc::new(self.clone()), entropy: Arc::new(self.clone()) }
    }
}

impl Clock for World {
    fn wall_micros(&self) -> i64 {
        1_767_225_600_000_000 + self.micros.load(Ordering::Relaxed) as i64
    }

    fn boot(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }
}

impl Entropy for World {
    fn next_u64(&self) -> u64 {
        let state = self.state.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        xxhash_rust::xxh3::xxh3_64(&state.to_le_bytes())
    }
}

/// Runs a test for many seeds, or for the one that the environment names.
fn for_seeds(count: u64, test: impl Fn(u64)) {
    if let Ok(seed) = std::env::var("SEED") {
        return test(seed.parse().expect("SEED is a number"));
    }
    let count = std::env::var("SEEDS").map_or(count, |count| count.parse().expect("SEEDS is a number"));
    for seed in 0..count {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed)));
        if let Err(panic) = outcome {
            eprintln!("failed with SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
