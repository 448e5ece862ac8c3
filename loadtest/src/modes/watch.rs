//! Watch fan-out: every change of a Pod goes to every watcher.

use std::sync::Arc;
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
    let fan_out = FanOut::open(bench, watchers, &version);
    let changed = change(bench, &namespace, pods).await;
    let expected = changed.latencies.len() * u64::from(watchers);
    let measured = fan_out.finish(bench, expected, changed.elapsed).await;
    clean_up(bench, &[(PODS, &namespace)], Some(&namespace)).await?;
    let notes = vec!["events' latencies count from the moment at which their change was sent".to_owned()];
    Ok(Report { measured: vec![made, changed, measured], notes })
}

/// What one watcher has seen.
struct Seen {
    latencies: Histogram<u64>,
    bytes: u64,
}

/// Watchers of all Pods.
struct FanOut {
    seen: Vec<Arc<Mutex<Seen>>>,
    watches: JoinSet<Result<(), ClientError>>,
}

impl FanOut {
    fn open(bench: &Bench<'_>, watchers: u32, version: &str) -> Self {
        let (mut seen, mut watches) = (Vec::new(), JoinSet::new());
        for number in 0..watchers as usize {
            let mine = Arc::new(Mutex::new(Seen { latencies: histogram(), bytes: 0 }));
            seen.push(mine.clone());
            let transport = bench.transports[number % bench.transports.len()].clone();
            let clock = bench.ambient.clock.clone();
            let path = format!("{}?watch=1&resourceVersion={version}", PODS.collection(""));
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
                watch_lines(&transport, &path, each).await
            });
        }
        Self { seen, watches }
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

async fn change(bench: &Bench<'_>, namespace: &str, pods: u32) -> Measured {
    let (transports, namespace) = (bench.transports.clone(), namespace.to_owned());
    let clock = bench.ambient.clock.clone();
    let load = Load { name: "change pods".to_owned(), total: None, duration: bench.duration() };
    drive(bench, load, move |worker, number| {
        let sent = clock.boot().as_micros().to_string();
        let patch = body(&json!({"metadata": {"annotations": {"loadtest.shardplane.dev/sent": sent}}}));
        let path = PODS.object(&namespace, &format!("pod-{}", number % u64::from(pods)), "");
        let transport = transports[worker % transports.len()].clone();
        async move { send(&transport, request(Method::PATCH, &path, MERGE_PATCH, patch)).await }
    })
    .await
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
