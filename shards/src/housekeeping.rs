//! What has to be done now and then: old events leave the rings, Events their tables, deleted clusters the store, and somebody
//! counts what is left.

use std::collections::BTreeSet;
use std::time::Duration;

use api::Version;
use api::document::Document;
use api::resource::ResourceId;
use api::status::Reason;
use smol_str::SmolStr;

use crate::metrics::Metrics;
use crate::sequencer::TableId;
use crate::service::{DeleteOptions, Outcome, Request, ShardError, Verb};
use crate::shard::Shard;
use crate::verbs::{self, Call};

/// How often.
const EVERY: Duration = Duration::from_secs(5);
/// Events that are removed in one go.
const AT_ONCE: usize = 512;

/// Rounds from one look for clusters that were deleted to the next.
const CLUSTERS: u32 = 6;
/// The internal kind of logical clusters, and the cluster that holds its objects.
const RECORDS: (&str, &str) = ("logicalclusters.internal.shardplane", "default");

/// For ever.
pub(crate) async fn run(shard: &Shard, metrics: &Metrics) {
    let (mut round, mut dropped) = (0, BTreeSet::new());
    loop {
        round += 1;
        if round % CLUSTERS == 0 {
            drop_deleted(shard, &mut dropped).await;
        }
        tokio::time::sleep(EVERY).await;
        let now = shard.sequencer.now();
        for table in shard.layout.tables() {
            table.expire(now);
            metrics.objects(&table.cluster, &table.resource.id_name, table.len());
        }
        if let Some(events) = shard.registry.named("events") {
            for at in 0..shard.layout.clusters() {
                expire_events(shard, &shard.layout.cluster(at), events.id, now).await;
            }
        }
    }
}

/// Takes out what is left of clusters whose records are gone. A record is older than everything in its cluster, and names the
/// cluster's id, which is never used again: what has no record by then never will.
async fn drop_deleted(shard: &Shard, dropped: &mut BTreeSet<SmolStr>) {
    for at in 0..shard.layout.clusters() {
        let id = shard.layout.cluster(at);
        let Some((name, _)) = id.split_once('.') else { continue };
        let is_empty = shard.layout.tables_of(at).iter().all(|(_, table)| table.len() == 0);
        if (is_empty && dropped.contains(&id)) || !is_deleted(shard, name, &id).await {
            continue;
        }
        match shard.drop_cluster(&id).await {
            Ok(()) => {
                tracing::info!(cluster = %id, "a deleted cluster was cleared away");
                dropped.insert(id);
            }
            Err(error) => tracing::debug!(cluster = %id, %error, "a deleted cluster is cleared away later"),
        }
    }
}

/// Whether that is certain.
async fn is_deleted(shard: &Shard, name: &str, id: &str) -> bool {
    let Some(records) = shard.registry.named(RECORDS.0) else { return false };
    let request = Request {
        id: 0,
        cluster: RECORDS.1.into(),
        resource: records.id,
        served: 0,
        subresource: SmolStr::default(),
        namespace: SmolStr::default(),
        name: name.into(),
        user: Default::default(),
        verb: Verb::Get { version: None },
    };
    let Ok(topology) = shard.topology() else { return false };
    match topology.execute(records.slot(RECORDS.1, "", name), request).await {
        Ok(answer) => match answer.outcome {
            Outcome::Object(record) => record.document().text(&["spec", "id"]) != id,
            Outcome::Document(_) => false,
        },
        Err(status) => status.reason() == Reason::NotFound,
    }
}

/// Removes the Events of a cluster that nobody has written for too long, as the reference's leases in etcd do.
async fn expire_events(shard: &Shard, cluster: &SmolStr, resource: ResourceId, now: Version) {
    let oldest = now.micros().saturating_sub(shard.options.event_ttl.as_micros() as u64);
    let Ok(table) = shard.table_id(cluster, resource) else { return };
    let expired = shard.table(table).older_than(Version::new(oldest, 0));
    for some in expired.chunks(AT_ONCE) {
        for event in some {
            let options = DeleteOptions { version: Some(event.version), ..DeleteOptions::default() };
            if let Err(error) = remove(shard, cluster, table, (&event.namespace, &event.name), options).await {
                tracing::debug!(name = %event.name, %error, "an Event is removed later");
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn remove(
    shard: &Shard,
    cluster: &SmolStr,
    table: TableId,
    (namespace, name): (&SmolStr, &SmolStr),
    options: DeleteOptions,
) -> Result<(), ShardError> {
    let request = Request {
        id: 0,
        cluster: cluster.clone(),
        resource: shard.table(table).resource.id,
        served: 0,
        subresource: SmolStr::default(),
        namespace: namespace.clone(),
        name: name.clone(),
        user: Default::default(),
        verb: Verb::Delete { options: options.clone() },
    };
    let row = shard.row(&request)?;
    let call = Call::new(shard, &request, &row)?;
    verbs::write(call, false, |view| verbs::delete::decide(call, view, &options)).await?;
    Ok(())
}
