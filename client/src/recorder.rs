//! Events about objects, aggregated as client-go's recorder does, written in the background.
//!
//! Per object and source a token bucket (25 at once, one more every five minutes) keeps a failing object from flooding
//! the cluster. A repeat (same object, type, reason and message) within ten minutes raises the count of the event that is
//! already there. Events are best effort: what cannot be queued or written is counted and dropped.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Value;
use api::patch::PatchType;
use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::backoff::Backoff;
use crate::{ApiRef, Client, ClientError, Meta, known};

/// Events at once per object and source, then one per [`REFILL`].
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);
/// How long a repeat raises a count instead of making a new event.
const WINDOW: Duration = Duration::from_secs(600);
/// Repeats and buckets that are remembered; what was touched longest ago goes first.
const REMEMBERED: usize = 4096;
/// Events that wait in each writer's queue.
const QUEUE: usize = 1024;
/// Writers. The events of one object go through one of them, and so stay in order.
const WRITERS: usize = 4;
const ATTEMPTS: u32 = 5;

/// `Normal` or `Warning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regarding {
    /// Its kind.
    pub api: ApiRef,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// fieldPath, as in `spec.containers{nginx}`; may be empty.
    pub field_path: String,
}

impl Regarding {
    /// About an object.
    pub fn object(api: ApiRef, meta: &Meta) -> Self {
        Self {
            api,
            namespace: meta.namespace.to_string(),
            name: meta.name.to_string(),
            uid: meta.uid.to_string(),
            field_path: String::new(),
        }
    }
}

/// Writes events. Cheap to clone; never blocks its caller: when its bounded queue is full, events are counted and dropped.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    source: Arc<Source>,
    shared: Arc<Shared>,
}

#[derive(PartialEq, Eq, Hash)]
struct Source {
    component: String,
    host: String,
}

struct Shared {
    memory: Mutex<Memory>,
    hasher: DefaultHashBuilder,
    queues: Vec<mpsc::Sender<Write>>,
    dropped: AtomicU64,
}

/// One event to write.
struct Write {
    client: Client,
    namespace: String,
    name: String,
    count: u32,
    /// The whole event, for where it is new or has gone.
    event: Value,
}

#[derive(Default)]
struct Memory {
    /// By the hash of object and source.
    buckets: HashMap<u64, Bucket>,
    /// By the hash of object, source, type, reason and message.
    repeats: HashMap<u64, Repeat>,
}

struct Bucket {
    tokens: f64,
    touched: Duration,
}

struct Repeat {
    name: String,
    first: i64,
    count: u32,
    touched: Duration,
}

impl Memory {
    /// Takes a token of one object.
    fn admit(&mut self, key: u64, now: Duration) -> bool {
        let fresh = Bucket { tokens: BURST, touched: now };
        let bucket = self.buckets.entry(key).or_insert(fresh);
        let gained = now.saturating_sub(bucket.touched).as_secs_f64() / REFILL.as_secs_f64();
        bucket.tokens = (bucket.tokens + gained).min(BURST);
        bucket.touched = now;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        forget_oldest(&mut self.buckets, |bucket| bucket.touched);
        admitted
    }

    /// Counts an event: its name, its first time and its count.
    fn count(&mut self, key: u64, now: Duration, wall: i64, name: impl FnOnce() -> String) -> (String, i64, u32) {
        let old = self.repeats.get_mut(&key).filter(|repeat| now.saturating_sub(repeat.touched) < WINDOW);
        let counted = match old {
            Some(repeat) => {
                repeat.count += 1;
                repeat.touched = now;
                (repeat.name.clone(), repeat.first, repeat.count)
            }
            None => {
                let name = name();
                self.repeats.insert(key, Repeat { name: name.clone(), first: wall, count: 1, touched: now });
                (name, wall, 1)
            }
        };
        forget_oldest(&mut self.repeats, |repeat| repeat.touched);
        counted
    }
}

/// Drops the older half once there are too many.
fn forget_oldest<V>(map: &mut HashMap<u64, V>, touched: impl Fn(&V) -> Duration) {
    if map.len() > REMEMBERED {
        let mut times: Vec<Duration> = map.values().map(&touched).collect();
        let middle = times.len() / 2;
        let median = *times.select_nth_unstable(middle).1;
        let mut spare = REMEMBERED / 2;
        map.retain(|_, value| {
            let keep = touched(value) > median || (touched(value) == median && spare > 0);
            if keep && touched(value) == median {
                spare -= 1;
            }
            keep
        });
    }
}

impl Recorder {
    /// A recorder for `component` (source.component, reportingComponent) on `host` (may be empty).
    pub fn start(client: Client, component: &str, host: &str, shutdown: CancellationToken) -> Self {
        let queues = (0..WRITERS)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(QUEUE);
                let shutdown = shutdown.clone();
                tokio::spawn(async move { shutdown.run_until_cancelled(write_all(receiver)).await });
                sender
            })
            .collect();
        let shared = Shared {
            memory: Mutex::default(),
            hasher: DefaultHashBuilder::default(),
            queues,
            dropped: AtomicU64::new(0),
        };
        let source = Arc::new(Source { component: component.to_owned(), host: host.to_owned() });
        Self { client, source, shared: Arc::new(shared) }
    }

    /// The same queue and memory for another host under its own identity: thousands of kubelets share one recorder.
    pub fn on_host(&self, client: Client, host: &str) -> Self {
        let source = Arc::new(Source { component: self.source.component.clone(), host: host.to_owned() });
        Self { client, source, shared: self.shared.clone() }
    }

    /// Events that were dropped because a queue was full.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Records one event. Repeats of the same within ten minutes raise its count instead.
    pub fn event(&self, regarding: &Regarding, kind: EventKind, reason: &str, message: &str) {
        let ambient = self.client.ambient();
        let (now, wall) = (ambient.clock.boot(), ambient.clock.wall_micros());
        let object = self.shared.hasher.hash_one((regarding, &*self.source));
        let whole = self.shared.hasher.hash_one((object, kind, reason, message));
        let (name, first, count) = {
            let mut memory = self.shared.memory.lock();
            // A repeat is counted even if it is not told: the next one that is tells how many there were.
            let fresh = || event_name(&regarding.name, wall, ambient.entropy.next_u64());
            let counted = memory.count(whole, now, wall, fresh);
            if !memory.admit(object, now) {
                return;
            }
            counted
        };
        let namespace = if regarding.namespace.is_empty() { "default" } else { &regarding.namespace };
        let event = json!({
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": reference(regarding),
            "reason": reason,
            "message": message,
            "source": {"component": self.source.component, "host": self.source.host},
            "firstTimestamp": api::time::format_seconds(first),
            "lastTimestamp": api::time::format_seconds(wall),
            "count": count,
            "type": match kind { EventKind::Normal => "Normal", EventKind::Warning => "Warning" },
            "reportingComponent": self.source.component,
            "reportingInstance": self.source.host,
        });
        let write = Write { client: self.client.clone(), namespace: namespace.to_owned(), name, count, event };
        let queue = &self.shared.queues[(object % WRITERS as u64) as usize];
        if queue.try_send(write).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// `<object>.<hex>`, the time in nanoseconds as client-go has it. The clock gives microseconds; chance fills the rest.
fn event_name(object: &str, wall: i64, chance: u64) -> String {
    format!("{object}.{:x}", wall.unsigned_abs() * 1000 + chance % 1000)
}

fn reference(regarding: &Regarding) -> Value {
    let mut reference = json!({
        "kind": regarding.api.kind,
        "name": regarding.name,
        "uid": regarding.uid,
        "apiVersion": regarding.api.api_version(),
    });
    for (field, value) in [("namespace", &regarding.namespace), ("fieldPath", &regarding.field_path)] {
        if !value.is_empty() {
            reference[field] = value.as_str().into();
        }
    }
    reference
}

async fn write_all(mut queue: mpsc::Receiver<Write>) {
    while let Some(write) = queue.recv().await {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let Err(error) = write.send().await else { break };
            if !error.is_retryable() || backoff.failures() + 1 >= ATTEMPTS {
                debug!(event = write.name, %error, "an event was not written");
                break;
            }
            let pause = backoff.next(&*write.client.ambient.entropy);
            sleep(pause.max(error.retry_after().unwrap_or_default())).await;
        }
    }
}

impl Write {
    async fn send(&self) -> Result<(), ClientError> {
        if self.count > 1 {
            let patch = json!({
                "count": self.count,
                "lastTimestamp": self.event["lastTimestamp"],
                "message": self.event["message"],
            });
            let patched = self.client.patch::<serde::de::IgnoredAny>(
                &known::EVENTS,
                &self.namespace,
                &self.name,
                "",
                PatchType::Merge,
                &patch,
            );
            match patched.await {
                // It has expired: it is written anew.
                Err(error) if error.is_not_found() => {}
                done => return done.map(drop),
            }
        }
        match self.client.create::<serde::de::IgnoredAny>(&known::EVENTS, &self.namespace, &self.event).await {
            // An attempt whose answer was lost.
            Err(error) if error.is_already_exists() => Ok(()),
            done => done.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeApi, manual_ambient};

    fn pod(name: &str) -> Regarding {
        let meta = Meta { name: name.into(), namespace: "default".into(), uid: "u".into(), ..Meta::default() };
        Regarding::object(known::PODS, &meta)
    }

    async fn settle() {
        sleep(Duration::from_millis(10)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_raise_the_count_within_ten_minutes() {
        let server = FakeApi::new();
        let client = server.client(manual_ambient());
        let recorder = Recorder::start(client, "kubelet", "node-1", CancellationToken::new());
        for _ in 0..3 {
            recorder.event(&pod("a"), EventKind::Normal, "Started", "Started container nginx");
            settle().await;
        }
        recorder.event(&pod("a"), EventKind::Warning, "Started", "another");
        settle().await;
        let events = server.collection("/api/v1/namespaces/default/events");
        assert_eq!(events.len(), 2, "{events:?}");
        let counts: Vec<_> = events.iter().map(|event| event["count"].as_u64().unwrap()).collect();
        assert!(counts.contains(&3) && counts.contains(&1), "{counts:?}");
        let first = &events[0];
        assert!(first["metadata"]["name"].as_str().unwrap().starts_with("a."));
        assert_eq!(first["source"], json!({"component": "kubelet", "host": "node-1"}));
        assert_eq!(first["involvedObject"]["kind"], "Pod");

        sleep(WINDOW + Duration::from_secs(1)).await;
        recorder.event(&pod("a"), EventKind::Normal, "Started", "Started container nginx");
        settle().await;
        assert_eq!(server.collection("/api/v1/namespaces/default/events").len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_object_may_not_flood() {
        let server = FakeApi::new();
        let client = server.client(manual_ambient());
        let recorder = Recorder::start(client, "kubelet", "node-1", CancellationToken::new());
        for i in 0..100 {
            recorder.event(&pod("a"), EventKind::Normal, "Pulled", &format!("message {i}"));
        }
        recorder.event(&pod("b"), EventKind::Normal, "Pulled", "message");
        settle().await;
        assert_eq!(server.collection("/api/v1/namespaces/default/events").len(), 26);
        sleep(REFILL).await;
        recorder.event(&pod("a"), EventKind::Normal, "Pulled", "much later");
        recorder.event(&pod("a"), EventKind::Normal, "Pulled", "and too soon");
        settle().await;
        assert_eq!(server.collection("/api/v1/namespaces/default/events").len(), 27);
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = Memory::default();
        for key in 0..20_000u64 {
            memory.admit(key, Duration::from_secs(key / 7));
            memory.count(key, Duration::from_secs(1), 0, String::new);
        }
        assert!(memory.buckets.len() <= REMEMBERED && memory.repeats.len() <= REMEMBERED);
        assert!(memory.buckets.contains_key(&19_999));
    }
}
