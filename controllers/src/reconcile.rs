//! The one loop that every controller runs on: keys in a rate-limited queue, N workers, one reconcile per key at a time.
//!
//! A reconcile looks at the whole state of its key and moves it one step towards what is wanted; it never trusts the
//! event that woke it. Conflicts come back quietly, failures come back later and later and are logged once, and no
//! reconcile outlives its deadline. A key that another worker owns is dropped here: its owner has it in its own queue, and
//! when it becomes ours it is queued again.

use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use client::{ClientError, QueueOptions, WorkQueue};
use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Metrics, QueueName};
use crate::share::{Part, Share};

/// Failures in a row after which an operator should look.
const ALARM: u32 = 12;

/// What becomes of a key after a reconcile that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing, until something changes.
    Done,
    /// Look again after a while.
    In(Duration),
    /// Look again after the back-off of a failure, without calling it one.
    Retry,
}

/// One controller. Its key names the object whose state [`Controller::reconcile`] brings about.
pub trait Controller: Send + Sync + 'static {
    /// What is queued.
    type Key: Clone + Eq + Hash + Debug + Send + Sync + 'static;

    /// Name of the queue in metrics and logs, as in kube-controller-manager.
    fn name(&self) -> &'static str;

    /// Connects the informers to the queue. Called once, before the first reconcile.
    fn start(self: Arc<Self>, queue: Queue<Self::Key>);

    /// Which part of the work a key belongs to.
    fn part(&self, key: &Self::Key) -> Part;

    /// Every key that may need work. Asked when the members have changed: those that became ours are queued.
    fn keys(&self) -> Vec<Self::Key>;

    /// Brings one key closer to what is wanted. Cancelled at the deadline and at shutdown, at any await point.
    fn reconcile(&self, key: &Self::Key) -> impl Future<Output = Result<After, ClientError>> + Send;
}

/// A controller's queue, counted. Cheap to clone.
pub struct Queue<K> {
    inner: Arc<WorkQueue<K>>,
    name: QueueName,
    metrics: Metrics,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), name: self.name.clone(), metrics: self.metrics.clone() }
    }
}

impl<K: Clone + Eq + Hash + Debug + Send + Sync + 'static> Queue<K> {
    /// An empty queue.
    pub fn new(name: &'static str, metrics: &Metrics) -> Self {
        let options = QueueOptions::default();
        Self { inner: WorkQueue::new(options), name: QueueName { name }, metrics: metrics.clone() }
    }

    /// Adds a key, now.
    pub fn add(&self, key: K) {
        self.metrics.adds.get_or_create(&self.name).inc();
        self.inner.add(key);
    }

    /// Adds a key after a delay.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        self.metrics.adds.get_or_create(&self.name).inc();
        self.inner.add_after(key, delay);
    }

    /// Adds a key after its back-off.
    pub fn add_rate_limited(&self, key: K) {
        self.metrics.retries.get_or_create(&self.name).inc();
        self.inner.add_rate_limited(key);
    }

    /// Keys that wait.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
}

/// What a loop needs beside its controller.
#[derive(Clone)]
pub struct Loop {
    /// Keys at once.
    pub workers: usize,
    /// Longest reconcile.
    pub deadline: Duration,
    /// What of the work is ours.
    pub share: Share,
    /// Counters.
    pub metrics: Metrics,
    /// For durations.
    pub clock: Arc<dyn Clock>,
    /// Ends it.
    pub shutdown: CancellationToken,
}

impl Loop {
    /// Runs a controller until shutdown. Reconciles that run then are cancelled.
    pub async fn run<C: Controller>(self, controller: Arc<C>) {
        let queue = Queue::new(controller.name(), &self.metrics);
        controller.clone().start(queue.clone());
        let mut tasks = JoinSet::new();
        for _ in 0..self.workers.max(1) {
            tasks.spawn(self.clone().work(controller.clone(), queue.clone()));
        }
        tasks.spawn(self.clone().follow_members(controller, queue.clone()));
        self.shutdown.cancelled().await;
        queue.inner.shut_down();
        while tasks.join_next().await.is_some() {}
    }

    async fn work<C: Controller>(self, controller: Arc<C>, queue: Queue<C::Key>) {
        let depth = self.metrics.depth.get_or_create_owned(&queue.name);
        let took = self.metrics.work_duration.get_or_create_owned(&queue.name);
        while let Some(key) = queue.inner.next().await {
            depth.set(queue.inner.len() as i64);
            if self.share.owns(&controller.part(&key)) {
                let started = self.clock.boot();
                tokio::select! {
                    () = self.one(&*controller, &queue, &key) => {}
                    () = self.shutdown.cancelled() => return,
                }
                took.observe(self.clock.boot().saturating_sub(started).as_secs_f64());
            } else {
                queue.inner.forget(&key);
            }
            queue.inner.done(&key);
        }
    }

    async fn one<C: Controller>(&self, controller: &C, queue: &Queue<C::Key>, key: &C::Key) {
        let name = controller.name();
        let reconcile = AssertUnwindSafe(controller.reconcile(key)).catch_unwind();
        match tokio::time::timeout(self.deadline, reconcile).await {
            Ok(Ok(Ok(after))) => {
                match after {
                    After::Done => {}
                    After::In(delay) => queue.add_after(key.clone(), delay),
                    After::Retry => return queue.add_rate_limited(key.clone()),
                }
                queue.inner.forget(key);
            }
            Ok(Ok(Err(error))) => {
                if !error.is_conflict() {
                    self.failed(queue, key, &error);
                }
                queue.add_rate_limited(key.clone());
            }
            Ok(Err(_panic)) => {
                // The panic hook has printed what happened and where.
                tracing::error!(controller = name, ?key, "a reconcile panicked; the key is tried again later");
                queue.add_rate_limited(key.clone());
            }
            Err(_elapsed) => {
                let seconds = self.deadline.as_secs();
                tracing::warn!(controller = name, ?key, seconds, "a reconcile missed its deadline; it is tried again");
                queue.add_rate_limited(key.clone());
            }
        }
    }

    /// Logs a failure: quietly at first, since most pass with the next try, and once aloud when they do not.
    fn failed<K: Clone + Eq + Hash + Debug + Send + Sync + 'static>(
        &self,
        queue: &Queue<K>,
        key: &K,
        error: &ClientError,
    ) {
        self.metrics.errors.get_or_create(&queue.name).inc();
        let (name, failures) = (queue.name.name, queue.inner.failures(key) + 1);
        if failures == ALARM {
            tracing::warn!(controller = name, ?key, failures, %error, "reconciling keeps failing; it is tried again");
        } else {
            tracing::debug!(controller = name, ?key, failures, %error, "reconciling failed; it is tried again");
        }
    }

    async fn follow_members<C: Controller>(self, controller: Arc<C>, queue: Queue<C::Key>) {
        let mut share = self.share.clone();
        let mut before = share.snapshot();
        while share.changed(&self.shutdown).await {
            let now = share.snapshot();
            for key in controller.keys() {
                let part = controller.part(&key);
                if now.owns(&part) && !before.owns(&part) {
                    queue.add(key);
                }
            }
            before = now;
        }
    }
}
