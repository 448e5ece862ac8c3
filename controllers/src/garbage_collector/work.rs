//! What is done about one object: the only place of the garbage collector that writes.
//!
//! The graph only says whom to look at. Before anything is deleted the server is asked for the object itself and for
//! each of its owners, and the deletion names the uid and version that were seen.

use api::Value;
use api::patch::PatchType;
use client::{ApiRef, ClientError, OwnerReference};
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use smol_str::SmolStr;

use super::graph::{FOREGROUND, Identity, Item, Kind, ORPHAN};
use super::{GarbageCollector, Work};
use crate::reconcile::After;
use crate::views::Partial;

/// Dependents that are let go at once.
const CONCURRENCY: usize = 16;

/// Owners of an object, by what the server says of them.
#[derive(Default)]
struct Owners {
    /// They exist.
    solid: Vec<SmolStr>,
    /// They do not.
    dangling: Vec<SmolStr>,
    /// They wait for their dependents to be deleted.
    waiting: Vec<SmolStr>,
}

/// What is known about one owner.
enum Owner {
    Solid,
    Dangling,
    Waiting,
    /// Its kind is not served (yet).
    Unknown,
    /// A cluster-scoped object names an owner in a namespace: an error that stays one.
    Impossible,
}

impl GarbageCollector {
    fn api_of(&self, identity: &Identity) -> Option<&'static ApiRef> {
        match &identity.kind {
            Kind::Known(api) => Some(api),
            Kind::Named { api_version, kind } => self.resources.read().of_kind(api_version, kind),
        }
    }

    async fn live(&self, api: &ApiRef, identity: &Identity) -> Result<Option<Partial>, ClientError> {
        let namespace = if api.namespaced { identity.namespace.as_str() } else { "" };
        match self.client.get::<Partial>(api, namespace, &identity.name).await {
            Ok(found) if found.metadata.uid == identity.uid => Ok(Some(found)),
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks at one object.
    pub(super) async fn attempt_to_delete(&self, uid: &SmolStr) -> Result<After, ClientError> {
        let Some(item) = self.graph.lock().item(uid) else { return Ok(After::Done) };
        if item.is_deleting && !item.deletes_dependents {
            return Ok(After::Done);
        }
        let Some(api) = self.api_of(&item.identity) else { return Ok(After::Retry) };
        if !api.namespaced && !item.identity.namespace.is_empty() && item.is_virtual {
            // Dependents from several namespaces may name it; it has none.
            return self.look(Item { identity: clusterwide(&item.identity), ..item }, api).await;
        }
        self.look(item, api).await
    }

    async fn look(&self, item: Item, api: &'static ApiRef) -> Result<After, ClientError> {
        let Some(latest) = self.live(api, &item.identity).await? else {
            self.queue_all(self.not_found(&item));
            return Ok(After::Done);
        };
        if item.deletes_dependents {
            return self.wait_for_dependents(&item, api, &latest).await;
        }
        let references = &latest.metadata.owner_references;
        if references.is_empty() {
            return Ok(rest(&item));
        }
        let mut owners = Owners::default();
        for reference in references {
            let list = match self.judge(&item, reference).await? {
                Owner::Solid => &mut owners.solid,
                Owner::Dangling => &mut owners.dangling,
                Owner::Waiting => &mut owners.waiting,
                Owner::Unknown => return Ok(After::Retry),
                Owner::Impossible => return Ok(After::Done),
            };
            list.push(reference.uid.clone());
        }
        if !owners.solid.is_empty() {
            let gone: Vec<SmolStr> = owners.dangling.into_iter().chain(owners.waiting).collect();
            if !gone.is_empty() {
                self.drop_references(api, &latest, &gone).await?;
            }
            return Ok(rest(&item));
        }
        if !owners.waiting.is_empty() && !item.dependents.is_empty() {
            self.break_circle(&item, api, &latest).await?;
            self.delete(api, &item, &latest, "Foreground").await?;
            return Ok(rest(&item));
        }
        let has = |finalizer: &str| latest.metadata.finalizers.iter().any(|have| have == finalizer);
        let policy = match (has(ORPHAN), has(FOREGROUND)) {
            (true, _) => "Orphan",
            (_, true) => "Foreground",
            _ => "Background",
        };
        self.delete(api, &item, &latest, policy).await?;
        Ok(rest(&item))
    }

    fn not_found(&self, item: &Item) -> Vec<super::graph::Todo> {
        let mut graph = self.graph.lock();
        // As the graph names it now: it may have learnt more meanwhile.
        let said = graph.item(&item.identity.uid).map(|now| now.identity);
        let identity = match said {
            Some(said) if clusterwide(&said) == clusterwide(&item.identity) => said,
            _ => item.identity.clone(),
        };
        graph.not_found(&identity)
    }

    /// What the server says about one owner.
    async fn judge(&self, item: &Item, reference: &OwnerReference) -> Result<Owner, ClientError> {
        let namespace = &item.identity.namespace;
        if self.graph.lock().is_absent(reference, namespace) {
            return Ok(Owner::Dangling);
        }
        let named = Identity::of(reference, namespace);
        let Some(api) = self.api_of(&named) else { return Ok(Owner::Unknown) };
        if api.namespaced && namespace.is_empty() {
            return Ok(Owner::Impossible);
        }
        let named = if api.namespaced { named } else { clusterwide(&named) };
        let Some(owner) = self.live(api, &named).await? else {
            self.graph.lock().note_absent(&named);
            return Ok(Owner::Dangling);
        };
        let foreground = owner.metadata.finalizers.iter().any(|finalizer| finalizer == FOREGROUND);
        Ok(if owner.metadata.is_deleting() && foreground { Owner::Waiting } else { Owner::Solid })
    }

    /// A foreground deletion: goes on when nothing blocks it any more.
    async fn wait_for_dependents(
        &self,
        item: &Item,
        api: &'static ApiRef,
        latest: &Partial,
    ) -> Result<After, ClientError> {
        let blocking = self.graph.lock().blocking(&item.identity.uid);
        if blocking.is_empty() {
            self.drop_finalizer(api, latest, FOREGROUND).await?;
        }
        for dependent in blocking {
            if !self.graph.lock().deletes_dependents(&dependent) {
                self.queue(Work::Delete(dependent));
            }
        }
        Ok(After::Done)
    }

    /// Objects that wait for each other would wait for ever: this one stops blocking its owners.
    async fn break_circle(&self, item: &Item, api: &ApiRef, latest: &Partial) -> Result<(), ClientError> {
        let waits = |uid: &SmolStr| self.graph.lock().deletes_dependents(uid);
        if !item.dependents.iter().any(waits) {
            return Ok(());
        }
        let mut references = latest.metadata.owner_references.clone();
        for reference in &mut references {
            reference.block_owner_deletion = reference.block_owner_deletion.map(|_| false);
        }
        self.patch(api, latest, json!({ "ownerReferences": references })).await
    }

    async fn drop_references(&self, api: &ApiRef, latest: &Partial, gone: &[SmolStr]) -> Result<(), ClientError> {
        let mut references = latest.metadata.owner_references.clone();
        references.retain(|reference| !gone.contains(&reference.uid));
        self.patch(api, latest, json!({ "ownerReferences": references })).await
    }

    async fn drop_finalizer(&self, api: &ApiRef, latest: &Partial, finalizer: &str) -> Result<(), ClientError> {
        let mut finalizers = latest.metadata.finalizers.clone();
        finalizers.retain(|have| have != finalizer);
        if finalizers.len() == latest.metadata.finalizers.len() {
            return Ok(());
        }
        self.patch(api, latest, json!({ "finalizers": finalizers })).await
    }

    /// Changes metadata of exactly the version that was seen. One that is gone needs no change.
    async fn patch(&self, api: &ApiRef, latest: &Partial, mut metadata: Value) -> Result<(), ClientError> {
        let meta = &latest.metadata;
        metadata["resourceVersion"] = json!(meta.resource_version);
        metadata["uid"] = json!(meta.uid);
        let patch = json!({ "metadata": metadata });
        match self.client.patch::<Value>(api, &meta.namespace, &meta.name, "", PatchType::Merge, &patch).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    async fn delete(&self, api: &ApiRef, item: &Item, latest: &Partial, policy: &str) -> Result<(), ClientError> {
        let meta = &latest.metadata;
        let options = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy,
            "preconditions": { "uid": meta.uid, "resourceVersion": meta.resource_version },
        });
        match self.client.delete(api, &meta.namespace, &meta.name, &options).await {
            Err(error) if error.is_not_found() => {
                self.queue_all(self.not_found(item));
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// Lets every dependent go, then the owner.
    pub(super) async fn attempt_to_orphan(&self, uid: &SmolStr) -> Result<After, ClientError> {
        let Some(item) = self.graph.lock().item(uid) else { return Ok(After::Done) };
        let Some(api) = self.api_of(&item.identity) else { return Ok(After::Retry) };
        let releases: Vec<_> = item.dependents.iter().map(|dependent| self.release(dependent, uid)).collect();
        let results: Vec<Result<(), ClientError>> =
            stream::iter(releases).buffer_unordered(CONCURRENCY).collect().await;
        results.into_iter().collect::<Result<Vec<()>, ClientError>>()?;
        if let Some(latest) = self.live(api, &item.identity).await? {
            self.drop_finalizer(api, &latest, ORPHAN).await?;
        }
        Ok(After::Done)
    }

    async fn release(&self, dependent: &SmolStr, owner: &SmolStr) -> Result<(), ClientError> {
        let Some(item) = self.graph.lock().item(dependent) else { return Ok(()) };
        let Some(api) = self.api_of(&item.identity) else { return Ok(()) };
        match self.live(api, &item.identity).await? {
            Some(latest) => self.drop_references(api, &latest, std::slice::from_ref(owner)).await,
            None => Ok(()),
        }
    }
}

fn clusterwide(identity: &Identity) -> Identity {
    Identity { namespace: SmolStr::default(), ..identity.clone() }
}

/// One that was only named is looked at again until it has been seen: its deletion might have been missed.
fn rest(item: &Item) -> After {
    if item.is_virtual { After::Retry } else { After::Done }
}
