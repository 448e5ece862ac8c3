//! A list is the state at its version, and as new as was asked for. The last lists show what is left in the end.

use std::collections::BTreeMap;

use api::Version;
use hashbrown::HashMap;

use super::log::{Log, Source, What};
use super::place::{self, Place};
use super::versions::{Floor, Known};
use super::{Guarantee, Verdict, excerpt};
use crate::history::{At, Change, History, Item, KeyId, List, Listed, Micros, Outcome, Scope, Start, Told, Verb};

/// An object that a list did not hold any more, and nobody told of its deletion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vanished {
    pub(super) key: KeyId,
    /// The last commit, as a position in the log.
    pub(super) after: usize,
    /// The version of the list.
    pub(super) by: Version,
    /// Who says so.
    pub(super) list: Source,
}

/// A cut as it was shown: by a list, or by the beginning of a watch.
pub(super) struct Cut<'a> {
    pub(super) scope: &'a Scope,
    pub(super) version: Version,
    pub(super) items: HashMap<KeyId, Item>,
    /// Whether all of it was read.
    pub(super) whole: bool,
    pub(super) last: bool,
    /// Which guarantee a difference breaks.
    pub(super) guarantee: Guarantee,
    /// When it was asked for, and by what.
    pub(super) began: Micros,
    pub(super) shown: Source,
    pub(super) show: &'a dyn Fn() -> Vec<String>,
}

pub(super) struct Cuts<'a> {
    history: &'a History,
    /// The objects of each place.
    places: HashMap<Place<'a>, Vec<KeyId>>,
    pub(super) vanished: Vec<Vanished>,
}

pub(super) fn check(history: &History, log: &mut Log, verdict: &mut Verdict) -> Vec<Vanished> {
    let mut cuts = Cuts::new(history);
    let mut chains: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (at, list) in history.lists.iter().enumerate() {
        if matches!(list.outcome, Listed::Page { .. }) {
            chains.entry(list.chain).or_default().push(at);
        }
    }
    for pages in chains.values_mut() {
        pages.sort_by_key(|at| history.lists[*at].page);
        chain(history, &mut cuts, log, pages, verdict);
    }
    initial_states(history, &mut cuts, log, verdict);
    fresh(history, log, verdict);
    lost(history, log, verdict);
    let mut vanished = cuts.vanished;
    vanished.sort_by_key(|vanished| (vanished.after, vanished.by));
    vanished.dedup_by_key(|vanished| vanished.after);
    vanished
}

fn page(list: &List) -> (Version, &[Item], bool) {
    match &list.outcome {
        Listed::Page { version, items, more } => (*version, items, *more),
        Listed::Expired | Listed::Failed => (Version::ZERO, &[], true),
    }
}

/// The pages of one list.
fn chain(history: &History, cuts: &mut Cuts<'_>, log: &mut Log, pages: &[usize], verdict: &mut Verdict) {
    let first = &history.lists[pages[0]];
    let (version, ..) = page(first);
    let show = || pages.iter().take(4).map(|at| excerpt::list(history, *at)).collect::<Vec<String>>();
    let mut items = HashMap::new();
    let mut more = true;
    for (number, at) in pages.iter().enumerate() {
        let list = &history.lists[*at];
        let (of, found, goes_on) = page(list);
        more = goes_on || list.page as usize != number;
        if of != version {
            let what = format!("the pages of a list of {} are of {version} and of {of}", list.scope);
            verdict.add(Guarantee::ListPages, what, show);
            return;
        }
        for item in found {
            if items.insert(item.key, *item).is_some() {
                let what = format!("{} stands twice in a list", history.key(item.key));
                verdict.add(Guarantee::ListPages, what, show);
            }
        }
    }
    let guarantee = if pages.len() > 1 { Guarantee::ListPages } else { Guarantee::ListCut };
    let (scope, last, began, shown) = (&first.scope, first.last, first.invoked, Source::List(pages[0]));
    cuts.check(log, Cut { scope, version, items, whole: !more, last, guarantee, began, shown, show: &show }, verdict);
}

/// What watches with the state first showed up to the bookmark that closes it.
fn initial_states(history: &History, cuts: &mut Cuts<'_>, log: &mut Log, verdict: &mut Verdict) {
    for (at, watch) in history.watches.iter().enumerate() {
        if watch.start != Start::Initial {
            continue;
        }
        let mut items = HashMap::new();
        for (number, line) in watch.lines.iter().enumerate() {
            match line.told {
                Told::Event { change: Change::Deleted, key, .. } => drop(items.remove(&key)),
                Told::Event { key, version, state, .. } => drop(items.insert(key, Item { key, version, state })),
                Told::Bookmark { initial_end: false, .. } => {}
                Told::Bookmark { version, initial_end: true } => {
                    let show = || vec![excerpt::watch(history, at)];
                    let cut = Cut {
                        scope: &watch.scope,
                        version,
                        items,
                        whole: true,
                        last: false,
                        guarantee: Guarantee::ListCut,
                        began: watch.opened,
                        shown: Source::Watch(at, number),
                        show: &show,
                    };
                    cuts.check(log, cut, verdict);
                    break;
                }
            }
        }
    }
}

impl<'a> Cuts<'a> {
    fn new(history: &'a History) -> Self {
        let mut places: HashMap<Place<'a>, Vec<KeyId>> = HashMap::new();
        for (number, key) in history.keys.iter().enumerate() {
            let id = KeyId(u32::try_from(number).expect("ids of keys are 32 bits"));
            for place in place::of_key(key) {
                places.entry(place).or_default().push(id);
            }
        }
        Self { history, places, vanished: Vec::new() }
    }

    /// Compares a cut with the log.
    fn check(&mut self, log: &mut Log, cut: Cut<'_>, verdict: &mut Verdict) {
        let scope = cut.scope;
        for (key, item) in &cut.items {
            if !scope.holds(self.history.key(*key)) || !scope.takes(&item.state) {
                let what = format!("a list of {scope} holds {}", self.history.key(*key));
                verdict.add(cut.guarantee, what, cut.show);
            }
        }
        let Some(keys) = self.places.get(&place::of_scope(scope)) else { return };
        for key in keys {
            if !scope.name.is_empty() && scope.name != self.history.key(*key).name {
                continue;
            }
            let Some(vanished) = compare(self.history, log, &cut, *key, verdict) else { continue };
            self.vanished.push(vanished);
        }
    }
}

/// Compares one object.
fn compare(history: &History, log: &mut Log, cut: &Cut<'_>, key: KeyId, verdict: &mut Verdict) -> Option<Vanished> {
    let item = cut.items.get(&key);
    let position = log.newest(key, cut.version);
    let of = &log.keys[key.0 as usize].commits;
    let newest = position.map(|position| of[position]);
    let name = || history.key(key);
    let (what, against) = match (item, newest) {
        (Some(item), _) if item.version > cut.version => {
            (format!("a list at {} holds {} at {}", cut.version, name(), item.version), None)
        }
        (Some(item), Some(newest)) if log.commits[newest].version != item.version => {
            let newer = log.commits[newest].version;
            (
                format!("a list at {} holds {} at {}, which was at {newer} then", cut.version, name(), item.version),
                Some(newest),
            )
        }
        (None, Some(newest)) => {
            let What::Put(state) = log.commits[newest].what else { return None };
            if !cut.whole || !cut.scope.takes(&state) {
                return None;
            }
            let position = position.unwrap_or_default();
            if log.may_vanish_after(key, position, history) {
                return Some(Vanished { key, after: newest, by: cut.version, list: cut.shown });
            }
            let version = log.commits[newest].version;
            (format!("a list at {} lacks {}, which was at {version} then", cut.version, name()), Some(newest))
        }
        _ => return None,
    };
    let source = against.map(|at| log.commits[at].source);
    let show = || {
        let mut lines = (cut.show)();
        lines.extend(source.map(|source| excerpt::source(history, source)));
        lines
    };
    let Some(at) = against else {
        verdict.add(cut.guarantee, what, show);
        return None;
    };
    let commit = &mut log.commits[at];
    if commit.is_hearsay() {
        // Seen by watches alone, and then by nobody: it never was.
        commit.phantom = true;
        verdict.add(Guarantee::ReadsCommitted, what, show);
    } else if cut.last {
        log.lose(at, what, verdict, show);
    } else {
        let newest = commit.version;
        log.miss(key, (item.map_or(newest.before(), |item| item.version), newest), cut.began, cut.shown);
        verdict.add(cut.guarantee, what, show);
    }
    None
}

/// Acknowledged writes that reads missed, and that nobody found again.
fn lost(history: &History, log: &mut Log, verdict: &mut Verdict) {
    for at in 0..log.commits.len() {
        let commit = log.commits[at];
        let Some((time, by)) = commit.missed.filter(|(time, _)| *time > commit.found) else { continue };
        let name = history.key(commit.key);
        let what = format!("{name} at {} was acknowledged, and not found from {time} on", commit.version);
        let show = || vec![excerpt::source(history, commit.source), excerpt::source(history, by)];
        log.lose(at, what, verdict, show);
    }
}

/// Lists are not older than what was acknowledged, or listed, before they were asked for.
fn fresh(history: &History, log: &Log, verdict: &mut Verdict) {
    let (written, listed) = (written(history), listed(history));
    for (at, list) in history.lists.iter().enumerate() {
        let Listed::Page { version, items, .. } = &list.outcome else { continue };
        let scope = &list.scope;
        let wrong = match list.at {
            At::NotOlderThan(wanted) => *version < wanted,
            At::Exactly(wanted) => *version != wanted,
            At::Any | At::Latest => false,
        };
        if wrong {
            let what = format!("a list of {scope} was asked for {:?} and is of {version}", list.at);
            verdict.add(Guarantee::ListFresh, what, || vec![excerpt::list(history, at)]);
        }
        if list.at != At::Latest || list.page != 0 {
            continue;
        }
        let newer = |floor: Option<&Floor>| floor?.at(list.invoked).filter(|(newest, _)| newest > version);
        // One that names an object may be answered by that object's owner alone, whose clock owes nothing to others.
        if let Some((newest, operation)) = newer(written.get(&(place::of_scope(scope), &*scope.name))) {
            let what = format!("a list of {scope} is of {version}, after {newest} was acknowledged");
            let show = || vec![excerpt::operation(history, operation), excerpt::list(history, at)];
            verdict.add(Guarantee::ListFresh, what, show);
        }
        if let Some((newest, other)) = newer(listed.get(scope)) {
            let what = format!("a list of {scope} is of {version}, after one of {newest}");
            let show = || vec![excerpt::list(history, other), excerpt::list(history, at)];
            verdict.add(Guarantee::ReadsForward, what, show);
        }
        deleted(history, log, (at, list), items, verdict);
    }
}

/// The acknowledged writes of each place, of all objects (no name) and of each.
fn written(history: &History) -> HashMap<(Place<'_>, &str), Floor> {
    let mut known: HashMap<(Place<'_>, &str), Vec<Known>> = HashMap::new();
    for (at, operation) in history.operations.iter().enumerate() {
        let version = match operation.outcome {
            Outcome::Done { version, .. } if operation.verb != Verb::Get => version,
            Outcome::Deleted { version: Some(version) } => version,
            _ => continue,
        };
        let Some(returned) = operation.returned else { continue };
        let key = history.key(operation.key);
        for place in place::of_key(key) {
            for name in ["", &*key.name] {
                known.entry((place, name)).or_default().push((returned, version, at));
            }
        }
    }
    known.into_iter().map(|(place, known)| (place, Floor::new(known))).collect()
}

/// The consistent lists of each scope.
fn listed(history: &History) -> HashMap<&Scope, Floor> {
    let mut known: HashMap<&Scope, Vec<Known>> = HashMap::new();
    for (at, list) in history.lists.iter().enumerate() {
        let Listed::Page { version, .. } = &list.outcome else { continue };
        if let (At::Latest, 0, Some(returned)) = (list.at, list.page, list.returned) {
            known.entry(&list.scope).or_default().push((returned, *version, at));
        }
    }
    known.into_iter().map(|(scope, known)| (scope, Floor::new(known))).collect()
}

/// An object that was deleted before the list was asked for, and stands in it as it was.
fn deleted(history: &History, log: &Log, (at, list): (usize, &List), items: &[Item], verdict: &mut Verdict) {
    for item in items {
        let of = &log.keys[item.key.0 as usize];
        if of.untold_deletions == 0 {
            continue;
        }
        let known = of.commits.iter().map(|at| &log.commits[*at]).find(|commit| commit.version == item.version);
        let Some(known) = known.map(super::log::Commit::known) else { continue };
        let gone = of.operations.iter().copied().find(|at| {
            let operation = &history.operations[*at];
            matches!(operation.outcome, Outcome::Deleted { .. })
                && operation.invoked > known
                && operation.returned.is_some_and(|returned| returned < list.invoked)
        });
        let Some(gone) = gone else { continue };
        let what = format!("{} stands in a list that was asked for after it was deleted", history.key(item.key));
        let show = || vec![excerpt::operation(history, gone), excerpt::list(history, at)];
        let guarantee = if list.last { Guarantee::Durable } else { Guarantee::ListFresh };
        verdict.add(guarantee, what, show);
    }
}
