//! Namespaces that are deleted: their content goes first, then the finalizer `kubernetes`, then they.

mod conditions;
mod content;

use std::sync::Arc;
use std::time::Duration;

use api::Value;
use api::document::Document;
use client::{Change, Client, ClientError, Key, known};
use serde_json::json;

use crate::discovery::Discovery;
use crate::informers::{Informers, cluster_key};
use crate::reconcile::{After, Controller, Queue};
use crate::share::Part;
use crate::views::Namespace;

const FINALIZER: &str = "kubernetes";
/// How long to wait for finalizers of others before looking again.
const FINALIZER_WAIT: Duration = Duration::from_secs(5);
/// Pods end one by one; the last of them is worth a look soon.
const PODS_GONE_WAIT: Duration = Duration::from_millis(50);

/// The controller. Its key is the Namespace's.
pub struct Namespaces {
    client: Client,
    informers: Arc<Informers>,
    discovery: Arc<Discovery>,
    grace: Duration,
}

impl Namespaces {
    /// A controller over shared caches. A Namespace rests for `grace` before its content is deleted.
    pub fn new(client: Client, informers: Arc<Informers>, discovery: Arc<Discovery>, grace: Duration) -> Arc<Self> {
        Arc::new(Self { client, informers, discovery, grace })
    }

    async fn delete(&self, name: &str) -> Result<After, ClientError> {
        // The cache may lag, and what follows is not undone: the server's own word is needed.
        let mut object: Value = match self.client.get(&known::NAMESPACES, "", name).await {
            Err(error) if error.is_not_found() => return Ok(After::Done),
            object => object?,
        };
        let finalizers = object.list(&["spec", "finalizers"]);
        if !object.is_deleting() || !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(After::Done);
        }
        if object.text(&["status", "phase"]) != "Terminating" {
            object.set(&["status", "phase"], "Terminating");
            object = self.client.update(&known::NAMESPACES, "", name, "status", &object).await?;
        }
        let findings = content::delete_all(&self.client, &self.discovery, name).await?;
        let view: Namespace = serde_json::from_value(object.clone()).map_err(|error| ClientError::Decode {
            path: known::NAMESPACES.object("", name, ""),
            message: error.to_string(),
        })?;
        let now = api::time::format_seconds(self.client.ambient().clock.wall_micros());
        if let Some(conditions) = findings.conditions(&view.status.conditions, &now) {
            object.set(&["status", "conditions"], json!(conditions));
            object = self.client.update(&known::NAMESPACES, "", name, "status", &object).await?;
        }
        if findings.is_empty() {
            return self.finalize(name, object).await;
        }
        if !findings.failed.is_empty() || !findings.undiscovered.is_empty() {
            return Ok(After::Retry);
        }
        Ok(After::In(self.wait_for(name)))
    }

    /// Pods say when they are gone; for anything else there is nothing but looking again.
    fn wait_for(&self, name: &str) -> Duration {
        let pods = self.informers.pods.namespace(name);
        let grace = pods.iter().filter_map(|pod| pod.metadata.deletion_grace_period_seconds).max();
        let seconds = grace.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
        FINALIZER_WAIT.min(Duration::from_secs(seconds / 2 + 1))
    }

    async fn finalize(&self, name: &str, mut object: Value) -> Result<After, ClientError> {
        let finalizers = object.list(&["spec", "finalizers"]);
        let others: Vec<Value> = finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
        object.set(&["spec", "finalizers"], others);
        match self.client.update::<Value>(&known::NAMESPACES, "", name, "finalize", &object).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(After::Done),
        }
    }
}

impl Controller for Namespaces {
    type Key = Key;

    fn name(&self) -> &'static str {
        "namespace"
    }

    fn start(self: Arc<Self>, queue: Queue<Key>) {
        let (to, grace) = (queue.clone(), self.grace);
        self.informers.namespaces.on_change(move |change| match change {
            Change::Added(namespace) if namespace.metadata.is_deleting() => {
                to.add_after(namespace.metadata.key(), grace);
            }
            // Later changes are its own conditions, which it must not run after.
            Change::Updated(old, namespace)
                if namespace.metadata.is_deleting()
                    && (!old.metadata.is_deleting() || old.spec.finalizers != namespace.spec.finalizers) =>
            {
                to.add_after(namespace.metadata.key(), grace);
            }
            _ => {}
        });
        let this = self.clone();
        self.informers.pods.on_change(move |change| {
            let Change::Deleted(pod) = change else { return };
            let key = cluster_key(pod.metadata.namespace.clone());
            if this.informers.namespaces.get(&key).is_some_and(|namespace| namespace.metadata.is_deleting()) {
                queue.add_after(key, PODS_GONE_WAIT);
            }
        });
    }

    fn part(&self, key: &Key) -> Part {
        Part::Namespace(key.name.clone())
    }

    fn keys(&self) -> Vec<Key> {
        let deleting = |namespace: &Arc<Namespace>| namespace.metadata.is_deleting();
        self.informers
            .namespaces
            .list()
            .iter()
            .filter(|namespace| deleting(namespace))
            .map(|n| n.metadata.key())
            .collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<After, ClientError> {
        self.delete(&key.name).await
    }
}
