//! What can be wrong, and how it is told.

use std::collections::BTreeMap;
use std::fmt;

/// A promise that a history can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// The operations on one object happen one after the other, each between its invocation and its return.
    Linearizable,
    /// One version is replaced by one write: two that named it as their precondition did not both succeed.
    OneSuccessor,
    /// A write happens once or not at all.
    ExecutedOnce,
    /// A version belongs to one write of one object.
    VersionUnique,
    /// A later write of an object has a higher version.
    VersionOrder,
    /// A read that begins after a write was acknowledged sees it.
    ReadsFresh,
    /// A read that begins after another one ended does not see an older state.
    ReadsForward,
    /// What anybody sees was committed: it stays, and somebody wrote it.
    ReadsCommitted,
    /// A list at a version is the state at that version.
    ListCut,
    /// A list is of the moment that was asked for, the latest not older than what was acknowledged before.
    ListFresh,
    /// The pages of one continue chain are one cut.
    ListPages,
    /// Events come in the order of their versions.
    WatchOrdered,
    /// No event comes twice, nor one that the list before the watch held.
    WatchUnique,
    /// No event is left out between others.
    WatchReliable,
    /// An event shows one whole write: everybody who sees its version sees the same.
    WatchAtomic,
    /// A watch from a version that was seen goes on exactly behind it.
    WatchResumable,
    /// Behind a bookmark nothing older comes, and nothing up to it is missing.
    WatchBookmarkable,
    /// ADDED, MODIFIED and DELETED as the selector's view changes.
    WatchTyped,
    /// DELETED shows the last state, at the version of the deletion.
    WatchDeleted,
    /// What was acknowledged is there in the end.
    Durable,
}

/// One broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub guarantee: Guarantee,
    /// Exactly what, in a sentence.
    pub what: String,
    /// The records that show it, as few as will do.
    pub excerpt: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.guarantee, self.what)?;
        self.excerpt.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// Violations of one guarantee that are shown; the others are counted.
const SHOWN: usize = 5;

/// What came of a check.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// At most five of each guarantee.
    pub violations: Vec<Violation>,
    /// How many there are of each.
    pub counts: BTreeMap<Guarantee, usize>,
    /// Operations that were looked at.
    pub operations: usize,
    /// Pages of lists that were looked at.
    pub lists: usize,
    /// Events of watches that were looked at.
    pub events: usize,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_fine(&self) -> bool {
        self.counts.is_empty()
    }

    /// How often a guarantee is broken.
    pub fn broken(&self, guarantee: Guarantee) -> usize {
        self.counts.get(&guarantee).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, guarantee: Guarantee, what: String, excerpt: impl FnOnce() -> Vec<String>) {
        let count = self.counts.entry(guarantee).or_default();
        *count += 1;
        if *count <= SHOWN {
            self.violations.push(Violation { guarantee, what, excerpt: excerpt() });
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, lists, events, .. } = self;
        write!(f, "{operations} operations, {lists} pages, {events} events")?;
        if self.is_fine() {
            return f.write_str(": nothing is wrong");
        }
        for (guarantee, count) in &self.counts {
            write!(f, "\n{guarantee:?} is broken {count} times")?;
        }
        self.violations.iter().try_for_each(|violation| write!(f, "\n{violation}"))
    }
}
