//! Every object is a linearizable register with versions.

use api::Version;
use hashbrown::HashMap;

use super::log::{Commit, Log, What};
use super::search::{Finds, Limits, Object, Step, Steps, Stuck, search};
use super::{Guarantee, Rules, Verdict, excerpt};
use crate::history::{History, KeyId, Micros, Operation, Outcome, Verb};

/// Visits of a search that goes by the versions: it hardly branches.
const IN_ORDER: usize = 2_000_000;
/// Visits of one that does not, and only says what a failure is.
const ANY_ORDER: usize = 200_000;
/// Operations of an order that are shown before the place where it breaks off, and of those that do not fit.
const SHOWN: usize = 4;

/// The steps of one object, and which operation each certain one is (`None`: somebody else's write).
struct Input {
    steps: Steps,
    operations: Vec<Option<usize>>,
}

pub(super) fn check(history: &History, log: &Log, rules: Rules, verdict: &mut Verdict) {
    for number in 0..log.keys.len() {
        let key = KeyId(u32::try_from(number).expect("ids of keys are 32 bits"));
        if !log.keys[number].written {
            continue;
        }
        let input = input(history, log, rules, key);
        let Err(stuck) = search(&input.steps, Limits { in_order: true, visits: IN_ORDER }) else { continue };
        let name = history.key(key);
        match search(&input.steps, Limits { in_order: false, visits: ANY_ORDER }) {
            Ok(()) => {
                let what = format!("the writes of {name} happened in another order than that of their versions");
                verdict.add(Guarantee::VersionOrder, what, || show(history, &input, &stuck));
            }
            Err(other) => {
                let proof = if other.exhausted { "no order of them" } else { "no order by their versions" };
                let what = format!("the operations on {name} do not fit one object: {proof} explains them");
                verdict.add(Guarantee::Linearizable, what, || show(history, &input, &stuck));
            }
        }
    }
}

fn input(history: &History, log: &Log, rules: Rules, key: KeyId) -> Input {
    let of = &log.keys[key.0 as usize];
    let commits: Vec<&Commit> = of.commits.iter().map(|at| &log.commits[*at]).collect();
    let mut certain: Vec<(Step, Option<usize>)> = Vec::new();
    let mut perhaps = Vec::new();
    let by: HashMap<usize, &Commit> =
        commits.iter().filter(|commit| !commit.phantom).filter_map(|commit| Some((commit.by?, *commit))).collect();
    for at in &of.operations {
        let operation = &history.operations[*at];
        let returned = operation.returned.unwrap_or(Micros::MAX);
        match step(operation, returned) {
            Some(step) => certain.push((step, Some(*at))),
            None => match (by.get(at), unknown(operation)) {
                (Some(commit), Some(step)) => {
                    let leaves = Some(Object::At(commit.version));
                    certain.push((Step { returned: commit.seen, leaves, ..step }, Some(*at)));
                }
                (None, Some(step)) => perhaps.push(step),
                (_, None) => {}
            },
        }
    }
    if rules.others_write {
        let others = commits.iter().filter(|commit| commit.by.is_none() && matches!(commit.what, What::Put(_)));
        certain.extend(others.map(|commit| {
            let leaves = Some(Object::At(commit.version));
            (Step { invoked: 0, returned: commit.seen, finds: Finds::Anything, leaves }, None)
        }));
    }
    certain.sort_by_key(|(step, _)| step.invoked);
    perhaps.sort_by_key(|step: &Step| step.invoked);
    let deletions: Vec<Version> =
        commits.iter().filter(|commit| commit.what == What::Delete).map(|commit| commit.version).collect();
    let (certain, operations) = certain.into_iter().unzip();
    Input { steps: Steps { certain, perhaps, free_deletions: rules.others_write, deletions }, operations }
}

/// What an operation with an answer did; `None` where that is open or nothing.
fn step(operation: &Operation, returned: Micros) -> Option<Step> {
    let present = || operation.verb.precondition().map_or(Finds::Present, Finds::At);
    let (finds, leaves) = match (operation.outcome, operation.verb) {
        (Outcome::Done { version, .. }, Verb::Get) => (Finds::At(version), None),
        (Outcome::Done { version, .. }, Verb::Create) => (Finds::Absent, Some(Object::At(version))),
        (Outcome::Done { version, .. }, _) => (present(), Some(Object::At(version))),
        (Outcome::Deleted { .. }, _) => (present(), Some(Object::Absent)),
        (Outcome::NotFound, _) => (Finds::Absent, None),
        (Outcome::AlreadyExists, _) => (Finds::Present, None),
        (Outcome::Conflict, verb) => (verb.precondition().map_or(Finds::Anything, Finds::NotAt), None),
        (Outcome::Unknown | Outcome::NotExecuted, _) => return None,
    };
    Some(Step { invoked: operation.invoked, returned, finds, leaves })
}

/// What an operation may have done whose outcome nobody knows.
fn unknown(operation: &Operation) -> Option<Step> {
    if operation.outcome != Outcome::Unknown {
        return None;
    }
    let present = || operation.verb.precondition().map_or(Finds::Present, Finds::At);
    let (finds, leaves) = match operation.verb {
        Verb::Get => return None,
        Verb::Create => (Finds::Absent, Object::Hidden),
        Verb::Update(_) | Verb::Patch(_) => (present(), Object::Hidden),
        Verb::Delete(_) => (present(), Object::Absent),
    };
    Some(Step { invoked: operation.invoked, returned: Micros::MAX, finds, leaves: Some(leaves) })
}

fn show(history: &History, input: &Input, stuck: &Stuck) -> Vec<String> {
    let line = |at: usize| match input.operations[at] {
        Some(operation) => excerpt::operation(history, operation),
        None => format!("somebody else: {:?}", input.steps.certain[at]),
    };
    let mut lines = Vec::new();
    let from = stuck.order.len().saturating_sub(SHOWN);
    if from > 0 {
        lines.push(format!("{from} fit, then"));
    }
    for taken in &stuck.order[from..] {
        lines.push(taken.map_or_else(|| "(one of unknown outcome)".to_owned(), line));
    }
    lines.push(format!("which leaves it {:?}; of these must come next, and none can:", stuck.object));
    lines.extend(stuck.waiting.iter().take(SHOWN).map(|at| line(*at)));
    if stuck.waiting.len() > SHOWN {
        lines.push(format!("and {} more", stuck.waiting.len() - SHOWN));
    }
    lines
}
