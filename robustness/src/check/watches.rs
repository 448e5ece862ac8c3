//! etcd's guarantees for watches, as Kubernetes passes them on.
//!
//! A watch is walked beside the log: between two lines of it lies what should have come. What each commit should look like
//! through the watch's selector follows from what the object was before and after.

use api::Version;
use hashbrown::{HashMap, HashSet};

use super::lists::Vanished;
use super::log::{Before, Commit, Log, What};
use super::place::{self, Place};
use super::{Guarantee, Verdict, excerpt};
use crate::history::{Change, History, KeyId, Micros, Scope, Start, State, Told};

/// What a commit may look like to a watch: a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Looks(u8);

impl Looks {
    const NOTHING: Self = Self(1);
    const ADDED: Self = Self(2);
    const MODIFIED: Self = Self(4);
    const DELETED: Self = Self(8);
    const ANY: Self = Self(15);

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn allows(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn of(change: Change) -> Self {
        match change {
            Change::Added => Self::ADDED,
            Change::Modified => Self::MODIFIED,
            Change::Deleted => Self::DELETED,
        }
    }

    fn names(self) -> String {
        let all = [
            (Self::NOTHING, "nothing"),
            (Self::ADDED, "ADDED"),
            (Self::MODIFIED, "MODIFIED"),
            (Self::DELETED, "DELETED"),
        ];
        let names: Vec<&str> = all.into_iter().filter(|(look, _)| self.allows(*look)).map(|(_, name)| name).collect();
        names.join(" or ")
    }
}

/// How a commit looks through a scope that holds its object.
fn looks(scope: &Scope, commit: &Commit) -> Looks {
    let after = match commit.what {
        What::Put(state) => scope.takes(&state),
        What::Delete => false,
        // Only known from a watch with another selector.
        What::Left if scope.tags == 0 => return Looks::MODIFIED.or(Looks::DELETED),
        What::Left => return Looks::ANY,
    };
    let before = match commit.before {
        Before::Absent => Some(false),
        Before::Present(state) => Some(scope.takes(&state)),
        Before::PresentAsSomething if scope.tags == 0 => Some(true),
        Before::PresentAsSomething | Before::Open => None,
    };
    match (before, after) {
        (Some(true), true) => Looks::MODIFIED,
        (Some(false), true) => Looks::ADDED,
        (None, true) => Looks::ADDED.or(Looks::MODIFIED),
        (Some(true), false) => Looks::DELETED,
        (Some(false), false) => Looks::NOTHING,
        (None, false) => Looks::DELETED.or(Looks::NOTHING),
    }
}

/// What was not told in its place.
struct Missing {
    watch: usize,
    commit: usize,
    /// The line before which it should have come.
    line: usize,
    guarantee: Guarantee,
}

pub(super) fn check(history: &History, log: &mut Log, vanished: &[Vanished], verdict: &mut Verdict) {
    let places = places(history, log);
    let mut missing = Vec::new();
    let mut told = vec![0_u32; log.commits.len()];
    for at in 0..history.watches.len() {
        let scope = &history.watches[at].scope;
        let commits = places.get(&place::of_scope(scope)).map_or(&[][..], Vec::as_slice);
        let mut walk = Walk::new(history, log, at, commits);
        walk.walk(&mut told, verdict);
        let (start, reached) = (walk.from, walk.reached);
        missing.append(&mut walk.missing);
        silent_deletions(history, log, at, (start, reached), vanished, verdict);
    }
    report(history, log, missing, &told, verdict);
}

/// The commits of each place, by version.
fn places<'a>(history: &'a History, log: &Log) -> HashMap<Place<'a>, Vec<usize>> {
    let mut places: HashMap<Place<'a>, Vec<usize>> = HashMap::new();
    for (at, commit) in log.commits.iter().enumerate() {
        for place in place::of_key(history.key(commit.key)) {
            places.entry(place).or_default().push(at);
        }
    }
    places
}

struct Walk<'a> {
    history: &'a History,
    log: &'a Log,
    at: usize,
    /// Of the watch's namespace.
    commits: &'a [usize],
    next: usize,
    /// Where it began.
    from: Version,
    /// Everything up to this should have come.
    reached: Version,
    last_event: Version,
    bookmark: Version,
    missing: Vec<Missing>,
}

impl<'a> Walk<'a> {
    fn new(history: &'a History, log: &'a Log, at: usize, commits: &'a [usize]) -> Self {
        let from = match history.watches[at].start {
            Start::List(version) | Start::Resume(version) => version,
            Start::Initial => Version::ZERO,
        };
        let zero = Version::ZERO;
        Self {
            history,
            log,
            at,
            commits,
            next: 0,
            from,
            reached: from,
            last_event: zero,
            bookmark: zero,
            missing: Vec::new(),
        }
    }

    fn walk(&mut self, told: &mut [u32], verdict: &mut Verdict) {
        let watch = &self.history.watches[self.at];
        let mut first = 0;
        if watch.start == Start::Initial {
            let ends = |told: &Told| match told {
                Told::Bookmark { version, initial_end: true } => Some(*version),
                _ => None,
            };
            // Until the state has come whole there is nothing to hold it against; then it is checked as a list.
            let end = watch.lines.iter().enumerate().find_map(|(at, line)| Some((at, ends(&line.told)?)));
            let Some((at, version)) = end else { return };
            (first, self.from, self.reached) = (at + 1, version, version);
        }
        let from = self.from;
        self.next = self.commits.partition_point(|at| self.log.commits[*at].version <= from);
        for at in first..watch.lines.len() {
            match watch.lines[at].told {
                Told::Event { change, key, version, state } => {
                    self.event(at, change, (key, version, state), told, verdict);
                }
                Told::Bookmark { version, .. } => self.bookmark(at, version, verdict),
            }
        }
        let seen: HashSet<Version> = watch.lines[first..].iter().filter_map(|line| version_of(&line.told)).collect();
        // What came late was reported when it came.
        self.missing.retain(|missing| !seen.contains(&self.log.commits[missing.commit].version));
    }

    fn broken(&self, guarantee: Guarantee, line: usize, what: String, verdict: &mut Verdict) {
        verdict.add(guarantee, what, || excerpt::around(self.history, self.at, line));
    }

    fn event(
        &mut self,
        line: usize,
        change: Change,
        (key, version, state): (KeyId, Version, State),
        told: &mut [u32],
        verdict: &mut Verdict,
    ) {
        let watch = &self.history.watches[self.at];
        let name = self.history.key(key);
        if !watch.scope.holds(name) {
            let what = format!("a watch of {} told of {name}", watch.scope);
            self.broken(Guarantee::WatchTyped, line, what, verdict);
            return;
        }
        if version <= self.from {
            let (guarantee, what) = match watch.start {
                Start::Resume(from) => {
                    (Guarantee::WatchResumable, format!("resumed from {from}, it told of {version} again"))
                }
                _ => (Guarantee::WatchUnique, format!("{version} came, which was in the list at {}", self.from)),
            };
            return self.broken(guarantee, line, what, verdict);
        }
        if version <= self.last_event {
            let before = watch.lines[..line].iter().any(|line| version_of(&line.told) == Some(version));
            let (guarantee, how) = match before {
                true => (Guarantee::WatchUnique, "came twice".to_owned()),
                false => (Guarantee::WatchOrdered, format!("came after {}", self.last_event)),
            };
            return self.broken(guarantee, line, format!("{version} of {name} {how}"), verdict);
        }
        if version <= self.bookmark {
            let what = format!("{version} of {name} came after the bookmark {}", self.bookmark);
            self.broken(Guarantee::WatchBookmarkable, line, what, verdict);
            return;
        }
        self.pass(line, version.before(), Guarantee::WatchReliable);
        (self.last_event, self.reached) = (version, version);
        let Some(at) = self.commits.get(self.next).copied() else { return };
        let commit = &self.log.commits[at];
        if commit.version != version || commit.key != key {
            return;
        }
        self.next += 1;
        told[at] += 1;
        self.right(line, change, state, commit, verdict);
    }

    /// Whether an event is what its commit looks like.
    fn right(&self, line: usize, change: Change, state: State, commit: &Commit, verdict: &mut Verdict) {
        let scope = &self.history.watches[self.at].scope;
        let name = self.history.key(commit.key);
        let looks = looks(scope, commit);
        if !looks.allows(Looks::of(change)) {
            let what = format!("{name} at {} came as {change:?}, and is {}", commit.version, looks.names());
            self.broken(Guarantee::WatchTyped, line, what, verdict);
            return;
        }
        if change == Change::Deleted
            && let Before::Present(last) = commit.before
            && last != state
        {
            let what =
                format!("DELETED of {name} at {} does not show its last state, by w{}", commit.version, last.write.0);
            self.broken(Guarantee::WatchDeleted, line, what, verdict);
        }
        if commit.untold_deletion {
            let what = format!("{name} was created anew at {}, and no DELETED came before", commit.version);
            let old = self.log.newest(commit.key, commit.version.before());
            let old = old.map(|at| &self.log.commits[self.log.keys[commit.key.0 as usize].commits[at]]);
            if old.is_some_and(|old| {
                old.version >= self.from && matches!(old.what, What::Put(state) if scope.takes(&state))
            }) {
                self.broken(Guarantee::WatchReliable, line, what, verdict);
            }
        }
    }

    fn bookmark(&mut self, line: usize, version: Version, verdict: &mut Verdict) {
        if version < self.last_event.max(self.bookmark).max(self.from) {
            let what = format!("the bookmark {version} goes back");
            return self.broken(Guarantee::WatchBookmarkable, line, what, verdict);
        }
        self.pass(line, version, Guarantee::WatchBookmarkable);
        (self.bookmark, self.reached) = (version, version);
    }

    /// Everything up to a version that the watch should have told by now.
    fn pass(&mut self, line: usize, version: Version, guarantee: Guarantee) {
        let watch = &self.history.watches[self.at];
        while let Some(at) = self.commits.get(self.next).copied() {
            let commit = &self.log.commits[at];
            if commit.version > version {
                return;
            }
            self.next += 1;
            if commit.phantom || !watch.scope.holds(self.history.key(commit.key)) {
                continue;
            }
            if looks(&watch.scope, commit).allows(Looks::NOTHING) {
                continue;
            }
            let resumed = matches!(watch.start, Start::Resume(_)) && self.reached == self.from;
            let guarantee = if resumed { Guarantee::WatchResumable } else { guarantee };
            self.missing.push(Missing { watch: self.at, commit: at, line, guarantee });
        }
    }
}

fn version_of(told: &Told) -> Option<Version> {
    match told {
        Told::Event { version, .. } => Some(*version),
        Told::Bookmark { .. } => None,
    }
}

/// Objects that are known to be gone, of which a watch that was there all the time did not tell.
fn silent_deletions(
    history: &History,
    log: &Log,
    watch: usize,
    (from, reached): (Version, Version),
    vanished: &[Vanished],
    verdict: &mut Verdict,
) {
    let scope = &history.watches[watch].scope;
    for gone in vanished {
        let commit = &log.commits[gone.after];
        let What::Put(state) = commit.what else { continue };
        // It may have become something that nobody saw, which the selector does not take.
        if scope.tags != 0 && log.keys[gone.key.0 as usize].hidden_writes > 0 {
            continue;
        }
        let key = history.key(gone.key);
        if from > commit.version || reached < gone.by || !scope.holds(key) || !scope.takes(&state) {
            continue;
        }
        let what = format!("{key} was gone at {}, and a watch up to {reached} did not tell", gone.by);
        let show = || {
            let mut lines = vec![excerpt::source(history, commit.source), excerpt::watch(history, watch)];
            lines.push(excerpt::source(history, gone.list));
            lines
        };
        verdict.add(Guarantee::WatchReliable, what, show);
    }
}

/// An acknowledged write that nobody ever saw was lost; one that some saw was kept from others.
fn report(history: &History, log: &mut Log, missing: Vec<Missing>, told: &[u32], verdict: &mut Verdict) {
    let mut lost: HashMap<usize, usize> = HashMap::new();
    for Missing { watch, commit: at, line, guarantee } in missing {
        let commit = &log.commits[at];
        let never = commit.acknowledged.is_some() && told[at] == 0 && commit.seen == Micros::MAX;
        if never {
            *lost.entry(at).or_default() += 1;
            continue;
        }
        let what = format!("{} at {} did not come", history.key(commit.key), commit.version);
        verdict.add(guarantee, what, || {
            let mut lines = vec![excerpt::source(history, commit.source)];
            lines.extend(excerpt::around(history, watch, line));
            lines
        });
    }
    for (at, watches) in lost {
        let commit = &log.commits[at];
        let what = format!(
            "{} at {} was acknowledged, and none of {watches} watches or anybody else ever saw it",
            history.key(commit.key),
            commit.version
        );
        let source = commit.source;
        log.lose(at, what, verdict, || vec![excerpt::source(history, source)]);
    }
}
