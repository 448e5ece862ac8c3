//! APIServices of what is served here, as the reference registers them by itself: one for each built-in group and version, made
//! when a cluster is, and one for each group and version of custom kinds, as long as there are some.
//!
//! Each is looked after by the shard that owns it, by the label that says so; without the label it is somebody else's.

use std::collections::{BTreeMap, BTreeSet};

use api::builtin::priorities;
use api::document::Document;
use api::{Registry, Resource, Value};
use bytes::Bytes;
use serde_json::json;
use smol_str::SmolStr;

use super::controller;
use crate::service::{DeleteOptions, Format, ShardError, Verb, WriteOptions};
use crate::shard::Shard;

/// How APIServices are stored.
pub(crate) const ID_NAME: &str = "apiservices.apiregistration.k8s.io";
/// Who looks after an APIService: `onstart` or `true`.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Whether an object is an APIService that is made, and made again, without anybody's doing.
pub(crate) fn is_automatic(resource: &Resource, document: &Value) -> bool {
    resource.id_name == ID_NAME && !document.text(&["metadata", "labels", MANAGED]).is_empty()
}

/// Those of built-in groups, by name.
pub(crate) fn built_in(registry: &Registry) -> BTreeMap<String, Value> {
    let served = registry.iter().flat_map(|resource| &resource.served).filter(|served| served.is_public());
    let known = served.filter_map(|served| {
        let priorities = priorities::of(&served.group, &served.version)?;
        Some(api_service(&served.group, &served.version, priorities, "onstart"))
    });
    known.collect()
}

/// Groups and versions of custom kinds.
pub(super) type Wanted = BTreeSet<(SmolStr, SmolStr)>;

/// Those that the custom kinds of a cluster want.
pub(super) fn wanted(registry: &Registry, cluster: &str) -> Wanted {
    let rows = registry.custom(cluster);
    let served = rows.iter().flat_map(|row| &row.served).filter(|served| served.is_public());
    served.map(|served| (served.group.clone(), served.version.clone())).collect()
}

fn api_service(group: &str, version: &str, (minimum, own): (i32, i32), managed: &str) -> (String, Value) {
    let name = format!("{version}.{group}");
    let mut service = json!({
        "kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {"name": name, "labels": {MANAGED: managed}},
        "spec": {"version": version, "groupPriorityMinimum": minimum, "versionPriority": own},
    });
    if !group.is_empty() {
        service.set(&["spec", "group"], group);
    }
    (name, service)
}

/// Makes those of this shard that custom kinds want, mends them, and deletes those that nobody wants any more. What is known
/// of definitions must be whole.
pub(super) async fn look_after(shard: &Shard, cluster: &SmolStr, wanted: &Wanted) -> Result<(), ShardError> {
    let Some(resource) = shard.registry.named(ID_NAME).cloned() else { return Ok(()) };
    let wanted: BTreeMap<String, Value> =
        wanted.iter().map(|(group, version)| api_service(group, version, priorities::CUSTOM, "true")).collect();
    let owned = shard.owned();
    let is_ours = |name: &str| owned.contains(resource.slot(cluster, "", name));
    let table = shard.table_id(cluster, resource.id)?;
    for (name, service) in wanted.iter().filter(|(name, _)| is_ours(name)) {
        let key = (SmolStr::default(), SmolStr::new(name));
        match shard.sequencer.newest(table, &key).object {
            None => write(shard, cluster, &resource, name, create(shard, service)).await?,
            Some(object) => mend(shard, cluster, &resource, service, object.document()).await?,
        }
    }
    for object in shard.table(table).in_namespace("") {
        let document = object.document();
        let is_gone = !wanted.contains_key(object.name.as_str());
        if is_gone && is_ours(&object.name) && document.text(&["metadata", "labels", MANAGED]) == "true" {
            let options = DeleteOptions { uid: Some(document.uid().to_owned()), ..DeleteOptions::default() };
            write(shard, cluster, &resource, &object.name, Verb::Delete { options }).await?;
        }
    }
    Ok(())
}

/// Brings one that is looked after back to what it has to say.
async fn mend(
    shard: &Shard,
    cluster: &SmolStr,
    resource: &Resource,
    wanted: &Value,
    mut found: Value,
) -> Result<(), ShardError> {
    let managed = found.text(&["metadata", "labels", MANAGED]);
    if !matches!(managed, "true" | "onstart") || (managed == "true" && found.at(&["spec"]) == wanted.at(&["spec"])) {
        return Ok(());
    }
    found.set(&["spec"], wanted.at(&["spec"]).clone());
    found.set(&["metadata", "labels", MANAGED], "true");
    let name = found.name().to_owned();
    let verb = Verb::Update {
        body: Bytes::from(found.to_string()),
        format: Format::Json,
        options: options(),
        uid: String::new(),
    };
    write(shard, cluster, resource, &name, verb).await
}

fn create(shard: &Shard, service: &Value) -> Verb {
    let random = shard.ambient.entropy.next_u128().to_be_bytes();
    let uid = uuid::Builder::from_random_bytes(random).into_uuid().to_string();
    Verb::Create { body: Bytes::from(service.to_string()), format: Format::Json, options: options(), uid }
}

fn options() -> WriteOptions {
    WriteOptions { field_manager: "kube-apiserver".to_owned(), ..WriteOptions::default() }
}

async fn write(
    shard: &Shard,
    cluster: &SmolStr,
    resource: &Resource,
    name: &str,
    verb: Verb,
) -> Result<(), ShardError> {
    let request = controller::request(shard, cluster, resource, name, verb);
    match crate::verbs::execute(shard, &request).await {
        // Somebody else was faster, and it is looked at again.
        Err(ShardError::Status(status)) if matches!(status.code(), 404 | 409) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use api::builtin::{RuntimeConfig, registry};

    use super::*;

    #[test]
    fn every_built_in_group_and_version_has_one() {
        let registry = registry(&RuntimeConfig::parse("api/all").unwrap());
        let services = built_in(&registry);
        for resource in registry.iter() {
            for served in resource.served.iter().filter(|served| served.is_public()) {
                // Its own group is no APIService.
                let is_own = served.group == "apiregistration.k8s.io";
                let name = format!("{}.{}", served.version, served.group);
                assert_ne!(services.contains_key(&name), is_own, "{name}");
            }
        }
        assert_eq!(
            services["v1."]["spec"],
            json!({"version": "v1", "groupPriorityMinimum": 18_000, "versionPriority": 1})
        );
    }
}
