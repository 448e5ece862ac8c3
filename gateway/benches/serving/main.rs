//! What serving costs without the shards behind it.

mod fixture;
mod list;
mod watch;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, list::list, watch::fan_out);
criterion_main!(benches);
