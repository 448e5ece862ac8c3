//! A server in memory that is right, and one that is wrong in a chosen way.

use std::collections::BTreeMap;

use api::Version;

use crate::history::{Change, Item, Key, KeyId, Outcome, Scope, State, Verb, WriteId};

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// What is wrong with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// Two owners of everything both commit for a while.
    NoFencing,
    /// Watchers are told of a write that then fails.
    PublishBeforeCommit,
    DroppedEvent,
    /// Leaving a selector is not told.
    SilentLeave,
    RepeatedEvent,
    ReorderedEvents,
    /// A watch tells what its list held.
    EventFromTheList,
    ReusedVersion,
    /// A new owner starts below what was issued.
    VersionBack,
    LostAcknowledged,
    /// The last state of everything is that of a while ago.
    LostTail,
    /// The same in the middle, and others write on.
    LostInCrash,
    StaleRead,
    StaleList,
    /// Two shards are cut at different versions.
    TornList,
    /// The second page is of a later moment.
    TornPages,
    LyingBookmark,
    WrongDeleted,
    /// ADDED for what the watch knows.
    WrongType,
    ResumptionGap,
    ExecutedTwice,
    /// Refused with a conflict, and written.
    RefusedButDone,
    /// A get answers with another object.
    MixedUp,
    /// One watcher gets another content.
    TwoContents,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) version: Version,
    pub(super) key: KeyId,
    pub(super) old: Option<State>,
    pub(super) new: Option<State>,
    /// Will turn out not to have been committed.
    pub(super) phantom: bool,
}

impl Entry {
    /// What a scope that holds its key sees of it.
    pub(super) fn look(&self, scope: &Scope) -> Option<(Change, State)> {
        let old = self.old.filter(|state| scope.takes(state));
        let new = self.new.filter(|state| scope.takes(state));
        match (old, new) {
            (None, Some(new)) => Some((Change::Added, new)),
            (Some(_), Some(new)) => Some((Change::Modified, new)),
            (Some(old), None) => Some((Change::Deleted, old)),
            (None, None) => None,
        }
    }
}

type Objects = BTreeMap<KeyId, (Version, State)>;

/// A request on one object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) key: KeyId,
    pub(super) verb: Verb,
    pub(super) write: WriteId,
    pub(super) tags: u64,
}

pub(super) struct Server {
    pub(super) bug: Option<Bug>,
    pub(super) random: Random,
    pub(super) clock: u64,
    pub(super) objects: Objects,
    pub(super) log: Vec<Entry>,
    /// The other owner, while there are two.
    other: Option<Objects>,
    /// How many requests it executed.
    executed: usize,
    old: Objects,
    old_clock: u64,
}

impl Server {
    pub(super) fn new(seed: u64, bug: Option<Bug>) -> Self {
        Self {
            bug,
            random: Random(seed),
            clock: 160_000,
            objects: Objects::new(),
            log: Vec::new(),
            other: None,
            executed: 0,
            old: Objects::new(),
            old_clock: 160_000,
        }
    }

    /// Whether the bug shows now.
    pub(super) fn wrong(&mut self, bug: Bug, one_in: u64) -> bool {
        self.bug == Some(bug) && self.random.chance(one_in)
    }

    fn tick(&mut self) -> Version {
        // The low bits are the owner's, as in Shardplane.
        self.clock += 16 * (1 + self.random.below(9));
        if self.clock % 16 < 15 && self.wrong(Bug::VersionBack, 60) {
            self.clock = self.clock - 16 * 200 + 1;
        }
        if self.wrong(Bug::ReusedVersion, 30)
            && let Some(entry) = self.log.last()
        {
            return entry.version;
        }
        Version(self.clock)
    }

    /// Two owners meet, part and meet again.
    fn fork(&mut self) {
        if self.bug != Some(Bug::NoFencing) {
            return;
        }
        if self.executed % 200 == 60 {
            self.other = Some(self.objects.clone());
        } else if self.executed % 200 == 120 {
            self.other = None;
        }
    }

    fn swap_owner(&mut self) {
        if let Some(other) = &mut self.other {
            std::mem::swap(other, &mut self.objects);
        }
    }

    pub(super) fn execute(&mut self, request: Request) -> Outcome {
        self.executed += 1;
        if self.executed.is_multiple_of(50) {
            if self.bug == Some(Bug::LostInCrash) && self.executed.is_multiple_of(150) {
                self.objects.clone_from(&self.old);
            }
            (self.old, self.old_clock) = (self.objects.clone(), self.clock);
        }
        self.fork();
        let swapped = self.other.is_some() && self.random.chance(2);
        if swapped {
            self.swap_owner();
        }
        let outcome = self.apply(request);
        if swapped {
            self.swap_owner();
        }
        outcome
    }

    fn apply(&mut self, request: Request) -> Outcome {
        let Request { key, verb, write, tags } = request;
        let found = self.objects.get(&key).copied();
        let refused = match (verb, found) {
            (Verb::Create, Some(_)) => Some(Outcome::AlreadyExists),
            (Verb::Create, None) => None,
            (_, None) => Some(Outcome::NotFound),
            (Verb::Get, Some((version, state))) => {
                if self.wrong(Bug::StaleRead, 20)
                    && let Some(old) = self.previous(key, version)
                {
                    return old;
                }
                if self.wrong(Bug::MixedUp, 30)
                    && let Some((version, state)) = self.objects.values().next().copied()
                {
                    return Outcome::Done { version, state };
                }
                Some(Outcome::Done { version, state })
            }
            (_, Some((version, _))) => {
                verb.precondition().filter(|wanted| *wanted != version).map(|_| Outcome::Conflict)
            }
        };
        if let Some(refused) = refused {
            if refused == Outcome::Conflict && !matches!(verb, Verb::Delete(_)) && self.wrong(Bug::RefusedButDone, 5) {
                self.put(key, State { digest: write.0 * 31, tags, write });
            }
            return refused;
        }
        if matches!(verb, Verb::Delete(_)) {
            let version = self.tick();
            self.objects.remove(&key);
            let old = found.map(|found| found.1);
            self.log.push(Entry { version, key, old, new: None, phantom: false });
            return Outcome::Deleted { version: self.random.chance(4).then_some(version) };
        }
        let state = State { digest: write.0 * 31, tags, write };
        if self.wrong(Bug::LostAcknowledged, 25) {
            return Outcome::Done { version: self.tick(), state };
        }
        if self.wrong(Bug::PublishBeforeCommit, 15) {
            let version = self.tick();
            let old = found.map(|found| found.1);
            self.log.push(Entry { version, key, old, new: Some(state), phantom: true });
            return Outcome::Unknown;
        }
        let version = self.put(key, state);
        Outcome::Done { version, state }
    }

    pub(super) fn put(&mut self, key: KeyId, state: State) -> Version {
        let version = self.tick();
        let old = self.objects.insert(key, (version, state)).map(|old| old.1);
        self.log.push(Entry { version, key, old, new: Some(state), phantom: false });
        version
    }

    /// What the object was before its newest state.
    fn previous(&self, key: KeyId, now: Version) -> Option<Outcome> {
        let mut entries = self.log.iter().rev().filter(|entry| entry.key == key && entry.version < now);
        let entry = entries.next()?;
        entry.new.map(|state| Outcome::Done { version: entry.version, state })
    }

    /// The state of a scope, in order of keys, and its version.
    pub(super) fn list(&mut self, scope: &Scope, keys: &[Key]) -> (Version, Vec<Item>) {
        let stale = self.wrong(Bug::StaleList, 3);
        let torn = self.wrong(Bug::TornList, 3);
        let (objects, clock) = if stale { (&self.old, self.old_clock) } else { (&self.objects, self.clock) };
        let mut items = Vec::new();
        for (number, key) in keys.iter().enumerate() {
            let key_id = KeyId(number as u32);
            let from = if torn && number % 2 == 0 { &self.old } else { objects };
            let Some((version, state)) = from.get(&key_id).copied() else { continue };
            if scope.holds(key) && scope.takes(&state) {
                items.push(Item { key: key_id, version, state });
            }
        }
        (Version(clock), items)
    }

    /// What was told and not committed is forgotten.
    pub(super) fn forget_phantoms(&mut self) {
        for entry in &mut self.log {
            if entry.phantom {
                entry.new = None;
                entry.old = None;
            }
        }
    }

    /// The end of the run.
    pub(super) fn crash(&mut self) {
        if self.bug == Some(Bug::LostTail) {
            self.objects.clone_from(&self.old);
        }
    }
}
