//! What each validating policy's expressions look like to a type checker, in its status: worked out by the shard that owns it,
//! which knows the types of custom kinds too. (In the reference the controller manager does this, under the same name.)

use std::sync::Arc;
use std::time::Duration;

use api::cel::admission::type_check;
use api::document::Document;
use api::{Object, Status, Value};
use bytes::Bytes;
use serde_json::json;
use smol_str::SmolStr;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::follow::Kind;
use crate::service::{PatchType, Request, ShardError, UserInfo, Verb, WriteOptions};
use crate::shard::Shard;
use crate::verbs;

/// Who writes it, as managedFields show it.
const MANAGER: &str = "validatingadmissionpolicy-status";
/// Pause before what did not succeed is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Looks after the policies of every cluster that the shard has tables of, until it is told to stop.
pub(crate) async fn run(shard: &Shard, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    stop.run_until_cancelled(begin(shard, &stop, &mut tasks)).await;
    while tasks.join_next().await.is_some() {}
}

async fn begin(shard: &Shard, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let mut growth = shard.layout.growth();
    let mut known = 0;
    loop {
        let clusters = *growth.borrow_and_update();
        for at in known..clusters {
            let (shard, stop) = (shard.handle(), stop.clone());
            tasks.spawn(async move {
                stop.run_until_cancelled(look_after(&shard, at)).await;
            });
        }
        known = clusters;
        if growth.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

async fn look_after(shard: &Shard, at: usize) {
    let cluster = shard.layout.cluster(at);
    let informer = loop {
        match shard.followed.copy(at, Kind::ValidatingPolicies) {
            Some(informer) => break informer,
            None => tokio::time::sleep(AGAIN).await,
        }
    };
    let mut revision = informer.revision();
    loop {
        revision.get_and_update();
        let mut done = true;
        for policy in informer.all() {
            if let Err(error) = step(shard, &cluster, &policy).await {
                done = false;
                tracing::debug!(name = %policy.name, %error, "a policy's types are checked later");
            }
        }
        let wait = if done { Duration::from_secs(60) } else { AGAIN };
        let _ = tokio::time::timeout(wait, revision.changed()).await;
    }
}

/// Checks a policy that this shard owns, if its spec has changed since that was done.
async fn step(shard: &Shard, cluster: &SmolStr, policy: &Object) -> Result<(), ShardError> {
    let resource = shard.registry.named(Kind::ValidatingPolicies.id_name()).ok_or_else(Status::unknown_path)?;
    if !shard.owned().contains(resource.slot(cluster, "", &policy.name)) {
        return Ok(());
    }
    let document = policy.document();
    let generation = document.int(&["metadata", "generation"]).unwrap_or(0);
    if generation <= document.int(&["status", "observedGeneration"]).unwrap_or(0) {
        return Ok(());
    }
    let warning = |(field, warning): (String, String)| json!({"fieldRef": field, "warning": warning});
    let warnings: Vec<Value> = type_check(&document, &shard.registry, cluster).into_iter().map(warning).collect();
    let mut checked = json!({});
    if !warnings.is_empty() {
        checked["expressionWarnings"] = warnings.into();
    }
    let config = json!({
        "apiVersion": resource.served[0].api_version(), "kind": resource.kind, "metadata": {"name": policy.name},
        "status": {"observedGeneration": generation, "typeChecking": checked},
    });
    let options = WriteOptions { field_manager: MANAGER.to_owned(), force: true, ..WriteOptions::default() };
    let body = Bytes::from(config.to_string());
    let request = Request {
        id: shard.ambient.entropy.next_u128(),
        cluster: cluster.clone(),
        resource: resource.id,
        served: 0,
        subresource: SmolStr::new_static("status"),
        namespace: SmolStr::default(),
        name: policy.name.clone(),
        user: Arc::new(UserInfo::apiserver()),
        verb: Verb::Patch { body, patch: PatchType::Apply, options, uid: String::new() },
    };
    verbs::execute(shard, &request).await.map(drop)
}
