//! LIST of 20,000 Pods of 3 kB: the concatenation, read as fast as it is made.

use criterion::{Criterion, Throughput};
use http_body_util::BodyExt;

use crate::fixture::{Fixture, fixture};

async fn read(fixture: &Fixture) -> u64 {
    let mut body = fixture.get("/api/v1/pods").await.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.expect("lists do not fail half way").data_ref().map_or(0, |data| data.len() as u64);
    }
    bytes
}

pub(crate) fn list(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let fixture = fixture();
    let bytes = runtime.block_on(read(&fixture));
    let mut group = criterion.benchmark_group("list");
    group.throughput(Throughput::Bytes(bytes)).sample_size(20);
    group.bench_function("20000 pods", |bencher| bencher.to_async(&runtime).iter(|| read(&fixture)));
    group.finish();
}
