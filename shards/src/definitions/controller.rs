//! What is done about each definition, by the shard that owns it: its names are accepted, it is established, and when it is
//! deleted its objects go first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use api::document::Document;
use api::status::Reason;
use api::{Object, Resource, Status, Value, crd};
use bytes::Bytes;
use smol_str::SmolStr;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Definitions, FINALIZER, ID_NAME, api_services, finalizer, naming};
use crate::service::{Format, Request, ShardError, UserInfo, Verb, WriteOptions};
use crate::shard::Shard;
use crate::subresources::conditions;
use crate::verbs;

/// Pause before what did not succeed is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Follows the definitions of every cluster that the shard has tables of, and looks after those that it owns, until it is told
/// to stop.
pub(crate) async fn run(shard: &Shard, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    stop.run_until_cancelled(begin(shard, &stop, &mut tasks)).await;
    while tasks.join_next().await.is_some() {}
}

async fn begin(shard: &Shard, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let topology = shard.connected().await;
    let mut growth = shard.layout.growth();
    let mut known = 0;
    loop {
        let clusters = *growth.borrow_and_update();
        for at in known..clusters {
            let (cluster, clock) = (shard.layout.cluster(at), shard.ambient.clock.clone());
            let registry = shard.registry.clone();
            let Some(definitions) = Definitions::new((*topology).clone(), registry, cluster.clone(), clock) else {
                return;
            };
            tasks.spawn(definitions.clone().run(stop.clone()));
            let (shard, stop) = (shard.handle(), stop.clone());
            tasks.spawn(async move {
                stop.run_until_cancelled(look_after(&shard, &cluster, &definitions)).await;
            });
        }
        known = clusters;
        if growth.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

async fn look_after(shard: &Shard, cluster: &SmolStr, definitions: &Definitions) {
    let mut revision = definitions.informer().revision();
    // The state of each definition that was seen to want nothing, and the APIServices that were.
    let (mut settled, mut services) = (HashMap::new(), None);
    loop {
        revision.get_and_update();
        let mut done = true;
        let mut put_off = |name: &str, error: ShardError| {
            // Somebody else changed it, and is heard of.
            done &= matches!(&error, ShardError::Status(status) if status.reason() == Reason::Conflict);
            tracing::debug!(name, %error, "a definition is looked after later");
        };
        let all = definitions.informer().all();
        for definition in &all {
            if settled.get(&definition.name) == Some(&definition.version) {
                continue;
            }
            match step(shard, cluster, definitions, definition).await {
                Ok(true) => _ = settled.insert(definition.name.clone(), definition.version),
                Ok(false) => {}
                Err(error) => put_off(&definition.name, error),
            }
        }
        if settled.len() > all.len() {
            let left: HashSet<_> = all.iter().map(|definition| &definition.name).collect();
            settled.retain(|name, _| left.contains(name));
        }
        let wanted = api_services::wanted(&shard.registry, cluster);
        if services.as_ref() != Some(&wanted) && definitions.catch_up().await {
            match api_services::look_after(shard, cluster, &wanted).await {
                Ok(()) => services = Some(wanted),
                Err(error) => put_off(api_services::ID_NAME, error),
            }
        }
        let wait = if done { Duration::from_secs(60) } else { AGAIN };
        if tokio::time::timeout(wait, revision.changed()).await.is_err() && done {
            // Now and then nothing is believed.
            (settled, services) = (HashMap::new(), None);
        }
    }
}

/// Does the next thing about a definition that this shard owns, if there is one. Answers whether it wants nothing, as long as
/// it stays as it is.
async fn step(
    shard: &Shard,
    cluster: &SmolStr,
    definitions: &Definitions,
    definition: &Object,
) -> Result<bool, ShardError> {
    let resource = shard.registry.named(ID_NAME).ok_or_else(Status::unknown_path)?;
    if !shard.owned().contains(resource.slot(cluster, "", &definition.name)) {
        return Ok(false);
    }
    let mut document = definition.document();
    let has_finalizer = document.list(&["metadata", "finalizers"]).iter().any(|name| name == FINALIZER);
    if document.is_deleting() {
        if has_finalizer {
            finalizer::finalize(shard, cluster, definition).await?;
        }
        return Ok(false);
    }
    let accepted = document.at(&["spec", "names"]) == document.at(&["status", "acceptedNames"]);
    if accepted && crd::definition::has(&document, "Established") && crd::definition::has(&document, "NamesAccepted") {
        return Ok(true);
    }
    // Whoever asked for names before is to be heard first.
    if !definitions.catch_up().await {
        return Err(Status::unavailable("a shard does not say which definitions it has").into());
    }
    // Its name says which group it is of.
    let is_of_group = |other: &Arc<Object>| {
        let of = |name: &str| name.split_once('.').map(|(_, group)| group.to_owned());
        other.name != definition.name && of(&other.name) == of(&definition.name)
    };
    let all = definitions.informer().all().into_iter().filter(is_of_group);
    let others: Vec<Value> = all.map(|other| other.document()).collect();
    let before = document.clone();
    judge(&mut document, &others, &api::time::format_seconds(shard.ambient.clock.wall_micros()));
    if document == before {
        return Ok(false);
    }
    update_status(shard, cluster, &document).await.map(|()| false)
}

/// Writes into a definition's status which names it has, and that it is established once it has them all.
fn judge(document: &mut Value, others: &[Value], now: &str) {
    let (names, verdict) = naming::accept(document, others);
    document.set(&["status", "acceptedNames"], names);
    let says = if verdict.is_accepted { "True" } else { "False" };
    conditions::set(document, "NamesAccepted", says, verdict.reason, &verdict.message, now);
    if crd::definition::has(document, "Established") {
        // What is served stays served.
    } else if verdict.is_accepted {
        let message = "the initial names have been accepted";
        conditions::set(document, "Established", "True", "InitialNamesAccepted", message, now);
    } else {
        conditions::set(document, "Established", "False", "NotAccepted", "not all names are accepted", now);
    }
}

/// Replaces the status of a definition that this shard owns, if nobody has changed it meanwhile.
pub(super) async fn update_status(shard: &Shard, cluster: &SmolStr, document: &Value) -> Result<(), ShardError> {
    update(shard, cluster, document, "status").await
}

/// Replaces a definition that this shard owns, or a part of it.
pub(super) async fn update(
    shard: &Shard,
    cluster: &SmolStr,
    document: &Value,
    subresource: &'static str,
) -> Result<(), ShardError> {
    let resource = shard.registry.named(ID_NAME).ok_or_else(Status::unknown_path)?;
    let verb = Verb::Update {
        body: Bytes::from(document.to_string()),
        format: Format::Json,
        options: WriteOptions { field_manager: "kube-apiserver".to_owned(), ..WriteOptions::default() },
        uid: String::new(),
    };
    let request = request(shard, cluster, resource, document.name(), verb);
    let request = Request { subresource: SmolStr::new_static(subresource), ..request };
    verbs::execute(shard, &request).await.map(drop)
}

/// What nobody asked for, of something without a namespace.
pub(super) fn request(shard: &Shard, cluster: &SmolStr, resource: &Resource, name: &str, verb: Verb) -> Request {
    Request {
        id: shard.ambient.entropy.next_u128(),
        cluster: cluster.clone(),
        resource: resource.id,
        served: 0,
        subresource: SmolStr::default(),
        namespace: SmolStr::default(),
        name: name.into(),
        user: Arc::new(UserInfo::apiserver()),
        verb,
    }
}
