//! Filling a cluster from a backup.
//!
//! The record says Restoring from the first step to the last, and nobody is let in meanwhile. A restore has an id of its own,
//! that of the cluster as it will be, so that one that was interrupted is begun anew, and what it had put there is cleared away
//! like a deleted cluster. What is there before must be nothing but what a cluster has without anybody's doing: it is cleared
//! away as well, and comes from the backup.
//!
//! Objects get new versions, above the cut and above every clock of this service. When all are there the shards' clocks are
//! raised to one version, the cluster's floor: what clients know from before is below it, and gets 410.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::document::Document;
use api::status::Reason;
use api::{Object, Resource, Status, Version};
use futures_util::{StreamExt, TryStreamExt, stream};
use shards::Bootstrap;
use shards::backup::{is_far_ahead, is_own_endpoint};
use shards::service::{Outcome, Request, UserInfo, Verb};
use smol_str::SmolStr;

use super::record::{Phase, Record};
use super::{Clusters, DEFAULT, FRESH};
use crate::authn::{Digest, digest_of};
use crate::list::{self, At, ListOptions, Scope};

/// Objects that are put at once.
const AT_ONCE: usize = 64;
/// Objects of one kind that are looked at to find out whether a cluster is empty.
const LOOKED_AT: usize = 256;
/// Of no token.
const NO_TOKEN: Digest = [0; 32];

/// An object of a backup.
pub(crate) struct Restored {
    pub(crate) resource: Arc<Resource>,
    pub(crate) namespace: SmolStr,
    pub(crate) name: SmolStr,
    pub(crate) tail: bytes::Bytes,
}

impl Clusters {
    /// Begins to restore a backup that was cut at that version. 409 where there is something in the cluster.
    pub(crate) async fn begin_restore(&self, name: &str, cut: Version) -> Result<Record, Status> {
        if name == DEFAULT {
            let why = "the cluster \"default\" holds the others' records and is restored while nothing serves it: \
                       shardplane admin restore --store";
            return Err(Status::new(Reason::Forbidden, why));
        }
        self.check_name(name)?;
        let found = self.stored(name).await?;
        let digest = found.as_ref().map_or(NO_TOKEN, |(record, _)| record.token_digest);
        let mut record = self.fresh(name, Phase::Restoring, digest);
        let newest = list::now(&self.topology, &self.everywhere(&record.id)?).await?;
        if is_far_ahead(cut, newest) {
            let why = "the backup's cut is more than a day ahead of this service's clocks: a clock is wrong";
            return Err(Status::bad_request(why));
        }
        record.above = cut.max(newest);
        match found {
            None => self.write(&record, None).await?,
            Some((Record { phase: Phase::Creating, .. }, _)) => {
                return Err(Status::unavailable(format!("the cluster {name:?} is being created")));
            }
            Some((Record { phase: Phase::Restoring, .. }, version)) => self.write(&record, Some(version)).await?,
            Some((former, version)) => {
                self.check_empty(&former).await?;
                self.write(&record, Some(version)).await?;
                // Other gateways let clients in for that long.
                tokio::time::sleep(FRESH + FRESH / 4).await;
                if let Err(occupied) = self.check_empty(&former).await {
                    let (_, version) = self.restoring(name, &record.id).await?;
                    self.write(&former, Some(version)).await?;
                    return Err(occupied);
                }
            }
        }
        self.forget(name);
        Ok(record)
    }

    /// The record of a restore that is under way; 409 where it is not, or not any more.
    pub(crate) async fn restoring(&self, name: &str, id: &str) -> Result<(Record, Version), Status> {
        let over = || Status::new(Reason::Conflict, format!("the restore {id:?} of the cluster {name:?} is over"));
        let found = self.stored(name).await?.ok_or_else(over)?;
        if found.0.phase == Phase::Restoring && found.0.id == id { Ok(found) } else { Err(over()) }
    }

    /// Puts objects in their places. Once more is no harm.
    pub(crate) async fn put(&self, record: &Record, objects: Vec<Restored>) -> Result<(), Status> {
        let put = objects.into_iter().map(|object| {
            let Restored { resource, namespace, name, tail } = object;
            let verb = Verb::Restore { tail, above: record.above };
            async move { self.ask_of(&record.id, &resource, (&namespace, &name), verb).await.map(drop) }
        });
        stream::iter(put.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Lets clients in, if everything is there: `counts` by stored identity of the kind. A cluster that has no token yet gets
    /// this one; answers whether.
    pub(crate) async fn finish_restore(
        &self,
        (name, id): (&str, &str),
        kinds: &[Arc<Resource>],
        counts: &BTreeMap<String, u64>,
        bootstrap: &Bootstrap,
        token: &str,
    ) -> Result<(Record, bool), Status> {
        let (mut record, _) = self.restoring(name, id).await?;
        if let Some(unknown) = counts.keys().find(|name| !kinds.iter().any(|kind| kind.id_name == name.as_str())) {
            return Err(Status::unavailable(format!("this gateway has not heard yet how {unknown} is defined")));
        }
        for resource in kinds {
            let (wanted, found) =
                (counts.get(resource.id_name.as_str()).copied().unwrap_or(0), self.count(id, resource).await?);
            if found != wanted {
                let why = format!("{found} {} are there, and {wanted} were to be restored", resource.id_name);
                return Err(Status::internal(why));
            }
        }
        Bootstrap { cluster: record.id.clone(), ..bootstrap.clone() }.run(&self.topology).await?;
        let above = record.above;
        record.floor = self.raise(id, above).await?;
        (record.phase, record.above) = (Phase::Ready, Version::ZERO);
        let is_new = record.token_digest == NO_TOKEN;
        if is_new {
            record.token_digest = digest_of(token);
        }
        // As it is now: of two who restore the same one, one has begun anew.
        let (_, version) = self.restoring(name, id).await?;
        self.write(&record, Some(version)).await?;
        self.forget(name);
        Ok((record, is_new))
    }

    /// Raises the clocks of all shards to one version, which is above everything that any of them has released, and `above`.
    pub(super) async fn raise(&self, id: &str, above: Version) -> Result<Version, Status> {
        let scope = self.everywhere(id)?;
        loop {
            let map = self.topology.current();
            let version = list::now(&self.topology, &scope).await?.max(above);
            for member in map.members().iter().filter(|member| !member.slots.is_empty()) {
                let mut names = (0_u64..).map(|at| at.to_string());
                let name = names.find(|name| member.slots.contains(scope.resource.slot(id, "", name)));
                let name = name.expect("every slot has names, and a member has slots");
                let raise = Verb::Restore { tail: bytes::Bytes::new(), above: version };
                self.ask_of(id, &scope.resource, ("", &name), raise).await?;
            }
            // Slots that moved meanwhile may have gone to one that was not raised.
            if self.topology.current().generation == map.generation {
                return Ok(version);
            }
        }
    }

    /// Of a kind whose objects are everywhere.
    fn everywhere(&self, id: &str) -> Result<Scope, Status> {
        let resource = self.registry.named("namespaces");
        Ok(scope(id, resource.ok_or_else(|| Status::internal("the registry lacks namespaces"))?))
    }

    async fn count(&self, id: &str, resource: &Arc<Resource>) -> Result<u64, Status> {
        let options = ListOptions { at: At::Latest, limit: 1, after: None };
        let listed = list::list(&self.topology, &scope(id, resource), &options).await?;
        Ok((listed.objects.len() + listed.remaining) as u64)
    }

    async fn check_empty(&self, record: &Record) -> Result<(), Status> {
        let options = ListOptions { at: At::Latest, limit: LOOKED_AT, after: None };
        for resource in &self.registry.all(&record.id) {
            let listed = list::list(&self.topology, &scope(&record.id, resource), &options).await?;
            let found = listed.objects.iter().find(|object| !comes_by_itself(&resource.id_name, object));
            if let Some(object) = found {
                let namespace = if object.namespace.is_empty() { "" } else { "/" };
                let at = format!("{}{namespace}{}", object.namespace, object.name);
                let why = format!(
                    "the cluster {:?} is not empty: it holds {} {at:?}; nothing is overwritten",
                    &*record.name, resource.id_name
                );
                return Err(Status::new(Reason::Conflict, why));
            }
        }
        Ok(())
    }

    pub(super) async fn ask_of(
        &self,
        cluster: &str,
        resource: &Resource,
        (namespace, name): (&str, &str),
        verb: Verb,
    ) -> Result<Outcome, Status> {
        let request = Request {
            id: self.ambient.entropy.next_u128(),
            cluster: cluster.into(),
            resource: resource.id,
            served: 0,
            subresource: SmolStr::default(),
            namespace: namespace.into(),
            name: name.into(),
            user: Arc::new(UserInfo { name: "system:apiserver".to_owned(), ..UserInfo::default() }),
            verb,
        };
        let slot = resource.slot(cluster, namespace, name);
        self.topology.execute(slot, request).await.map(|answer| answer.outcome)
    }
}

fn scope(id: &str, resource: &Arc<Resource>) -> Scope {
    Scope { cluster: id.into(), resource: resource.clone(), namespace: SmolStr::default(), selector: Arc::default() }
}

/// Whether a cluster has it without anybody's doing: from its first moment, or from controllers that have begun to work for it.
fn comes_by_itself(kind: &str, object: &Object) -> bool {
    let name = object.name.as_str();
    match kind {
        "namespaces" => matches!(name, "default" | "kube-system" | "kube-public" | "kube-node-lease"),
        "priorityclasses.scheduling.k8s.io" => matches!(name, "system-cluster-critical" | "system-node-critical"),
        "servicecidrs.networking.k8s.io" => name == "kubernetes",
        "services" | "endpoints" => (&*object.namespace, name) == ("default", "kubernetes"),
        "endpointslices.discovery.k8s.io" => is_own_endpoint(kind, &object.namespace, name),
        "ipaddresses.networking.k8s.io" => {
            let parent = object.document();
            let parent = parent.at(&["spec", "parentRef"]);
            (parent.text(&["namespace"]), parent.text(&["name"])) == ("default", "kubernetes")
        }
        "serviceaccounts" => name == "default",
        "configmaps" => matches!(name, "kube-root-ca.crt" | "extension-apiserver-authentication"),
        "apiservices.apiregistration.k8s.io" => {
            !object.document().text(&["metadata", "labels", "kube-aggregator.kubernetes.io/automanaged"]).is_empty()
        }
        kind if kind.ends_with(".rbac.authorization.k8s.io") => {
            object.document().text(&["metadata", "labels", "kubernetes.io/bootstrapping"]) == "rbac-defaults"
        }
        "leases.coordination.k8s.io" | "events" | "events.events.k8s.io" => true,
        _ => false,
    }
}
