//! The pods that wait, with kube-scheduler's three queues and two more.
//!
//! *active*: to be tried, by priority, then by time. *backoff*: to be tried after a pause that doubles with every failed
//! attempt, 1 s to 10 s. *unschedulable*: to be tried when something changes that matters to the pod, or after five
//! minutes. *gated*: not before somebody removes the scheduling gates. *parked*: another scheduler has its turn first
//! (see [`crate::refusal`]). A pod that was taken out of a queue is *in flight* until it is bound or put back.
//!
//! Each pod is here at most once, so the queue is bounded by the number of pending pods. Time is passed in.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use smol_str::SmolStr;

use crate::diagnosis::Diagnosis;
use crate::view::{Needs, PodView};

/// First pause after a failed attempt.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Longest pause after a failed attempt.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A pod is tried again after this, whatever has or has not changed.
const LONGEST_UNSCHEDULABLE: Duration = Duration::from_secs(5 * 60);

/// Where a pod waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// To be tried; since then.
    Active(Duration),
    /// To be tried at that time. Early, when there is nothing else to do, unless the failure was an error.
    Backoff {
        /// When.
        until: Duration,
        /// The failure was an error, not a lack of nodes.
        is_error: bool,
    },
    /// Waits for a change, since then.
    Unschedulable(Duration),
    /// Waits for its gates to go.
    Gated,
    /// Waits for another scheduler, until then.
    Parked(Duration),
    /// Out of the queues.
    InFlight,
}

/// What this scheduler has told the API about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The text of its own refusal.
    Refusal(String),
    /// The message of the condition.
    Condition(String),
}

/// A pending pod.
pub(crate) struct Entry {
    pub(crate) pod: Arc<PodView>,
    pub(crate) place: Place,
    /// When this scheduler first saw it.
    pub(crate) first_seen: Duration,
    /// Failed attempts without a node.
    pub(crate) refusals: u32,
    /// Failures of writes in a row.
    pub(crate) errors: u32,
    /// Why the last attempt found no node.
    pub(crate) diagnosis: Option<Arc<Diagnosis>>,
    /// What was told last.
    pub(crate) told: Option<Told>,
    /// When the last event was written.
    pub(crate) last_event: Option<Duration>,
    /// A write about it is under way.
    pub(crate) is_writing: bool,
    sequence: u64,
    failed_at: Duration,
}

impl Entry {
    /// Attempts so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.refusals + self.errors
    }

    fn backoff_until(&self, failures: u32) -> Duration {
        let pause = match failures {
            0 => Duration::ZERO,
            failures => FIRST_BACKOFF.saturating_mul(1 << (failures - 1).min(8)).min(LONGEST_BACKOFF),
        };
        self.failed_at + pause
    }
}

type ActiveKey = (Reverse<i32>, Duration, u64, SmolStr);
type TimedKey = (Duration, u64, SmolStr);

/// Numbers of pods by queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// To be tried.
    pub active: usize,
    /// To be tried after a pause.
    pub backoff: usize,
    /// Waiting for a change.
    pub unschedulable: usize,
    /// Waiting for their gates to go.
    pub gated: usize,
    /// Waiting for another scheduler.
    pub parked: usize,
}

/// The pods that wait.
#[derive(Default)]
pub(crate) struct Queue {
    entries: HashMap<SmolStr, Entry>,
    active: BTreeSet<ActiveKey>,
    backoff: BTreeSet<TimedKey>,
    /// Of `backoff`, those that may be tried early.
    early: BTreeSet<TimedKey>,
    unschedulable: BTreeSet<TimedKey>,
    waiting: HashMap<Arc<Needs>, BTreeSet<SmolStr>>,
    parked: BTreeSet<TimedKey>,
    gated: usize,
    sequence: u64,
}

impl Queue {
    /// A pending pod.
    pub(crate) fn get(&self, uid: &str) -> Option<&Entry> {
        self.entries.get(uid)
    }

    /// A pending pod. Its place is changed by the methods below only.
    pub(crate) fn get_mut(&mut self, uid: &str) -> Option<&mut Entry> {
        self.entries.get_mut(uid)
    }

    /// All pending pods.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SmolStr, &Entry)> {
        self.entries.iter()
    }

    /// Takes in a pod at a place, or the newer state of one that is here and stays where it is.
    pub(crate) fn upsert(&mut self, pod: &Arc<PodView>, place: Place, now: Duration) {
        let uid = pod.uid();
        if self.entries.contains_key(uid) {
            let place = self.lift(uid);
            let entry = self.entries.get_mut(uid).expect("looked up just above");
            entry.pod = pod.clone();
            self.put(uid, place);
            return;
        }
        self.sequence += 1;
        let entry = Entry {
            pod: pod.clone(),
            place: Place::InFlight,
            first_seen: now,
            refusals: 0,
            errors: 0,
            diagnosis: None,
            told: None,
            last_event: None,
            is_writing: false,
            sequence: self.sequence,
            failed_at: now,
        };
        self.entries.insert(uid.clone(), entry);
        self.put(uid, place);
    }

    /// Forgets a pod.
    pub(crate) fn remove(&mut self, uid: &str) -> Option<Entry> {
        self.lift(uid);
        self.entries.remove(uid)
    }

    /// Moves a pod.
    pub(crate) fn put_at(&mut self, uid: &SmolStr, place: Place) {
        if self.entries.contains_key(uid) {
            self.lift(uid);
            self.put(uid, place);
        }
    }

    fn keys(entry: &Entry, at: Duration) -> TimedKey {
        (at, entry.sequence, entry.pod.uid().clone())
    }

    /// Takes a pod out of its queue and returns which one it was.
    fn lift(&mut self, uid: &str) -> Place {
        let Some(entry) = self.entries.get_mut(uid) else { return Place::InFlight };
        let place = std::mem::replace(&mut entry.place, Place::InFlight);
        match place {
            Place::Active(since) => {
                self.active.remove(&(Reverse(entry.pod.priority), since, entry.sequence, entry.pod.uid().clone()));
            }
            Place::Backoff { until, .. } => {
                let key = Self::keys(entry, until);
                self.backoff.remove(&key);
                self.early.remove(&key);
            }
            Place::Unschedulable(since) => {
                self.unschedulable.remove(&Self::keys(entry, since));
                if let Some(needs) = &entry.pod.needs
                    && let Some(uids) = self.waiting.get_mut(needs)
                {
                    uids.remove(uid);
                    if uids.is_empty() {
                        self.waiting.remove(needs);
                    }
                }
            }
            Place::Parked(until) => {
                self.parked.remove(&Self::keys(entry, until));
            }
            Place::Gated => self.gated -= 1,
            Place::InFlight => (),
        }
        place
    }

    fn put(&mut self, uid: &SmolStr, place: Place) {
        let entry = self.entries.get_mut(uid).expect("only pods that are here are put anywhere");
        entry.place = place;
        match place {
            Place::Active(since) => {
                self.active.insert((Reverse(entry.pod.priority), since, entry.sequence, uid.clone()));
            }
            Place::Backoff { until, is_error } => {
                if !is_error {
                    self.early.insert(Self::keys(entry, until));
                }
                self.backoff.insert(Self::keys(entry, until));
            }
            Place::Unschedulable(since) => {
                self.unschedulable.insert(Self::keys(entry, since));
                if let Some(needs) = &entry.pod.needs {
                    self.waiting.entry_ref(needs).or_default().insert(uid.clone());
                }
            }
            Place::Parked(until) => {
                self.parked.insert(Self::keys(entry, until));
            }
            Place::Gated => self.gated += 1,
            Place::InFlight => (),
        }
    }

    /// The next pod to try, which is in flight from now on. When none is active, one whose pause is not over.
    pub(crate) fn pop(&mut self) -> Option<SmolStr> {
        let active = self.active.first().map(|(_, _, _, uid)| uid);
        let uid = active.or_else(|| self.early.first().map(|(_, _, uid)| uid))?.clone();
        self.lift(&uid);
        Some(uid)
    }

    /// Whether [`Queue::pop`] has something to give.
    pub(crate) fn has_next(&self) -> bool {
        !self.active.is_empty() || !self.early.is_empty()
    }

    /// An attempt has found no node.
    pub(crate) fn refused(&mut self, uid: &SmolStr, diagnosis: Arc<Diagnosis>, now: Duration) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.refusals = entry.refusals.saturating_add(1);
        entry.errors = 0;
        entry.failed_at = now;
        entry.diagnosis = Some(diagnosis);
        self.put_at(uid, Place::Unschedulable(now));
    }

    /// An attempt has failed for another reason.
    pub(crate) fn failed(&mut self, uid: &SmolStr, now: Duration) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.errors = entry.errors.saturating_add(1);
        entry.failed_at = now;
        let until = entry.backoff_until(entry.errors);
        self.put_at(uid, Place::Backoff { until, is_error: true });
    }

    /// Something has changed that may help this unschedulable pod.
    pub(crate) fn wake(&mut self, uid: &SmolStr, now: Duration) {
        let Some(entry) = self.entries.get(uid) else { return };
        if !matches!(entry.place, Place::Unschedulable(_)) {
            return;
        }
        let until = entry.backoff_until(entry.refusals);
        let place =
            if until <= now { Place::Active(entry.failed_at) } else { Place::Backoff { until, is_error: false } };
        self.put_at(uid, place);
    }

    /// The needs of the unschedulable pods that a predicate picks.
    pub(crate) fn waiting(&self, pick: impl Fn(&Needs) -> bool) -> Vec<SmolStr> {
        self.waiting.iter().filter(|(needs, _)| pick(needs)).flat_map(|(_, uids)| uids).cloned().collect()
    }

    /// Moves on whatever time has come for. Returns the parked pods whose turn is taken now.
    pub(crate) fn flush(&mut self, now: Duration) {
        let due = |queue: &BTreeSet<TimedKey>, by: Duration| {
            queue.iter().take_while(|(at, _, _)| *at <= by).map(|(_, _, uid)| uid.clone()).collect::<Vec<_>>()
        };
        for uid in due(&self.backoff, now) {
            let since = self.entries[&uid].failed_at;
            self.put_at(&uid, Place::Active(since));
        }
        for uid in due(&self.parked, now) {
            self.put_at(&uid, Place::Active(now));
        }
        if let Some(by) = now.checked_sub(LONGEST_UNSCHEDULABLE) {
            for uid in due(&self.unschedulable, by) {
                self.wake(&uid, now);
            }
        }
    }

    /// How many pods wait where.
    pub(crate) fn pending(&self) -> Pending {
        Pending {
            active: self.active.len(),
            backoff: self.backoff.len(),
            unschedulable: self.unschedulable.len(),
            gated: self.gated,
            parked: self.parked.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, priority: i32) -> Arc<PodView> {
        let mut pod = PodView { priority, needs: Some(Arc::new(Needs::default().hashed())), ..PodView::default() };
        pod.meta.uid = name.into();
        Arc::new(pod)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn add(queue: &mut Queue, name: &str, priority: i32, now: u64) {
        queue.upsert(&pod(name, priority), Place::Active(at(now)), at(now));
    }

    #[test]
    fn priority_goes_first_then_time() {
        let mut queue = Queue::default();
        add(&mut queue, "late", 0, 2);
        add(&mut queue, "early", 0, 1);
        add(&mut queue, "important", 9, 3);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["important", "early", "late"]);
        assert_eq!(queue.get("late").unwrap().place, Place::InFlight);
    }

    #[test]
    fn pauses_double_up_to_ten_seconds() {
        let mut queue = Queue::default();
        add(&mut queue, "a", 0, 0);
        let mut now = 0;
        for pause in [1, 2, 4, 8, 10, 10] {
            let uid = queue.pop().unwrap();
            queue.failed(&uid, at(now));
            assert!(queue.pop().is_none(), "an error's pause is not cut short");
            queue.flush(at(now + pause) - Duration::from_millis(1));
            assert_eq!(queue.pending().active, 0);
            now += pause;
            queue.flush(at(now));
            assert_eq!(queue.pending().active, 1);
        }
    }

    #[test]
    fn an_unschedulable_pod_waits_for_a_change_or_five_minutes() {
        let mut queue = Queue::default();
        add(&mut queue, "a", 0, 0);
        let uid = queue.pop().unwrap();
        queue.refused(&uid, Arc::default(), at(0));
        queue.flush(at(299));
        assert!(queue.pop().is_none());
        queue.flush(at(300));
        assert_eq!(queue.pop().as_ref(), Some(&uid));
        queue.refused(&uid, Arc::default(), at(300));
        assert_eq!(queue.waiting(|_| false), Vec::<SmolStr>::new());
        assert_eq!(queue.waiting(|_| true), ["a"]);
        queue.wake(&uid, at(301));
        assert_eq!(queue.pending(), Pending { backoff: 1, ..Pending::default() });
        assert_eq!(queue.pop(), Some(uid), "its pause is cut short when there is nothing else to do");
        assert!(queue.waiting(|_| true).is_empty());
    }

    #[test]
    fn a_new_state_stays_where_the_old_one_was() {
        let mut queue = Queue::default();
        add(&mut queue, "a", 0, 0);
        queue.upsert(&pod("a", 7), Place::Gated, at(1));
        assert_eq!(queue.pending(), Pending { active: 1, ..Pending::default() });
        add(&mut queue, "b", 5, 0);
        assert_eq!(queue.pop().unwrap(), "a", "the new priority counts");
        queue.put_at(&"b".into(), Place::Gated);
        assert_eq!(queue.pending(), Pending { gated: 1, ..Pending::default() });
        assert!(queue.remove("b").is_some());
        assert_eq!(queue.pending(), Pending::default());
    }

    #[test]
    fn a_parked_pod_is_taken_when_its_time_is_up() {
        let mut queue = Queue::default();
        queue.upsert(&pod("a", 0), Place::Parked(at(10)), at(0));
        queue.flush(at(9));
        assert!(queue.pop().is_none());
        queue.flush(at(10));
        assert_eq!(queue.pop().unwrap(), "a");
    }
}
