//! A client that lists and watches, and goes on after breaks.

use api::Version;

use super::model::{Bug, Entry, Random, Server};
use crate::history::{At, Change, ClientLog, End, Key, Listed, OpenWatch, Scope, Start, State};

struct Following {
    open: OpenWatch,
    /// In the server's log.
    next: usize,
    seen: Version,
    /// Nothing came since it began.
    fresh: bool,
    resumed: bool,
}

pub(super) struct Watcher {
    log: ClientLog,
    scope: Scope,
    following: Option<Following>,
}

impl Watcher {
    pub(super) fn new(log: ClientLog, scope: Scope) -> Self {
        Self { log, scope, following: None }
    }

    pub(super) fn step(&mut self, server: &mut Server, random: &mut Random, keys: &[Key]) {
        let Some(following) = &self.following else { return self.begin(server, random, keys) };
        let seen = following.seen;
        match random.below(12) {
            0 => {
                if let Some(following) = self.following.take() {
                    self.log.ended(&following.open, End::Broken);
                }
                // Forgets everything now and then.
                if !random.chance(4) {
                    self.resume(server, seen);
                }
            }
            1 | 2 => self.bookmark(server),
            _ => self.deliver(server, 1 + random.below(8), keys),
        }
    }

    pub(super) fn finish(&mut self, server: &mut Server, random: &mut Random, keys: &[Key]) {
        if self.following.is_none() {
            self.begin(server, random, keys);
        }
        self.deliver(server, u64::MAX, keys);
        self.bookmark(server);
    }

    fn begin(&mut self, server: &mut Server, random: &mut Random, keys: &[Key]) {
        let next = server.log.len();
        if random.chance(3) {
            let open = self.log.watch(self.scope.clone(), Start::Initial);
            let (version, items) = server.list(&self.scope, keys);
            for item in items {
                self.log.event(&open, Change::Added, item.key, item.version, item.state);
            }
            self.log.bookmark(&open, version, true);
            self.following = Some(Following { open, next, seen: version, fresh: true, resumed: false });
            return;
        }
        let list = self.log.list(self.scope.clone(), At::Latest);
        let (version, items) = server.list(&self.scope, keys);
        self.log.listed(list, Listed::Page { version, items, more: false });
        let open = self.log.watch(self.scope.clone(), Start::List(version));
        let behind = usize::from(server.wrong(Bug::EventFromTheList, 1));
        // Whatever came between the list and the watch belongs to the watch.
        let next = next.saturating_sub(behind);
        self.following = Some(Following { open, next, seen: version, fresh: true, resumed: false });
    }

    fn resume(&mut self, server: &mut Server, seen: Version) {
        let open = self.log.watch(self.scope.clone(), Start::Resume(seen));
        let next = server.log.partition_point(|entry| entry.version <= seen);
        self.following = Some(Following { open, next, seen, fresh: true, resumed: true });
    }

    fn deliver(&mut self, server: &mut Server, most: u64, keys: &[Key]) {
        let Some(following) = &mut self.following else { return };
        let mut batch: Vec<(Entry, Change, State)> = Vec::new();
        while (batch.len() as u64) < most {
            let Some(entry) = server.log.get(following.next).copied() else { break };
            following.next += 1;
            if !self.scope.holds(&keys[entry.key.0 as usize]) {
                continue;
            }
            let Some((change, state)) = entry.look(&self.scope) else { continue };
            let gap = following.fresh && following.resumed && server.wrong(Bug::ResumptionGap, 1);
            following.fresh = false;
            let leaves = change == Change::Deleted && entry.new.is_some();
            if gap || server.wrong(Bug::DroppedEvent, 25) || (leaves && server.wrong(Bug::SilentLeave, 2)) {
                continue;
            }
            batch.push((entry, change, state));
        }
        if batch.len() > 1 && server.wrong(Bug::ReorderedEvents, 3) {
            batch.swap(0, 1);
        }
        for (entry, mut change, mut state) in batch {
            if change == Change::Deleted && server.wrong(Bug::WrongDeleted, 3) {
                state.digest ^= 1;
            }
            if change == Change::Modified && server.wrong(Bug::WrongType, 10) {
                change = Change::Added;
            }
            if change == Change::Modified && server.wrong(Bug::TwoContents, 20) {
                state.digest ^= 1;
            }
            self.log.event(&following.open, change, entry.key, entry.version, state);
            if server.wrong(Bug::RepeatedEvent, 20) {
                self.log.event(&following.open, change, entry.key, entry.version, state);
            }
            following.seen = following.seen.max(entry.version);
        }
    }

    fn bookmark(&mut self, server: &mut Server) {
        let Some(following) = &mut self.following else { return };
        let lies = server.wrong(Bug::LyingBookmark, 3);
        // Everything before what comes next has been told, and everything up to the clock where nothing comes next.
        let version = match server.log.get(following.next) {
            Some(_) if lies => Version(server.clock),
            Some(next) => next.version.before(),
            None => Version(server.clock),
        };
        if version >= following.seen {
            self.log.bookmark(&following.open, version, false);
            following.seen = version;
        }
    }
}
