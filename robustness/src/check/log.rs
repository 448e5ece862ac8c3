//! The committed writes, put together from everything that was seen of them.
//!
//! Whoever names a version says that something was committed at it: an acknowledged write, a read, an item of a list, an
//! event. The versions are the order. What is missing here is what nobody saw: writes whose outcome is unknown, and
//! deletions that no watch told.

use api::Version;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::coverage::Coverage;
use super::excerpt;
use super::{Guarantee, Rules, Verdict};
use crate::history::{Change, History, KeyId, Listed, Micros, Outcome, State, Told, Verb, WriteId};

/// What was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Put(State),
    Delete,
    /// A watch with a selector said DELETED: gone, or changed so that the selector does not take it.
    Left,
}

/// Who says so.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Operation(usize),
    List(usize),
    /// Watch and line.
    Watch(usize, usize),
}

/// What the object was just before a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Absent,
    Present(State),
    /// There, but as what is open.
    PresentAsSomething,
    Open,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub(super) version: Version,
    pub(super) key: KeyId,
    pub(super) what: What,
    /// The operation that did it, where that is known.
    pub(super) by: Option<usize>,
    /// When its client was told.
    pub(super) acknowledged: Option<Micros>,
    /// When somebody else first saw it; `MAX`: nobody did.
    pub(super) seen: Micros,
    /// Whether a get or a list showed it.
    pub(super) read: bool,
    /// Whether it is a deletion that somebody's success can stand for. Which one's, and so since when, is open.
    pub(super) confirmed: bool,
    pub(super) source: Source,
    pub(super) before: Before,
    /// A deletion that nobody told must have come between this and the commit before it.
    pub(super) untold_deletion: bool,
    /// Shown to be no commit: somebody saw it, later readers did not.
    pub(super) phantom: bool,
    /// When the last read or write began that found it.
    pub(super) found: Micros,
    /// When the last read began that should have found it and found something older, and which.
    pub(super) missed: Option<(Micros, Source)>,
    /// Reported as acknowledged and lost.
    pub(super) lost: bool,
}

impl Commit {
    /// The first moment at which it certainly was committed.
    pub(super) fn known(&self) -> Micros {
        self.seen.min(self.acknowledged.unwrap_or(Micros::MAX))
    }

    /// Whether only watches told of it.
    pub(super) fn is_hearsay(&self) -> bool {
        self.acknowledged.is_none() && !self.read && !self.confirmed
    }
}

/// One object's part of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct OfKey {
    /// Positions in [`Log::commits`], by version.
    pub(super) commits: Vec<usize>,
    /// Its operations, in the order of the history.
    pub(super) operations: Vec<usize>,
    /// Whether recorded clients wrote it.
    pub(super) written: bool,
    /// Deletions of which nobody may have seen the version.
    pub(super) untold_deletions: usize,
    /// Writes of unknown outcome whose state nobody saw.
    pub(super) hidden_writes: usize,
}

pub(super) struct Log {
    /// By version.
    pub(super) commits: Vec<Commit>,
    pub(super) keys: Vec<OfKey>,
    /// The operation of each write id.
    pub(super) writes: HashMap<WriteId, usize>,
}

impl Log {
    pub(super) fn read(history: &History, rules: Rules, verdict: &mut Verdict) -> Self {
        let mut reader = Reader { history, verdict, found: HashMap::new(), commits: Vec::new() };
        reader.operations();
        reader.lists();
        reader.watches();
        reader.preconditions();
        let mut commits = reader.commits;
        commits.sort_unstable_by_key(|commit| commit.version);
        let mut keys = vec![OfKey::default(); history.keys.len()];
        for (at, commit) in commits.iter().enumerate() {
            keys[commit.key.0 as usize].commits.push(at);
        }
        let mut writes = HashMap::new();
        for (at, operation) in history.operations.iter().enumerate() {
            let key = &mut keys[operation.key.0 as usize];
            key.operations.push(at);
            key.written |= operation.verb != Verb::Get;
            if operation.write != WriteId::default() {
                writes.insert(operation.write, at);
            }
        }
        let mut log = Self { commits, keys, writes };
        log.attribute(history, rules, verdict);
        log.count_the_unseen(history);
        log.look_back(history);
        log
    }

    /// Finds the operation of each commit.
    fn attribute(&mut self, history: &History, rules: Rules, verdict: &mut Verdict) {
        let mut first: HashMap<usize, usize> = HashMap::new();
        for (at, commit) in self.commits.iter_mut().enumerate() {
            let What::Put(state) = commit.what else { continue };
            let key = history.key(commit.key);
            let by = self.writes.get(&state.write).copied();
            let Some(by) = by.filter(|by| history.operations[*by].key == commit.key) else {
                // A write of another object, or of one in another cluster, is never right.
                if by.is_some() || (!rules.others_write && self.keys[commit.key.0 as usize].written) {
                    let what = format!("{key} at {} was written by nobody", commit.version);
                    verdict.add(Guarantee::ReadsCommitted, what, || {
                        let mut lines = vec![excerpt::source(history, commit.source)];
                        lines.extend(by.map(|by| excerpt::operation(history, by)));
                        lines
                    });
                }
                continue;
            };
            let operation = &history.operations[by];
            let show = || vec![excerpt::operation(history, by), excerpt::source(history, commit.source)];
            match operation.outcome {
                Outcome::Done { version, .. } if version == commit.version => commit.by = Some(by),
                Outcome::Done { .. } | Outcome::Unknown => {
                    let again = matches!(operation.outcome, Outcome::Done { .. }) || first.contains_key(&by);
                    if !again {
                        first.insert(by, at);
                        commit.by = Some(by);
                    } else if !rules.others_write {
                        let what = format!("w{} of {key} happened again at {}", state.write.0, commit.version);
                        verdict.add(Guarantee::ExecutedOnce, what, show);
                    }
                }
                _ => {
                    let what = format!("w{} of {key} was refused, and seen at {}", state.write.0, commit.version);
                    verdict.add(Guarantee::ReadsCommitted, what, show);
                    commit.phantom = true;
                }
            }
        }
    }

    /// Counts what may have happened without a trace, and tells which deletions somebody asked for with success.
    fn count_the_unseen(&mut self, history: &History) {
        let seen: hashbrown::HashSet<usize> = self.commits.iter().filter_map(|commit| commit.by).collect();
        for key in &mut self.keys {
            let mut acknowledged: Vec<Micros> = Vec::new();
            let mut open = 0;
            for at in &key.operations {
                let operation = &history.operations[*at];
                match (operation.verb, operation.outcome) {
                    (Verb::Delete(_), Outcome::Deleted { version: None }) => {
                        acknowledged.push(operation.invoked);
                    }
                    (Verb::Delete(_), Outcome::Unknown) => open += 1,
                    (Verb::Get | Verb::Delete(_), _) => {}
                    (_, Outcome::Unknown) if !seen.contains(at) => key.hidden_writes += 1,
                    _ => {}
                }
            }
            acknowledged.sort_unstable();
            let mut told = 0;
            let mut next = acknowledged.iter().peekable();
            for at in &key.commits {
                let commit = &mut self.commits[*at];
                if matches!(commit.what, What::Put(_)) || commit.acknowledged.is_some() {
                    continue;
                }
                told += 1;
                commit.confirmed = next.next_if(|invoked| **invoked < commit.seen).is_some();
            }
            key.untold_deletions = (acknowledged.len() + open).saturating_sub(told);
        }
    }

    /// Works out what each commit found.
    fn look_back(&mut self, history: &History) {
        let coverage = Coverage::of(history);
        for key in &self.keys {
            let mut before: Option<What> = None;
            let mut since = Version::ZERO;
            for at in &key.commits {
                let commit = &mut self.commits[*at];
                // Where somebody watched everything, nothing happened in silence.
                let watched = coverage.covers(history.key(commit.key), since, commit.version);
                since = commit.version;
                let creates = commit.by.is_some_and(|by| history.operations[by].verb == Verb::Create);
                commit.untold_deletion = creates && matches!(before, Some(What::Put(_)));
                commit.before = match before {
                    _ if creates => Before::Absent,
                    // Others may delete and create without a word.
                    _ if !key.written && commit.by.is_none() && commit.what != What::Delete => match before {
                        Some(What::Put(state)) => Before::Present(state),
                        _ => Before::Open,
                    },
                    Some(What::Put(state)) if watched => Before::Present(state),
                    Some(What::Put(_)) if commit.by.is_none() && key.untold_deletions > 0 => Before::Open,
                    Some(What::Put(_)) if key.hidden_writes > 0 => Before::PresentAsSomething,
                    Some(What::Put(state)) => Before::Present(state),
                    _ if commit.by.is_some() || commit.what == What::Delete => Before::PresentAsSomething,
                    _ => Before::Open,
                };
                before = Some(commit.what);
            }
        }
    }

    /// A read that began at a time found an object older than it must be: what was acknowledged behind it is missed.
    pub(super) fn miss(&mut self, key: KeyId, (found, newest): (Version, Version), began: Micros, by: Source) {
        for at in &self.keys[key.0 as usize].commits {
            let commit = &mut self.commits[*at];
            let behind = commit.version > found && commit.version <= newest;
            let newer = commit.missed.is_none_or(|last| last.0 < began);
            if behind && newer && commit.acknowledged.is_some_and(|time| time < began) {
                commit.missed = Some((began, by));
            }
        }
    }

    /// Reports an acknowledged write as lost, once.
    pub(super) fn lose(&mut self, at: usize, what: String, verdict: &mut Verdict, show: impl FnOnce() -> Vec<String>) {
        if !std::mem::replace(&mut self.commits[at].lost, true) {
            verdict.add(Guarantee::Durable, what, show);
        }
    }

    /// The newest commit of a key up to a version, as a position in [`OfKey::commits`].
    pub(super) fn newest(&self, key: KeyId, version: Version) -> Option<usize> {
        let commits = &self.keys[key.0 as usize].commits;
        commits.partition_point(|at| self.commits[*at].version <= version).checked_sub(1)
    }

    /// Whether an object can be gone, without anybody having told, between a commit and the next one.
    pub(super) fn may_vanish_after(&self, key: KeyId, position: usize, history: &History) -> bool {
        let of = &self.keys[key.0 as usize];
        if !of.written {
            return true;
        }
        let next = of.commits.get(position + 1).map(|at| &self.commits[*at]);
        let needs_it = next.is_some_and(|next| match (next.what, next.by) {
            (What::Delete | What::Left, _) => true,
            (What::Put(_), Some(by)) => history.operations[by].verb != Verb::Create,
            (What::Put(_), None) => false,
        });
        of.untold_deletions > 0 && !(needs_it && of.hidden_writes == 0)
    }
}

struct Reader<'a> {
    history: &'a History,
    verdict: &'a mut Verdict,
    found: HashMap<Version, usize>,
    commits: Vec<Commit>,
}

impl Reader<'_> {
    fn operations(&mut self) {
        for (at, operation) in self.history.operations.iter().enumerate() {
            let returned = operation.returned.unwrap_or(Micros::MAX);
            let source = Source::Operation(at);
            match operation.outcome {
                Outcome::Done { version, state } if operation.verb == Verb::Get => {
                    self.saw(version, operation.key, What::Put(state), source, returned, Some(operation.invoked));
                }
                Outcome::Done { version, state } => {
                    self.wrote(version, operation.key, What::Put(state), source, returned);
                }
                Outcome::Deleted { version: Some(version) } => {
                    self.wrote(version, operation.key, What::Delete, source, returned);
                }
                _ => {}
            }
        }
    }

    /// A write that succeeded from a version found it.
    fn preconditions(&mut self) {
        for operation in &self.history.operations {
            let done = matches!(operation.outcome, Outcome::Done { .. } | Outcome::Deleted { .. });
            let of = operation.verb.precondition().filter(|_| done);
            if let Some(at) = of.and_then(|of| self.found.get(&of)) {
                let commit = &mut self.commits[*at];
                commit.found = commit.found.max(operation.invoked);
            }
        }
    }

    fn lists(&mut self) {
        for (at, list) in self.history.lists.iter().enumerate() {
            let Listed::Page { items, .. } = &list.outcome else { continue };
            let returned = list.returned.unwrap_or(Micros::MAX);
            for item in items {
                self.saw(item.version, item.key, What::Put(item.state), Source::List(at), returned, Some(list.invoked));
            }
        }
    }

    fn watches(&mut self) {
        for (number, watch) in self.history.watches.iter().enumerate() {
            for (at, line) in watch.lines.iter().enumerate() {
                let Told::Event { change, key, version, state } = line.told else { continue };
                let what = match change {
                    Change::Added | Change::Modified => What::Put(state),
                    Change::Deleted if watch.scope.tags == 0 => What::Delete,
                    Change::Deleted => What::Left,
                };
                self.saw(version, key, what, Source::Watch(number, at), line.time, None);
            }
        }
    }

    fn wrote(&mut self, version: Version, key: KeyId, what: What, source: Source, time: Micros) {
        let at = self.note(version, key, what, source);
        let commit = &mut self.commits[at];
        if commit.key == key {
            commit.acknowledged = Some(commit.acknowledged.map_or(time, |before| before.min(time)));
        }
    }

    fn saw(&mut self, version: Version, key: KeyId, what: What, source: Source, time: Micros, read: Option<Micros>) {
        let at = self.note(version, key, what, source);
        let commit = &mut self.commits[at];
        if commit.key == key {
            commit.seen = commit.seen.min(time);
            commit.read |= read.is_some();
            commit.found = commit.found.max(read.unwrap_or_default());
        }
    }

    /// The commit of a version; what others say of it must be the same.
    fn note(&mut self, version: Version, key: KeyId, what: What, source: Source) -> usize {
        let at = match self.found.entry(version) {
            Entry::Vacant(vacant) => {
                vacant.insert(self.commits.len());
                self.commits.push(Commit {
                    version,
                    key,
                    what,
                    by: None,
                    acknowledged: None,
                    seen: Micros::MAX,
                    read: false,
                    confirmed: false,
                    source,
                    before: Before::Open,
                    untold_deletion: false,
                    phantom: false,
                    found: 0,
                    missed: None,
                    lost: false,
                });
                return self.commits.len() - 1;
            }
            Entry::Occupied(occupied) => *occupied.get(),
        };
        let commit = &mut self.commits[at];
        let history = self.history;
        let sources = (commit.source, source);
        let show = || vec![excerpt::source(history, sources.0), excerpt::source(history, sources.1)];
        if commit.key != key {
            let what = format!("version {version} is of {} and of {}", history.key(commit.key), history.key(key));
            self.verdict.add(Guarantee::VersionUnique, what, show);
            return at;
        }
        match (commit.what, what) {
            (What::Left, sharper) => (commit.what, commit.source) = (sharper, source),
            (_, What::Left) => {}
            (What::Put(one), What::Put(other)) if one.write == other.write && one != other => {
                let what = format!("{} at {version} does not look the same to everybody", history.key(key));
                self.verdict.add(Guarantee::WatchAtomic, what, show);
            }
            (one, other) if one != other => {
                let what = format!("version {version} of {} is of two writes", history.key(key));
                self.verdict.add(Guarantee::VersionUnique, what, show);
            }
            _ => {}
        }
        at
    }
}
