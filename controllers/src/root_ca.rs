//! Every active Namespace has a ConfigMap `kube-root-ca.crt`, by which Pods know the API server.

use std::sync::Arc;

use api::patch::PatchType;
use client::{Client, ClientError, Informer, InformerOptions, Key, known};
use serde_json::json;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::informers::{Informers, cluster_key};
use crate::reconcile::{After, Controller, Queue};
use crate::share::Part;
use crate::views::{ConfigMap, Partial};

const NAME: &str = "kube-root-ca.crt";
const FIELD: &str = "ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const WHAT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints \
                    such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
                    distributions of Kubernetes clusters.";

/// The controller. Its key is a namespace.
pub struct RootCa {
    client: Client,
    informers: Arc<Informers>,
    published: Arc<Informer<ConfigMap>>,
    bundle: String,
}

impl RootCa {
    /// A controller that publishes a bundle of certificates. Follows only the ConfigMaps of that one name.
    pub fn new(client: Client, informers: Arc<Informers>, bundle: String, shutdown: CancellationToken) -> Arc<Self> {
        let options = InformerOptions { fields: format!("metadata.name={NAME}"), ..InformerOptions::default() };
        let published = Informer::start(client.clone(), known::CONFIG_MAPS, options, shutdown);
        Arc::new(Self { client, informers, published, bundle })
    }

    /// Waits until its own cache holds its first list.
    pub async fn synced(&self) {
        self.published.synced().await;
    }
}

impl Controller for RootCa {
    type Key = SmolStr;

    fn name(&self) -> &'static str {
        "root_ca_cert_publisher"
    }

    fn start(self: Arc<Self>, queue: Queue<SmolStr>) {
        let to = queue.clone();
        self.informers.namespaces.on_change(move |change| to.add(change.object().metadata.name.clone()));
        self.published.on_change(move |change| queue.add(change.object().metadata.namespace.clone()));
    }

    fn part(&self, namespace: &SmolStr) -> Part {
        Part::Namespace(namespace.clone())
    }

    fn keys(&self) -> Vec<SmolStr> {
        self.informers.namespaces.list().iter().map(|namespace| namespace.metadata.name.clone()).collect()
    }

    async fn reconcile(&self, namespace: &SmolStr) -> Result<After, ClientError> {
        let Some(object) = self.informers.namespaces.get(&cluster_key(namespace.clone())) else {
            return Ok(After::Done);
        };
        if object.metadata.is_deleting() || object.status.phase == "Terminating" {
            return Ok(After::Done);
        }
        let api = known::CONFIG_MAPS;
        let key = Key { namespace: namespace.clone(), name: NAME.into() };
        let written = match self.published.get(&key) {
            Some(there) if there.data.len() == 1 && there.data.get(FIELD) == Some(&self.bundle) => {
                return Ok(After::Done);
            }
            Some(there) => {
                let mut data = json!({ FIELD: self.bundle });
                for other in there.data.keys().filter(|other| *other != FIELD) {
                    data[other.as_str()] = api::Value::Null;
                }
                let patch = json!({ "data": data });
                self.client.patch::<Partial>(&api, namespace, NAME, "", PatchType::Merge, &patch).await
            }
            None => {
                let map = json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": { "name": NAME, "namespace": namespace, "annotations": { DESCRIPTION: WHAT } },
                    "data": { FIELD: self.bundle },
                });
                self.client.create::<Partial>(&api, namespace, &map).await
            }
        };
        match written {
            Ok(_) => Ok(After::Done),
            Err(error) if error.is_already_exists() => Ok(After::Retry),
            Err(_) if self.informers.is_terminating(namespace) => Ok(After::Done),
            Err(error) => Err(error),
        }
    }
}
