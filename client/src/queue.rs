//! A rate-limited work queue with client-go's semantics: a key is queued once however often it is added, is never worked
//! on by two workers at once, and one that fails comes back after an exponentially growing delay.

use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

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
    marker: PhantomData<K>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> WorkQueue<K> {
    /// An empty queue.
    pub fn new(_options: QueueOptions) -> Arc<Self> {
        todo!()
    }

    /// Adds a key, now.
    pub fn add(&self, _key: K) {
        todo!()
    }

    /// Adds a key after a delay; the earliest of several delays wins.
    pub fn add_after(self: &Arc<Self>, _key: K, _delay: Duration) {
        todo!()
    }

    /// Adds a key after its failure's back-off.
    pub fn add_rate_limited(self: &Arc<Self>, _key: K) {
        todo!()
    }

    /// Forgets a key's failures.
    pub fn forget(&self, _key: &K) {
        todo!()
    }

    /// How often a key has failed since it was forgotten.
    pub fn failures(&self, _key: &K) -> u32 {
        todo!()
    }

    /// The next key, `None` once the queue is shut down. Call [`WorkQueue::done`] with it afterwards.
    pub async fn next(&self) -> Option<K> {
        todo!()
    }

    /// Work on the key is over; if it was added meanwhile it is queued again.
    pub fn done(&self, _key: &K) {
        todo!()
    }

    /// Wakes every worker with `None`.
    pub fn shut_down(&self) {
        todo!()
    }

    /// Keys that wait.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
