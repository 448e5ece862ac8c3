//! What a Deployment's reconcile writes: ReplicaSets, and the Deployment's own status.

use std::sync::Arc;

use api::Value;
use api::patch::PatchType;
use client::{ClientError, EventKind, Kept, Key, known};
use serde_json::json;

use super::rollout::{self, Resize};
use super::{Deployments, Sync, status, template};
use crate::reconcile::After;
use crate::views::{Deployment, ReplicaSet};
use crate::written::number;

impl Deployments {
    /// Patches a ReplicaSet and waits for its event before the next reconcile. One that is gone is no error.
    pub(super) async fn patch_set(
        &self,
        key: &Key,
        set: &ReplicaSet,
        subresource: &str,
        kind: PatchType,
        patch: &Value,
    ) -> Result<Option<ReplicaSet>, ClientError> {
        let (meta, api) = (&set.metadata, known::REPLICA_SETS);
        match self.client.patch::<ReplicaSet>(&api, &meta.namespace, &meta.name, subresource, kind, patch).await {
            Ok(answer) => {
                self.note(key, &answer);
                Ok(Some(answer))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn note(&self, key: &Key, answer: &ReplicaSet) {
        let cached = || self.informers.replica_sets.get(&answer.metadata.key());
        self.written.note(key, &answer.metadata, || number(&cached()?.metadata.resource_version));
    }

    /// Brings the annotations and minReadySeconds of the new ReplicaSet up to date, and takes its revision over.
    pub(super) async fn adjust_new(&self, sync: &mut Sync<'_>) -> Result<(), ClientError> {
        let Some(at) = sync.new else { return Ok(()) };
        let (deployment, set) = (sync.deployment, sync.sets[at].clone());
        let annotations =
            template::missing_annotations(&deployment.metadata, &set.metadata.annotations, newest_revision(sync));
        if !annotations.is_empty() || set.spec.min_ready_seconds != deployment.spec.min_ready_seconds {
            let patch = json!({
                "metadata": { "resourceVersion": set.metadata.resource_version, "annotations": annotations },
                "spec": { "minReadySeconds": deployment.spec.min_ready_seconds },
            });
            if let Some(answer) = self.patch_set(sync.key, &set, "", PatchType::Merge, &patch).await? {
                sync.sets[at] = Arc::new(answer);
            }
        }
        let revision = sync.sets[at].metadata.annotations.get(template::REVISION);
        sync.revision = revision.cloned().unwrap_or_default();
        if deployment.has_progress_deadline() && sync.status.condition(status::PROGRESSING).is_none() {
            let message = format!("Found new replica set \"{}\"", set.metadata.name);
            status::set(&mut sync.status, &sync.now, status::PROGRESSING, "True", "FoundNewReplicaSet", &message);
        }
        Ok(())
    }

    /// The place of the new ReplicaSet in `sync.sets`, which is created if it is missing. `None` where it cannot be
    /// created now and another reconcile follows.
    pub(super) async fn new_set(&self, sync: &mut Sync<'_>) -> Result<Option<usize>, ClientError> {
        if sync.new.is_some() {
            return Ok(sync.new);
        }
        let deployment = sync.deployment;
        let total = sync.sets.iter().map(|set| set.replicas()).sum();
        let replicas = rollout::grow_new(&sync.limits, total, 0);
        let revision = newest_revision(sync);
        let body = template::new_replica_set(deployment, &sync.limits, replicas, revision);
        let namespace = &deployment.metadata.namespace;
        let created = match self.client.create::<ReplicaSet>(&known::REPLICA_SETS, namespace, &body).await {
            Ok(created) => created,
            Err(error) if error.is_already_exists() => return self.settle_collision(sync, &body, error).await,
            Err(error) if self.informers.is_terminating(namespace) => {
                tracing::debug!(%error, key = ?sync.key, "nothing is created in a namespace that goes away");
                return Ok(None);
            }
            Err(error) => return Err(self.report_failed_create(sync, &body, error).await),
        };
        self.note(sync.key, &created);
        let name = created.metadata.name.clone();
        if replicas > 0 {
            let message = format!("Scaled up replica set {name} from 0 to {replicas}");
            self.event(deployment, EventKind::Normal, "ScalingReplicaSet", &message);
        }
        if deployment.has_progress_deadline() {
            let message = format!("Created new replica set \"{name}\"");
            status::set(&mut sync.status, &sync.now, status::PROGRESSING, "True", "NewReplicaSetCreated", &message);
        }
        sync.revision = revision.to_string();
        sync.sets.push(Arc::new(created));
        sync.new = Some(sync.sets.len() - 1);
        Ok(sync.new)
    }

    /// The name is taken: by our own ReplicaSet that the cache did not show yet, or by another template with the same
    /// hash, and then the next try hashes differently.
    async fn settle_collision(
        &self,
        sync: &mut Sync<'_>,
        body: &Value,
        error: ClientError,
    ) -> Result<Option<usize>, ClientError> {
        use api::document::Document;
        let (meta, name) = (&sync.deployment.metadata, body.name());
        let there: ReplicaSet = self.client.get(&known::REPLICA_SETS, &meta.namespace, name).await?;
        let ours = there.metadata.controller().is_some_and(|owner| owner.uid == meta.uid);
        if ours && template::same_template(&there.spec.template, &sync.deployment.spec.template) {
            self.note(sync.key, &there);
            sync.revision = there.metadata.annotations.get(template::REVISION).cloned().unwrap_or_default();
            sync.sets.push(Arc::new(there));
            sync.new = Some(sync.sets.len() - 1);
            return Ok(sync.new);
        }
        let collisions = sync.status.collision_count.unwrap_or(0) + 1;
        tracing::debug!(key = ?sync.key, collisions, %error, "another template has the same hash");
        sync.status.collision_count = Some(collisions);
        Ok(None)
    }

    async fn report_failed_create(&self, sync: &mut Sync<'_>, body: &Value, error: ClientError) -> ClientError {
        use api::document::Document;
        let message = format!("Failed to create new replica set \"{}\": {error}", body.name());
        self.event(sync.deployment, EventKind::Warning, "ReplicaSetCreateError", &message);
        if sync.deployment.has_progress_deadline() {
            let reason = "ReplicaSetCreateError";
            status::set(&mut sync.status, &sync.now, status::PROGRESSING, "False", reason, &message);
            // The failed create is the error to report, whatever becomes of this one.
            let _ = self.write_status(sync, sync.status.clone()).await;
        }
        error
    }

    /// Resizes ReplicaSets, and says so.
    pub(super) async fn resize(&self, sync: &mut Sync<'_>, resizes: Vec<Resize>) -> Result<(), ClientError> {
        for (at, replicas) in resizes {
            let set = sync.sets[at].clone();
            let (before, name) = (set.replicas(), &set.metadata.name);
            let annotated = set.number(rollout::DESIRED_REPLICAS) == Some(sync.limits.desired)
                && set.number(rollout::MAX_REPLICAS) == Some(sync.limits.most());
            if before == replicas && annotated {
                continue;
            }
            let patch = json!({
                "metadata": {
                    "resourceVersion": set.metadata.resource_version,
                    "annotations": template::size_annotations(&sync.limits),
                },
                "spec": { "replicas": replicas },
            });
            let Some(answer) = self.patch_set(sync.key, &set, "", PatchType::Merge, &patch).await? else { continue };
            if before != replicas {
                let way = if before < replicas { "up" } else { "down" };
                let message = format!("Scaled {way} replica set {name} from {before} to {replicas}");
                self.event(sync.deployment, EventKind::Normal, "ScalingReplicaSet", &message);
            }
            sync.sets[at] = Arc::new(answer);
        }
        Ok(())
    }

    /// Deletes the oldest ReplicaSets that have no Pods, down to the number of revisions that is kept.
    pub(super) async fn forget_history(&self, sync: &Sync<'_>) -> Result<(), ClientError> {
        let Some(limit) = sync.deployment.spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else {
            return Ok(());
        };
        let mut old: Vec<&Arc<ReplicaSet>> = (0..sync.sets.len())
            .filter(|at| Some(*at) != sync.new)
            .map(|at| &sync.sets[at])
            .filter(|set| !set.metadata.is_deleting())
            .collect();
        let spare = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        old.sort_by_key(|set| template::revision(&set.metadata));
        for set in &old[..spare] {
            let (meta, status) = (set.meta(), &set.status);
            if status.replicas != 0 || set.replicas() != 0 || meta.generation > status.observed_generation {
                continue;
            }
            match self.client.delete(&known::REPLICA_SETS, &meta.namespace, &meta.name, &Value::Null).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes counts and availability, without judging progress.
    pub(super) async fn write_counts(&self, sync: &Sync<'_>) -> Result<After, ClientError> {
        let status = status::counted(sync.deployment, &sync.status, &sync.sets, sync.new, &sync.now);
        self.write_status(sync, status).await?;
        Ok(After::Done)
    }

    /// Writes the whole status of a rollout.
    pub(super) async fn write_progress(&self, sync: &Sync<'_>) -> Result<After, ClientError> {
        let status = status::rolling(sync.deployment, &sync.status, &sync.sets, sync.new, &sync.now);
        let next = status::next_check(sync.deployment, &status, &sync.now);
        self.write_status(sync, status).await?;
        Ok(next.map_or(After::Done, After::In))
    }

    async fn write_status(&self, sync: &Sync<'_>, status: crate::views::DeploymentStatus) -> Result<(), ClientError> {
        let meta = &sync.deployment.metadata;
        let have = meta.annotations.get(template::REVISION).map_or("", String::as_str);
        let revised = !sync.revision.is_empty() && sync.revision != have;
        if status == sync.deployment.status && !revised {
            return Ok(());
        }
        let mut patch = json!({
            "metadata": { "resourceVersion": meta.resource_version },
            "status": status::to_value(&status),
        });
        let annotations = json!({ template::REVISION: sync.revision });
        if revised {
            patch["metadata"]["annotations"] = annotations.clone();
        }
        let answer = self.patch_deployment(sync.key, "status", &patch).await?;
        if revised && answer.metadata.annotations.get(template::REVISION) != Some(&sync.revision) {
            // Some servers take only the status from a write of the status.
            let version = &answer.metadata.resource_version;
            let patch = json!({ "metadata": { "resourceVersion": version, "annotations": annotations } });
            self.patch_deployment(sync.key, "", &patch).await?;
        }
        Ok(())
    }

    async fn patch_deployment(&self, key: &Key, subresource: &str, patch: &Value) -> Result<Deployment, ClientError> {
        let (api, kind) = (known::DEPLOYMENTS, PatchType::Merge);
        let answer: Deployment = self.client.patch(&api, &key.namespace, &key.name, subresource, kind, patch).await?;
        let cached = || number(&self.informers.deployments.get(key)?.metadata.resource_version);
        self.written.note(key, &answer.metadata, cached);
        Ok(answer)
    }
}

/// One above the newest of the old ReplicaSets.
fn newest_revision(sync: &Sync<'_>) -> i64 {
    let old = (0..sync.sets.len()).filter(|at| Some(*at) != sync.new);
    old.map(|at| template::revision(&sync.sets[at].metadata)).max().unwrap_or(0) + 1
}
