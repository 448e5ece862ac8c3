//! One scheduler without its input and output: what it knows, and what it decides from that.
//!
//! Changes come in ([`Engine::pod_changed`], [`Engine::node_changed`], [`Engine::members_changed`]), decisions go out as
//! [`Binding`]s ([`Engine::decide`]) and [`Telling`]s ([`Engine::tellings`]), and their outcomes come back
//! ([`Engine::bound`], [`Engine::told`]). Everything is synchronous; [`crate::scheduler`] does the waiting.
//!
//! A pod that is given a node is *assumed* there at once, so the next decision sees it, and stays so until the pod's own
//! change confirms it or the binding has definitely failed. Invariant: only nodes of this scheduler's share are in the
//! columns, so it binds to no other.

mod offer;
mod share;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use client::{Change, Members};
use rand::SeedableRng;
use rand::rngs::StdRng;
use smol_str::SmolStr;

use self::share::Orphans;
use crate::class::Classes;
use crate::columns::{Columns, Placed};
use crate::metrics::{Metrics, Outcome, Sizes};
use crate::plugins;
use crate::queue::{Place, Queue};
use crate::refusal;
use crate::view::{NodeView, PodView};

/// How long a pod waits for each scheduler that has its turn before this one, before this one tries anyway.
const TURN: Duration = Duration::from_secs(10);

/// How many pods are tried before changes are looked at again.
const ATTEMPTS: usize = 1024;

/// What classes may take of the memory.
const CLASS_BUDGET: usize = 64 << 20;

/// A pod and the node that it was given.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The pod.
    pub pod: Arc<PodView>,
    /// The node's name.
    pub node: SmolStr,
    /// When the attempt began.
    pub started: Duration,
}

/// Why a pod has no node.
#[derive(Clone, Debug)]
pub(crate) struct Telling {
    pub(crate) pod: Arc<PodView>,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// This scheduler's refusal: an annotation.
    Refusal { key: SmolStr, text: String },
    /// The PodScheduled condition (unless it says so already) and an event (unless it was written just now).
    Condition { reason: &'static str, message: String, is_patch: bool, is_event: bool },
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is so.
    Done,
    /// The object has changed, or is gone: its next change says what to do.
    Stale,
    /// It is not, for another reason.
    Failed,
}

/// One scheduler's knowledge and decisions.
pub struct Engine {
    name: String,
    ambient: Ambient,
    random: StdRng,
    members: Members,
    columns: Columns,
    classes: Classes,
    queue: Queue,
    orphans: Orphans,
    tellings: VecDeque<Telling>,
    metrics: Arc<Metrics>,
    sizes: Sizes,
}

impl Engine {
    /// An engine for pods with this schedulerName. It owns nothing until it is told who its members are.
    pub fn new(name: &str, ambient: Ambient, metrics: Arc<Metrics>) -> Self {
        let random = StdRng::seed_from_u64(ambient.entropy.next_u64());
        let (members, columns, queue, orphans, tellings, sizes) = Default::default();
        let (name, classes) = (name.to_owned(), Classes::new(CLASS_BUDGET));
        Self { name, ambient, random, members, columns, classes, queue, orphans, tellings, metrics, sizes }
    }

    fn now(&self) -> Duration {
        self.ambient.clock.boot()
    }

    /// A pod has changed.
    pub fn pod_changed(&mut self, change: &Change<PodView>) {
        match change {
            Change::Added(pod) => self.apply(pod),
            Change::Updated(old, new) => {
                if old.uid() != new.uid() {
                    self.forget(old);
                }
                self.apply(new);
            }
            Change::Deleted(pod) => self.forget(pod),
        }
    }

    fn forget(&mut self, pod: &PodView) {
        self.queue.remove(pod.uid());
        self.columns.release(pod.uid());
        self.orphans.remove(pod.uid());
    }

    /// Whether it takes room on a node of this share, assumed or not, be the node there or not.
    fn is_placed(&self, uid: &str) -> bool {
        self.columns.pod(uid).is_some() || self.orphans.contains(uid)
    }

    fn apply(&mut self, pod: &Arc<PodView>) {
        if pod.is_terminal {
            self.forget(pod);
        } else if !pod.node_name.is_empty() {
            self.queue.remove(pod.uid());
            self.apply_bound(pod);
        } else if pod.scheduler_name != self.name || pod.meta.is_deleting() {
            // A binding that is under way still takes its room until it has ended.
            self.queue.remove(pod.uid());
        } else if !self.is_placed(pod.uid()) {
            self.apply_pending(pod);
        } else if let Some(entry) = self.queue.get(pod.uid()) {
            let place = entry.place;
            self.queue.upsert(pod, place, self.now());
        }
    }

    fn apply_pending(&mut self, pod: &Arc<PodView>) {
        let now = self.now();
        let uid = pod.uid();
        let Some(old) = self.queue.get(uid) else {
            self.queue.upsert(pod, self.place_of(pod, now), now);
            self.tell_gated(pod);
            return;
        };
        let (place, old) = (old.place, old.pod.clone());
        self.queue.upsert(pod, place, now);
        match place {
            Place::Gated if pod.gates.is_empty() => self.queue.put_at(uid, self.place_of(pod, now)),
            Place::Parked(_) if refusal::ahead(pod, &self.members) == 0 => self.queue.put_at(uid, Place::Active(now)),
            Place::Unschedulable(_) if old.needs != pod.needs => self.queue.wake(uid, now),
            Place::Unschedulable(_) | Place::Backoff { .. } => self.tell(uid, false),
            _ => (),
        }
    }

    /// Where a pod waits that has not been tried yet.
    fn place_of(&self, pod: &PodView, now: Duration) -> Place {
        if !pod.gates.is_empty() {
            return Place::Gated;
        }
        match refusal::ahead(pod, &self.members) {
            0 => Place::Active(now),
            ahead => Place::Parked(now + TURN.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX))),
        }
    }

    /// Whether [`Engine::decide`] has something to decide.
    pub fn has_work(&self) -> bool {
        !self.members.own.is_empty() && self.queue.has_next()
    }

    /// Lets pods go on for which time has come, or for which a node has got better.
    pub fn wake(&mut self) {
        let now = self.now();
        self.queue.flush(now);
        let improved = self.columns.take_improved();
        if improved.is_empty() {
            return;
        }
        let columns = &self.columns;
        let helps = |needs: &_| improved.iter().any(|row| plugins::is_feasible(needs, columns, row));
        for uid in self.queue.waiting(helps) {
            self.queue.wake(&uid, now);
        }
    }

    /// Decides about waiting pods, until so many have been given a node or there are none left.
    pub fn decide(&mut self, limit: usize) -> Vec<Binding> {
        let mut bindings = Vec::new();
        if self.members.own.is_empty() {
            return bindings;
        }
        for _ in 0..ATTEMPTS {
            if bindings.len() >= limit {
                break;
            }
            let Some(uid) = self.queue.pop() else { break };
            bindings.extend(self.attempt(&uid));
        }
        bindings
    }

    fn attempt(&mut self, uid: &SmolStr) -> Option<Binding> {
        let started = self.now();
        if self.is_placed(uid) {
            self.queue.remove(uid);
            return None;
        }
        let pod = self.queue.get(uid)?.pod.clone();
        let needs = pod.needs.as_ref().expect("a pod without a node has needs");
        let class = self.classes.get(needs, &self.columns);
        let Some((row, _)) = class.best(pod.owner, &self.columns, &mut self.random) else {
            let diagnosis = class.diagnose(&self.columns, pod.priority);
            let now = self.now();
            self.metrics.attempt(&self.name, Outcome::Unschedulable, now.saturating_sub(started));
            self.metrics.refused(&self.name, &diagnosis.plugins);
            self.queue.refused(uid, diagnosis, now);
            self.tell(uid, true);
            return None;
        };
        let node = self.columns.node(row).expect("a feasible row has a node").name().clone();
        self.columns.place(uid, Placed::new(&pod, row, true));
        self.metrics.algorithm(self.now().saturating_sub(started));
        Some(Binding { pod, node, started })
    }

    /// A binding has ended.
    pub fn bound(&mut self, binding: &Binding, written: Written) {
        let now = self.now();
        let uid = binding.pod.uid();
        let took = now.saturating_sub(binding.started);
        if written == Written::Done {
            self.metrics.attempt(&self.name, Outcome::Scheduled, took);
            if let Some(entry) = self.queue.remove(uid) {
                self.metrics.scheduled(entry.attempts() + 1, now.saturating_sub(entry.first_seen));
            }
            return;
        }
        self.metrics.attempt(&self.name, Outcome::Error, took);
        if self.columns.pod(uid).is_some_and(|placed| placed.is_assumed) {
            self.columns.release(uid);
        }
        self.orphans.remove_assumed(uid);
        self.queue.failed(uid, now);
    }

    /// What is to be told, first come first served.
    pub(crate) fn tellings(&mut self) -> &mut VecDeque<Telling> {
        &mut self.tellings
    }

    /// Brings the gauges up to date.
    pub(crate) fn report_sizes(&mut self) {
        let (pods, assumed) = self.columns.pods();
        let sizes = Sizes { pending: self.queue.pending(), nodes: self.columns.len(), pods, assumed };
        self.metrics.sizes(&self.sizes, &sizes);
        tracing::trace!(?sizes, classes = self.classes.len(), "sizes");
        self.sizes = sizes;
    }

    /// Compares the columns with what the cluster makes of them (DESIGN D8).
    pub(crate) fn consistency_check(&self, nodes: &[Arc<NodeView>], pods: &[Arc<PodView>]) -> Result<(), String> {
        self.columns.consistency_check(nodes.iter().filter(|node| self.owns(node.name())), pods)
    }
}

impl Drop for Engine {
    /// What has ended is no longer shown.
    fn drop(&mut self) {
        self.metrics.sizes(&self.sizes, &Sizes::default());
    }
}

#[cfg(test)]
impl Engine {
    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The score of every node that would do for the pod.
    pub(crate) fn scores(&mut self, pod: &PodView) -> std::collections::BTreeMap<&str, i64> {
        let needs = pod.needs.as_ref().expect("a pod without a node has needs");
        let scores = self.classes.get(needs, &self.columns).scores(pod.owner, &self.columns);
        let name = |row| self.columns.node(row).expect("a feasible row has a node").name().as_str();
        scores.into_iter().map(|(row, score)| (name(row), score)).collect()
    }

    pub(crate) fn check_classes(&mut self) -> Result<(), String> {
        self.classes.consistency_check(&self.columns)
    }
}
