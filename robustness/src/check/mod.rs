//! Holds a history against what a Kubernetes API over etcd promises.
//!
//! From all that was seen, [`log`](mod@log) reconstructs the order of committed writes: versions are that order. Then each
//! file checks one family of promises:
//!
//! - [`register`]: every object is a linearizable register. A search in the manner of Wing and Gong with Lowe's memory,
//!   one object at a time (objects do not see each other's operations, so the parts decide the whole). It goes by the
//!   versions first, which leaves almost nothing to search, and without them where that fails.
//! - [`versions`]: versions are unique and increase, and reads do not go back.
//! - [`lists`]: a list is a cut, and what was acknowledged is there in the end.
//! - [`watches`]: etcd's guarantees for watches, through selectors and over resumptions. A Kubernetes write changes one
//!   object, so *atomic* comes down to: one event for one version, with the same content for everybody.
//!
//! Before all that, [`relaxed`] takes out what a crash may have taken of kinds that are acknowledged early.
//!
//! Nothing is assumed of the server but that a version is a number. Where the history leaves something open (a lost
//! answer, a deletion whose version nobody saw), every explanation is allowed: a correct server is never accused.

mod coverage;
mod excerpt;
mod lists;
mod log;
mod place;
mod register;
mod relaxed;
pub(crate) mod search;
mod versions;
mod violation;
mod watches;

use crate::history::{History, Told};

pub use violation::{Guarantee, Verdict, Violation};

/// What a history may hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Whether others than the recorded clients write to the objects that these write to, or did before the history
    /// begins. Without it a state that no recorded write made is a violation.
    pub others_write: bool,
}

/// Checks everything.
pub fn check(history: &History, rules: Rules) -> Verdict {
    let history = &*relaxed::without_what_was_lost(history);
    let mut verdict =
        Verdict { operations: history.operations.len(), lists: history.lists.len(), ..Verdict::default() };
    let told = history.watches.iter().flat_map(|watch| &watch.lines);
    verdict.events = told.filter(|line| matches!(line.told, Told::Event { .. })).count();
    let mut log = log::Log::read(history, rules, &mut verdict);
    versions::check(history, &mut log, &mut verdict);
    let vanished = lists::check(history, &mut log, &mut verdict);
    watches::check(history, &mut log, &vanished, &mut verdict);
    register::check(history, &log, rules, &mut verdict);
    verdict
}
