//! What came of a seed, and which seeds are run.

use std::fmt;

use robustness::load::{Ran, RunError};
use xxhash_rust::xxh3::xxh3_64;

/// What came of a seed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What is wrong, in words.
    pub violations: Vec<String>,
    /// A hash over everything that has happened, and over the history. Two runs of one seed have the same.
    pub trace: u64,
    /// The faults, and how processes ended, with their times.
    pub story: Vec<String>,
    /// Verbs on single objects.
    pub operations: usize,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Pages of lists.
    pub lists: usize,
    /// Events that watchers were told.
    pub events: usize,
}

impl Outcome {
    /// What the clients have seen, and how it is judged. `None`: they did not come to their end.
    pub fn hear(&mut self, ran: Option<Result<Ran, RunError>>) {
        match ran {
            None => self.violations.push("the clients do not come to their end".to_owned()),
            Some(Err(error)) => self.violations.push(error.to_string()),
            Some(Ok(Ran { history, verdict, report })) => {
                if !verdict.is_fine() {
                    self.violations.push(verdict.to_string());
                }
                self.violations.extend(report.stalled.iter().chain(&report.odd).cloned());
                if report.silent > 0 {
                    self.violations.push(format!("{} calls were not answered", report.silent));
                }
                let mut seen = Vec::new();
                history.save(&mut seen).expect("memory takes it");
                self.trace ^= xxh3_64(&seen);
                self.operations = report.operations;
                self.acknowledged = report.acknowledged;
                self.lists = report.lists;
                self.events = report.events;
            }
        }
    }
}

/// The story, and what is wrong.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.story.iter().chain(&self.violations).try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// The first `count` seeds, as many as `SHARDPLANE_SEEDS` says, or the one of `SHARDPLANE_SEED`.
pub fn seeds(count: u64) -> Vec<u64> {
    match number("SHARDPLANE_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("SHARDPLANE_SEEDS").unwrap_or(count)).collect(),
    }
}
