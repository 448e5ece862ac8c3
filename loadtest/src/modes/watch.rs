//! Watch fan-out: every change of a Pod goes to every watcher.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use client::ClientError;
use client::known::PODS;
use hdrhistogram::Histogram;
use http::Method;
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;

use super::{NO_SCHEDULER, body, clean_up, create_all, make_namespace, pod, version_of};
use crate::api_call::{request, send, watch_lines};
use crate::pace::{Load, drive, histogram};
use crate::report::Cost;
use crate::{Bench, LoadError, Measured, Report};

const MERGE_PATCH: &str = "application/merge-patch+json";
/// How long the last events may take after the last change.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the watches may take to open.
const OPENING: Duration = Duration::from_secs(30);

/// Opens the watches, changes Pods for the given time, and counts what arrives.
pub(super) async fn run(bench: &Bench<'_>, watchers: u32, nodes: u32, pods: u32) -> Result<Report, LoadError> {
    let namespace = make_namespace(bench).await?;
    let run = bench.run.clone();
    let made = create_all(bench, "create pods", PODS, &namespace, pods, move |number| {
        let mut pod = pod(&run, &format!("pod-{number}"), NO_SCHEDULER);
        if nodes > 0 {
            pod["spec"]["nodeName"] = json!(node(&run, number % u64::from(nodes)));
        }
        pod
    })
    .await;
    let version = version_of(bench, PODS, "").await?;
    let fan_out = FanOut::open(bench, watchers, nodes, &version);
    fan_out.opened().await?;
    let before = bench.server.taken();
    // Pods take the nodes in turn, and so do watchers.
    let seen_by = move |pod: u64| match u64::from(nodes) {
        0 => u64::from(watchers),
        nodes => (u64::from(watchers) + nodes - 1 - pod % nodes) / nodes,
    };
    let (changed, expected) = change(bench, &namespace, pods, seen_by).await;
    let mut measured = fan_out.finish(bench, expected, changed.elapsed).await;
    measured.server = Cost::between(before, bench.server.taken());
    clean_up(bench, &[(PODS, &namespace)], Some(&namespace)).await?;
    let notes = vec!["events' latencies count from the moment at which their change was sent".to_owned()];
    Ok(Report { measured: vec![made, changed, measured], notes })
}

/// A node that nobody made: Pods may be bound to it all the same.
fn node(run: &str, number: u64) -> String {
    format!("loadtest-{run}-{number}")
}

/// What one watcher has seen.
struct Seen {
    latencies: Histogram<u64>,
    bytes: u64,
}

/// Watchers of all Pods.
struct FanOut {
    seen: Vec<Arc<Mutex<Seen>>>,
    open: Arc<AtomicUsize>,
    watches: JoinSet<Result<(), ClientError>>,
}

impl FanOut {
    fn open(bench: &Bench<'_>, watchers: u32, nodes: u32, version: &str) -> Self {
        let open = Arc::new(AtomicUsize::new(0));
        let (mut seen, mut watches) = (Vec::new(), JoinSet::new());
        for number in 0..watchers as usize {
            let mine = Arc::new(Mutex::new(Seen { latencies: histogram(), bytes: 0 }));
            seen.push(mine.clone());
            let transport = bench.transports[number % bench.transports.len()].clone();
            let clock = bench.ambient.clock.clone();
            let mut path = format!("{}?watch=1&resourceVersion={version}", PODS.collection(""));
            if nodes > 0 {
                let node = node(&bench.run, number as u64 % u64::from(nodes));
                path += &format!("&fieldSelector=spec.nodeName%3D{node}");
            }
            let open = open.clone();
            watches.spawn(async move {
                let each = |line: &[u8]| {
                    let mut mine = mine.lock();
                    mine.bytes += line.len() as u64;
                    if let Some(sent) = sent_at(line) {
                        let latency = (clock.boot().as_micros() as u64).saturating_sub(sent);
                        mine.latencies.saturating_record(latency.max(1));
                    }
                    true
                };
                watch_lines(&transport, &path, || _ = open.fetch_add(1, Ordering::Relaxed), each).await
            });
        }
        Self { seen, open, watches }
    }

    /// Waits until every watch is open.
    async fn opened(&self) -> Result<(), LoadError> {
        let start = tokio::time::Instant::now();
        loop {
            let (open, all) = (self.open.load(Ordering::Relaxed), self.seen.len());
            if open == all {
                return Ok(());
            }
            if start.elapsed() > OPENING {
                let why = format!("{open} of {all} watches were opened within {} s", OPENING.as_secs());
                return Err(LoadError::TimedOut(format!("{why}: try more --connections")));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn arrived(&self) -> u64 {
        self.seen.iter().map(|seen| seen.lock().latencies.len()).sum()
    }

    /// Waits for what is still under way, and adds it all up.
    async fn finish(mut self, bench: &Bench<'_>, expected: u64, changing: Duration) -> Measured {
        let clock = &bench.ambient.clock;
        let start = clock.boot();
        while self.arrived() < expected && clock.boot() - start < DRAIN && !self.watches.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut measured = Measured::new(format!("events to {} watchers", self.seen.len()), 0);
        measured.elapsed = changing + (clock.boot() - start);
        for seen in &self.seen {
            let seen = seen.lock();
            measured.latencies.add(&seen.latencies).expect("both have the same bounds");
            measured.bytes += seen.bytes;
        }
        while let Some(Ok(ended)) = self.watches.try_join_next() {
            let why = ended.err().map_or_else(|| "the server closed a watch".to_owned(), |error| error.to_string());
            *measured.failures.entry(why).or_default() += 1;
        }
        let missing = expected.saturating_sub(measured.latencies.len());
        if missing > 0 {
            measured.failures.insert(format!("not delivered within {} s", DRAIN.as_secs()), missing);
        }
        self.watches.abort_all();
        measured
    }
}

/// When the change that a watch event tells of was sent: boot time in microseconds.
fn sent_at(line: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"loadtest.shardplane.dev/sent\":\"";
    let start = line.windows(KEY.len()).position(|part| part == KEY)? + KEY.len();
    let digits = line[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&line[start..start + digits]).ok()?.parse().ok()
}

/// Changes Pods; answers how many events that makes as well, where a change of a Pod makes `seen_by` of them.
async fn change(
    bench: &Bench<'_>,
    namespace: &str,
    pods: u32,
    seen_by: impl Fn(u64) -> u64 + Clone + Send + Sync + 'static,
) -> (Measured, u64) {
    let expected = Arc::new(AtomicU64::new(0));
    let counted = expected.clone();
    let (transports, namespace) = (bench.transports.clone(), namespace.to_owned());
    let clock = bench.ambient.clock.clone();
    let load = Load { name: "change pods".to_owned(), total: None, duration: bench.duration() };
    let changed = drive(bench, load, move |worker, number| {
        let pod = number % u64::from(pods);
        let sent = clock.boot().as_micros().to_string();
        let patch = body(&json!({"metadata": {"annotations": {"loadtest.shardplane.dev/sent": sent}}}));
        let path = PODS.object(&namespace, &format!("pod-{pod}"), "");
        let transport = transports[worker % transports.len()].clone();
        let (counted, seen_by) = (counted.clone(), seen_by(pod));
        async move {
            let sent = send(&transport, request(Method::PATCH, &path, MERGE_PATCH, patch)).await?;
            counted.fetch_add(seen_by, Ordering::Relaxed);
            Ok(sent)
        }
    })
    .await;
    (changed, expected.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_sending_is_found() {
        let line =
            br#"{"type":"MODIFIED","object":{"metadata":{"annotations":{"loadtest.shardplane.dev/sent":"42"}}}}"#;
        assert_eq!(sent_at(line), Some(42));
        assert_eq!(sent_at(br#"{"type":"ADDED","object":{}}"#), None);
    }
}
