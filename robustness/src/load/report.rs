//! The figures of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::Shared;
use crate::history::{Listed, Micros, Outcome, Verb};
use crate::{Guarantee, History, Verdict};

/// What a fault cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultReport {
    /// As the caller named it.
    pub name: String,
    /// From the start of the writers.
    pub began: Duration,
    /// How long it lasted.
    pub took: Duration,
    /// The longest time without service of any namespace, from its beginning to that of the next fault.
    pub outage: Duration,
    /// The longest time for which a watch of all namespaces was told nothing, likewise.
    pub watch_pause: Duration,
    /// The longest time without a page of any list, likewise.
    pub list_pause: Duration,
}

/// What a run says of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Verbs on single objects.
    pub operations: usize,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Writes of which nobody knows.
    pub unknown: usize,
    /// Pages of lists.
    pub lists: usize,
    /// Events that watchers were told.
    pub events: usize,
    /// Watches that went on where another one ended.
    pub resumptions: u64,
    /// Watchers that had to list anew, after 410.
    pub relists: u64,
    /// Acknowledged writes that are not there.
    pub acknowledged_lost: usize,
    /// Events that a watcher should have been told and was not.
    pub events_lost: usize,
    /// Events that a watcher was told twice, or in the wrong order.
    pub events_repeated: usize,
    /// All violations, those above among them.
    pub violations: usize,
    /// The longest time without an answer that serves, by namespace.
    pub longest_outage: BTreeMap<String, Duration>,
    /// The longest time for which a watch of all namespaces was told nothing.
    pub watch_pause: Duration,
    /// 503 and 429 with Retry-After.
    pub unavailable: u64,
    /// 503 and 429 without.
    pub unavailable_without_retry_after: u64,
    /// Other answers of 500 and above.
    pub errors: u64,
    /// Requests whose connection broke or could not be made.
    pub unanswered: u64,
    /// Calls that got neither an answer nor an error within their deadline.
    pub silent: u64,
    /// Watchers that did not come to the end in time, in words.
    pub stalled: Vec<String>,
    /// Answers that a correct server does not give, as examples.
    pub odd: Vec<String>,
    /// The faults.
    pub faults: Vec<FaultReport>,
}

impl Report {
    pub(super) fn new(
        shared: &Shared,
        history: &History,
        verdict: &Verdict,
        (began, ended): (Micros, Micros),
        faults: &[(String, Micros, Micros)],
        stalled: Vec<String>,
    ) -> Self {
        let writes = || history.operations.iter().filter(|operation| operation.verb != Verb::Get);
        let done = |outcome| matches!(outcome, Outcome::Done { .. } | Outcome::Deleted { .. });
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let broken = |all: &[Guarantee]| all.iter().map(|guarantee| verdict.broken(*guarantee)).sum();
        let (served, told, listed) = (served(history), told(history), listed(history));
        let watch_pause = |from, to| told.values().map(|times| longest(times, from, to)).max().unwrap_or_default();
        let span = |from: Micros, to: Micros| Duration::from_micros(to.saturating_sub(from));
        let next = faults.iter().skip(1).map(|fault| fault.1).chain([ended]);
        let faults = faults.iter().zip(next).map(|((name, from, to), next)| FaultReport {
            name: name.clone(),
            began: span(began, *from),
            took: span(*from, *to),
            outage: served.values().map(|times| longest(times, *from, next)).max().unwrap_or_default(),
            watch_pause: watch_pause(*from, next),
            list_pause: longest(&listed, *from, next),
        });
        let faults = faults.collect();
        use Guarantee::{WatchBookmarkable, WatchOrdered, WatchReliable, WatchResumable, WatchUnique};
        Self {
            operations: history.operations.len(),
            acknowledged: writes().filter(|operation| done(operation.outcome)).count(),
            unknown: writes().filter(|operation| operation.outcome == Outcome::Unknown).count(),
            lists: history.lists.len(),
            events: verdict.events,
            resumptions: count(&shared.resumptions),
            relists: count(&shared.relists),
            acknowledged_lost: verdict.broken(Guarantee::Durable),
            events_lost: broken(&[WatchReliable, WatchResumable, WatchBookmarkable]),
            events_repeated: broken(&[WatchUnique, WatchOrdered]),
            violations: verdict.counts.values().sum(),
            longest_outage: served.iter().map(|(name, times)| (name.clone(), longest(times, began, ended))).collect(),
            watch_pause: watch_pause(began, ended),
            unavailable: count(&shared.counts.unavailable),
            unavailable_without_retry_after: count(&shared.counts.unavailable_without_retry_after),
            errors: count(&shared.counts.errors),
            unanswered: count(&shared.counts.unanswered),
            silent: count(&shared.silent),
            stalled,
            odd: shared.odd.lock().clone(),
            faults,
        }
    }

    /// Whether nothing is lost, repeated or silent.
    pub fn is_fine(&self) -> bool {
        self.violations == 0 && self.silent == 0 && self.stalled.is_empty() && self.odd.is_empty()
    }
}

/// When each namespace gave an answer that serves: any but an error of the server's.
fn served(history: &History) -> BTreeMap<String, Vec<Micros>> {
    let mut served: BTreeMap<String, Vec<Micros>> = BTreeMap::new();
    for operation in &history.operations {
        let serves = !matches!(operation.outcome, Outcome::Unknown | Outcome::NotExecuted);
        if let Some(returned) = operation.returned.filter(|_| serves) {
            let namespace = history.key(operation.key).namespace.to_string();
            served.entry(namespace).or_default().push(returned);
        }
    }
    served.values_mut().for_each(|times| times.sort_unstable());
    served
}

/// When pages of lists came.
fn listed(history: &History) -> Vec<Micros> {
    let pages = history.lists.iter().filter(|list| matches!(list.outcome, Listed::Page { .. }));
    let mut listed: Vec<Micros> = pages.filter_map(|list| list.returned).collect();
    listed.sort_unstable();
    listed
}

/// When each watcher of all namespaces read a line, over all its watches.
fn told(history: &History) -> BTreeMap<u32, Vec<Micros>> {
    let mut told: BTreeMap<u32, Vec<Micros>> = BTreeMap::new();
    for watch in &history.watches {
        let scope = &watch.scope;
        if scope.namespace.is_empty() && scope.name.is_empty() && scope.tags == 0 {
            told.entry(watch.client).or_default().extend(watch.lines.iter().map(|line| line.time));
        }
    }
    told
}

/// The longest time between two of these, or one of these and an end.
fn longest(times: &[Micros], began: Micros, ended: Micros) -> Duration {
    let within = times.iter().copied().filter(|time| (began..=ended).contains(time));
    let (mut last, mut longest) = (began, 0);
    for time in within.chain([ended]) {
        longest = longest.max(time - last);
        last = time;
    }
    Duration::from_micros(longest)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} operations, {} pages, {} events", self.operations, self.lists, self.events)?;
        writeln!(f, "acknowledged {}, of unknown outcome {}", self.acknowledged, self.unknown)?;
        writeln!(f, "acknowledged and lost {}", self.acknowledged_lost)?;
        writeln!(f, "events lost {}, repeated {}", self.events_lost, self.events_repeated)?;
        writeln!(f, "violations {}", self.violations)?;
        writeln!(f, "watches resumed {}, listed anew {}", self.resumptions, self.relists)?;
        let (with, without) = (self.unavailable, self.unavailable_without_retry_after);
        writeln!(f, "unavailable with Retry-After {with}, without {without}; other errors {}", self.errors)?;
        writeln!(f, "connections broken or refused {}, silent {}", self.unanswered, self.silent)?;
        for (namespace, outage) in &self.longest_outage {
            writeln!(f, "longest outage of {namespace}: {outage:?}")?;
        }
        writeln!(f, "longest pause of a wide watch: {:?}", self.watch_pause)?;
        for fault in &self.faults {
            let FaultReport { name, began, took, outage, watch_pause, list_pause } = fault;
            writeln!(f, "{name} at {began:?} took {took:?}:")?;
            writeln!(
                f,
                "  longest outage {outage:?}, wide watches paused {watch_pause:?}, lists paused {list_pause:?}"
            )?;
        }
        self.stalled.iter().chain(&self.odd).try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_counts_to_both_ends() {
        let longest = |times: &[Micros]| longest(times, 10, 100).as_micros();
        assert_eq!(longest(&[20, 30, 95]), 65);
        assert_eq!(longest(&[60, 70]), 50);
        assert_eq!(longest(&[]), 90);
        assert_eq!(longest(&[5, 12, 40, 200]), 60);
    }
}
