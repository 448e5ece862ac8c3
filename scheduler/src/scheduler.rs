//! The loop around an [`Engine`]: changes in, bindings and refusals out.

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use client::{Client, Informer, InformerOptions, Members, Recorder, known};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::view::{NodeView, PodView};
use crate::writer::{Outcome, Writer};

/// Changes that wait between an informer and a scheduler.
const CHANGES: usize = 4096;
/// Changes that are taken in before the next pods are decided.
const BATCH: usize = 1024;
/// How often pods are looked for whose pause is over.
const TICK: Duration = Duration::from_millis(200);
/// How often gauges are brought up to date.
const GAUGES: Duration = Duration::from_secs(2);
/// How long a stopping scheduler waits for its last writes.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// How a scheduler works.
#[derive(Clone)]
pub struct SchedulerConfig {
    /// spec.schedulerName of its pods, and the source of its events.
    pub scheduler_name: String,
    /// Bindings under way at once.
    pub parallel_bindings: usize,
    /// Refusals and conditions under way at once.
    pub parallel_tellings: usize,
    /// Each attempt to bind ends after this, so that a node's next owner knows when no more can come. Not above the
    /// group's [`client::MembershipOptions::deadline`].
    pub bind_deadline: Duration,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            scheduler_name: "default-scheduler".to_owned(),
            parallel_bindings: 128,
            parallel_tellings: 16,
            bind_deadline: Duration::from_secs(5),
            metrics: Arc::default(),
        }
    }
}

/// The pods and nodes of a cluster, parsed once for all schedulers of a process.
#[derive(Clone)]
pub struct Feeds {
    /// All pods that take or want room.
    pub pods: Arc<Informer<PodView>>,
    /// All nodes.
    pub nodes: Arc<Informer<NodeView>>,
}

impl Feeds {
    /// Starts following pods and nodes. Call it within a tokio runtime.
    pub fn start(client: &Client, shutdown: &CancellationToken) -> Self {
        let fields = "status.phase!=Succeeded,status.phase!=Failed".to_owned();
        let options = InformerOptions { fields, ..InformerOptions::default() };
        Self {
            pods: Informer::start(client.clone(), known::PODS, options, shutdown.clone()),
            nodes: Informer::start(client.clone(), known::NODES, InformerOptions::default(), shutdown.clone()),
        }
    }
}

type Check = oneshot::Sender<Result<(), String>>;

/// A running scheduler. It stops with the token that it was started with, or when this is dropped.
pub struct Scheduler {
    task: JoinHandle<()>,
    checks: mpsc::Sender<Check>,
    shutdown: CancellationToken,
}

impl Scheduler {
    /// Starts a scheduler. It works while `members` names it; call it within a tokio runtime.
    pub fn start(
        client: Client,
        config: SchedulerConfig,
        feeds: Feeds,
        members: watch::Receiver<Members>,
        ambient: Ambient,
        shutdown: &CancellationToken,
    ) -> Self {
        let shutdown = shutdown.child_token();
        let (checks, check_requests) = mpsc::channel(1);
        let recorder = Recorder::start(client.clone(), &config.scheduler_name, "", shutdown.clone());
        let (outcomes, written) = mpsc::channel(config.parallel_bindings + config.parallel_tellings);
        let engine = Engine::new(&config.scheduler_name, ambient, config.metrics.clone());
        let writer = Writer::new(client, recorder, &config, members.clone(), outcomes);
        let running = Running { engine, writer, feeds, members, shutdown: shutdown.clone() };
        let task = tokio::spawn(running.run(written, check_requests));
        Self { task, checks, shutdown }
    }

    /// Compares what this scheduler counts with what the informers hold, from scratch (DESIGN D8). While changes are on
    /// their way, a difference may be only that.
    pub async fn consistency_check(&self) -> Result<(), String> {
        let (answer, question) = oneshot::channel();
        let stopped = |_| "the scheduler has stopped".to_owned();
        self.checks.send(answer).await.map_err(|_| stopped(()))?;
        question.await.map_err(|_| stopped(()))?
    }

    /// Stops it, and waits until it has.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        // A panic has been reported by the runtime.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

struct Running {
    engine: Engine,
    writer: Writer,
    feeds: Feeds,
    members: watch::Receiver<Members>,
    shutdown: CancellationToken,
}

/// Handles an item and those that are there already, up to a batch.
fn drain<T>(first: T, receiver: &mut mpsc::Receiver<T>, mut handle: impl FnMut(T)) {
    handle(first);
    for _ in 1..BATCH {
        let Ok(next) = receiver.try_recv() else { break };
        handle(next);
    }
}

impl Running {
    async fn run(mut self, mut written: mpsc::Receiver<Outcome>, mut checks: mpsc::Receiver<Check>) {
        self.feeds.nodes.synced().await;
        self.feeds.pods.synced().await;
        let mut pods = self.feeds.pods.subscribe(CHANGES);
        let mut nodes = self.feeds.nodes.subscribe(CHANGES);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut gauges = interval(GAUGES);
        gauges.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.shutdown.clone();
        self.rejoin();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                changed = self.members.changed() => match changed {
                    Ok(()) => self.rejoin(),
                    Err(_) => break,
                },
                Some(outcome) = written.recv() => drain(outcome, &mut written, |outcome| self.take(outcome)),
                Some(change) = nodes.recv() => drain(change, &mut nodes, |change| self.engine.node_changed(&change)),
                Some(change) = pods.recv() => drain(change, &mut pods, |change| self.engine.pod_changed(&change)),
                Some(answer) = checks.recv() => {
                    // Whoever asked may have gone.
                    let _ = answer.send(self.engine.consistency_check(&self.feeds.nodes.list(), &self.feeds.pods.list()));
                }
                _ = gauges.tick() => self.engine.report_sizes(),
                _ = tick.tick() => (),
                () = yield_now(), if self.engine.has_work() && self.writer.free_bindings() > 0 => (),
            }
            self.step();
        }
        self.writer.finish(LAST_WRITES).await;
    }

    /// Decides and writes as much as there is room for.
    fn step(&mut self) {
        self.engine.wake();
        for binding in self.engine.decide(self.writer.free_bindings()) {
            self.writer.bind(binding);
        }
        while self.writer.has_free_telling()
            && let Some(telling) = self.engine.tellings().pop_front()
        {
            self.writer.tell(telling);
        }
    }

    fn take(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Bound { binding, written, room: _room } => self.engine.bound(&binding, written),
            Outcome::Told { telling, written, room: _room } => self.engine.told(&telling, written),
        }
    }

    fn rejoin(&mut self) {
        let members = self.members.borrow_and_update().clone();
        info!(own = members.own, members = members.identities.len(), "sharing the nodes");
        self.engine.members_changed(&members, &self.feeds.nodes.list(), &self.feeds.pods.list());
    }
}
