//! The hybrid logical clock that versions come from (DESIGN D4).
//!
//! Invariants: versions strictly increase; nothing above [`HybridClock::durable`] is ever released, because the next
//! owner of the ordinal starts above the stored ceiling. A version may be *issued* above it, into a batch that stores a
//! higher ceiling in the same transaction.

use std::sync::Arc;
use std::time::Duration;

use api::Version;
use api::ambient::Clock;
use api::version::EPOCH_UNIX_MICROS;

/// How far ahead of now a stored ceiling lies.
pub(crate) const AHEAD: Duration = Duration::from_secs(2);
/// A ceiling that is nearer than this is raised with the next batch.
const NEAR: Duration = Duration::from_secs(1);

pub(crate) struct HybridClock {
    wall: Arc<dyn Clock>,
    ordinal: u16,
    last: Version,
    durable: Version,
}

impl HybridClock {
    /// Starts above `floor`. Nothing may be released before a ceiling is stored.
    pub(crate) fn new(wall: Arc<dyn Clock>, ordinal: u16, floor: Version) -> Self {
        let mut clock = Self { wall, ordinal, last: floor.ceil(), durable: Version::ZERO };
        clock.last = clock.last.max(clock.now());
        clock
    }

    /// Wall time as a version of this writer.
    pub(crate) fn now(&self) -> Version {
        let micros = self.wall.wall_micros().saturating_sub(EPOCH_UNIX_MICROS);
        Version::new(u64::try_from(micros).unwrap_or(0), self.ordinal)
    }

    /// A new version, above every other that this clock has seen.
    pub(crate) fn issue(&mut self) -> Version {
        let now = self.now();
        self.last = if now > self.last { now } else { Version::new(self.last.micros() + 1, self.ordinal) };
        self.last
    }

    /// Takes note of a version that another writer released.
    pub(crate) fn observe(&mut self, version: Version) {
        self.last = self.last.max(version);
    }

    /// The highest version that was issued or observed.
    pub(crate) fn last(&self) -> Version {
        self.last
    }

    /// The stored ceiling: what is at or below it may be released.
    pub(crate) fn durable(&self) -> Version {
        self.durable
    }

    /// A ceiling was stored.
    pub(crate) fn stored(&mut self, ceiling: Version) {
        self.durable = self.durable.max(ceiling);
    }

    /// Whether a batch that is being written should carry a higher ceiling.
    pub(crate) fn is_near(&self) -> bool {
        let reached = self.last.max(self.now()).micros();
        reached + NEAR.as_micros() as u64 > self.durable.micros()
    }

    /// The ceiling to store now.
    pub(crate) fn next_ceiling(&self) -> Version {
        let from = self.last.max(self.now()).micros();
        Version::new(from + AHEAD.as_micros() as u64, self.ordinal)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    struct Crank(AtomicI64);

    impl Clock for Crank {
        fn wall_micros(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }

        fn boot(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn versions_increase_whatever_the_wall_clock_does() {
        let wall = Arc::new(Crank(AtomicI64::new(EPOCH_UNIX_MICROS + 1_000_000)));
        let mut clock = HybridClock::new(wall.clone(), 3, Version::ZERO);
        let mut before = clock.issue();
        for step in [0, 5, -500_000, 7, -1, 1_000_000] {
            wall.0.fetch_add(step, Ordering::Relaxed);
            let next = clock.issue();
            assert!(next > before, "{next} after {before}");
            assert_eq!(next.ordinal(), 3);
            before = next;
        }
        clock.observe(Version::new(before.micros() + 10, 4095));
        assert!(clock.issue() > Version::new(before.micros() + 10, 4095));
    }

    #[test]
    fn it_starts_above_the_floor_and_asks_for_a_ceiling() {
        let wall = Arc::new(Crank(AtomicI64::new(EPOCH_UNIX_MICROS)));
        let mut clock = HybridClock::new(wall, 1, Version::new(5_000, 4));
        assert!(clock.issue() > Version::new(5_000, 4095));
        assert!(clock.is_near());
        let ceiling = clock.next_ceiling();
        clock.stored(ceiling);
        assert!(!clock.is_near() && clock.durable() > clock.last());
    }
}
