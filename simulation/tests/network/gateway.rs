//! A gateway's host: what `shardplane gateway --shards …` wires together, on turmoil's network.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::gateway::{Gateway, GatewayConfig, Limits, RelayLimits};
use ::shards::membership::{Mapping, Services};
use ::shards::rpc::client::{Seeds, Ways};
use ::shards::{Bootstrap, ShardOptions};
use prometheus_client::registry::Registry as MetricsRegistry;
use tokio_util::sync::CancellationToken;
use wire::Role;

use crate::planted::{Bug, Renaming};
use crate::setup::{PORT, SHARDS, Setup, Start, address, shard};

/// For ever.
pub(crate) async fn run(setup: Arc<Setup>, start: Start, number: u16) -> turmoil::Result {
    setup.serving[usize::from(number)].store(false, Ordering::Relaxed);
    let ambient = start.ambient.clone();
    let calling = setup.calling(setup.identity(Role::Gateway, &ambient)?, &start);
    let ways = Ways::new(calling, None);
    let services: Arc<dyn Services> = match setup.bug {
        Bug::RequestIdsChange => Arc::new(Renaming { ways: ways.clone(), ambient: ambient.clone() }),
        _ => ways.clone(),
    };
    let mapping = Mapping::new(services);
    let topology = mapping.topology();
    let all: Vec<String> = (0..SHARDS).map(|ordinal| address(&shard(ordinal))).collect();
    let seeds: Seeds = all.join(",").parse()?;
    tokio::spawn(async move { ways.follow(&seeds, &mapping).await });
    let mut map = topology.current();
    while !map.is_complete() {
        map = topology.newer_than(map.generation).await;
    }
    if !setup.bootstrapped.load(Ordering::Relaxed) {
        let bootstrap = Bootstrap {
            cluster: "default".into(),
            registry: setup.registry.clone(),
            ambient: ambient.clone(),
            service_cidr: ShardOptions::default().service_cidr,
            advertise: None,
            trust: None,
        };
        bootstrap.run(&topology).await.map_err(|status| status.to_string())?;
        setup.bootstrapped.store(true, Ordering::Relaxed);
    }
    let config = GatewayConfig {
        limits: Limits { bookmark: Duration::from_millis(400), ..Limits::default() },
        relay: RelayLimits { tick: Duration::from_millis(700), ..RelayLimits::default() },
        client_ca: Some(setup.pki.ca()),
        ..GatewayConfig::default()
    };
    let registry = setup.registry.clone();
    let gateway = Gateway::new(config, topology, registry, ambient, &mut MetricsRegistry::default());
    let listener = start.network.listen(PORT).await?;
    setup.serving[usize::from(number)].store(true, Ordering::Relaxed);
    gateway.serve_on(listener, setup.pki.server(), CancellationToken::new()).await?;
    Ok(())
}
