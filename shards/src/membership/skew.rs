//! How far one's wall clock is off the others' (DESIGN D4): each renewal carries a reading of its writer's clock.
//!
//! A reading is old when it is seen: by the commit, and by up to a poll. So the youngest of the last few counts, and a clock
//! that seems to be behind gets an allowance. Only a member that is off from more than half of all, in one direction, is the
//! one whose clock is wrong: of two that differ, nobody can say which.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::directory::Pulse;

/// How far off is too far.
pub const LIMIT: Duration = Duration::from_secs(1);
/// How old the youngest reading may be.
const ALLOWANCE: Duration = Duration::from_millis(500);
/// Readings of each that are compared, and how many there must be.
const READINGS: (usize, usize) = (6, 3);

/// What one member knows of the others' clocks.
#[derive(Default)]
pub(crate) struct Skew {
    others: BTreeMap<u16, Other>,
    is_off: bool,
}

struct Other {
    incarnation: u128,
    renewals: u64,
    /// Microseconds by which a reading was ahead of the own clock when it was seen.
    ahead: VecDeque<i64>,
}

impl Skew {
    /// Takes note of what was read at `wall` on the own clock. Unless the store answers `promptly`, readings are too old.
    pub(crate) fn observe(&mut self, me: u16, wall: i64, pulse: &Pulse, promptly: bool) {
        self.others.retain(|ordinal, _| pulse.leases.contains_key(ordinal));
        for (ordinal, held) in pulse.leases.iter().filter(|(ordinal, _)| **ordinal != me) {
            let lease = &held.lease;
            let new = || Other { incarnation: lease.incarnation, renewals: lease.renewals, ahead: VecDeque::new() };
            let other = self.others.entry(*ordinal).or_insert_with(new);
            if other.incarnation != lease.incarnation {
                *other = new();
            } else if other.renewals != lease.renewals {
                other.renewals = lease.renewals;
                if promptly {
                    other.ahead.push_back(lease.clock - wall);
                }
                if other.ahead.len() > READINGS.0 {
                    other.ahead.pop_front();
                }
            }
        }
        // Back only when it is well within the limit, so that nothing moves to and fro.
        let limit = if self.is_off { LIMIT / 2 } else { LIMIT }.as_micros() as i64;
        self.is_off = self.majority_beyond(limit);
    }

    /// Whether the own clock is the one that is wrong.
    pub(crate) fn is_off(&self) -> bool {
        self.is_off
    }

    /// By how many microseconds the others' clocks are ahead, as far as is known, by ordinal.
    pub(crate) fn ahead(&self) -> impl Iterator<Item = (u16, i64)> + '_ {
        let known = self.others.iter().filter(|(_, other)| other.ahead.len() >= READINGS.1);
        known.filter_map(|(ordinal, other)| Some((*ordinal, other.ahead.iter().max().copied()?)))
    }

    fn majority_beyond(&self, limit: i64) -> bool {
        let ahead = self.ahead().filter(|(_, ahead)| *ahead > limit).count();
        let behind = self.ahead().filter(|(_, ahead)| *ahead < -limit - ALLOWANCE.as_micros() as i64).count();
        ahead.max(behind) * 2 > self.others.len() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::directory::HeldLease;
    use crate::membership::records::Lease;

    /// What a member sees whose own clock is right, of others that are ahead by those many milliseconds.
    fn seen(skew: &mut Skew, ahead: &[i64], rounds: u64) {
        for round in 0..rounds {
            let wall = round as i64 * 400_000;
            let lease = |ahead: i64| {
                // Between nothing and 300 ms old.
                let clock = wall + ahead * 1000 - (round as i64 * 70_000) % 300_000;
                let text = format!(r#"{{"incarnation":"1","renewals":{round},"clock":{clock}}}"#);
                HeldLease { lease: Lease::decode(text.as_bytes()).unwrap(), raw: text.into() }
            };
            let leases = ahead.iter().enumerate().map(|(at, ahead)| (at as u16 + 1, lease(*ahead))).collect();
            skew.observe(0, wall, &Pulse { leases, ..Pulse::default() }, true);
        }
    }

    #[test]
    fn the_one_that_is_off_from_most_is_off() {
        let off = |ahead: &[i64]| {
            let mut skew = Skew::default();
            seen(&mut skew, ahead, 12);
            skew.is_off()
        };
        assert!(!off(&[]) && !off(&[0, 0]) && !off(&[900, 900]) && !off(&[-900, -900]));
        assert!(off(&[1500, 1500]) && off(&[-1700, -1700, -1700]));
        assert!(!off(&[5000]) && !off(&[-5000]), "of two, nobody knows which");
        assert!(!off(&[5000, 0]), "it is the other one");
        assert!(!off(&[5000, -5000]));
        assert!(!off(&[3000, 3000, 0]), "two against two");
        assert!(off(&[3000, 3000, 3000, 0]));
    }

    #[test]
    fn a_clock_that_is_put_right_is_right() {
        let mut skew = Skew::default();
        seen(&mut skew, &[2000, 2000], 12);
        assert!(skew.is_off());
        seen(&mut skew, &[800, 800], 12);
        assert!(skew.is_off(), "not so soon");
        seen(&mut skew, &[100, 100], 12);
        assert!(!skew.is_off());
    }
}
