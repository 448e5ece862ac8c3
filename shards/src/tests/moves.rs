//! Slots that move between shards that serve.

use std::time::Duration;

use api::Version;
use api::slot::SlotSet;
use serde_json::json;

use super::cluster::*;
use super::faulty::Fault;
use crate::service::*;

fn map(name: &str, value: &str) -> api::Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "data": {"v": value}})
}

/// The slot of the objects of `default`, and who has it and who has not.
fn slot_of_default(cluster: &Cluster) -> (SlotSet, usize, usize) {
    let slot = cluster.resource("configmaps").slot("default", "default", "a");
    let owner = cluster.shards.iter().position(|shard| shard.owned().contains(slot)).expect("somebody has it");
    ([slot].into_iter().collect(), owner, (owner + 1) % cluster.shards.len())
}

#[tokio::test(start_paused = true)]
async fn a_slot_moves_with_its_objects_its_history_and_its_requests() {
    let cluster = Cluster::start(2).await;
    let (slots, from, to) = slot_of_default(&cluster);
    let services: Vec<_> = cluster.topology.current().members().iter().map(|member| member.service.clone()).collect();
    let first = cluster.create("configmaps", &map("a", "1")).await.unwrap();
    cluster.create("configmaps", &map("b", "1")).await.unwrap();
    cluster.delete("configmaps", ("default", "b"), DeleteOptions::default()).await.unwrap();
    let mut old = cluster.subscribe(&services[from], "configmaps", None).await.unwrap();
    let mut new = cluster.subscribe(&services[to], "configmaps", None).await.unwrap();
    old.deliveries.recv().await.unwrap();
    new.deliveries.recv().await.unwrap();
    let mut verb = update_verb(&cluster.ambient, &map("a", "2"));
    let request = cluster.request("configmaps", "default", "a", verb);
    let second = object(cluster.send(request.clone()).await).unwrap();
    let told = old.deliveries.recv().await.unwrap();
    assert_eq!(told.events.len(), 1);

    cluster.move_slots(&slots, from, to).await.unwrap();
    let gone = old.deliveries.recv().await.unwrap();
    assert!(gone.events.is_empty() && gone.slots.unwrap().intersection(&slots).is_empty());
    let come = new.deliveries.recv().await.unwrap();
    assert!(come.events.is_empty() && come.slots.unwrap().intersection(&slots) == slots);
    assert!(come.watermark > gone.watermark.max(second.version));
    let refused = services[from].execute(request.clone()).await.unwrap_err();
    assert!(matches!(refused, ShardError::NotOwner));

    let again = object(services[to].execute(request).await).unwrap();
    assert_eq!(again.version, second.version, "the successor answers by id");
    let resource = cluster.resource("configmaps").id;
    let ask = |from| HistoryRequest { cluster: "default".into(), resource, slots: slots.clone().into(), from };
    let history = services[to].history(ask(first.version)).await.unwrap();
    let changes: Vec<_> = history.events.iter().map(|event| (event.object.name.as_str(), event.deleted)).collect();
    assert_eq!(changes, [("b", false), ("b", true), ("a", false)]);
    assert_eq!(history.events[2].old.as_ref().unwrap().version, first.version);
    assert!(history.to >= come.watermark);

    verb = update_verb(&cluster.ambient, &map("a", "3"));
    let third = object(cluster.send(cluster.request("configmaps", "default", "a", verb)).await).unwrap();
    assert!(third.version > come.watermark);
    assert_eq!(new.deliveries.recv().await.unwrap().events[0].version, third.version);
    let past = ListRequest { at: Some(first.version), ..cluster.list_request("configmaps", "default") };
    let past = services[to].list(past).await.unwrap();
    assert_eq!(versions(&past.objects), [first.version], "the past came along");
    cluster.shards.iter().for_each(|shard| shard.layout.tables().for_each(crate::table::Table::consistency_check));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_before_it_is_loaded() {
    let cluster = Cluster::start(2).await;
    let (slots, from, to) = slot_of_default(&cluster);
    let made = cluster.create("configmaps", &map("a", "1")).await.unwrap();
    let service = cluster.topology.current().members()[to].service.clone();
    cluster.store.set_read_latency(Duration::from_millis(5));
    let moving = cluster.move_slots(&slots, from, to);
    tokio::pin!(moving);
    let mut refused = 0;
    loop {
        let get = cluster.request("configmaps", "default", "a", Verb::Get { version: None });
        let answers = async {
            let create = Verb::Create {
                body: bytes(&map("a", "2")),
                format: Format::Json,
                options: WriteOptions::default(),
                uid: "u".to_owned(),
            };
            let create = cluster.request("configmaps", "default", "a", create);
            let list = service.list(cluster.list_request("configmaps", "default")).await;
            (service.execute(get).await, service.execute(create).await, list)
        };
        tokio::select! {
            biased;
            moved = &mut moving => {
                moved.unwrap();
                break;
            }
            (got, created, listed) = answers => {
                assert!(created.is_err(), "it is there");
                match got {
                    Err(ShardError::NotOwner) => refused += 1,
                    got => assert_eq!(object(got).unwrap().version, made.version),
                }
                assert!(listed.is_err_and(|error| matches!(error, ShardError::NotOwner)));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    assert!(refused > 20, "{refused}");
    assert_eq!(
        object(service.execute(cluster.request("configmaps", "default", "a", Verb::Get { version: None })).await)
            .unwrap()
            .version,
        made.version
    );
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_that_fails_leaves_everything_as_it_was() {
    let cluster = Cluster::start(2).await;
    let (slots, from, to) = slot_of_default(&cluster);
    let made = cluster.create("configmaps", &map("a", "1")).await.unwrap();
    cluster.store.inject(0, Fault::Refused);
    cluster.move_slots(&slots, from, to).await.unwrap_err();
    assert!(cluster.shards[from].owned().contains(slots.iter().next().unwrap()));
    assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap().version, made.version);
    let next = cluster.update("configmaps", &map("a", "2")).await.unwrap();
    for fault in [Fault::UnknownApplied, Fault::UnknownNotApplied] {
        cluster.store.inject(0, fault);
        let (slots, from, to) = slot_of_default(&cluster);
        cluster.move_slots(&slots, from, to).await.unwrap();
        assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap().version, next.version);
    }
}

#[tokio::test(start_paused = true)]
async fn writes_stop_for_less_than_fifty_milliseconds() {
    let cluster = std::sync::Arc::new(Cluster::start(3).await);
    cluster.store.set_latency(Duration::from_millis(4));
    cluster.create("configmaps", &map("a", "0")).await.unwrap();
    let writer = tokio::spawn({
        let cluster = cluster.clone();
        async move {
            let mut slowest = Duration::ZERO;
            for at in 0..400 {
                let began = tokio::time::Instant::now();
                cluster.update("configmaps", &map("a", &at.to_string())).await.unwrap();
                slowest = slowest.max(began.elapsed());
            }
            slowest
        }
    });
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let (slots, from, to) = slot_of_default(&cluster);
        cluster.move_slots(&slots, from, to).await.unwrap();
    }
    let slowest = writer.await.unwrap();
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_answer_any_more_does_not() {
    let cluster = Cluster::start(1).await;
    let made = cluster.create("configmaps", &map("a", "1")).await.unwrap();
    let service = cluster.shard_of("configmaps", "default");
    let lease = cluster.shards[0].lease();
    lease.set(cluster.ambient.clock.boot() + Duration::from_secs(1));
    assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap().version, made.version);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let get = cluster.request("configmaps", "default", "a", Verb::Get { version: None });
    assert!(matches!(service.execute(get).await, Err(ShardError::NotOwner)));
    let write = cluster.request("configmaps", "default", "a", update_verb(&cluster.ambient, &map("a", "2")));
    assert!(matches!(service.execute(write).await, Err(ShardError::NotOwner)));
    assert!(matches!(service.list(cluster.list_request("configmaps", "default")).await, Err(ShardError::NotOwner)));
    assert!(matches!(service.clock().await, Err(ShardError::NotOwner)));
    cluster.subscribe(&service, "configmaps", Some(Version::ZERO)).await.unwrap_err();
    lease.set(Duration::MAX);
    assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap().version, made.version);
}
