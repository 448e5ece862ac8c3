//! What has to be done now and then: old events leave the rings, Events their tables, and somebody counts what is left.

use std::time::Duration;

use api::Version;
use api::resource::ResourceId;
use smol_str::SmolStr;

use crate::metrics::Metrics;
use crate::sequencer::TableId;
use crate::service::{DeleteOptions, Request, ShardError, Verb};
use crate::shard::Shard;
use crate::verbs::{self, Call};

/// How often.
const EVERY: Duration = Duration::from_secs(5);
/// Events that are removed in one go.
const AT_ONCE: usize = 512;

/// For ever.
pub(crate) async fn run(shard: &Shard, metrics: &Metrics) {
    loop {
        tokio::time::sleep(EVERY).await;
        let now = shard.sequencer.now();
        for table in shard.layout.tables() {
            table.expire(now);
            metrics.objects(&table.cluster, table.resource.id_name, table.len());
        }
        if let Some(events) = shard.registry.named("events") {
            for at in 0..shard.layout.clusters() {
                expire_events(shard, shard.layout.cluster(at), events.id, now).await;
            }
        }
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
    let call = Call::new(shard, &request)?;
    verbs::write(call, false, |view| verbs::delete::decide(call, view, &options)).await?;
    Ok(())
}
