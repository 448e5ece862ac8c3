//! A circuit breaker for each server: one that keeps failing is not waited for by everybody. While it is open a call fails at
//! once; after a pause one call probes whether the server is back.

use std::time::Duration;

use parking_lot::Mutex;

/// Failures in a row that open it.
const OPENS_AFTER: u32 = 5;
/// First and longest pause before a probe.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// See the module. Times are of this boot.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When the next probe may start, and the pause before it, while it is open.
    open: Option<(Duration, Duration)>,
    probing: bool,
    last: String,
}

/// Leave to call. Dropped without a verdict, it says nothing about the server.
pub struct Permit<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Breaker {
    /// Leave to call, or why there is none.
    pub fn enter(&self, now: Duration) -> Result<Permit<'_>, String> {
        let mut state = self.0.lock();
        let Some((until, _)) = state.open else { return Ok(Permit { breaker: self, is_probe: false }) };
        if state.probing || now < until {
            let (failures, last) = (state.failures, &state.last);
            return Err(format!(
                "it is not called for a while after {failures} failures in a row, the last one: {last}"
            ));
        }
        state.probing = true;
        Ok(Permit { breaker: self, is_probe: true })
    }
}

impl Permit<'_> {
    /// The server answered.
    pub fn succeeded(self) {
        *self.breaker.0.lock() = State { probing: false, ..State::default() };
    }

    /// It did not. Answers whether this opened the breaker.
    pub fn failed(self, now: Duration, why: &str) -> bool {
        let mut state = self.breaker.0.lock();
        state.failures = state.failures.saturating_add(1);
        state.last = why.to_owned();
        match state.open {
            // Calls from before it opened come back late and say nothing new.
            Some((_, pause)) if self.is_probe => {
                let pause = (pause * 2).min(PAUSE.1);
                state.open = Some((now + pause, pause));
                false
            }
            Some(_) => false,
            None if state.failures >= OPENS_AFTER => {
                state.open = Some((now + PAUSE.0, PAUSE.0));
                true
            }
            None => false,
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.0.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_is_closed_by_a_probe() {
        let breaker = Breaker::default();
        let fail = |now| breaker.enter(at(now)).unwrap_or_else(|why| panic!("{why}")).failed(at(now), "refused");
        for now in 0..4 {
            assert!(!fail(now));
        }
        breaker.enter(at(4)).ok().unwrap().succeeded();
        for now in 5..9 {
            assert!(!fail(now), "only failures in a row count");
        }
        assert!(fail(9));
        let why = breaker.enter(at(10)).err().unwrap();
        assert_eq!(why, "it is not called for a while after 5 failures in a row, the last one: refused");
        assert!(breaker.enter(at(1008)).is_err());
        // One probe at a time.
        let probe = breaker.enter(at(1009)).ok().unwrap();
        assert!(breaker.enter(at(1009)).is_err());
        assert!(!probe.failed(at(1009), "refused"));
        assert!(breaker.enter(at(3008)).is_err(), "the pause has doubled");
        breaker.enter(at(3009)).ok().unwrap().succeeded();
        assert!(breaker.enter(at(3010)).is_ok() && breaker.enter(at(3010)).is_ok());
    }

    #[test]
    fn a_probe_that_is_given_up_lets_another_try() {
        let breaker = Breaker::default();
        for _ in 0..5 {
            breaker.enter(at(0)).ok().unwrap().failed(at(0), "refused");
        }
        drop(breaker.enter(at(1000)).ok().unwrap());
        assert!(breaker.enter(at(1000)).is_ok());
    }

    #[test]
    fn pauses_end_somewhere() {
        let breaker = Breaker::default();
        let mut now = Duration::ZERO;
        for _ in 0..40 {
            now += PAUSE.1;
            breaker.enter(now).ok().unwrap().failed(now, "refused");
        }
        assert!(breaker.enter(now + PAUSE.1).is_ok());
    }
}
