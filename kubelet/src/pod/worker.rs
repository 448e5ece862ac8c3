//! The loop that follows a node's Pods and carries out what their machines ask for.

use std::time::Duration;

use api::patch::PatchType;
use api::time;
use client::{ClientError, Key, known};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::{StreamExt, stream};
use hashbrown::{HashMap, HashSet};
use serde::Deserialize;
use serde_json::json;
use smol_str::SmolStr;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::addresses::Addresses;
use super::admission::Rejection;
use super::machine::{Act, Course, Found, Machine, Pace};
use super::status::{Scene, patch};
use super::telling;
use super::view::{Phase, Plan, PodView};
use crate::config::{Events, Fidelity};
use crate::counters::Counted;
use crate::follow::{Follow, Followed};
use crate::logs::Life;
use crate::node::Kubelet;

/// Writes of one node that are under way at once.
const WRITES: usize = 8;
/// Events that are taken before due acts are looked at again.
const BATCH: usize = 256;
/// How long a Pod waits for its node's podCIDR before it gets an address of the simulation's own range.
const RANGE_PATIENCE: Duration = Duration::from_secs(5);
const RANGE_LOOK: Duration = Duration::from_millis(200);
/// Attempts at one write before somebody should know.
const QUIET_ATTEMPTS: u32 = 8;
/// The machines' clock starts so long before this boot, so that Pods that are older than it have their time, too.
const AGES: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// When nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

struct Pod {
    plan: Plan,
    machine: Machine,
    generation: i64,
    /// Wall times in microseconds since 1970.
    accepted: i64,
    started: i64,
    ips: Vec<SmolStr>,
    /// Its place in the node's range.
    offset: Option<u32>,
    gates_open: bool,
    rejection: Option<Box<Rejection>>,
    /// Whether Ready has ever been written, and whether PodScheduled is True.
    is_known: bool,
    is_scheduled: bool,
    /// The version that the last write made: what the watch says about earlier ones is old.
    written: u64,
    running: Option<Counted>,
    _known: Counted,
}

/// The Pods of one node.
pub(crate) struct Worker<'a> {
    kubelet: &'a Kubelet,
    pods: HashMap<Key, Pod>,
    addresses: Addresses,
    /// Since when a Pod has waited for the node's range.
    wanted: Option<Duration>,
    next_look: Duration,
    /// While the whole state is being told: what was in it.
    seen: Option<HashSet<Key>>,
}

/// What is read of the answer to a write.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    metadata: WrittenMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WrittenMeta {
    resource_version: SmolStr,
}

type Write = BoxFuture<'static, (Key, Act, Result<u64, ClientError>)>;

impl<'a> Worker<'a> {
    pub(crate) fn new(kubelet: &'a Kubelet) -> Self {
        Self {
            kubelet,
            pods: HashMap::new(),
            addresses: Addresses::default(),
            wanted: None,
            next_look: Duration::ZERO,
            seen: None,
        }
    }

    /// Follows the node's Pods until it is cancelled.
    pub(crate) async fn run(mut self) {
        let fields = format!("spec.nodeName={}", self.kubelet.name);
        let mut follow = Follow::<PodView>::new(self.kubelet.client.clone(), known::PODS, fields);
        loop {
            let due = self.due();
            if !due.is_empty() {
                // Boxed, because it is rare and large.
                Box::pin(self.act(due)).await;
            }
            let wake = self.wake();
            tokio::select! {
                followed = follow.next() => self.take(followed),
                () = sleep_until(wake) => {}
            }
            for _ in 0..BATCH {
                match follow.next().now_or_never() {
                    Some(followed) => self.take(followed),
                    None => break,
                }
            }
        }
    }

    fn now(&self) -> Duration {
        AGES + self.kubelet.client.ambient().clock.boot()
    }

    fn wall(&self) -> i64 {
        self.kubelet.client.ambient().clock.wall_micros()
    }

    fn wake(&self) -> Instant {
        let due = self.pods.values().filter_map(|pod| pod.machine.due()).min();
        let wait = due.map_or(IDLE, |due| due.saturating_sub(self.now()));
        // Timers are as fine as a millisecond; asking again sooner is a busy loop.
        Instant::now() + wait.clamp(Duration::from_millis(1), IDLE)
    }

    fn take(&mut self, followed: Followed<PodView>) {
        match followed {
            Followed::Restarted => self.seen = Some(HashSet::new()),
            Followed::Synced => {
                let seen = self.seen.take().unwrap_or_default();
                let gone: Vec<Key> = self.pods.keys().filter(|key| !seen.contains(*key)).cloned().collect();
                gone.iter().for_each(|key| self.forget(key));
            }
            Followed::Is(view) => self.see(view),
            Followed::Gone(view) => {
                let key = key_of(&view);
                if self.pods.get(&key).is_some_and(|pod| pod.plan.uid == view.metadata.uid) {
                    self.forget(&key);
                }
            }
        }
    }

    /// The server says how a Pod is.
    fn see(&mut self, view: PodView) {
        let key = key_of(&view);
        if let Some(seen) = &mut self.seen {
            seen.insert(key.clone());
        }
        let now = self.now();
        if self.pods.get(&key).is_some_and(|pod| pod.plan.uid != view.metadata.uid) {
            self.forget(&key);
        }
        if !self.pods.contains_key(&key) {
            let mut pod = self.meet(&view, now);
            self.admit(&mut pod, &view);
            if view.status.phase == Phase::Running {
                self.kubelet.fleet.config.logs.begin(&key, self.life(&pod));
            }
            self.pods.insert(key.clone(), pod);
        }
        let Some(pod) = self.pods.get_mut(&key) else { return };
        pod.generation = view.metadata.generation;
        let version = view.metadata.resource_version.parse().unwrap_or(u64::MAX);
        if version >= pod.written {
            let gates_open = gates_open(&pod.plan, &view);
            let ready = is_true(&view, "Ready");
            let written = version == pod.written;
            if pod.machine.is_running() && view.status.phase == Phase::Running && !written && ready != gates_open {
                pod.machine.refresh();
            }
            pod.gates_open = gates_open;
            pod.is_known |= has(&view, "Ready");
        }
        if view.metadata.deletion_timestamp.is_some() {
            let grace = view.metadata.deletion_grace_period_seconds.unwrap_or(0);
            let told = pod.machine.terminate(Duration::from_secs(grace), now);
            if told && self.kubelet.fleet.config.events == Events::All {
                telling::tell_killing(self.kubelet, &pod.plan);
            }
        }
    }

    /// A Pod that this kubelet has not seen before: a new one, or one of an earlier kubelet of this node.
    fn meet(&mut self, view: &PodView, now: Duration) -> Pod {
        let plan = Plan::of(view);
        let config = &self.kubelet.fleet.config;
        let entropy = &*self.kubelet.client.ambient().entropy;
        let pace = Pace {
            start: config.pod_start.sample(entropy),
            stop: config.pod_stop.sample(entropy),
            admits: config.fidelity == Fidelity::Wire,
        };
        let course = Course {
            restart_policy: plan.restart_policy,
            run: plan.run_seconds.map(Duration::from_secs_f64),
            exit_code: plan.exit_code,
            deadline: plan.active_deadline_seconds.map(Duration::from_secs),
        };
        let wall = self.wall();
        let statuses = || view.status.container_statuses.iter().flatten();
        let accepted = view.status.start_time.as_deref().and_then(time::parse).unwrap_or(wall);
        let started = statuses().filter_map(|status| status.state.running.as_ref()?.started_at.as_deref());
        let started = started.filter_map(time::parse).max().unwrap_or(accepted);
        let ago = |then: i64| now.saturating_sub(Duration::from_micros((wall - then).max(0).unsigned_abs()));
        let found = Found {
            phase: view.status.phase,
            restarts: statuses().map(|status| status.restart_count).max().unwrap_or(0),
            accepted: ago(accepted),
            started: ago(started),
            waiting: statuses().any(|status| status.state.waiting.is_some()),
        };
        let machine = match found.phase {
            Phase::Pending => Machine::new(course, pace, now),
            _ => Machine::adopt(course, pace, found, now),
        };
        let counters = &self.kubelet.fleet.counters;
        let ips: Vec<SmolStr> = view.status.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect();
        let mut pod = Pod {
            gates_open: gates_open(&plan, view),
            rejection: None,
            is_known: has(view, "Ready"),
            is_scheduled: is_true(view, "PodScheduled"),
            running: machine.is_running().then(|| Counted::new(&counters.pods_running)),
            _known: Counted::new(&counters.pods),
            plan,
            machine,
            generation: view.metadata.generation,
            accepted,
            started,
            ips,
            offset: None,
            written: 0,
        };
        keep_address(&mut self.addresses, &mut pod);
        pod
    }

    /// Turns a new Pod away if the node has no room for it.
    fn admit(&self, pod: &mut Pod, view: &PodView) {
        // One that an earlier kubelet accepted stays accepted.
        if view.status.phase != Phase::Pending || view.status.start_time.is_some() {
            return;
        }
        let Some(room) = &self.kubelet.fleet.room else { return };
        // While the state is being told, what has not been in it yet may be gone.
        let is_there = |key: &Key| self.seen.as_ref().is_none_or(|seen| seen.contains(key));
        let others = self
            .pods
            .iter()
            .filter(|(key, other)| !other.machine.is_done() && other.rejection.is_none() && is_there(key));
        let others = others.map(|(_, other)| other.plan.requests);
        if let Err(rejection) = room.admit(pod.plan.requests, others) {
            debug!(node = %self.kubelet.name, pod = %pod.plan.name, reason = rejection.message, "a Pod does not fit");
            pod.rejection = Some(Box::new(rejection));
            pod.machine.reject();
        }
    }

    fn forget(&mut self, key: &Key) {
        let Some(pod) = self.pods.remove(key) else { return };
        if let Some(offset) = pod.offset {
            self.addresses.free(offset);
        }
        self.kubelet.fleet.config.logs.end(key, &pod.plan.uid);
    }

    fn due(&self) -> Vec<(Key, Act)> {
        let now = self.now();
        self.pods.iter().filter_map(|(key, pod)| Some((key.clone(), pod.machine.act(now)?))).collect()
    }

    /// Carries out what is due.
    async fn act(&mut self, mut due: Vec<(Key, Act)>) {
        let now = self.now();
        if due.iter().any(|(key, act)| *act == Act::Start && self.needs_address(key)) && !self.find_range(now).await {
            due.retain(|(key, act)| *act != Act::Start || !self.needs_address(key));
            let look = now + RANGE_LOOK;
            let waiting = self.pods.values_mut().filter(|pod| !pod.plan.host_network && pod.ips.is_empty());
            waiting.filter(|pod| pod.machine.act(now) == Some(Act::Start)).for_each(|pod| pod.machine.postpone(look));
        }
        let writes: Vec<Write> = due.into_iter().filter_map(|(key, act)| self.write(key, act)).collect();
        let results: Vec<_> = stream::iter(writes).buffer_unordered(WRITES).collect().await;
        for (key, act, result) in results {
            self.settle(&key, act, result);
        }
    }

    fn needs_address(&self, key: &Key) -> bool {
        self.pods.get(key).is_some_and(|pod| !pod.plan.host_network && pod.ips.is_empty())
    }

    /// Whether the node's range is known, or has been waited for long enough.
    async fn find_range(&mut self, now: Duration) -> bool {
        if self.addresses.are_known() {
            return true;
        }
        let known = self.kubelet.ranges.borrow().clone();
        let known = if known.is_empty() && now >= self.next_look {
            self.next_look = now + RANGE_LOOK;
            self.kubelet.ask_for_range().await
        } else {
            known
        };
        let since = *self.wanted.get_or_insert(now);
        if !known.is_empty() {
            self.addresses.learn(&known);
        } else if now.saturating_sub(since) >= RANGE_PATIENCE {
            self.kubelet.fleet.tell_of_fallback(&self.kubelet.name);
            self.addresses.fall_back(self.kubelet.at);
        } else {
            return false;
        }
        self.pods.values_mut().for_each(|pod| keep_address(&mut self.addresses, pod));
        true
    }

    /// The write of an act.
    fn write(&mut self, key: Key, act: Act) -> Option<Write> {
        let (now, wall) = (self.now(), self.wall());
        let host_ip = self.kubelet.fleet.host_ip.clone();
        let pod = self.pods.get_mut(&key)?;
        let client = self.kubelet.client.clone();
        if act == Act::Delete {
            let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": pod.plan.uid}});
            return Some(Box::pin(async move {
                let done = client.delete(&known::PODS, &key.namespace, &key.name, &options).await;
                (key, act, done.map(|_| 0))
            }));
        }
        if act == Act::Start && pod.ips.is_empty() {
            if pod.plan.host_network {
                pod.ips = vec![host_ip.as_str().into()];
            } else if let Some((offset, ips)) = self.addresses.take() {
                (pod.offset, pod.ips) = (Some(offset), ips);
            } else {
                // As a CNI plugin without a free address: the sandbox cannot be made for now.
                pod.machine.failed(now);
                return None;
            }
        }
        let (accepted, started) = (time::format_seconds(pod.accepted), time::format_seconds(pod.started));
        let scene = Scene {
            plan: &pod.plan,
            generation: pod.generation,
            host_ip: &host_ip,
            pod_ips: &pod.ips,
            accepted: &accepted,
            started: &started,
            now: &time::format_seconds(wall),
            restarts: pod.machine.restarts + u32::from(act == Act::Restart),
            gates_open: pod.gates_open,
            rejection: pod.rejection.as_deref(),
            is_known: pod.is_known,
            is_scheduled: pod.is_scheduled,
        };
        let body = patch(&scene, act)?;
        Some(Box::pin(async move {
            let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
            let answer =
                client.patch::<Written>(&known::PODS, namespace, name, "status", PatchType::Strategic, &body).await;
            (key, act, answer.map(|written| written.metadata.resource_version.parse().unwrap_or(0)))
        }))
    }

    /// Takes the outcome of a write in.
    fn settle(&mut self, key: &Key, act: Act, result: Result<u64, ClientError>) {
        let (now, wall) = (self.now(), self.wall());
        let Some(pod) = self.pods.get_mut(key) else { return };
        match result {
            Ok(version) => pod.written = pod.written.max(version),
            // It is gone, or a namesake has taken its place: the watch will say so, and there is nothing left to do.
            Err(error) if error.is_not_found() || (error.is_conflict() && act == Act::Delete) => {
                return self.forget(key);
            }
            Err(error) => {
                pod.machine.failed(now);
                if pod.machine.attempts == QUIET_ATTEMPTS {
                    warn!(node = %self.kubelet.name, pod = %key.name, ?act, %error, "a Pod's status cannot be written");
                } else {
                    debug!(node = %self.kubelet.name, pod = %key.name, ?act, %error, "writing failed, trying again");
                }
                return;
            }
        }
        pod.machine.done(act, now);
        pod.is_known = true;
        if matches!(act, Act::Start | Act::Restart) {
            pod.started = wall;
        }
        let counters = &self.kubelet.fleet.counters;
        pod.running = match pod.machine.is_running() {
            true => Some(pod.running.take().unwrap_or_else(|| Counted::new(&counters.pods_running))),
            false => None,
        };
        if matches!(act, Act::Finish(_) | Act::Terminate)
            && let Some(offset) = pod.offset.take()
        {
            self.addresses.free(offset);
        }
        self.tell(key, act, wall);
        if act == Act::Delete {
            self.forget(key);
        }
    }

    /// Logs and Events of what was done.
    fn tell(&mut self, key: &Key, act: Act, wall: i64) {
        let Some(pod) = self.pods.get(key) else { return };
        let (config, plan) = (&self.kubelet.fleet.config, &pod.plan);
        match act {
            Act::Start => config.logs.begin(key, self.life(pod)),
            Act::Restart => config.logs.restart(key, wall),
            Act::BackOff | Act::Finish(_) | Act::Terminate => config.logs.finish(key, wall),
            Act::Admit | Act::Refresh | Act::Reject | Act::Delete => {}
        }
        telling::tell(self.kubelet, plan, pod.rejection.as_deref(), act);
    }

    fn life(&self, pod: &Pod) -> Life {
        Life::new(&self.kubelet.name, &pod.plan, pod.started)
    }
}

impl Drop for Worker<'_> {
    /// A kubelet that stops takes its logs with it.
    fn drop(&mut self) {
        for (key, pod) in &self.pods {
            self.kubelet.fleet.config.logs.end(key, &pod.plan.uid);
        }
    }
}

fn key_of(view: &PodView) -> Key {
    Key { namespace: view.metadata.namespace.clone(), name: view.metadata.name.clone() }
}

fn is_true(view: &PodView, kind: &str) -> bool {
    view.status.conditions.iter().flatten().any(|condition| condition.kind == kind && condition.status == "True")
}

fn has(view: &PodView, kind: &str) -> bool {
    view.status.conditions.iter().flatten().any(|condition| condition.kind == kind)
}

fn gates_open(plan: &Plan, view: &PodView) -> bool {
    plan.readiness_gates.iter().all(|gate| is_true(view, gate))
}

/// Marks the address that a Pod brought along as taken.
fn keep_address(addresses: &mut Addresses, pod: &mut Pod) {
    if pod.offset.is_none()
        && !pod.plan.host_network
        && !pod.machine.is_done()
        && let Some(first) = pod.ips.first()
    {
        pod.offset = addresses.keep(first);
    }
}
