//! The end of a definition: nobody creates its objects any more, those that are there are deleted, and then it goes itself.

use std::sync::Arc;

use api::document::Document;
use api::status::Reason;
use api::{Object, Resource, Status, Value};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use smol_str::SmolStr;

use super::{FINALIZER, controller};
use crate::service::{DeleteOptions, ListRequest, ListSlots, Request, ShardError, UserInfo, Verb};
use crate::shard::Shard;
use crate::subresources::conditions;

/// Deletions under way at once.
const AT_ONCE: usize = 64;

/// What a request to delete makes of a definition.
pub(crate) fn mark(definition: &mut Value, now: &str) {
    let mut finalizers = definition.list(&["metadata", "finalizers"]).to_vec();
    if !finalizers.iter().any(|name| name == FINALIZER) {
        finalizers.push(FINALIZER.into());
    }
    definition.set(&["metadata", "finalizers"], finalizers);
    definition.set(&["metadata", "deletionTimestamp"], now);
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    conditions::set(definition, "Terminating", "True", "InstanceDeletionPending", message, now);
}

/// Deletes the objects of a definition, and lets it go when none is left. An error says that some are.
pub(super) async fn finalize(shard: &Shard, cluster: &SmolStr, definition: &Object) -> Result<(), ShardError> {
    let mut document = definition.document();
    let now = api::time::format_seconds(shard.ambient.clock.wall_micros());
    let left = match shard.registry.named_in(cluster, &definition.name) {
        Some(resource) => delete_all(shard, cluster, &resource).await?,
        // It never was established, so there is nothing.
        None => 0,
    };
    if left > 0 {
        let message = format!("{left} CustomResources are left");
        let reason = "InstanceDeletionInProgress";
        let before = document.clone();
        conditions::set(&mut document, "Terminating", "True", reason, "CustomResource deletion is in progress", &now);
        if document != before {
            controller::update_status(shard, cluster, &document).await?;
        }
        return Err(Status::unavailable(message).into());
    }
    let kept = document.list(&["metadata", "finalizers"]).iter().filter(|name| *name != FINALIZER);
    let kept: Vec<Value> = kept.cloned().collect();
    document.set(&["metadata", "finalizers"], json!(kept));
    controller::update(shard, cluster, &document, "").await
}

/// Deletes every object of a kind; answers how many there were.
async fn delete_all(shard: &Shard, cluster: &SmolStr, resource: &Arc<Resource>) -> Result<usize, ShardError> {
    let topology = shard.topology()?;
    let map = topology.current();
    if !map.is_complete() {
        return Err(ShardError::NotOwner);
    }
    let pages = map.members().iter().map(|member| {
        member.service.list(ListRequest {
            slots: ListSlots::Exactly(member.slots.clone()),
            cluster: cluster.clone(),
            resource: resource.id,
            namespace: SmolStr::default(),
            selector: Arc::default(),
            at: None,
            after: None,
            limit: usize::MAX,
        })
    });
    let objects: Vec<Arc<Object>> = try_join_all(pages).await?.into_iter().flat_map(|page| page.objects).collect();
    let count = objects.len();
    let deletions = stream::iter(objects).map(|object| delete(shard, cluster, resource, object));
    deletions.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(count)
}

async fn delete(
    shard: &Shard,
    cluster: &SmolStr,
    resource: &Arc<Resource>,
    object: Arc<Object>,
) -> Result<(), ShardError> {
    let request = Request {
        id: shard.ambient.entropy.next_u128(),
        cluster: cluster.clone(),
        resource: resource.id,
        served: 0,
        subresource: SmolStr::default(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        user: Arc::new(UserInfo::apiserver()),
        verb: Verb::Delete { options: DeleteOptions::default() },
    };
    let slot = resource.slot(cluster, &object.namespace, &object.name);
    match shard.topology()?.execute(slot, request).await {
        Err(status) if status.reason() != Reason::NotFound => Err(status.into()),
        _ => Ok(()),
    }
}
