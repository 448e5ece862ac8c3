//! Every active Namespace has a ServiceAccount `default`.

use std::sync::Arc;

use client::{Change, Client, ClientError, Key, known};
use serde_json::json;
use smol_str::SmolStr;

use crate::informers::{Informers, cluster_key};
use crate::reconcile::{After, Controller, Queue};
use crate::share::Part;
use crate::views::Partial;

const NAME: &str = "default";

/// The controller. Its key is a namespace.
pub struct ServiceAccounts {
    client: Client,
    informers: Arc<Informers>,
}

impl ServiceAccounts {
    /// A controller over shared caches.
    pub fn new(client: Client, informers: Arc<Informers>) -> Arc<Self> {
        Arc::new(Self { client, informers })
    }
}

impl Controller for ServiceAccounts {
    type Key = SmolStr;

    fn name(&self) -> &'static str {
        "serviceaccount"
    }

    fn start(self: Arc<Self>, queue: Queue<SmolStr>) {
        let to = queue.clone();
        self.informers.namespaces.on_change(move |change| to.add(change.object().metadata.name.clone()));
        self.informers.service_accounts.on_change(move |change| {
            if let Change::Deleted(account) = change
                && account.metadata.name == NAME
            {
                queue.add(account.metadata.namespace.clone());
            }
        });
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
        let key = Key { namespace: namespace.clone(), name: NAME.into() };
        let there = self.informers.service_accounts.get(&key).is_some();
        if there || object.metadata.is_deleting() || object.status.phase == "Terminating" {
            return Ok(After::Done);
        }
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": NAME, "namespace": namespace },
        });
        match self.client.create::<Partial>(&known::SERVICE_ACCOUNTS, namespace, &account).await {
            Ok(_) => Ok(After::Done),
            Err(error) if error.is_already_exists() => Ok(After::Done),
            Err(_) if self.informers.is_terminating(namespace) => Ok(After::Done),
            Err(error) => Err(error),
        }
    }
}
