//! Frees reservations that were never used: their Service does not exist, or holds something else, and they are old
//! enough that no create is under way.

use std::sync::Arc;
use std::time::Duration;

use api::document::Document;
use api::{Object, Status};
use smol_str::SmolStr;

use super::plan::held;
use super::reserve::{ADDRESSES, NODE_PORTS, free, holder};
use crate::admission::ask_peer;
use crate::service::{Outcome, Request, UserInfo, Verb};
use crate::shard::Shard;
use crate::verbs::Call;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(180);

/// Looks after this shard's reservations, for ever.
pub(crate) async fn repair(shard: &Shard) {
    loop {
        // Not at once: at start the owners of the Services may still be loading.
        tokio::time::sleep(EVERY.min(shard.options.repair_after)).await;
        for cluster in (0..shard.layout.clusters()).map(|at| shard.layout.cluster(at)) {
            for id_name in [ADDRESSES, NODE_PORTS] {
                if let Err(status) = pass(shard, &cluster, id_name).await {
                    tracing::info!(id_name, %status, "reservations are looked after later");
                }
            }
        }
    }
}

async fn pass(shard: &Shard, cluster: &SmolStr, id_name: &str) -> Result<(), Status> {
    let Some(resource) = shard.registry.named(id_name) else { return Ok(()) };
    let table = shard.table_id(cluster, resource.id)?;
    for reservation in shard.table(table).in_namespace("") {
        if age(shard, &reservation) >= shard.options.repair_after {
            check(shard, cluster, id_name, &reservation).await?;
        }
    }
    Ok(())
}

fn age(shard: &Shard, object: &Object) -> Duration {
    let created = api::time::parse(object.document().text(&["metadata", "creationTimestamp"]));
    let age = shard.ambient.clock.wall_micros() - created.unwrap_or(i64::MAX);
    Duration::from_micros(u64::try_from(age).unwrap_or(0))
}

async fn check(shard: &Shard, cluster: &SmolStr, id_name: &str, reservation: &Arc<Object>) -> Result<(), Status> {
    let document = reservation.document();
    let ours = id_name == NODE_PORTS || document.text(&["spec", "parentRef", "resource"]) == "services";
    let (namespace, name) = holder(id_name, reservation);
    let Some(services) = shard.registry.named("services").filter(|_| ours) else { return Ok(()) };
    let request = Request {
        id: 0,
        cluster: cluster.clone(),
        resource: services.id,
        served: 0,
        subresource: SmolStr::default(),
        namespace: namespace.into(),
        name: name.into(),
        user: Arc::new(UserInfo { name: "system:apiserver".to_owned(), ..UserInfo::default() }),
        verb: Verb::Get { version: None },
    };
    let row = shard.row(&request)?;
    let call = Call::new(shard, &request, &row)?;
    let is_used = match ask_peer(call, services, request.clone()).await {
        Ok(Outcome::Object(service)) => {
            let (ips, ports) = held(&service.document());
            ips.contains(&*reservation.name) || ports.iter().any(|port| port.to_string() == *reservation.name)
        }
        Ok(Outcome::Document(_)) => true,
        Err(status) if status.code() == 404 => false,
        Err(status) => return Err(status),
    };
    if !is_used {
        tracing::info!(id_name, name = %reservation.name, "a reservation without its Service is freed");
        free(call, id_name, reservation).await?;
    }
    Ok(())
}
