//! Driving requests: at a rate that does not wait for the server, or as fast as the answers come.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::ambient::Clock;
use client::ClientError;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::Bench;
use crate::progress::Progress;
use crate::report::{Cost, Measured};

/// Longest latency that is told apart, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;
/// Kinds of errors that a report tells apart; what comes after them is counted as "other".
const ERROR_KINDS: usize = 8;

/// An empty histogram of microseconds with three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("constant bounds that the crate accepts")
}

/// How many requests, and for how long.
pub(crate) struct Load {
    /// What the report calls it.
    pub(crate) name: String,
    /// Requests in all; `None`: until the time is over.
    pub(crate) total: Option<u64>,
    /// Longest time.
    pub(crate) duration: Duration,
}

struct Shared {
    clock: Arc<dyn Clock>,
    start: Duration,
    deadline: Duration,
    total: u64,
    /// Requests a second; 0: closed loop.
    rate: u32,
    next: AtomicU64,
}

impl Shared {
    /// The next request's number and intended start; `None` when the load is over.
    async fn take(&self) -> Option<(u64, Duration)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.boot();
        if number >= self.total || now >= self.deadline {
            return None;
        }
        if self.rate == 0 {
            return Some((number, now));
        }
        let intended = self.start + Duration::from_secs_f64(number as f64 / f64::from(self.rate));
        if intended >= self.deadline {
            return None;
        }
        if let Some(early) = intended.checked_sub(now) {
            tokio::time::sleep(early).await;
        }
        Some((number, intended))
    }
}

struct Worker {
    latencies: Histogram<u64>,
    bytes: u64,
    failures: BTreeMap<String, u64>,
}

/// Drives `call(worker, number)`, which returns the bytes of its answer, and measures it.
pub(crate) async fn drive<F, R>(bench: &Bench<'_>, load: Load, call: F) -> Measured
where
    F: Fn(usize, u64) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<usize, ClientError>> + Send + 'static,
{
    let clock = bench.ambient.clock.clone();
    let start = clock.boot();
    let shared = Arc::new(Shared {
        clock,
        start,
        deadline: start + load.duration,
        total: load.total.unwrap_or(u64::MAX),
        rate: bench.command.rate,
        next: AtomicU64::new(0),
    });
    let progress = Progress::start(&load, bench);
    let before = bench.server.taken();
    let mut workers = JoinSet::new();
    for index in 0..bench.command.concurrency as usize {
        workers.spawn(work(index, shared.clone(), call.clone(), progress.counter()));
    }
    let mut measured = Measured::new(load.name, bench.command.rate);
    while let Some(worker) = workers.join_next().await {
        let worker = worker.expect("workers do not panic, and nobody aborts them");
        measured.latencies.add(worker.latencies).expect("both have the same bounds");
        measured.bytes += worker.bytes;
        for (error, count) in worker.failures {
            *measured.failures.entry(error).or_default() += count;
        }
    }
    measured.elapsed = shared.clock.boot() - start;
    measured.server = Cost::between(before, bench.server.taken());
    progress.finish();
    measured
}

async fn work<F, R>(index: usize, shared: Arc<Shared>, call: F, done: Arc<AtomicU64>) -> Worker
where
    F: Fn(usize, u64) -> R,
    R: Future<Output = Result<usize, ClientError>>,
{
    let mut worker = Worker { latencies: histogram(), bytes: 0, failures: BTreeMap::new() };
    while let Some((number, intended)) = shared.take().await {
        match call(index, number).await {
            Ok(bytes) => {
                let latency = shared.clock.boot().saturating_sub(intended);
                worker.latencies.saturating_record((latency.as_micros() as u64).max(1));
                worker.bytes += bytes as u64;
            }
            Err(error) => {
                let mut kind = error.to_string();
                if worker.failures.len() >= ERROR_KINDS && !worker.failures.contains_key(&kind) {
                    kind = "other errors".to_owned();
                }
                *worker.failures.entry(kind).or_default() += 1;
                // A server that refuses at once must not turn the load into a spin.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    worker
}
