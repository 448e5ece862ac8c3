//! What a ReplicaSet has done that the Pod cache does not show yet: so that a slow cache never makes it create too many
//! Pods or delete too many.
//!
//! Unlike counting expectations, these name Pods: the next reconcile need not wait for the cache, it adds what is
//! missing and leaves out what is going. A Pod's event may come before the answer to its creation, so while creations are
//! in flight the uids of every Pod that shows up are kept.

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use client::Key;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use smol_str::SmolStr;

/// What was not seen after so long is not waited for any more (as in kube-controller-manager).
const EXPIRY: Duration = Duration::from_secs(5 * 60);

#[derive(Default)]
struct Expected {
    /// uid of the ReplicaSet: one of the same name may follow.
    owner: SmolStr,
    /// Creations whose answer has not come.
    in_flight: usize,
    /// uids that showed up while creations were in flight.
    seen: HashSet<SmolStr>,
    /// Created, not in the cache: uid and when.
    created: HashMap<SmolStr, Duration>,
    /// Deleted, still alive in the cache: uid and when.
    deleted: HashMap<SmolStr, Duration>,
}

impl Expected {
    fn is_empty(&self) -> bool {
        self.in_flight == 0 && self.created.is_empty() && self.deleted.is_empty()
    }
}

/// Expectations by ReplicaSet.
pub struct Expectations {
    sets: Mutex<HashMap<Key, Expected>>,
    clock: Arc<dyn Clock>,
}

/// What the cache does not show.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// uids of Pods that exist and may not be in the cache.
    pub created: HashSet<SmolStr>,
    /// uids of Pods that are on their way out but look alive in the cache.
    pub deleted: HashSet<SmolStr>,
}

impl Expectations {
    /// Nothing expected.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { sets: Mutex::default(), clock }
    }

    /// What the cache does not show of this ReplicaSet's work.
    pub fn unseen(&self, key: &Key, owner: &str) -> Unseen {
        let mut sets = self.sets.lock();
        let now = self.clock.boot();
        let Some(expected) = sets.get_mut(key) else { return Unseen::default() };
        expected.created.retain(|_, at| *at + EXPIRY > now);
        expected.deleted.retain(|_, at| *at + EXPIRY > now);
        if expected.owner != owner || expected.is_empty() {
            sets.remove(key);
            return Unseen::default();
        }
        let uids = |pods: &HashMap<SmolStr, Duration>| pods.keys().cloned().collect();
        Unseen { created: uids(&expected.created), deleted: uids(&expected.deleted) }
    }

    /// A Pod is going to be created.
    pub fn creating(&self, key: &Key, owner: &SmolStr) {
        let mut sets = self.sets.lock();
        let expected = sets.entry(key.clone()).or_default();
        if expected.owner != *owner {
            *expected = Expected { owner: owner.clone(), ..Expected::default() };
        }
        expected.in_flight += 1;
    }

    /// The creation has ended: with the Pod's uid, or without.
    pub fn answered(&self, key: &Key, pod: Option<SmolStr>) {
        let mut sets = self.sets.lock();
        let Some(expected) = sets.get_mut(key) else { return };
        expected.in_flight = expected.in_flight.saturating_sub(1);
        if let Some(uid) = pod
            && !expected.seen.contains(&uid)
        {
            expected.created.insert(uid, self.clock.boot());
        }
        if expected.in_flight == 0 {
            expected.seen.clear();
        }
        if expected.is_empty() {
            sets.remove(key);
        }
    }

    /// A Pod is going to be deleted.
    pub fn deleting(&self, key: &Key, owner: &SmolStr, pod: &SmolStr) {
        let mut sets = self.sets.lock();
        let expected = sets.entry(key.clone()).or_default();
        if expected.owner != *owner {
            *expected = Expected { owner: owner.clone(), ..Expected::default() };
        }
        expected.deleted.insert(pod.clone(), self.clock.boot());
    }

    /// The cache shows a Pod of this ReplicaSet: alive, or (`going`) on its way out or gone.
    pub fn seen(&self, key: &Key, pod: &SmolStr, going: bool) {
        let mut sets = self.sets.lock();
        let Some(expected) = sets.get_mut(key) else { return };
        if expected.in_flight > 0 {
            expected.seen.insert(pod.clone());
        }
        expected.created.remove(pod);
        if going {
            expected.deleted.remove(pod);
        }
        if expected.is_empty() {
            sets.remove(key);
        }
    }

    /// The deletion of a Pod failed: it is alive.
    pub fn kept(&self, key: &Key, pod: &SmolStr) {
        self.seen(key, pod, true);
    }

    /// Forgets a ReplicaSet.
    pub fn forget(&self, key: &Key) {
        self.sets.lock().remove(key);
    }
}

/// Ends an expected creation even when its future is dropped.
pub struct InFlight<'a> {
    expectations: &'a Expectations,
    key: &'a Key,
    answered: bool,
}

impl<'a> InFlight<'a> {
    /// Expects one creation.
    pub fn start(expectations: &'a Expectations, key: &'a Key, owner: &SmolStr) -> Self {
        expectations.creating(key, owner);
        Self { expectations, key, answered: false }
    }

    /// The creation has ended.
    pub fn answer(mut self, pod: Option<SmolStr>) {
        self.answered = true;
        self.expectations.answered(self.key, pod);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.expectations.answered(self.key, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::HandClock;

    fn key() -> Key {
        Key { namespace: "ns".into(), name: "web".into() }
    }

    #[test]
    fn a_created_pod_counts_until_it_is_seen_whatever_comes_first() {
        let expectations = Expectations::new(Arc::new(HandClock::default()));
        let (key, owner) = (key(), SmolStr::from("rs"));
        let count = || expectations.unseen(&key, "rs").created.len();
        expectations.creating(&key, &owner);
        expectations.creating(&key, &owner);
        expectations.creating(&key, &owner);
        expectations.seen(&key, &"early".into(), false);
        expectations.answered(&key, Some("late".into()));
        expectations.answered(&key, Some("early".into()));
        assert_eq!(count(), 1);
        expectations.seen(&key, &"late".into(), false);
        expectations.answered(&key, None);
        assert_eq!(count(), 0);
        assert!(expectations.sets.lock().is_empty());
    }

    #[test]
    fn a_deleted_pod_is_left_out_until_it_is_seen_going() {
        let clock = Arc::new(HandClock::default());
        let expectations = Expectations::new(clock.clone());
        let (key, owner) = (key(), SmolStr::from("rs"));
        for pod in ["a", "b", "c"] {
            expectations.deleting(&key, &owner, &pod.into());
        }
        expectations.seen(&key, &"a".into(), false);
        expectations.seen(&key, &"b".into(), true);
        expectations.kept(&key, &"c".into());
        assert_eq!(expectations.unseen(&key, "rs").deleted, HashSet::from([SmolStr::from("a")]));
        assert_eq!(expectations.unseen(&key, "another"), Unseen::default(), "the uid must match");
        expectations.deleting(&key, &owner, &"d".into());
        clock.advance(EXPIRY);
        assert_eq!(expectations.unseen(&key, "rs"), Unseen::default());
    }

    #[test]
    fn a_dropped_creation_is_not_waited_for() {
        let expectations = Expectations::new(Arc::new(HandClock::default()));
        let key = key();
        drop(InFlight::start(&expectations, &key, &"rs".into()));
        assert!(expectations.sets.lock().is_empty());
    }
}
