//! Watch fan-out: every change of a Pod goes to every watcher.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::known::PODS;
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::{NO_SCHEDULER, body, clean_up, create_all, make_namespace, pod, version_of};
use crate::api_call::{request, send, watch_lines};
use crate::pace::{Load, drive};
use crate::{Bench, LoadError, Measured, Report};

const MERGE_PATCH: &str = "application/merge-patch+json";
/// How long the last events may take after the last change.
const DRAIN: Duration = Duration::from_secs(10);

/// Opens the watches, changes Pods for the given time, and counts what arrives.
pub(super) async fn run(bench: &Bench<'_>, watchers: u32, pods: u32) -> Result<Report, LoadError> {
    let namespace = make_namespace(bench).await?;
    let run = bench.run.clone();
    let made = create_all(bench, "create pods", PODS, &namespace, pods, move |number| {
        pod(&run, &format!("pod-{number}"), NO_SCHEDULER)
    })
    .await;
    let version = version_of(bench, PODS, "").await?;
    let (delivered, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut watches = JoinSet::new();
    for number in 0..watchers as usize {
        let transport = bench.transports[number % bench.transports.len()].clone();
        let path = format!("{}?watch=1&resourceVersion={version}", PODS.collection(""));
        let (delivered, bytes) = (delivered.clone(), bytes.clone());
        watches.spawn(async move {
            watch_lines(&transport, &path, |line| {
                bytes.fetch_add(line.len() as u64, Ordering::Relaxed);
                delivered.fetch_add(1, Ordering::Relaxed);
                true
            })
            .await
        });
    }
    let changed = change(bench, &namespace, pods).await;
    let expected = changed.latencies.len() * u64::from(watchers);
    let clock = &bench.ambient.clock;
    let (start, mut elapsed) = (clock.boot(), changed.elapsed);
    while delivered.load(Ordering::Relaxed) < expected && clock.boot() - start < DRAIN && !watches.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        elapsed = changed.elapsed + (clock.boot() - start);
    }
    let arrived = delivered.load(Ordering::Relaxed);
    let mut fan_out = Measured::new(format!("events to {watchers} watchers"), 0);
    fan_out.elapsed = elapsed;
    fan_out.bytes = bytes.load(Ordering::Relaxed);
    while let Some(Ok(ended)) = watches.try_join_next() {
        let why = ended.err().map_or_else(|| "the server closed a watch".to_owned(), |error| error.to_string());
        *fan_out.failures.entry(why).or_default() += 1;
    }
    if arrived < expected {
        fan_out.failures.insert(format!("not delivered within {} s", DRAIN.as_secs()), expected - arrived);
    }
    watches.abort_all();
    clean_up(bench, &[(PODS, &namespace)], Some(&namespace)).await?;
    let rate = arrived as f64 / elapsed.as_secs_f64();
    let notes = vec![format!("{arrived} events delivered to {watchers} watchers: {rate:.0} a second")];
    Ok(Report { measured: vec![made, changed, fan_out], notes })
}

async fn change(bench: &Bench<'_>, namespace: &str, pods: u32) -> Measured {
    let (transports, namespace) = (bench.transports.clone(), namespace.to_owned());
    let load = Load { name: "change pods".to_owned(), total: None, duration: bench.duration() };
    drive(bench, load, move |worker, number| {
        let patch = body(&json!({"metadata": {"annotations": {"loadtest.shardplane.dev/n": number.to_string()}}}));
        let path = PODS.object(&namespace, &format!("pod-{}", number % u64::from(pods)), "");
        let transport = transports[worker % transports.len()].clone();
        async move { send(&transport, request(Method::PATCH, &path, MERGE_PATCH, patch)).await }
    })
    .await
}
