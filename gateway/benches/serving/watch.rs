//! Events of 3 kB Pods to 50 watchers of all Pods, and to 5,000 of one node's Pods each, each reading in a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use criterion::{Criterion, Throughput};
use http_body_util::BodyExt;
use tokio::sync::Notify;

use crate::fixture::{Fixture, PODS, fixture};

const WATCHERS: usize = 50;
const NODES: usize = 5_000;
const EVENTS: usize = 2_000;

#[derive(Default)]
struct Progress {
    events: AtomicUsize,
    moved: Notify,
}

async fn open(fixture: &Fixture, progress: &Arc<Progress>, selector: &str) {
    let version = PODS + 1;
    let path = format!("/api/v1/pods?watch=1&resourceVersion={version}{selector}");
    let mut body = fixture.get(&path).await.into_body();
    let progress = progress.clone();
    tokio::spawn(async move {
        while let Some(Ok(frame)) = body.frame().await {
            let lines = frame.data_ref().map_or(0, |data| memchr::memchr_iter(b'\n', data).count());
            progress.events.fetch_add(lines, Ordering::Relaxed);
            progress.moved.notify_one();
        }
    });
}

async fn deliver(fixture: &Fixture, progress: &Progress, events: &[Arc<shards::service::Event>], each: usize) {
    let goal = progress.events.load(Ordering::Relaxed) + each * events.len();
    fixture.shard.publish(events).await;
    while progress.events.load(Ordering::Relaxed) < goal {
        progress.moved.notified().await;
    }
}

pub(crate) fn fan_out(criterion: &mut Criterion) {
    bench(criterion, "50 watchers", WATCHERS, &vec![String::new(); WATCHERS]);
    let nodes: Vec<String> = (0..NODES).map(|at| format!("&fieldSelector=spec.nodeName%3Dnode-{at}")).collect();
    bench(criterion, "5,000 watchers of a node each", 1, &nodes);
}

/// `each`: how many of the watchers want an event.
fn bench(criterion: &mut Criterion, name: &str, each: usize, watchers: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let fixture = fixture();
    let progress = Arc::new(Progress::default());
    runtime.block_on(async {
        for selector in watchers {
            open(&fixture, &progress, selector).await;
        }
    });
    let mut group = criterion.benchmark_group("watch");
    group.throughput(Throughput::Elements((each * EVENTS) as u64)).sample_size(10);
    group.measurement_time(Duration::from_secs(5));
    group.bench_function(name, |bencher| {
        bencher.to_async(&runtime).iter_custom(|rounds| {
            let (fixture, progress) = (&fixture, &progress);
            async move {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let events = fixture.shard.events(EVENTS);
                    let began = tokio::time::Instant::now();
                    deliver(fixture, progress, &events, each).await;
                    took += began.elapsed();
                }
                took
            }
        });
    });
    group.finish();
}
