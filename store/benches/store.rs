//! What a durable batch costs, alone and among many, and how fast a range is read.
//!
//! `commit` is one Put of 1 kB behind one fence, from 1, 64 and 1,000 committers at once, each of which waits for its answer
//! before it goes on; beside criterion's throughput it prints the latencies that the committers saw. `scan` reads 20,000
//! pairs of 1 kB page by page. FoundationDB is measured too where the feature is on and `FDB_CLUSTER_FILE` is set.
//!
//! The store lies in the directory for temporary files (`TMPDIR`): what an fsync costs there is most of the figure.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use store::{Batch, BatchId, Embedded, Fence, SharedStore, Write};
use tokio::runtime::Runtime;
use tokio::time::Instant;

const VALUE: usize = 1000;
const PAIRS: u64 = 20_000;
const COMMITTERS: [u64; 3] = [1, 64, 1000];

static IDS: AtomicU64 = AtomicU64::new(0);

/// Different from those of a run before on the same cluster: it had another process id.
fn id() -> BatchId {
    BatchId((u128::from(std::process::id()) << 96) | u128::from(IDS.fetch_add(1, Ordering::Relaxed)))
}

const EPOCH: (Bytes, Bytes) = (Bytes::from_static(b"epoch"), Bytes::from_static(b"1"));

fn fences() -> Vec<Fence> {
    vec![Fence { key: EPOCH.0, expected: Some(EPOCH.1) }]
}

fn put(number: u64) -> Write {
    Write::Put(Bytes::from(format!("object/{number:012}")), Bytes::from(vec![number as u8; VALUE]))
}

async fn prepare(store: &SharedStore) {
    let all = Write::DeleteRange(Bytes::new(), Bytes::from_static(&[0xff; 16]));
    let writes = vec![all, Write::Put(EPOCH.0, EPOCH.1)];
    store.commit(Batch { id: id(), fences: vec![], writes, adds: true }).await.expect("it is empty");
    for first in (0..PAIRS).step_by(1000) {
        let writes = (first..first + 1000).map(put).collect();
        store.commit(Batch { id: id(), fences: fences(), writes, adds: true }).await.expect("it takes them");
    }
}

/// That many commits by that many committers: how long it took, and how long each of them did.
async fn commit(store: &SharedStore, committers: u64, commits: u64) -> (Duration, Vec<Duration>) {
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..committers.min(commits))
        .map(|_| {
            let (store, next) = (store.clone(), next.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= commits {
                        return latencies;
                    }
                    let began = Instant::now();
                    let batch = Batch { id: id(), fences: fences(), writes: vec![put(number % PAIRS)], adds: true };
                    store.commit(batch).await.expect("it is stored");
                    latencies.push(began.elapsed());
                }
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("no committer fails"));
    }
    (began.elapsed(), latencies)
}

async fn scan(store: &SharedStore) -> usize {
    let mut from = Bound::Included(Bytes::from_static(b"object/"));
    let mut count = 0;
    loop {
        let page = store.scan(from, Bytes::from_static(b"object0"), 1000).await.expect("it is read");
        count += page.pairs.len();
        match page.pairs.last() {
            Some((last, _)) if page.more => from = Bound::Excluded(last.clone()),
            _ => return count,
        }
    }
}

fn measure(criterion: &mut Criterion, name: &str, runtime: &Runtime, store: &SharedStore) {
    runtime.block_on(prepare(store));
    let mut group = criterion.benchmark_group(format!("{name}/commit"));
    group.sample_size(10).throughput(Throughput::Elements(1));
    for committers in COMMITTERS {
        let mut all = Vec::new();
        group.bench_with_input(BenchmarkId::from_parameter(committers), &committers, |bencher, committers| {
            bencher.iter_custom(|commits| {
                let (took, latencies) = runtime.block_on(commit(store, *committers, commits));
                all.extend(latencies);
                took
            });
        });
        all.sort_unstable();
        let at = |part: f64| all.get((all.len() as f64 * part) as usize).copied().unwrap_or_default();
        eprintln!("{name}/commit/{committers}: p50 {:?}, p99 {:?} of {} commits", at(0.5), at(0.99), all.len());
    }
    group.finish();
    let mut group = criterion.benchmark_group(format!("{name}/scan"));
    group.sample_size(10).throughput(Throughput::Elements(PAIRS));
    group.bench_function("pages of 1000", |bencher| {
        bencher.iter(|| assert_eq!(runtime.block_on(scan(store)), PAIRS as usize));
    });
    group.finish();
}

fn embedded(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let store: SharedStore = Arc::new(Embedded::open(directory.path()).expect("a store"));
    measure(criterion, "embedded", &runtime, &store);
}

#[cfg(feature = "foundationdb")]
fn foundationdb(criterion: &mut Criterion) {
    use store::foundationdb::{FoundationDb, Options};
    let Some(file) = std::env::var_os("FDB_CLUSTER_FILE") else {
        eprintln!("foundationdb: skipped, FDB_CLUSTER_FILE is not set");
        return;
    };
    let runtime = Runtime::new().expect("a runtime");
    let options = Options { prefix: Bytes::from_static(b"shardplane-bench"), ..Options::new(file) };
    let store: SharedStore = Arc::new(runtime.block_on(FoundationDb::open(options)).expect("a cluster"));
    measure(criterion, "foundationdb", &runtime, &store);
}

#[cfg(not(feature = "foundationdb"))]
fn foundationdb(_: &mut Criterion) {
    eprintln!("foundationdb: skipped, the feature is off");
}

criterion_group!(benches, embedded, foundationdb);
criterion_main!(benches);
