//! What a controller wrote and its cache does not show yet.
//!
//! A reconcile that runs between its own write and the watch event of it would decide on old state: it would write again
//! and meet a conflict at best. So it waits for the event, which queues the key anyway. (Kubernetes v1.36 does the same
//! for ReplicaSets and calls it the consistency store.)

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use client::{Key, Meta};
use hashbrown::HashMap;
use parking_lot::Mutex;
use smol_str::SmolStr;

/// A write whose event has not come after so long was deleted before we could note it; the cache is right.
pub const EXPIRY: Duration = Duration::from_secs(20);

struct Entry {
    /// uid
    item: SmolStr,
    version: u64,
    at: Duration,
}

/// Writes by the key that made them. Items are of the key's namespace.
pub struct Written {
    entries: Mutex<HashMap<Key, Vec<Entry>>>,
    clock: Arc<dyn Clock>,
}

impl Written {
    /// Nothing written yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { entries: Mutex::default(), clock }
    }

    /// Remembers that `key` wrote an object, as the server answered it. `cached` looks the object up in the cache.
    /// Versions that are no numbers are not waited for.
    pub fn note(&self, key: &Key, answer: &Meta, cached: impl FnOnce() -> Option<u64>) {
        let Some(version) = number(&answer.resource_version) else { return };
        let mut entries = self.entries.lock();
        // Under the lock: the cache changes before `seen` is called, so the event cannot slip in between.
        if cached().is_some_and(|cached| cached >= version) {
            return;
        }
        let list = entries.entry(key.clone()).or_default();
        list.retain(|entry| entry.item != answer.uid);
        list.push(Entry { item: answer.uid.clone(), version, at: self.clock.boot() });
    }

    /// The cache shows this state of an object now, or that it is gone.
    pub fn seen(&self, key: &Key, meta: &Meta, gone: bool) {
        let mut entries = self.entries.lock();
        let Some(list) = entries.get_mut(key) else { return };
        let version = number(&meta.resource_version).unwrap_or(u64::MAX);
        list.retain(|entry| entry.item != meta.uid || (!gone && entry.version > version));
        if list.is_empty() {
            entries.remove(key);
        }
    }

    /// Whether the cache still lacks something that `key` wrote.
    pub fn pending(&self, key: &Key) -> bool {
        let mut entries = self.entries.lock();
        let Some(list) = entries.get_mut(key) else { return false };
        let now = self.clock.boot();
        list.retain(|entry| entry.at + EXPIRY > now);
        let pending = !list.is_empty();
        if !pending {
            entries.remove(key);
        }
        pending
    }

    /// Forgets a key.
    pub fn forget(&self, key: &Key) {
        self.entries.lock().remove(key);
    }
}

/// A resourceVersion as a number, if it is one.
pub fn number(version: &str) -> Option<u64> {
    version.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::HandClock;

    fn meta(name: &str, version: &str) -> Meta {
        Meta { uid: name.into(), resource_version: version.into(), ..Meta::default() }
    }

    #[test]
    fn a_write_is_pending_until_it_is_seen_or_too_old() {
        let clock = Arc::new(HandClock::default());
        let written = Written::new(clock.clone());
        let key = Key { namespace: "ns".into(), name: "web".into() };
        written.note(&key, &meta("a", "7"), || Some(6));
        written.note(&key, &meta("b", "9"), || None);
        written.note(&key, &meta("c", "5"), || Some(5));
        assert!(written.pending(&key));
        written.seen(&key, &meta("a", "6"), false);
        written.seen(&key, &meta("b", "9"), false);
        assert!(written.pending(&key), "a is at 6 still");
        written.seen(&key, &meta("a", "8"), false);
        assert!(!written.pending(&key));
        written.note(&key, &meta("d", "10"), || None);
        written.seen(&key, &meta("d", "3"), true);
        assert!(!written.pending(&key), "what is gone is not waited for");
        written.note(&key, &meta("e", "11"), || None);
        clock.advance(EXPIRY);
        assert!(!written.pending(&key));
    }
}
