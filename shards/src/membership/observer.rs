//! Judging others: a lease that did not change for the TTL, on the observer's own boot clock, is dead.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Timing;
use super::directory::{HeldLease, Pulse};

/// What one member has seen of the others' leases.
pub struct Observer {
    ttl: Duration,
    /// Longer than this without a look, and nothing can be said about the time between: the store or this process stood
    /// still, and so perhaps did the renewals of all the others.
    gap: Duration,
    looked: Option<Duration>,
    seen: BTreeMap<u16, Seen>,
}

struct Seen {
    held: HeldLease,
    since: Duration,
}

impl Observer {
    /// One that has seen nothing.
    pub fn new(timing: &Timing) -> Self {
        Self { ttl: timing.ttl, gap: timing.ttl / 2, looked: None, seen: BTreeMap::new() }
    }

    /// Takes note of what was read. `now`: the boot clock *after* the read returned.
    pub fn observe(&mut self, now: Duration, pulse: &Pulse) {
        let blind = self.looked.is_none_or(|looked| now.saturating_sub(looked) > self.gap);
        self.looked = Some(now);
        self.seen.retain(|ordinal, _| pulse.leases.contains_key(ordinal));
        for (ordinal, held) in &pulse.leases {
            match self.seen.get_mut(ordinal) {
                Some(seen) if seen.held == *held && !blind => {}
                _ => {
                    let seen = Seen { held: held.clone(), since: now };
                    self.seen.insert(*ordinal, seen);
                }
            }
        }
    }

    /// The lease of a member as it was seen last.
    pub fn seen(&self, ordinal: u16) -> Option<&HeldLease> {
        self.seen.get(&ordinal).map(|seen| &seen.held)
    }

    /// Whether the member was silent for the TTL.
    pub fn is_dead(&self, now: Duration, ordinal: u16) -> bool {
        self.seen.get(&ordinal).is_some_and(|seen| now.saturating_sub(seen.since) >= self.ttl)
    }

    /// Those that were silent for the TTL, with the lease to fence them by.
    pub fn dead(&self, now: Duration) -> impl Iterator<Item = (u16, &HeldLease)> {
        let silent = move |(_, seen): &(&u16, &Seen)| now.saturating_sub(seen.since) >= self.ttl;
        self.seen.iter().filter(silent).map(|(ordinal, seen)| (*ordinal, &seen.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::records::Lease;

    fn pulse(renewals: &[(u16, u64)]) -> Pulse {
        let lease = |renewals: u64| {
            let text = format!(r#"{{"incarnation":"1","renewals":{renewals}}}"#);
            HeldLease { lease: Lease::decode(text.as_bytes()).unwrap(), raw: text.into() }
        };
        let leases = renewals.iter().map(|(ordinal, renewals)| (*ordinal, lease(*renewals))).collect();
        Pulse { leases, ..Pulse::default() }
    }

    #[test]
    fn silence_for_the_ttl_is_death_and_nothing_less() {
        let timing = Timing::default();
        let mut observer = Observer::new(&timing);
        let step = Duration::from_millis(150);
        let (mut now, mut renewals) = (Duration::from_secs(100), 0);
        // One renews at every other look, the other fell silent before the first.
        let began = now;
        while now - began < timing.ttl {
            renewals += 1;
            observer.observe(now, &pulse(&[(1, renewals / 2), (2, 7)]));
            assert_eq!(observer.dead(now).count(), 0);
            now += step;
        }
        observer.observe(now, &pulse(&[(1, renewals), (2, 7)]));
        assert_eq!(observer.dead(now).map(|(ordinal, _)| ordinal).collect::<Vec<_>>(), [2]);
        observer.observe(now, &pulse(&[(1, renewals), (2, 8)]));
        assert_eq!(observer.dead(now).count(), 0, "a late sign of life is one");
    }

    #[test]
    fn who_could_not_look_says_nothing_about_others() {
        let timing = Timing::default();
        let mut observer = Observer::new(&timing);
        let mut now = Duration::from_secs(5);
        observer.observe(now, &pulse(&[(1, 1)]));
        // The store was away for a minute: nobody could renew.
        now += Duration::from_secs(60);
        observer.observe(now, &pulse(&[(1, 1)]));
        assert_eq!(observer.dead(now).count(), 0);
        while now < Duration::from_secs(65) + timing.ttl {
            now += timing.poll;
            observer.observe(now, &pulse(&[(1, 1)]));
        }
        assert!(observer.is_dead(now, 1));
    }
}
