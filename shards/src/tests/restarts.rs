//! What outlives a process: acknowledged writes, the past that watches resume in, and the answers to requests.

use std::sync::Arc;
use std::time::Duration;

use api::Version;
use api::slot::SlotSet;
use parking_lot::Mutex;
use serde_json::json;

use super::audit::{audit, stored};
use super::cluster::*;
use crate::service::*;
use crate::{ShardOptions, checkpoint};

fn map(name: &str, value: &str) -> api::Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "data": {"v": value}})
}

/// Every retained event of ConfigMaps of `default`, as (name, value, old value, gone).
async fn past(cluster: &Cluster, from: Option<Version>) -> Vec<(String, String, Option<String>, bool)> {
    let shard = cluster.shard_of("configmaps", "default");
    let mut stream = cluster.subscribe(&shard, "configmaps", from).await.unwrap();
    let value = |object: &api::Object| object.document()["data"]["v"].as_str().unwrap_or_default().to_owned();
    let delivery = stream.deliveries.recv().await.unwrap();
    let events = delivery.events.iter().filter(|event| event.object.namespace == "default");
    let events = events.filter(|event| event.object.name != "kube-root-ca.crt");
    events
        .map(|event| {
            (event.object.name.to_string(), value(&event.object), event.old.as_deref().map(value), event.deleted)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_watch_resumes_after_a_restart() {
    let cluster = Cluster::start(2).await;
    let first = cluster.create("configmaps", &map("a", "1")).await.unwrap();
    cluster.update("configmaps", &map("a", "2")).await.unwrap();
    cluster.delete("configmaps", ("default", "a"), DeleteOptions::default()).await.unwrap();
    let before = past(&cluster, Some(first.version)).await;
    assert_eq!(before.len(), 2);
    let cluster = Cluster::bare(2, cluster.crash().await, ShardOptions::default()).await;
    assert_eq!(past(&cluster, Some(first.version)).await, before);
    let page = ListRequest { at: Some(first.version), ..cluster.list_request("configmaps", "default") };
    let page = cluster.shard_of("configmaps", "default").list(page).await.unwrap();
    assert_eq!(versions(&page.objects), [first.version], "lists read the past as well");
    audit(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_becomes_rows_and_its_floor_outlives_it() {
    let cluster = Cluster::start(1).await;
    let first = cluster.create("configmaps", &map("a", "0")).await.unwrap();
    for at in 1..50 {
        cluster.update("configmaps", &map("a", &at.to_string())).await.unwrap();
    }
    cluster.create("configmaps", &map("b", "1")).await.unwrap();
    cluster.delete("configmaps", ("default", "b"), DeleteOptions::default()).await.unwrap();
    let before = audit(&cluster).await;
    assert_eq!(before.rows, 0, "a batch writes no rows");
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert_eq!(audit(&cluster).await.rows, 0, "a log outlives its retention by as much again");
    cluster.update("configmaps", &map("a", "last")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(220)).await;
    let after = audit(&cluster).await;
    assert_eq!((after.entries, after.rows), (1, before.objects.len()), "all but the newest are rows");
    assert!((1..4).contains(&cluster.store.trims()), "slots share batches");
    let cluster = Cluster::bare(1, cluster.crash().await, ShardOptions::default()).await;
    audit(&cluster).await;
    let events = past(&cluster, None).await;
    assert_eq!(events, [("a".to_owned(), "last".to_owned(), Some("49".to_owned()), false)]);
    let shard = cluster.shard_of("configmaps", "default");
    let expired = cluster.subscribe(&shard, "configmaps", Some(first.version)).await.unwrap_err();
    assert_eq!(expired.code(), 410);
    // The wall clock of the second process began where that of the first did.
    tokio::time::sleep(Duration::from_secs(1400)).await;
    let empty = audit(&cluster).await;
    assert_eq!(empty.entries, 0);
    let cluster = cluster.restart().await;
    let shard = cluster.shard_of("configmaps", "default");
    let expired = cluster.subscribe(&shard, "configmaps", Some(first.version)).await.unwrap_err();
    assert_eq!(expired.code(), 410, "the floor of an empty log is known");
}

#[tokio::test(start_paused = true)]
async fn a_slot_of_many_pages_is_read_whole() {
    let cluster = Cluster::start(1).await;
    let large = "x".repeat(20_000);
    for at in 0..200 {
        cluster.create("configmaps", &map(&format!("m{at}"), &format!("{at} {large}"))).await.unwrap();
    }
    // Some are rows, on several pages, and some of those have changed since.
    tokio::time::sleep(Duration::from_secs(1400)).await;
    for at in 0..60 {
        cluster.update("configmaps", &map(&format!("m{at}"), &format!("new {at} {large}"))).await.unwrap();
    }
    cluster.delete("configmaps", ("default", "m7"), DeleteOptions::default()).await.unwrap();
    let before = audit(&cluster).await;
    assert!(before.rows >= 200 && before.entries >= 60, "{} rows, {} entries", before.rows, before.entries);
    let cluster = cluster.restart().await;
    assert_eq!(audit(&cluster).await.objects, before.objects);
    let page = cluster.list_request("configmaps", "default");
    let page = cluster.shard_of("configmaps", "default").list(page).await.unwrap();
    for (name, begins) in [("m6", Some("new 6 x")), ("m7", None), ("m60", Some("60 x")), ("m199", Some("199 x"))] {
        let object = page.objects.iter().find(|object| object.name == name);
        let value = object.map(|object| object.document()["data"]["v"].as_str().unwrap_or_default().to_owned());
        assert!(
            value.as_deref().map(|value| value.starts_with(begins.unwrap_or("?"))) == begins.map(|_| true),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn logs_keep_to_their_bytes() {
    let options = ShardOptions { log_bytes: 200_000, ..ShardOptions::default() };
    let mut cluster = Cluster::bare(1, Default::default(), options).await;
    cluster.bootstrap().await;
    let value = "x".repeat(1000);
    for at in 0..1000 {
        cluster.create("configmaps", &map(&format!("m{at}"), &value)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let found = audit(&cluster).await;
    assert!(found.entries < 250 && found.entries > 20, "{} entries", found.entries);
    assert_eq!(found.objects.len(), found.rows + found.entries, "each was written once");
}

#[tokio::test(start_paused = true)]
async fn hot_keys_are_not_written_twice() {
    let cluster = Cluster::start(1).await;
    let leases = "leases.coordination.k8s.io";
    let lease = json!({"metadata": {"name": "n", "namespace": "kube-node-lease"}});
    cluster.create(leases, &lease).await.unwrap();
    for at in 0..60 {
        let patch = json!({"spec": {"holderIdentity": format!("n{at}")}});
        cluster.merge(leases, ("kube-node-lease", "n"), &patch).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let rows = cluster.store.rows_written("leases");
    assert!((1..=4).contains(&rows), "{rows} rows for 61 writes");
    audit(&cluster).await;
}

/// What a test has asked for, in order, and what was answered.
#[derive(Default)]
struct Script {
    sent: Vec<(Request, String)>,
    acknowledged: usize,
}

async fn play(cluster: &Cluster, script: &Mutex<Script>) {
    let send = async |name: &str, value: &str, verb: Verb| {
        let request = cluster.request("configmaps", "default", name, verb);
        script.lock().sent.push((request.clone(), value.to_owned()));
        cluster.send(request).await.expect("nothing else goes on");
        script.lock().acknowledged += 1;
    };
    let create = |value: &str| Verb::Create {
        body: bytes(&map("a", value)),
        format: Format::Json,
        options: WriteOptions::default(),
        uid: "7a6f0000-0000-4000-8000-000000000000".to_owned(),
    };
    let slot = cluster.resource("configmaps").slot("default", "default", "a");
    let slots: SlotSet = [slot].into_iter().collect();
    send("a", "1", create("1")).await;
    send("a", "2", update_verb(&cluster.ambient, &map("a", "2"))).await;
    for shard in &cluster.shards {
        let now = shard.sequencer.now();
        let all = [crate::keys::Class::Strict, crate::keys::Class::Relaxed];
        let due = all.into_iter().map(|class| ((slot, 0, class), now)).collect();
        checkpoint::trim(shard, due).await.expect("nothing else goes on");
    }
    send("a", "3", update_verb(&cluster.ambient, &map("a", "3"))).await;
    let from = cluster.shards.iter().position(|shard| shard.owned().contains(slot)).unwrap();
    cluster.move_slots(&slots, from, 1 - from).await.expect("nothing else goes on");
    send("a", "4", update_verb(&cluster.ambient, &map("a", "4"))).await;
    send("a", "4", Verb::Delete { options: DeleteOptions::default() }).await;
    send("a", "5", create("5")).await;
}

/// The process dies at each commit of a script in turn, once before it happened and once after. The request that was not
/// answered is sent again, under its id, and everything happens once.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_commit_loses_nothing_and_repeats_nothing() {
    let mut done = false;
    for at in 0.. {
        if done {
            assert!(at > 8, "there were {at} commits");
            break;
        }
        for applied in [false, true] {
            let cluster = Cluster::start(2).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            cluster.store.die(at, applied);
            let script = Mutex::new(Script::default());
            let played = tokio::time::timeout(Duration::from_millis(500), play(&cluster, &script)).await;
            done = played.is_ok();
            let store = cluster.store.reborn();
            drop(cluster.crash().await);
            let cluster = Cluster::bare(2, store, ShardOptions::default()).await;
            let Script { sent, acknowledged } = script.into_inner();
            for (request, _) in &sent[acknowledged..] {
                let answer = cluster.send(request.clone()).await;
                assert!(answer.is_ok(), "commit {at}, {applied}: {answer:?}");
            }
            let wanted: Vec<String> = sent.iter().map(|(_, value)| value.clone()).collect();
            let found: Vec<String> = past(&cluster, None).await.into_iter().map(|(_, value, ..)| value).collect();
            let told = wanted.len() - found.len();
            assert_eq!(found, wanted[told..], "commit {at}, {applied}");
            assert!(told <= 2, "only what was trimmed may be missing, and not {told} of {wanted:?}");
            audit(&cluster).await;
            cluster.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_successor_answers_as_the_shard_would_have() {
    let cluster = Cluster::start(1).await;
    let pod = json!({"metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    cluster.create("pods", &pod).await.unwrap();
    cluster.create("configmaps", &map("a", "1")).await.unwrap();
    let binding = json!({"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "p"}, "target": {"name": "n"}});
    let verb = Verb::Create {
        body: bytes(&binding),
        format: Format::Json,
        options: WriteOptions::default(),
        uid: String::new(),
    };
    let bind = Request { subresource: "binding".into(), ..cluster.request("pods", "default", "p", verb) };
    let options = DeleteOptions::default();
    let delete = cluster.request("configmaps", "default", "a", Verb::Delete { options });
    let before = [document(cluster.send(bind.clone()).await), document(cluster.send(delete.clone()).await)];
    let cluster = Cluster::bare(1, cluster.crash().await, ShardOptions::default()).await;
    let after = [document(cluster.send(bind).await), document(cluster.send(delete.clone()).await)];
    assert_eq!(before, after);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(cluster.send(delete).await.unwrap_err().code(), 404, "after a minute it is a new request");
}

#[tokio::test(start_paused = true)]
async fn twenty_thousand_objects_are_adopted_at_once() {
    let cluster = Arc::new(Cluster::start(2).await);
    let slot = cluster.resource("configmaps").slot("default", "default", "a");
    let slots: SlotSet = [slot].into_iter().collect();
    let made: Vec<_> = (0..200)
        .map(|part| {
            let cluster = cluster.clone();
            tokio::spawn(async move {
                for at in 0..100 {
                    cluster.create("configmaps", &map(&format!("m{part}-{at}"), "1")).await.unwrap();
                }
            })
        })
        .collect();
    for made in made {
        made.await.unwrap();
    }
    let from = cluster.shards.iter().position(|shard| shard.owned().contains(slot)).unwrap();
    cluster.move_slots(&slots, from, 1 - from).await.unwrap();
    assert_eq!(cluster.list("configmaps", "default").await.len(), 20_000);
    audit(&cluster).await;
    // Once more without having read ahead, as from a member that has died.
    cluster.shards[1 - from].release(&slots, cluster.shards[from].epoch()).await.unwrap();
    cluster.shards[from].adopt(&slots).await.unwrap();
    cluster.publish();
    let found = audit(&cluster).await;
    assert_eq!(stored(&cluster.store, &cluster.registry).await.objects, found.objects);
}
