//! Versions increase, and reads do not go back.
//!
//! All of it follows from the times of what is known: a write that was acknowledged, or a state that somebody saw, was
//! committed by then, and whatever begins later must be at least as new.

use api::Version;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::log::{Log, Source, What};
use super::{Guarantee, Verdict, excerpt};
use crate::history::{History, KeyId, Micros, Operation, Outcome, Verb};

/// When a version was known, and where from.
pub(super) type Known = (Micros, Version, usize);

/// The highest version so far, by time.
#[derive(Debug, Default)]
pub(super) struct Floor {
    /// Sorted by time; versions increase. With the version goes whatever it came from.
    steps: Vec<Known>,
}

impl Floor {
    pub(super) fn new(mut known: Vec<Known>) -> Self {
        known.sort_unstable();
        let mut steps: Vec<Known> = Vec::with_capacity(known.len());
        for step in known {
            if steps.last().is_none_or(|last| last.1 < step.1) {
                steps.push(step);
            }
        }
        Self { steps }
    }

    /// What was known before a time.
    pub(super) fn at(&self, time: Micros) -> Option<(Version, usize)> {
        let next = self.steps.partition_point(|step| step.0 < time);
        next.checked_sub(1).map(|at| (self.steps[at].1, self.steps[at].2))
    }
}

pub(super) fn check(history: &History, log: &mut Log, verdict: &mut Verdict) {
    successors(history, verdict);
    for number in 0..log.keys.len() {
        let key = KeyId(u32::try_from(number).expect("ids of keys are 32 bits"));
        writes(history, log, key, verdict);
        reads(history, log, key, verdict);
    }
}

/// Two writes that replaced one version.
fn successors(history: &History, verdict: &mut Verdict) {
    let mut replaced: HashMap<(KeyId, Version), usize> = HashMap::new();
    for (at, operation) in history.operations.iter().enumerate() {
        let Some(version) = operation.verb.precondition() else { continue };
        if !matches!(operation.outcome, Outcome::Done { .. } | Outcome::Deleted { .. }) {
            continue;
        }
        match replaced.entry((operation.key, version)) {
            Entry::Vacant(vacant) => drop(vacant.insert(at)),
            Entry::Occupied(occupied) => {
                let what = format!("version {version} of {} was replaced twice", history.key(operation.key));
                let other = *occupied.get();
                let show = || vec![excerpt::operation(history, other), excerpt::operation(history, at)];
                verdict.add(Guarantee::OneSuccessor, what, show);
            }
        }
    }
}

/// The version that an acknowledged write got.
fn written(operation: &Operation) -> Option<Version> {
    match operation.outcome {
        Outcome::Done { version, .. } if operation.verb != Verb::Get => Some(version),
        Outcome::Deleted { version } => version,
        _ => None,
    }
}

/// A write that begins after another one returned has a higher version.
fn writes(history: &History, log: &Log, key: KeyId, verdict: &mut Verdict) {
    let operations = &log.keys[key.0 as usize].operations;
    let all =
        || operations.iter().filter_map(|at| Some((*at, &history.operations[*at], written(&history.operations[*at])?)));
    let floor =
        Floor::new(all().filter_map(|(at, operation, version)| Some((operation.returned?, version, at))).collect());
    for (at, operation, version) in all() {
        if let Some(of) = operation.verb.precondition().filter(|of| *of >= version) {
            let what = format!("{} went from {of} back to {version}", history.key(key));
            verdict.add(Guarantee::VersionOrder, what, || vec![excerpt::operation(history, at)]);
        }
        let Some((before, other)) = floor.at(operation.invoked).filter(|(before, _)| *before >= version) else {
            continue;
        };
        let what = format!("{} got {version} after {before}", history.key(key));
        let show = || vec![excerpt::operation(history, other), excerpt::operation(history, at)];
        verdict.add(Guarantee::VersionOrder, what, show);
    }
}

/// A read is not older than what was known when it began.
fn reads(history: &History, log: &mut Log, key: KeyId, verdict: &mut Verdict) {
    let of = &log.keys[key.0 as usize];
    let known = of.commits.iter().map(|at| (log.commits[*at].known(), log.commits[*at].version, *at));
    let floor = Floor::new(known.filter(|known| known.0 != Micros::MAX).collect());
    let mut phantoms = Vec::new();
    let mut missed = Vec::new();
    for at in &of.operations {
        let operation = &history.operations[*at];
        if operation.verb != Verb::Get {
            continue;
        }
        let Some((newest, commit)) = floor.at(operation.invoked) else { continue };
        let name = history.key(key);
        let what = match operation.outcome {
            Outcome::Done { version, .. } if version < newest => format!("{name} was read at {version} after {newest}"),
            Outcome::NotFound if !may_be_gone(history, log, key, commit, operation) => {
                format!("{name} was not found, though it was at {newest} and nobody deleted it")
            }
            _ => continue,
        };
        let commit_at = commit;
        let commit = &log.commits[commit_at];
        let guarantee = match commit.acknowledged {
            Some(time) if time < operation.invoked => Guarantee::ReadsFresh,
            _ if commit.is_hearsay() => Guarantee::ReadsCommitted,
            _ => Guarantee::ReadsForward,
        };
        match guarantee {
            Guarantee::ReadsCommitted => phantoms.push(commit_at),
            _ => {
                let found = match operation.outcome {
                    Outcome::Done { version, .. } => version,
                    _ => newest.before(),
                };
                missed.push(((found, newest), operation.invoked, *at));
            }
        }
        let source = commit.source;
        let show = || vec![excerpt::source(history, source), excerpt::operation(history, *at)];
        verdict.add(guarantee, what, show);
    }
    for at in phantoms {
        log.commits[at].phantom = true;
    }
    for (versions, began, at) in missed {
        log.miss(key, versions, began, Source::Operation(at));
    }
}

/// Whether a deletion can have come between what was known of an object and the end of a read.
fn may_be_gone(history: &History, log: &Log, key: KeyId, commit: usize, read: &Operation) -> bool {
    let of = &log.keys[key.0 as usize];
    let commit = &log.commits[commit];
    if !matches!(commit.what, What::Put(_)) || !of.written {
        return true;
    }
    let later = of.commits.iter().map(|at| &log.commits[*at]);
    let told = later.filter(|later| later.version > commit.version).any(|later| !matches!(later.what, What::Put(_)));
    let returned = read.returned.unwrap_or(Micros::MAX);
    told || of.operations.iter().map(|at| &history.operations[*at]).any(|operation| {
        let deleted = match operation.outcome {
            Outcome::Deleted { .. } => operation.returned.unwrap_or(Micros::MAX),
            Outcome::Unknown => Micros::MAX,
            _ => return false,
        };
        matches!(operation.verb, Verb::Delete(_)) && operation.invoked < returned && deleted > began(history, commit)
    })
}

/// Before this a commit cannot have happened.
fn began(history: &History, commit: &super::log::Commit) -> Micros {
    commit.by.map_or(0, |by| history.operations[by].invoked)
}
