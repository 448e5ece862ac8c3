//! Load on any Kubernetes API, of which everything that clients see is recorded, while faults are injected.
//!
//! [`run`] makes its namespaces, lets writers, listers and watchers work against each other for a while, runs the faults
//! of its caller at their times, then writes a mark that every watcher has to reach, reads what is left, and checks the
//! whole history. It knows the server by its API only, and the faults not at all.
//!
//! Clients do what client-go does: they resume a broken watch from the last version or bookmark, list anew after 410, and
//! come again after a 503 when Retry-After says. All of it is bounded in time and attempts. Choices follow from the
//! plan's seed; when they meet does not.

mod finish;
mod lister;
mod object;
mod report;
mod tap;
#[cfg(test)]
mod tests;
mod watcher;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use api::Version;
use api::ambient::Ambient;
use client::{Client, ClientError, Transport, known};
use futures_util::future::BoxFuture;
use hashbrown::HashMap;
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use self::tap::{Counts, Tap};
use crate::history::{Key, KeyId, Micros, Outcome, Recorder, Scope};
use crate::{History, Rules, Verdict, check};

pub use object::Resource;
pub use report::{FaultReport, Report};

/// How much load, for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of all choices. Two runs against one server need different ones: their namespaces are named by it.
    pub seed: u64,
    /// The logical cluster that the transports lead to.
    pub cluster: String,
    /// Clients that write and get.
    pub writers: usize,
    /// Clients that list, in pages and at versions.
    pub listers: usize,
    /// Clients that watch: of everything, of a namespace, with selectors, one object.
    pub watchers: usize,
    /// Namespaces.
    pub namespaces: usize,
    /// Objects of each resource in each namespace.
    pub objects: usize,
    /// What is written.
    pub resources: Vec<Resource>,
    /// How long the writers write.
    pub duration: Duration,
    /// Operations of one writer, at most.
    pub operations: usize,
    /// The longest pause of a writer between two operations.
    pub pause: Duration,
    /// How long one call may take: one without an answer by then is a silent failure.
    pub deadline: Duration,
    /// After how long at most a watcher drops its watch, to resume it.
    pub watch_for: Duration,
    /// How long, after the writers have stopped, the server may take to show everybody everything.
    pub settle: Duration,
    /// What the history may hold.
    pub rules: Rules,
}

impl Plan {
    /// 8 writers and 20 watchers on ConfigMaps and Pods of three namespaces, for five seconds.
    pub fn small(seed: u64) -> Self {
        Self {
            seed,
            cluster: "default".to_owned(),
            writers: 8,
            listers: 2,
            watchers: 20,
            namespaces: 3,
            objects: 6,
            resources: vec![Resource::ConfigMaps, Resource::Pods],
            duration: Duration::from_secs(5),
            operations: 20_000,
            pause: Duration::from_millis(10),
            deadline: Duration::from_secs(10),
            watch_for: Duration::from_secs(2),
            settle: Duration::from_secs(20),
            rules: Rules::default(),
        }
    }

    /// 64 writers and 200 watchers on six namespaces, for half a minute.
    pub fn large(seed: u64) -> Self {
        Self {
            writers: 64,
            listers: 4,
            watchers: 200,
            namespaces: 6,
            objects: 20,
            duration: Duration::from_secs(30),
            pause: Duration::from_millis(50),
            watch_for: Duration::from_secs(5),
            settle: Duration::from_secs(60),
            ..Self::small(seed)
        }
    }

    fn namespace(&self, number: usize) -> String {
        format!("robust-{}-{number}", self.seed)
    }

    fn namespace_of(&self, resource: Resource, number: usize) -> String {
        match resource {
            Resource::NodeLeases => "kube-node-lease".to_owned(),
            _ => self.namespace(number),
        }
    }

    fn object(&self, number: usize) -> String {
        format!("object-{}-{number}", self.seed)
    }
}

/// Something that is done to the server while the load runs.
pub struct Fault {
    /// When, from the start of the writers.
    pub at: Duration,
    /// For the report.
    pub name: String,
    /// Whether what was acknowledged early may be lost when it begins.
    pub crashes: bool,
    /// What. It may take as long as it lasts: a pause and the end of the pause are one fault.
    pub act: BoxFuture<'static, ()>,
}

impl Fault {
    /// A fault.
    pub fn new(at: Duration, name: &str, act: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { at, name: name.to_owned(), crashes: false, act: Box::pin(act) }
    }

    /// One with which a server dies, or is taken for dead, when it begins.
    pub fn crashing(self) -> Self {
        Self { crashes: true, ..self }
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The namespaces could not be made: the server does not work even without faults.
    #[error("the load cannot begin: {0}")]
    Begin(ClientError),
    /// The state could not be read after the load.
    #[error("what is left cannot be read: {0}")]
    End(String),
}

/// What came of a run.
pub struct Ran {
    /// Everything that was seen.
    pub history: History,
    /// What is wrong with it.
    pub verdict: Verdict,
    /// The figures.
    pub report: Report,
}

/// Makes the transport of client `number`: all the same way, or over several gateways.
pub type Connect<'a> = &'a (dyn Fn(usize) -> Arc<dyn Transport> + Sync);

/// What all clients of a run share.
struct Shared {
    plan: Plan,
    ambient: Ambient,
    recorder: Recorder,
    counts: Arc<Counts>,
    /// The newest known version of each object, for preconditions.
    newest: Mutex<HashMap<KeyId, Version>>,
    /// Writers and listers stop.
    stop: AtomicBool,
    /// Watchers stop.
    over: AtomicBool,
    /// Calls that got no answer within the deadline.
    silent: AtomicU64,
    /// Answers that nobody expects, as examples.
    odd: Mutex<Vec<String>>,
    relists: AtomicU64,
    resumptions: AtomicU64,
}

/// SplitMix64, so that the choices of a client do not depend on others'.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// A recorder for [`run_with`].
pub fn recorder(ambient: &Ambient) -> Recorder {
    Recorder::new(ambient.clock.clone(), object::TERMS.map(str::to_owned).to_vec())
}

/// Runs the load and the faults, and checks what was seen.
pub async fn run(plan: Plan, ambient: &Ambient, connect: Connect<'_>, faults: Vec<Fault>) -> Result<Ran, RunError> {
    run_with(&recorder(ambient), plan, ambient, connect, faults).await
}

/// The same into a history that others write to at the same time: loads on two logical clusters must not see each other,
/// nor share a version. Each checks everything that was seen by its own end.
pub async fn run_with(
    recorder: &Recorder,
    plan: Plan,
    ambient: &Ambient,
    connect: Connect<'_>,
    faults: Vec<Fault>,
) -> Result<Ran, RunError> {
    let shared = Arc::new(Shared {
        recorder: recorder.clone(),
        plan,
        ambient: ambient.clone(),
        counts: Arc::default(),
        newest: Mutex::default(),
        stop: AtomicBool::new(false),
        over: AtomicBool::new(false),
        silent: AtomicU64::new(0),
        odd: Mutex::default(),
        relists: AtomicU64::new(0),
        resumptions: AtomicU64::new(0),
    });
    let plan = &shared.plan;
    let mut numbers = 0..;
    let mut client = || shared.client(connect(numbers.next().unwrap_or_default()));
    let first = client();
    begin(&shared, &first).await.map_err(RunError::Begin)?;

    let began = shared.recorder.now();
    let mut watchers = JoinSet::new();
    let mut reached = Vec::new();
    for number in 0..plan.watchers {
        let watcher = watcher::Watcher::new(shared.clone(), client(), number);
        reached.push((watcher.scope().clone(), watcher.reached()));
        watchers.spawn(watcher.run());
    }
    let mut others = JoinSet::new();
    for number in 0..plan.listers {
        others.spawn(lister::run(shared.clone(), client(), number));
    }
    for number in 0..plan.writers {
        others.spawn(writer::run(shared.clone(), client(), number));
    }
    let faults = inject(&shared, faults).await;
    shared.stop.store(true, Ordering::Relaxed);
    while others.join_next().await.is_some() {}
    let ended = shared.recorder.now();

    let finished = finish::finish(&shared, &first, &reached).await;
    shared.over.store(true, Ordering::Relaxed);
    watchers.shutdown().await;
    let stalled = finished.map_err(RunError::End)?;
    let history = shared.recorder.history();
    let verdict = check(&history, plan.rules);
    let report = Report::new(&shared, &history, &verdict, (began, ended), &faults, stalled);
    Ok(Ran { history, verdict, report })
}

/// Runs the faults at their times, side by side, until all have ended and the writers have written long enough.
async fn inject(shared: &Arc<Shared>, faults: Vec<Fault>) -> Vec<(String, Micros, Micros)> {
    let start = Instant::now();
    let mut running = JoinSet::new();
    for fault in faults {
        let recorder = shared.recorder.clone();
        running.spawn(async move {
            sleep_until(start + fault.at).await;
            let began = recorder.now();
            if fault.crashes {
                recorder.crash();
            }
            fault.act.await;
            (fault.name, began, recorder.now())
        });
    }
    let mut done = running.join_all().await;
    done.sort_by_key(|fault| fault.1);
    sleep_until(start + shared.plan.duration).await;
    done
}

/// Makes the namespaces, and waits until Pods can be made in them.
async fn begin(shared: &Shared, client: &Client) -> Result<(), ClientError> {
    let until = Instant::now() + shared.plan.settle;
    for number in 0..shared.plan.namespaces {
        let namespace = shared.plan.namespace(number);
        let body = json!({ "metadata": { "name": namespace } });
        client.create::<api::Value>(&known::NAMESPACES, "", &body).await?;
        let account = async {
            loop {
                match client.get::<api::Value>(&known::SERVICE_ACCOUNTS, &namespace, "default").await {
                    Err(error) if error.is_not_found() => sleep(Duration::from_millis(20)).await,
                    other => return other.map(drop),
                }
            }
        };
        if shared.plan.resources.contains(&Resource::Pods) {
            let late = || ClientError::Deadline { path: format!("the service account of {namespace}"), seconds: 0 };
            timeout_at(until, account).await.unwrap_or_else(|_| Err(late()))?;
        }
    }
    Ok(())
}

impl Shared {
    fn client(&self, transport: Arc<dyn Transport>) -> Client {
        let tap = Tap { inner: transport, counts: self.counts.clone() };
        Client::new(Arc::new(tap), "shardplane-robustness", self.ambient.clone()).with_deadline(self.plan.deadline)
    }

    fn random(&self, number: usize) -> Random {
        Random(self.plan.seed.wrapping_mul(0x1000_0001) ^ number as u64)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn key(&self, resource: Resource, namespace: &str, name: &str) -> Key {
        let cluster = self.plan.cluster.as_str().into();
        Key { cluster, resource: resource.api().plural.into(), namespace: namespace.into(), name: name.into() }
    }

    fn scope(&self, resource: Resource) -> Scope {
        Scope::all(&self.plan.cluster, resource.api().plural)
    }

    /// What an error says of a write.
    fn outcome(&self, error: &ClientError) -> Outcome {
        match error {
            ClientError::Status { code: 404, .. } => Outcome::NotFound,
            ClientError::Status { code: 409, reason, .. } if reason == "AlreadyExists" => Outcome::AlreadyExists,
            ClientError::Status { code: 409, .. } => Outcome::Conflict,
            // Refused before anything is done.
            ClientError::Status { code: 429, .. } => Outcome::NotExecuted,
            ClientError::Status { code: 400..500, .. } => {
                self.odd(error);
                Outcome::NotExecuted
            }
            ClientError::Transport(error) if !error.sent => Outcome::NotExecuted,
            ClientError::Status { .. } | ClientError::Transport(_) => Outcome::Unknown,
            ClientError::Deadline { .. } => {
                self.silent.fetch_add(1, Ordering::Relaxed);
                Outcome::Unknown
            }
            ClientError::Decode { .. } => {
                self.odd(error);
                Outcome::Unknown
            }
        }
    }

    fn odd(&self, error: &dyn std::fmt::Display) {
        let mut odd = self.odd.lock();
        if odd.len() < 20 {
            odd.push(error.to_string());
        }
    }

    /// Waits as the server asks, or a moment; never for long.
    async fn pause_after(&self, error: &ClientError, random: &mut Random) {
        let least = if error.is_retryable() { Duration::from_millis(50) } else { Duration::ZERO };
        let wanted = error.retry_after().unwrap_or(least).min(Duration::from_secs(5));
        sleep(wanted + random.up_to(least)).await;
    }
}
