//! ReplicaSets: the right number of Pods.
//!
//! A reconcile counts the active Pods that it owns, adds those it created that the cache does not show yet
//! ([`expectations`]), and creates or deletes the difference. It costs what its own Pods cost: they are found by index.
//! Start reading at [`ReplicaSets::sync`].

mod expectations;
mod pods;
mod ranking;
mod status;

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use api::patch::PatchType;
use api::selector::LabelSelector;
use client::{Change, Client, ClientError, EventKind, Key, Recorder, Regarding, known};
use hashbrown::HashMap;
use parking_lot::Mutex;
use serde_json::json;
use smol_str::SmolStr;

use crate::claim::{self, Claim};
use crate::informers::Informers;
use crate::reconcile::{After, Controller, Queue};
use crate::share::Part;
use crate::views::{Pod, ReplicaSet};
use crate::written::{EXPIRY, Written, number};

use expectations::Expectations;

/// Counts that are still moving are written at most so often. Every write wakes the Deployment, which writes its own.
const STATUS_PACE: Duration = Duration::from_millis(50);

/// The controller.
pub struct ReplicaSets {
    client: Client,
    informers: Arc<Informers>,
    recorder: Recorder,
    expectations: Expectations,
    written: Written,
    clock: Arc<dyn Clock>,
    /// When a status was written last, on the boot clock.
    paced: Mutex<HashMap<Key, Duration>>,
    /// ReplicaSets that may find orphans to adopt.
    may_adopt: Mutex<hashbrown::HashSet<Key>>,
}

impl ReplicaSets {
    /// A controller over shared caches.
    pub fn new(client: Client, informers: Arc<Informers>, recorder: Recorder) -> Arc<Self> {
        let clock = client.ambient().clock.clone();
        Arc::new(Self {
            client,
            informers,
            recorder,
            expectations: Expectations::new(clock.clone()),
            written: Written::new(clock.clone()),
            clock,
            paced: Mutex::default(),
            may_adopt: Mutex::default(),
        })
    }

    async fn sync(&self, key: &Key, set: &ReplicaSet) -> Result<After, ClientError> {
        let Ok(selector) = LabelSelector::from_value(&set.spec.selector) else { return Ok(After::Done) };
        let now = self.clock.wall_micros();
        // Before the cache is read: what arrives in between is then in both, and is counted once.
        let unseen = self.expectations.unseen(key, &set.metadata.uid);
        let owned = self.informers.pods_by_owner.group(set.metadata.uid.as_str());
        let selects = |pod: &Pod| selector.matches_with(|key| pod.metadata.labels.get(key).map(SmolStr::as_str));
        let terminating = owned.iter().filter(|pod| pod.is_terminating() && selects(pod)).count();
        let hidden = unseen.created.iter().filter(|uid| owned.iter().all(|pod| pod.metadata.uid != **uid)).count();
        let active = self.claim(key, set, &selector, owned).await?;
        let mut failure = None;
        let mut changed = false;
        if !set.metadata.is_deleting() {
            let alive: Vec<Arc<Pod>> =
                active.iter().filter(|pod| !unseen.deleted.contains(&pod.metadata.uid)).cloned().collect();
            let have = alive.len() + hidden;
            let want = usize::try_from(set.replicas()).unwrap_or(0);
            changed = have != want;
            let managed = match have.cmp(&want) {
                std::cmp::Ordering::Less => self.create(key, set, want - have).await,
                std::cmp::Ordering::Greater => self.delete(key, set, alive, have - want, now).await,
                std::cmp::Ordering::Equal => Ok(()),
            };
            failure = managed.err();
        }
        if changed && failure.is_none() && set.status.observed_generation == set.metadata.generation {
            // The events of those Pods bring us back, with the counts that are worth a write.
            return Ok(After::Done);
        }
        let after = self.write_status(key, set, &active, terminating, failure.as_ref(), now).await?;
        failure.map_or(Ok(after), Err)
    }

    /// The active Pods that are this ReplicaSet's, after adopting and releasing.
    async fn claim(
        &self,
        key: &Key,
        set: &ReplicaSet,
        selector: &LabelSelector,
        owned: Vec<Arc<Pod>>,
    ) -> Result<Vec<Arc<Pod>>, ClientError> {
        let meta = &set.metadata;
        let orphans = match self.may_adopt.lock().remove(key) {
            true => self.informers.orphan_pods.group(meta.namespace.as_str()),
            false => Vec::new(),
        };
        let mut ours = Vec::with_capacity(owned.len());
        let mut allowed = None;
        for pod in owned.into_iter().chain(orphans).filter(|pod| pod.is_active()) {
            let patch = match claim::claim(meta, selector, &pod.metadata) {
                Claim::Ignore => continue,
                Claim::Keep => {
                    ours.push(pod);
                    continue;
                }
                Claim::Release => claim::release(&[&meta.uid], &pod.metadata),
                Claim::Adopt => {
                    if allowed.is_none() {
                        let asked = claim::may_adopt(&self.client, &known::REPLICA_SETS, meta).await;
                        allowed = Some(asked.inspect_err(|_| self.flag(key))?);
                    }
                    if allowed == Some(false) {
                        continue;
                    }
                    claim::adoption(&known::REPLICA_SETS, meta, &pod.metadata)
                }
            };
            let adopts = pod.metadata.controller().is_none();
            let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
            let kind = PatchType::Strategic;
            match self.client.patch::<Pod>(&known::PODS, namespace, name, "", kind, &patch).await {
                Ok(answer) if adopts => ours.push(Arc::new(answer)),
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    self.flag(key);
                    return Err(error);
                }
            }
        }
        Ok(ours)
    }

    fn flag(&self, key: &Key) {
        self.may_adopt.lock().insert(key.clone());
    }

    async fn write_status(
        &self,
        key: &Key,
        set: &ReplicaSet,
        active: &[Arc<Pod>],
        terminating: usize,
        failure: Option<&ClientError>,
        now: i64,
    ) -> Result<After, ClientError> {
        let message = failure.map(ToString::to_string);
        let status = status::count(set, active, terminating, message.as_deref(), now);
        let next = status::next_available(set, active, now).map_or(After::Done, After::In);
        if status == set.status {
            return Ok(next);
        }
        if self.written.pending(key) {
            return Ok(After::In(EXPIRY));
        }
        if let Some(wait) = self.pace(key, set, &status) {
            return Ok(After::In(wait));
        }
        let patch = json!({
            "metadata": { "resourceVersion": set.metadata.resource_version },
            "status": status::to_value(&status),
        });
        let (api, meta) = (known::REPLICA_SETS, &set.metadata);
        let answer: ReplicaSet =
            self.client.patch(&api, &meta.namespace, &meta.name, "status", PatchType::Merge, &patch).await?;
        let cached = || number(&self.informers.replica_sets.get(key)?.metadata.resource_version);
        self.written.note(key, &answer.metadata, cached);
        self.paced.lock().insert(key.clone(), self.clock.boot());
        Ok(next)
    }

    /// How long a status that is still on the move has to wait.
    fn pace(&self, key: &Key, set: &ReplicaSet, status: &crate::views::ReplicaSetStatus) -> Option<Duration> {
        let old = &set.status;
        let settled = status.available_replicas == set.replicas() && status.replicas == set.replicas();
        if settled || old.observed_generation != status.observed_generation || old.conditions != status.conditions {
            return None;
        }
        let due = *self.paced.lock().get(key)? + STATUS_PACE;
        Some(due.saturating_sub(self.clock.boot())).filter(|wait| !wait.is_zero())
    }

    fn event(&self, set: &ReplicaSet, kind: EventKind, reason: &str, message: &str) {
        self.recorder.event(&Regarding::object(known::REPLICA_SETS, &set.metadata), kind, reason, message);
    }

    /// The key of the ReplicaSet that controls a Pod.
    fn set_of_pod(pod: &Pod) -> Option<Key> {
        let owner = pod.metadata.controller().filter(|owner| owner.kind == "ReplicaSet")?;
        Some(Key { namespace: pod.metadata.namespace.clone(), name: owner.name.clone() })
    }

    fn pod_changed(&self, queue: &Queue<Key>, old: Option<&Pod>, pod: &Pod, gone: bool) {
        if let Some(key) = Self::set_of_pod(pod) {
            self.expectations.seen(&key, &pod.metadata.uid, gone || pod.metadata.is_deleting());
            queue.add(key);
        } else if pod.metadata.controller().is_none() && pod.is_active() && !gone {
            let same = |old: &Pod| {
                old.metadata.labels == pod.metadata.labels
                    && old.metadata.owner_references == pod.metadata.owner_references
            };
            if !old.is_some_and(same) {
                self.orphan_changed(queue, pod);
            }
        }
    }

    fn orphan_changed(&self, queue: &Queue<Key>, pod: &Pod) {
        let label = |key: &str| pod.metadata.labels.get(key).map(SmolStr::as_str);
        if pod.metadata.labels.is_empty() {
            return;
        }
        for set in self.informers.replica_sets.namespace(&pod.metadata.namespace) {
            let selector = LabelSelector::from_value(&set.spec.selector);
            if selector.is_ok_and(|selector| selector.matches_with(label)) {
                let key = set.metadata.key();
                self.flag(&key);
                queue.add(key);
            }
        }
    }

    fn set_changed(&self, queue: &Queue<Key>, change: &Change<ReplicaSet>) {
        let set = change.object();
        let key = set.metadata.key();
        let gone = matches!(change, Change::Deleted(_));
        self.written.seen(&key, &set.metadata, gone);
        match change {
            Change::Added(_) => self.flag(&key),
            Change::Updated(old, new) if old.metadata.uid != new.metadata.uid => {
                self.expectations.forget(&key);
                self.flag(&key);
            }
            Change::Updated(..) => {}
            Change::Deleted(_) => {
                self.expectations.forget(&key);
                self.paced.lock().remove(&key);
                self.may_adopt.lock().remove(&key);
            }
        }
        queue.add(key);
    }
}

impl Controller for ReplicaSets {
    type Key = Key;

    fn name(&self) -> &'static str {
        "replicaset"
    }

    fn start(self: Arc<Self>, queue: Queue<Key>) {
        let (this, to) = (self.clone(), queue.clone());
        self.informers.replica_sets.on_change(move |change| this.set_changed(&to, change));
        let this = self.clone();
        self.informers.pods.on_change(move |change| match change {
            Change::Added(pod) => this.pod_changed(&queue, None, pod, false),
            Change::Updated(old, pod) => {
                if Self::set_of_pod(old) != Self::set_of_pod(pod) || old.metadata.uid != pod.metadata.uid {
                    this.pod_changed(&queue, None, old, true);
                }
                this.pod_changed(&queue, Some(old), pod, false);
            }
            Change::Deleted(pod) => this.pod_changed(&queue, None, pod, true),
        });
    }

    fn part(&self, key: &Key) -> Part {
        Part::Namespace(key.namespace.clone())
    }

    fn keys(&self) -> Vec<Key> {
        let keys: Vec<Key> = self.informers.replica_sets.list().iter().map(|set| set.metadata.key()).collect();
        // Orphans that showed up while another member was the owner were not noted for long.
        self.may_adopt.lock().extend(keys.iter().cloned());
        keys
    }

    async fn reconcile(&self, key: &Key) -> Result<After, ClientError> {
        match self.informers.replica_sets.get(key) {
            Some(set) => self.sync(key, &set).await,
            None => {
                self.expectations.forget(key);
                self.written.forget(key);
                Ok(After::Done)
            }
        }
    }
}
