//! Events of 3 kB Pods to 50 watchers of all Pods, each reading in a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use criterion::{Criterion, Throughput};
use http_body_util::BodyExt;
use tokio::sync::Notify;

use crate::fixture::{Fixture, PODS, fixture};

const WATCHERS: usize = 50;
const EVENTS: usize = 2_000;

#[derive(Default)]
struct Progress {
    events: AtomicUsize,
    moved: Notify,
}

async fn open(fixture: &Fixture, progress: &Arc<Progress>) {
    let version = PODS + 1;
    let mut body = fixture.get(&format!("/api/v1/pods?watch=1&resourceVersion={version}")).await.into_body();
    let progress = progress.clone();
    tokio::spawn(async move {
        while let Some(Ok(frame)) = body.frame().await {
            let lines = frame.data_ref().map_or(0, |data| memchr::memchr_iter(b'\n', data).count());
            progress.events.fetch_add(lines, Ordering::Relaxed);
            progress.moved.notify_one();
        }
    });
}

async fn deliver(fixture: &Fixture, progress: &Progress, events: &[Arc<shards::service::Event>]) {
    let goal = progress.events.load(Ordering::Relaxed) + WATCHERS * events.len();
    fixture.shard.publish(events).await;
    while progress.events.load(Ordering::Relaxed) < goal {
        progress.moved.notified().await;
    }
}

pub(crate) fn fan_out(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let fixture = fixture();
    let progress = Arc::new(Progress::default());
    runtime.block_on(async {
        for _ in 0..WATCHERS {
            open(&fixture, &progress).await;
        }
    });
    let mut group = criterion.benchmark_group("watch");
    group.throughput(Throughput::Elements((WATCHERS * EVENTS) as u64)).sample_size(10);
    group.measurement_time(Duration::from_secs(5));
    group.bench_function("50 watchers", |bencher| {
        bencher.to_async(&runtime).iter_custom(|rounds| {
            let (fixture, progress) = (&fixture, &progress);
            async move {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let events = fixture.shard.events(EVENTS);
                    let began = tokio::time::Instant::now();
                    deliver(fixture, progress, &events).await;
                    took += began.elapsed();
                }
                took
            }
        });
    });
    group.finish();
}
