//! Creating and deleting the Pods of a ReplicaSet.

use std::sync::Arc;

use api::Value;
use api::document::Document;
use client::{ClientError, EventKind, Key, known};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use smol_str::SmolStr;

use super::expectations::InFlight;
use super::{ReplicaSets, ranking};
use crate::claim::controller_reference;
use crate::views::{Partial, Pod, ReplicaSet};

/// Most Pods that one reconcile creates or deletes.
const BURST: usize = 500;
/// Deletions at once.
const DELETIONS: usize = 64;

/// A Pod made of a ReplicaSet's template.
pub fn from_template(set: &ReplicaSet) -> Value {
    let template = &set.spec.template;
    let prefix = format!("{}-", set.metadata.name);
    // A name that leaves no room for the dash is cut by the server anyway.
    let prefix = if prefix.len() > 253 { set.metadata.name.to_string() } else { prefix };
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": prefix,
            "ownerReferences": [controller_reference(&known::REPLICA_SETS, &set.metadata)],
        },
        "spec": template.at(&["spec"]),
    });
    for field in ["labels", "annotations", "finalizers"] {
        let value = template.at(&["metadata", field]);
        if !value.is_null() {
            pod["metadata"][field] = value.clone();
        }
    }
    pod
}

impl ReplicaSets {
    /// Creates Pods in batches that double, so that what refuses one is not asked five hundred times.
    pub(super) async fn create(&self, key: &Key, set: &ReplicaSet, count: usize) -> Result<(), ClientError> {
        let body = from_template(set);
        let mut left = count.min(BURST);
        let mut batch = 1;
        while left > 0 {
            batch = batch.min(left);
            let results = join_all((0..batch).map(|_| self.create_one(key, set, &body))).await;
            let mut errors = results.into_iter().filter_map(Result::err);
            if let Some(error) = errors.next() {
                if self.informers.is_terminating(&set.metadata.namespace) {
                    tracing::debug!(?key, %error, "nothing is created in a namespace that goes away");
                    return Ok(());
                }
                return Err(error);
            }
            left -= batch;
            batch *= 2;
        }
        Ok(())
    }

    async fn create_one(&self, key: &Key, set: &ReplicaSet, body: &Value) -> Result<(), ClientError> {
        let expected = InFlight::start(&self.expectations, key, &set.metadata.uid);
        match self.client.create::<Partial>(&known::PODS, &set.metadata.namespace, body).await {
            Ok(pod) => {
                expected.answer(Some(pod.metadata.uid));
                self.event(set, EventKind::Normal, "SuccessfulCreate", &format!("Created pod: {}", pod.metadata.name));
                Ok(())
            }
            Err(error) => {
                expected.answer(None);
                if !self.informers.is_terminating(&set.metadata.namespace) {
                    self.event(set, EventKind::Warning, "FailedCreate", &format!("Error creating: {error}"));
                }
                Err(error)
            }
        }
    }

    /// Deletes the Pods that are missed least.
    pub(super) async fn delete(
        &self,
        key: &Key,
        set: &ReplicaSet,
        pods: Vec<Arc<Pod>>,
        count: usize,
        now: i64,
    ) -> Result<(), ClientError> {
        let related = self.related(set);
        let chosen = ranking::choose(pods, &related, count.min(BURST), now);
        let deletions = chosen.into_iter().map(|pod| async move { self.delete_one(key, set, &pod).await });
        let results: Vec<_> = stream::iter(deletions).buffer_unordered(DELETIONS).collect().await;
        results.into_iter().collect()
    }

    async fn delete_one(&self, key: &Key, set: &ReplicaSet, pod: &Pod) -> Result<(), ClientError> {
        let meta = &pod.metadata;
        self.expectations.deleting(key, &set.metadata.uid, &meta.uid);
        let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": { "uid": meta.uid } });
        match self.client.delete(&known::PODS, &meta.namespace, &meta.name, &options).await {
            Ok(_) => {
                self.event(set, EventKind::Normal, "SuccessfulDelete", &format!("Deleted pod: {}", meta.name));
                Ok(())
            }
            // Gone already, or another by its name: the event is on its way.
            Err(error) if error.is_not_found() || error.is_conflict() => {
                self.expectations.kept(key, &meta.uid);
                Ok(())
            }
            Err(error) => {
                self.expectations.kept(key, &meta.uid);
                self.event(set, EventKind::Warning, "FailedDelete", &format!("Error deleting: {error}"));
                Err(error)
            }
        }
    }

    /// The Pods of every ReplicaSet with the same owner.
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let siblings = match set.metadata.controller() {
            Some(owner) => self.informers.sets_by_owner.group(owner.uid.as_str()),
            None => Vec::new(),
        };
        let uids: Vec<SmolStr> = siblings.iter().map(|set| set.metadata.uid.clone()).collect();
        let uids = if uids.is_empty() { vec![set.metadata.uid.clone()] } else { uids };
        uids.iter().flat_map(|uid| self.informers.pods_by_owner.group(uid.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_takes_over_what_its_template_says() {
        let set: ReplicaSet = serde_json::from_value(json!({
            "metadata": { "name": "web-x", "namespace": "ns", "uid": "7" },
            "spec": { "template": {
                "metadata": { "labels": { "app": "web" }, "annotations": { "a": "b" }, "creationTimestamp": null },
                "spec": { "containers": [{ "name": "c", "image": "nginx" }] },
            } },
        }))
        .unwrap();
        let pod = from_template(&set);
        assert_eq!(pod.text(&["metadata", "generateName"]), "web-x-");
        assert_eq!(pod["metadata"]["labels"], json!({ "app": "web" }));
        assert_eq!(pod["metadata"]["annotations"], json!({ "a": "b" }));
        assert_eq!(
            pod["metadata"]["ownerReferences"][0],
            json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-x", "uid": "7",
                "controller": true, "blockOwnerDeletion": true,
            })
        );
        assert_eq!(pod["spec"], json!({ "containers": [{ "name": "c", "image": "nginx" }] }));
    }
}
