//! Node Leases and Events are acknowledged early: a crash may take what was acknowledged less than [`LOSS`] before it.
//!
//! Gets show such a state at once; lists and watches only show what is durable. So whatever a list or a watch has shown is no
//! longer in doubt, nor is what somebody else's durable write was made from. An answer in doubt that names a state which nobody
//! showed durably is taken for no answer: it may have happened, or not. Nothing else is forgiven: an older write that is lost,
//! one that a watch told of, one without a crash, one of another kind.

use std::borrow::Cow;

use api::Version;
use hashbrown::HashSet;

use crate::history::{History, Key, Listed, Micros, Operation, Outcome, Told, Verb};

/// What a crash may take, in microseconds: the loss bound of relaxed kinds.
const LOSS: Micros = 1_000_000;
/// How much later than the crash an answer from before it may be read.
const LATE: Micros = 2_000_000;

/// Whether a kind is acknowledged early.
fn is_relaxed(key: &Key) -> bool {
    match &*key.resource {
        "events" => true,
        "leases" => key.namespace == "kube-node-lease",
        _ => false,
    }
}

/// The history as it would be if clients had never got the answers that a crash made void.
pub(super) fn without_what_was_lost(history: &History) -> Cow<'_, History> {
    let relaxed: Vec<bool> = history.keys.iter().map(is_relaxed).collect();
    let doubtful = |operation: &Operation| {
        let returned = operation.returned.unwrap_or(Micros::MAX);
        let near = |crash: &Micros| (crash.saturating_sub(LOSS)..crash + LATE).contains(&returned);
        relaxed[operation.key.0 as usize] && history.crashes.iter().any(near)
    };
    let doubtful: Vec<usize> =
        history.operations.iter().enumerate().filter(|(_, one)| doubtful(one)).map(|(at, _)| at).collect();
    if doubtful.is_empty() {
        return Cow::Borrowed(history);
    }
    let durable = durable(history, &doubtful);
    let mut history = history.clone();
    for at in doubtful {
        let operation = &mut history.operations[at];
        operation.outcome = match (operation.outcome, operation.verb) {
            (Outcome::Done { version, .. } | Outcome::Deleted { version: Some(version) }, _)
                if durable.contains(&version) =>
            {
                continue;
            }
            (Outcome::Done { .. } | Outcome::Deleted { .. } | Outcome::Unknown, _) => Outcome::Unknown,
            // What is there, or not there, was in doubt as well.
            (_, Verb::Get) => Outcome::Unknown,
            _ => Outcome::NotExecuted,
        };
    }
    Cow::Owned(history)
}

/// Versions that are known to be durable, in spite of any crash.
fn durable(history: &History, doubtful: &[usize]) -> HashSet<Version> {
    let mut durable = HashSet::new();
    for list in &history.lists {
        if let Listed::Page { items, .. } = &list.outcome {
            durable.extend(items.iter().map(|item| item.version));
        }
    }
    for line in history.watches.iter().flat_map(|watch| &watch.lines) {
        if let Told::Event { version, .. } = line.told {
            durable.insert(version);
        }
    }
    let in_doubt: HashSet<usize> = doubtful.iter().copied().collect();
    let wrote = |operation: &Operation| match operation.outcome {
        Outcome::Done { version, .. } => Some(version),
        Outcome::Deleted { version } => version,
        _ => None,
    };
    let certain = history.operations.iter().enumerate().filter(|(at, _)| !in_doubt.contains(at));
    durable.extend(certain.clone().filter_map(|(_, operation)| wrote(operation)));
    let done = |operation: &Operation| matches!(operation.outcome, Outcome::Done { .. } | Outcome::Deleted { .. });
    durable.extend(certain.filter(|(_, one)| done(one)).filter_map(|(_, one)| one.verb.precondition()));
    // Back along what was made from what, the newest first.
    let mut chain: Vec<(Version, Version)> = doubtful
        .iter()
        .filter_map(|at| Some((wrote(&history.operations[*at])?, history.operations[*at].verb.precondition()?)))
        .collect();
    chain.sort_unstable();
    for (version, from) in chain.into_iter().rev() {
        if durable.contains(&version) {
            durable.insert(from);
        }
    }
    durable
}
