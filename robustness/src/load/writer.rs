//! A client that writes and reads single objects.

use std::sync::Arc;

use api::patch::PatchType;
use api::{Value, Version};
use client::{Client, ClientError};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::object::Seen;
use super::{Random, Resource, Shared};
use crate::history::{ClientLog, Outcome, Verb, WriteId};

/// How often a refused write is tried again, each time as another write.
const ATTEMPTS: usize = 3;

/// One verb on one object.
pub(super) struct Task<'a> {
    pub(super) resource: Resource,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) verb: Verb,
    pub(super) tags: u64,
}

pub(super) async fn run(shared: Arc<Shared>, client: Client, number: usize) {
    let mut random = shared.random(1000 + number);
    let mut log = shared.recorder.client();
    let plan = &shared.plan;
    for _ in 0..plan.operations {
        if shared.stopped() {
            return;
        }
        let resource = plan.resources[random.below(plan.resources.len())];
        let namespace = plan.namespace_of(resource, random.below(plan.namespaces));
        let name = plan.object(random.below(plan.objects));
        let mut task = Task { resource, namespace: &namespace, name: &name, verb: Verb::Get, tags: 0 };
        for _ in 0..ATTEMPTS {
            choose(&shared, &mut random, &mut task);
            match execute(&shared, &client, &mut log, &task).await {
                Err(error) if error.is_retryable() && !shared.stopped() => {
                    shared.pause_after(&error, &mut random).await;
                }
                _ => break,
            }
        }
        sleep(random.up_to(plan.pause)).await;
    }
}

fn choose(shared: &Shared, random: &mut Random, task: &mut Task<'_>) {
    let key = shared.recorder.key(&shared.key(task.resource, task.namespace, task.name));
    let known = shared.newest.lock().get(&key).copied();
    let of = known.filter(|_| random.below(3) > 0);
    task.tags = random.next() % 4;
    task.verb = match random.below(20) {
        0..5 => Verb::Create,
        5..11 if task.resource.is_replaceable() => Verb::Update(of),
        5..14 => Verb::Patch(of),
        14..16 => Verb::Delete(of),
        _ => Verb::Get,
    };
}

/// Does it and records it.
pub(super) async fn execute(
    shared: &Shared,
    client: &Client,
    log: &mut ClientLog,
    task: &Task<'_>,
) -> Result<Option<Version>, ClientError> {
    let key = log.key(&shared.key(task.resource, task.namespace, task.name));
    let writes = !matches!(task.verb, Verb::Get | Verb::Delete(_));
    let write = if writes { log.write_id() } else { WriteId::default() };
    let call = log.invoke(key, task.verb, write);
    let answer = send(client, task, write).await;
    let outcome = match &answer {
        Ok(None) => Outcome::Deleted { version: None },
        Ok(Some(object)) => match Seen::read(object) {
            Ok(Seen { version, state, .. }) => Outcome::Done { version, state },
            Err(message) => {
                shared.odd(&message);
                Outcome::Unknown
            }
        },
        Err(error) => shared.outcome(error),
    };
    log.returned(call, outcome);
    let Outcome::Done { version, .. } = outcome else { return answer.map(|_| None) };
    let mut newest = shared.newest.lock();
    let known = newest.entry(key).or_insert(version);
    *known = version.max(*known);
    Ok(Some(version))
}

/// The object as answered; `None` for a deletion.
async fn send(client: &Client, task: &Task<'_>, write: WriteId) -> Result<Option<Box<RawValue>>, ClientError> {
    let Task { resource, namespace, name, verb, tags } = *task;
    let api = resource.api();
    let with = |mut body: Value, version: Option<Version>| {
        if let Some(version) = version {
            body["metadata"]["resourceVersion"] = version.to_string().into();
        }
        body
    };
    match verb {
        Verb::Create => client.create(api, namespace, &resource.body((namespace, name), write, tags)).await.map(Some),
        Verb::Update(version) => {
            let body = with(resource.body((namespace, name), write, tags), version);
            client.update(api, namespace, name, "", &body).await.map(Some)
        }
        Verb::Patch(version) => {
            let body = with(resource.patch(write, tags), version);
            client.patch(api, namespace, name, "", PatchType::Merge, &body).await.map(Some)
        }
        Verb::Delete(version) => {
            let mut options = json!({ "gracePeriodSeconds": 0 });
            if let Some(version) = version {
                options["preconditions"] = json!({ "resourceVersion": version.to_string() });
            }
            client.delete(api, namespace, name, &options).await.map(|_| None)
        }
        Verb::Get => client.get(api, namespace, name).await.map(Some),
    }
}
