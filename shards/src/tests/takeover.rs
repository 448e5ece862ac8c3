//! Members that come without slots, die, and are succeeded.

use std::sync::Arc;

use api::Version;
use api::slot::{Slot, SlotSet};
use bytes::Bytes;
use serde_json::json;
use store::{Batch, BatchId, Store, Write};
use tokio_util::sync::CancellationToken;

use super::audit::audit;
use super::cluster::*;
use super::faulty::FaultyStore;
use crate::keys::{self, Epoch};
use crate::service::*;
use crate::{Health, MoveError, Shard, ShardOptions};

fn map(name: &str, value: &str) -> api::Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "data": {"v": value}})
}

/// What membership does before it opens a shard, and to one that is dead.
async fn write_epoch(store: &FaultyStore, ordinal: u16, count: u64) -> Epoch {
    let epoch = Epoch { count, ordinal, incarnation: u128::from(count) << 64 };
    let writes = vec![Write::Put(keys::ordinal_owner(ordinal), epoch.encode())];
    let id = BatchId(epoch.incarnation | u128::from(ordinal) | 1 << 127);
    store.commit(Batch { id, fences: Vec::new(), writes, adds: false }).await.unwrap();
    epoch
}

/// Adds a member without slots to a cluster.
async fn join(cluster: &mut Cluster, ordinal: u16) -> CancellationToken {
    let epoch = write_epoch(&cluster.store, ordinal, 1).await;
    let options = ShardOptions::default();
    let config = config(ordinal, Vec::new(), &cluster.store, &cluster.registry, &cluster.ambient, &options);
    let shard = Shard::open_under(config, epoch).await.unwrap();
    shard.connect(cluster.topology.clone());
    let stop = CancellationToken::new();
    let running = (shard.clone(), stop.clone());
    tokio::spawn(async move { running.0.run(running.1).await });
    assert!(shard.owned().is_empty());
    cluster.shards.push(shard);
    cluster.publish();
    stop
}

#[tokio::test(start_paused = true)]
async fn who_joins_gets_slots_and_serves_them() {
    let mut cluster = Cluster::start(1).await;
    let made = cluster.create("configmaps", &map("a", "1")).await.unwrap();
    join(&mut cluster, 1).await;
    let half: SlotSet = (0..4096).filter(|slot| slot % 2 == 0).map(Slot).collect();
    let other = SlotSet::full().difference(&half);
    let living = cluster.shards[1].adopt(&half).await.unwrap_err();
    assert!(matches!(living, MoveError::Living(_)), "{living}");
    for (name, slots) in [("first", &half), ("second", &other)] {
        cluster.move_slots(slots, 0, 1).await.unwrap();
        assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap().version, made.version);
        let namespace = json!({"metadata": {"name": name}});
        cluster.create("namespaces", &namespace).await.unwrap();
    }
    assert!(cluster.shards[0].owned().is_empty());
    cluster.update("configmaps", &map("a", "2")).await.unwrap();
    audit(&cluster).await;
    cluster.move_slots(&half, 1, 0).await.unwrap();
    audit(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn the_dead_are_succeeded_above_everything_that_they_promised() {
    let mut cluster = Cluster::start(1).await;
    join(&mut cluster, 1).await;
    let resource = cluster.resource("configmaps").id;
    let request = cluster.request("configmaps", "default", "a", update_verb(&cluster.ambient, &map("a", "2")));
    cluster.create("configmaps", &map("a", "1")).await.unwrap();
    let written = object(cluster.send(request.clone()).await).unwrap();
    let dead = cluster.shard_of("configmaps", "default");
    // A promise far ahead of the clock, within the ceiling.
    let mut stream = cluster.subscribe(&dead, "configmaps", None).await.unwrap();
    stream.deliveries.recv().await.unwrap();
    let wanted = Version::new(clock(&dead).await.micros() + 1_500_000, 9);
    dead.advance("default", resource, wanted);
    let promised = stream.deliveries.recv().await.unwrap().watermark;

    let zombie = cluster.shards.remove(0);
    write_epoch(&cluster.store, 0, 9).await;
    let heir = cluster.shards[0].clone();
    heir.adopt(&SlotSet::full()).await.unwrap();
    cluster.publish();
    let again = object(cluster.send(request.clone()).await).unwrap();
    assert_eq!(again.version, written.version, "the successor answers by id");
    let next = cluster.update("configmaps", &map("a", "3")).await.unwrap();
    assert!(next.version > promised, "nothing comes below the promise of the dead");
    let write = cluster.request("configmaps", "default", "a", update_verb(&cluster.ambient, &map("a", "4")));
    let late = dead.execute(write).await;
    assert!(matches!(late, Err(ShardError::NotOwner)), "{late:?}");
    assert_eq!(*zombie.health().borrow(), Health::Fenced);
    let slots: Arc<SlotSet> = Arc::new(SlotSet::full());
    let history = HistoryRequest { cluster: "default".into(), resource, slots, from: promised };
    let history = heir.history(history).await.unwrap();
    assert_eq!(history.events.len(), 1, "a watch goes on where the dead one stopped");
    audit(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn a_floor_outlives_an_heir_that_never_wrote() {
    let mut cluster = Cluster::start(1).await;
    join(&mut cluster, 1).await;
    join(&mut cluster, 2).await;
    cluster.create("configmaps", &map("a", "1")).await.unwrap();
    let shard = cluster.shard_of("configmaps", "default");
    shard.advance("default", cluster.resource("configmaps").id, Version::ZERO);
    let far = Version::new(clock(&shard).await.micros() + 2_900_000, 0);
    let at = ListRequest { at: Some(far), ..cluster.list_request("configmaps", "default") };
    shard.list(at).await.unwrap();
    let slot = cluster.resource("configmaps").slot("default", "default", "a");
    let slots: SlotSet = [slot].into_iter().collect();
    // The heir dies before it adopts.
    cluster.shards[0].release(&slots, cluster.shards[1].epoch()).await.unwrap();
    write_epoch(&cluster.store, 1, 9).await;
    cluster.shards[2].adopt(&slots).await.unwrap();
    cluster.publish();
    let next = cluster.update("configmaps", &map("a", "2")).await.unwrap();
    assert!(next.version > far, "{} after {far}", next.version);
}

#[tokio::test(start_paused = true)]
async fn clusters_come_while_shards_serve_and_move_with_the_slots() {
    let mut cluster = Cluster::start(1).await;
    join(&mut cluster, 1).await;
    let of_blue = |verb| {
        let request = cluster.request("configmaps", "default", "a", verb);
        Request { cluster: "blue-1".into(), ..request }
    };
    let create = |value: &str| Verb::Create {
        body: bytes(&map("a", value)),
        format: Format::Json,
        options: WriteOptions::default(),
        uid: "u".to_owned(),
    };
    let refused = object(cluster.send(of_blue(create("1"))).await).unwrap_err();
    assert_eq!(refused.code(), 404, "it has no namespaces yet: {refused}");
    let bootstrap = crate::Bootstrap {
        cluster: "blue-1".into(),
        registry: cluster.registry.clone(),
        ambient: cluster.ambient.clone(),
        service_cidr: ShardOptions::default().service_cidr,
        advertise: None,
        trust: None,
    };
    bootstrap.run(&cluster.topology).await.unwrap();
    let green = cluster.create("configmaps", &map("a", "green")).await.unwrap();
    let blue = object(cluster.send(of_blue(create("blue"))).await).unwrap();
    // The heir has never heard of it.
    cluster.move_slots(&SlotSet::full(), 0, 1).await.unwrap();
    let read = async |name: &str| {
        let get = cluster.request("configmaps", "default", "a", Verb::Get { version: None });
        object(cluster.send(Request { cluster: name.into(), ..get }).await).unwrap().version
    };
    assert_eq!((read("default").await, read("blue-1").await), (green.version, blue.version));
    // And one that comes between reading ahead and taking over.
    cluster.shards[0].prefetch(&SlotSet::full()).await.unwrap();
    let red = Request { cluster: "red-2".into(), ..cluster.request("namespaces", "", "n", create("red")) };
    let body = bytes(&json!({"metadata": {"name": "n"}}));
    let options = WriteOptions::default();
    let verb = Verb::Create { body, format: Format::Json, options, uid: "u".to_owned() };
    let made = object(cluster.send(Request { verb, ..red.clone() }).await).unwrap();
    cluster.shards[1].release(&SlotSet::full(), cluster.shards[0].epoch()).await.unwrap();
    cluster.shards[0].adopt(&SlotSet::full()).await.unwrap();
    cluster.publish();
    let get = Request { verb: Verb::Get { version: None }, ..red };
    assert_eq!(object(cluster.send(get).await).unwrap().version, made.version);
    assert_eq!((read("default").await, read("blue-1").await), (green.version, blue.version));
    cluster.shards.iter().for_each(|shard| shard.layout.tables().for_each(crate::table::Table::consistency_check));

    for shard in &cluster.shards {
        shard.drop_cluster("blue-1").await.unwrap();
        shard.drop_cluster("red-2").await.unwrap();
    }
    assert_eq!(read("default").await, green.version, "another cluster does not notice");
    // It refuses keys of other clusters.
    super::audit::stored(&cluster.store, &cluster.registry).await;
}

#[tokio::test(start_paused = true)]
async fn older_data_is_refused_with_advice() {
    let store = FaultyStore::default();
    let writes = vec![Write::Put(keys::format(), Bytes::from_static(b"1"))];
    store.commit(Batch { id: BatchId(1), fences: Vec::new(), writes, adds: false }).await.unwrap();
    let registry = Arc::new(api::builtin::registry(&Default::default()));
    let config = config(0, vec![Slot(0)], &store, &registry, &ambient(1), &ShardOptions::default());
    let error = Shard::open(config).await.err().expect("it is of another layout");
    assert!(error.to_string().contains("start with an empty data directory"), "{error}");
}
