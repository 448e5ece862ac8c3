//! Deployments: a history of ReplicaSets, and the way from one to the next.
//!
//! One reconcile makes at most one step (create the new ReplicaSet, or resize some), then writes the status once. What it
//! wrote wakes it again when the cache shows it ([`crate::written`]), so every step is decided on the result of the last.
//! Start reading at [`Deployments::sync`]; the arithmetic is in [`rollout`], the words in [`status`].

pub mod rollout;
pub mod status;
pub mod template;
mod writes;

use std::sync::Arc;

use api::selector::LabelSelector;
use client::{Client, ClientError, EventKind, Key, Recorder, Regarding, known};
use smol_str::SmolStr;

use crate::claim::{self, Claim};
use crate::informers::Informers;
use crate::reconcile::{After, Controller, Queue};
use crate::share::Part;
use crate::views::{Deployment, DeploymentStatus, ReplicaSet};
use crate::written::{EXPIRY, Written};

use rollout::{Limits, Size};
use status::Now;

/// The controller.
pub struct Deployments {
    client: Client,
    informers: Arc<Informers>,
    recorder: Recorder,
    written: Written,
}

/// One reconcile: the Deployment, its ReplicaSets from old to new, and the status so far.
struct Sync<'a> {
    deployment: &'a Deployment,
    key: &'a Key,
    limits: Limits,
    sets: Vec<Arc<ReplicaSet>>,
    /// Which of `sets` has the Deployment's template.
    new: Option<usize>,
    status: DeploymentStatus,
    /// What annotation `deployment.kubernetes.io/revision` should say; empty to leave it alone.
    revision: String,
    now: Now,
}

impl Deployments {
    /// A controller over shared caches.
    pub fn new(client: Client, informers: Arc<Informers>, recorder: Recorder) -> Arc<Self> {
        let written = Written::new(client.ambient().clock.clone());
        Arc::new(Self { client, informers, recorder, written })
    }

    async fn sync(&self, key: &Key, deployment: &Deployment) -> Result<After, ClientError> {
        let Some(selector) = self.selector(deployment) else { return Ok(After::Done) };
        let mut sets = self.claim(deployment, &selector).await?;
        sets.sort_by(|a, b| {
            let age = |set: &ReplicaSet| (set.metadata.creation_timestamp.clone(), set.metadata.name.clone());
            age(a).cmp(&age(b))
        });
        let now = Now::at(self.client.ambient().clock.wall_micros());
        let new = template::find_new(deployment, &sets).map(|(at, _)| at);
        let limits = Limits::of(deployment);
        let (status, revision) = (deployment.status.clone(), String::new());
        let mut sync = Sync { deployment, key, limits, sets, new, status, revision, now };
        if deployment.metadata.is_deleting() {
            return self.write_counts(&sync).await;
        }
        note_pause(&mut sync);
        self.adjust_new(&mut sync).await?;
        let sizes = sync.sizes();
        if deployment.spec.paused || rollout::is_scaling(&sync.limits, &sizes) {
            let resizes = rollout::scale(&sync.limits, &sizes, sync.new, sync.deployment.status.replicas);
            self.resize(&mut sync, resizes).await?;
            if deployment.spec.paused {
                self.forget_history(&sync).await?;
            }
            return self.write_counts(&sync).await;
        }
        if deployment.spec.strategy.kind == "Recreate" {
            self.recreate(&mut sync).await?;
        } else {
            self.roll(&mut sync).await?;
        }
        self.write_progress(&sync).await
    }

    /// The selector; `None` for one that cannot be used, and then the user has been told.
    fn selector(&self, deployment: &Deployment) -> Option<LabelSelector> {
        let selector = LabelSelector::from_value(&deployment.spec.selector).ok()?;
        if selector.is_everything() {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            self.event(deployment, EventKind::Warning, "SelectingAll", message);
            return None;
        }
        Some(selector)
    }

    fn event(&self, deployment: &Deployment, kind: EventKind, reason: &str, message: &str) {
        self.recorder.event(&Regarding::object(known::DEPLOYMENTS, &deployment.metadata), kind, reason, message);
    }

    /// The ReplicaSets that are this Deployment's, after adopting and releasing.
    async fn claim(
        &self,
        deployment: &Deployment,
        selector: &LabelSelector,
    ) -> Result<Vec<Arc<ReplicaSet>>, ClientError> {
        let meta = &deployment.metadata;
        let mut candidates = self.informers.sets_by_owner.group(meta.uid.as_str());
        candidates.extend(self.informers.orphan_sets.group(meta.namespace.as_str()));
        let mut ours = Vec::with_capacity(candidates.len());
        let mut may_adopt = None;
        for set in candidates {
            let patch = match claim::claim(meta, selector, &set.metadata) {
                Claim::Ignore => continue,
                Claim::Keep => {
                    ours.push(set);
                    continue;
                }
                Claim::Release => claim::release(&[&meta.uid], &set.metadata),
                Claim::Adopt => {
                    if may_adopt.is_none() {
                        may_adopt = Some(claim::may_adopt(&self.client, &known::DEPLOYMENTS, meta).await?);
                    }
                    if may_adopt == Some(false) {
                        continue;
                    }
                    claim::adoption(&known::DEPLOYMENTS, meta, &set.metadata)
                }
            };
            let adopts = set.metadata.controller().is_none();
            let answer = self.patch_set(&meta.key(), &set, "", api::patch::PatchType::Strategic, &patch).await?;
            ours.extend(answer.filter(|_| adopts).map(Arc::new));
        }
        Ok(ours)
    }

    async fn roll(&self, sync: &mut Sync<'_>) -> Result<(), ClientError> {
        let Some(new) = self.new_set(sync).await? else { return Ok(()) };
        let resizes = rollout::roll(&sync.limits, &sync.sizes(), new);
        if resizes.is_empty() {
            return self.tidy(sync).await;
        }
        self.resize(sync, resizes).await
    }

    /// Recreate: all old Pods have ended before the first new one starts.
    async fn recreate(&self, sync: &mut Sync<'_>) -> Result<(), ClientError> {
        let old = |sync: &Sync<'_>| (0..sync.sets.len()).filter(|at| Some(*at) != sync.new).collect::<Vec<_>>();
        let active: Vec<_> =
            old(sync).into_iter().filter(|at| sync.sets[*at].replicas() > 0).map(|at| (at, 0)).collect();
        if !active.is_empty() {
            return self.resize(sync, active).await;
        }
        let runs = |set: &ReplicaSet| {
            let pods = self.informers.pods_by_owner.group(set.metadata.uid.as_str());
            set.status.replicas > 0 || pods.iter().any(|pod| !pod.is_terminal())
        };
        if old(sync).into_iter().any(|at| runs(&sync.sets[at])) {
            return Ok(());
        }
        let Some(new) = self.new_set(sync).await? else { return Ok(()) };
        if sync.sets[new].replicas() == sync.limits.desired {
            return self.tidy(sync).await;
        }
        let desired = sync.limits.desired;
        self.resize(sync, vec![(new, desired)]).await
    }

    /// Removes old ReplicaSets once the rollout is complete.
    async fn tidy(&self, sync: &Sync<'_>) -> Result<(), ClientError> {
        if status::is_complete(sync.deployment, &sync.deployment.status) {
            self.forget_history(sync).await?;
        }
        Ok(())
    }

    fn deployment_of_set(&self, set: &ReplicaSet) -> Option<Key> {
        let owner = set.metadata.controller().filter(|owner| owner.kind == "Deployment")?;
        Some(Key { namespace: set.metadata.namespace.clone(), name: owner.name.clone() })
    }

    /// Queues whoever a change of a ReplicaSet concerns.
    fn set_changed(&self, queue: &Queue<Key>, set: &ReplicaSet, gone: bool) {
        if let Some(key) = self.deployment_of_set(set) {
            self.written.seen(&key, &set.metadata, gone);
            queue.add(key);
        } else if set.metadata.controller().is_none() && !gone {
            let label = |key: &str| set.metadata.labels.get(key).map(SmolStr::as_str);
            for deployment in self.informers.deployments.namespace(&set.metadata.namespace) {
                let selector = LabelSelector::from_value(&deployment.spec.selector);
                if selector.is_ok_and(|selector| !selector.is_everything() && selector.matches_with(label)) {
                    queue.add(deployment.metadata.key());
                }
            }
        }
    }

    /// A Recreate waits for the last of its old Pods.
    fn pod_gone(&self, queue: &Queue<Key>, pod: &crate::views::Pod) {
        let Some(owner) = pod.metadata.controller().filter(|owner| owner.kind == "ReplicaSet") else { return };
        let set = Key { namespace: pod.metadata.namespace.clone(), name: owner.name.clone() };
        let Some(set) = self.informers.replica_sets.get(&set) else { return };
        let Some(key) = self.deployment_of_set(&set) else { return };
        let recreates = |deployment: Arc<Deployment>| deployment.spec.strategy.kind == "Recreate";
        if self.informers.deployments.get(&key).is_some_and(recreates) {
            queue.add(key);
        }
    }
}

/// Pausing and resuming restart the clock of the progress deadline.
fn note_pause(sync: &mut Sync<'_>) {
    if !sync.deployment.has_progress_deadline() {
        return;
    }
    let reason = sync.status.condition(status::PROGRESSING).map(|condition| condition.reason.clone());
    let reason = reason.as_deref().unwrap_or_default();
    let (reason, message) = match (sync.deployment.spec.paused, reason) {
        (_, status::TIMED_OUT) | (true, status::PAUSED) => return,
        (true, _) => (status::PAUSED, "Deployment is paused"),
        (false, status::PAUSED) => (status::RESUMED, "Deployment is resumed"),
        (false, _) => return,
    };
    status::set(&mut sync.status, &sync.now, status::PROGRESSING, "Unknown", reason, message);
}

impl Sync<'_> {
    fn sizes(&self) -> Vec<Size> {
        self.sets.iter().map(|set| Size::of(set)).collect()
    }
}

impl Controller for Deployments {
    type Key = Key;

    fn name(&self) -> &'static str {
        "deployment"
    }

    fn start(self: Arc<Self>, queue: Queue<Key>) {
        let (this, to) = (self.clone(), queue.clone());
        self.informers.deployments.on_change(move |change| {
            let object = change.object();
            let gone = matches!(change, client::Change::Deleted(_));
            this.written.seen(&object.metadata.key(), &object.metadata, gone);
            to.add(object.metadata.key());
        });
        let (this, to) = (self.clone(), queue.clone());
        self.informers.replica_sets.on_change(move |change| {
            if let client::Change::Updated(old, new) = change
                && this.deployment_of_set(old) != this.deployment_of_set(new)
            {
                this.set_changed(&to, old, true);
            }
            this.set_changed(&to, change.object(), matches!(change, client::Change::Deleted(_)));
        });
        let this = self.clone();
        self.informers.pods.on_change(move |change| {
            if let client::Change::Deleted(pod) = change {
                this.pod_gone(&queue, pod);
            }
        });
    }

    fn part(&self, key: &Key) -> Part {
        Part::Namespace(key.namespace.clone())
    }

    fn keys(&self) -> Vec<Key> {
        self.informers.deployments.list().iter().map(|deployment| deployment.metadata.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<After, ClientError> {
        let Some(deployment) = self.informers.deployments.get(key) else {
            self.written.forget(key);
            return Ok(After::Done);
        };
        if self.written.pending(key) {
            return Ok(After::In(EXPIRY));
        }
        self.sync(key, &deployment).await
    }
}
