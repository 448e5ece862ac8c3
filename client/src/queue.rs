//! A rate-limited work queue with client-go's semantics: a key is queued once however often it is added, is never worked
//! on by two workers at once, and one that fails comes back after an exponentially growing delay.
//!
//! Delayed keys need no task of their own: whoever waits in [`WorkQueue::next`] sleeps until the earliest of them is due.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Delays of failing keys.
#[derive(Clone, Copy, Debug)]
pub struct QueueOptions {
    /// Delay after the first failure.
    pub base: Duration,
    /// Longest delay.
    pub max: Duration,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { base: Duration::from_millis(5), max: Duration::from_secs(60) }
    }
}

/// The queue. Keys live in it at most once, so its size is bounded by the number of objects.
pub struct WorkQueue<K> {
    options: QueueOptions,
    state: Mutex<State<K>>,
    /// Told whenever a waiting worker should look again. Who finds more work than it takes passes the word on.
    notify: Notify,
}

struct State<K> {
    /// Keys to work on, in order of arrival.
    ready: VecDeque<K>,
    /// Keys that need work: those in `ready`, and those that were added while a worker had them.
    dirty: HashSet<K>,
    /// Keys that a worker has.
    processing: HashSet<K>,
    /// When delayed keys are due. An entry whose time is not the one in `due` has been overtaken by an earlier one.
    delays: BinaryHeap<Reverse<(Instant, u64)>>,
    /// The key of each entry of `delays`, by its sequence number.
    delayed: HashMap<u64, K>,
    /// The earliest time of each delayed key, with its entry.
    due: HashMap<K, (Instant, u64)>,
    sequence: u64,
    failures: HashMap<K, u32>,
    shut_down: bool,
}

impl<K: Clone + Eq + Hash> State<K> {
    fn add(&mut self, key: K) {
        if self.shut_down || !self.dirty.insert(key.clone()) {
            return;
        }
        if !self.processing.contains(&key) {
            self.ready.push_back(key);
        }
    }

    fn delay(&mut self, key: K, at: Instant) {
        if let Some((earlier, sequence)) = self.due.get(&key) {
            if *earlier <= at {
                return;
            }
            self.delayed.remove(sequence);
        }
        self.sequence += 1;
        self.delays.push(Reverse((at, self.sequence)));
        self.delayed.insert(self.sequence, key.clone());
        self.due.insert(key, (at, self.sequence));
    }

    /// Moves what is due into the queue and says when the next key will be.
    fn promote(&mut self, now: Instant) -> Option<Instant> {
        while let Some(Reverse((at, sequence))) = self.delays.peek().copied() {
            if at > now && self.delayed.contains_key(&sequence) {
                return Some(at);
            }
            self.delays.pop();
            if let Some(key) = self.delayed.remove(&sequence) {
                self.due.remove(&key);
                self.add(key);
            }
        }
        None
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> WorkQueue<K> {
    /// An empty queue.
    pub fn new(options: QueueOptions) -> Arc<Self> {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            processing: HashSet::new(),
            delays: BinaryHeap::new(),
            delayed: HashMap::new(),
            due: HashMap::new(),
            sequence: 0,
            failures: HashMap::new(),
            shut_down: false,
        };
        Arc::new(Self { options, state: Mutex::new(state), notify: Notify::new() })
    }

    /// Adds a key, now.
    pub fn add(&self, key: K) {
        self.state.lock().add(key);
        self.notify.notify_one();
    }

    /// Adds a key after a delay; the earliest of several delays wins.
    pub fn add_after(self: &Arc<Self>, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let mut state = self.state.lock();
        if !state.shut_down {
            state.delay(key, Instant::now() + delay);
        }
        drop(state);
        self.notify.notify_one();
    }

    /// Adds a key after its failure's back-off.
    pub fn add_rate_limited(self: &Arc<Self>, key: K) {
        let delay = {
            let mut state = self.state.lock();
            let failures = state.failures.entry(key.clone()).or_insert(0);
            let doubled = self.options.base.saturating_mul(1 << (*failures).min(30));
            *failures = failures.saturating_add(1);
            doubled.min(self.options.max)
        };
        self.add_after(key, delay);
    }

    /// Forgets a key's failures.
    pub fn forget(&self, key: &K) {
        self.state.lock().failures.remove(key);
    }

    /// How often a key has failed since it was forgotten.
    pub fn failures(&self, key: &K) -> u32 {
        self.state.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// The next key, `None` once the queue is shut down. Call [`WorkQueue::done`] with it afterwards.
    ///
    /// Cancelling it loses nothing.
    pub async fn next(&self) -> Option<K> {
        loop {
            let due = {
                let mut state = self.state.lock();
                if state.shut_down {
                    return None;
                }
                let due = state.promote(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.dirty.remove(&key);
                    state.processing.insert(key.clone());
                    if !state.ready.is_empty() || due.is_some() {
                        self.notify.notify_one();
                    }
                    return Some(key);
                }
                due
            };
            // A word given between the look above and the wait below is kept by `Notify`.
            match due {
                Some(at) => tokio::select! {
                    () = self.notify.notified() => {}
                    () = sleep_until(at) => {}
                },
                None => self.notify.notified().await,
            }
        }
    }

    /// Work on the key is over; if it was added meanwhile it is queued again.
    pub fn done(&self, key: &K) {
        let mut state = self.state.lock();
        if state.processing.remove(key) && state.dirty.contains(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.notify.notify_one();
        }
    }

    /// Wakes every worker with `None`.
    pub fn shut_down(&self) {
        self.state.lock().shut_down = true;
        self.notify.notify_waiters();
        self.notify.notify_one();
    }

    /// Keys that wait.
    pub fn len(&self) -> usize {
        let mut state = self.state.lock();
        state.promote(Instant::now());
        state.ready.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Arc<WorkQueue<&'static str>> {
        WorkQueue::new(QueueOptions { base: Duration::from_millis(10), max: Duration::from_millis(35) })
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_queued_once_and_worked_on_once() {
        let queue = queue();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.next().await, Some("a"));
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.len(), 0, "a worker has it");
        queue.add("b");
        assert_eq!(queue.next().await, Some("b"));
        queue.done(&"a");
        assert_eq!(queue.next().await, Some("a"));
        queue.done(&"a");
        queue.done(&"b");
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_delay_wins() {
        let queue = queue();
        let start = Instant::now();
        queue.add_after("late", Duration::from_secs(9));
        queue.add_after("late", Duration::from_secs(3));
        queue.add_after("late", Duration::from_secs(5));
        queue.add_after("soon", Duration::from_secs(1));
        assert_eq!(queue.next().await, Some("soon"));
        assert_eq!(start.elapsed().as_secs(), 1);
        assert_eq!(queue.next().await, Some("late"));
        assert_eq!(start.elapsed().as_secs(), 3);
        queue.done(&"late");
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(queue.is_empty(), "the later delays are void");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_double_the_delay_up_to_the_ceiling() {
        let queue = queue();
        for millis in [10, 20, 35, 35] {
            let start = Instant::now();
            queue.add_rate_limited("a");
            queue.next().await;
            queue.done(&"a");
            assert_eq!(start.elapsed().as_millis(), millis);
        }
        assert_eq!(queue.failures(&"a"), 4);
        queue.forget(&"a");
        assert_eq!(queue.failures(&"a"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_word_is_lost_among_many_workers() {
        let queue = WorkQueue::<u32>::new(QueueOptions::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let workers: Vec<_> = (0..8)
            .map(|_| {
                let (queue, seen) = (queue.clone(), seen.clone());
                tokio::spawn(async move {
                    while let Some(key) = queue.next().await {
                        tokio::time::sleep(Duration::from_millis(u64::from(key % 7))).await;
                        seen.lock().push(key);
                        queue.done(&key);
                    }
                })
            })
            .collect();
        for key in 0..1000 {
            if key % 2 == 0 { queue.add(key) } else { queue.add_after(key, Duration::from_millis(u64::from(key % 50))) }
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mut seen = std::mem::take(&mut *seen.lock());
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
        queue.shut_down();
        for worker in workers {
            worker.await.unwrap();
        }
    }
}
