//! Random verbs at once, with faults at random commits, against what the history allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, Version};
use parking_lot::Mutex;
use serde_json::json;

use super::cluster::*;
use super::faulty::{Fault, FaultyStore};
use crate::ShardOptions;
use crate::keys;
use crate::service::*;

const KEYS: u64 = 6;
const WORKERS: u64 = 8;
const STEPS: u64 = 60;
/// Made last.
const END: &str = "the-end";

/// One acknowledged change: what the object then was; `None`: gone.
type Change = Option<String>;

#[derive(Default)]
struct History {
    /// By name and version; only what was acknowledged.
    acknowledged: BTreeMap<String, BTreeMap<Version, Change>>,
    /// Values whose writes got an error that leaves it open.
    open: BTreeMap<String, Vec<Change>>,
}

#[tokio::test(start_paused = true)]
async fn acknowledged_writes_survive_faults_and_restarts() {
    for seed in seeds(25) {
        eprintln!("SHARDPLANE_SEED={seed}");
        run(seed).await;
    }
}

/// The same with threads that really meet: a seed does not repeat what the machine's scheduler did.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_writes_survive_faults_on_many_threads() {
    for seed in seeds(4) {
        eprintln!("SHARDPLANE_SEED={seed}");
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let random = Arc::new(Seeded::new(seed));
    let store = FaultyStore::default();
    store.set_latency(Duration::from_millis(2));
    let mut cluster = Cluster::bare(1, store, ShardOptions::default()).await;
    cluster.bootstrap().await;
    let cluster = Arc::new(cluster);
    for _ in 0..random.below(6) {
        let fault = [Fault::Unavailable, Fault::UnknownApplied, Fault::UnknownNotApplied][random.below(3) as usize];
        cluster.store.inject(random.below(120), fault);
    }
    let history = Arc::new(Mutex::new(History::default()));
    let follower = tokio::spawn(follow(cluster.clone()));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| tokio::spawn(work(cluster.clone(), history.clone(), random.clone(), worker)))
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    cluster.store.heal();
    cluster.create("configmaps", &json!({"metadata": {"name": END, "namespace": "default"}})).await.unwrap();
    let followed = follower.await.unwrap();
    let listed = cluster.list("configmaps", "default").await;
    check(&history.lock(), &listed);
    let state: BTreeMap<String, Version> =
        listed.iter().map(|object| (object.name.to_string(), object.version)).collect();
    assert_eq!(followed, state, "a list and the events after it make the same state");
    assert!(cluster.shards[0].sequencer.is_idle());
    cluster.shards[0].tables.iter().for_each(crate::table::Table::consistency_check);
    let memory: Vec<_> = cluster.shards[0].tables.iter().map(crate::table::Table::snapshot).collect();

    let store = cluster.store.clone();
    let highest = versions(&listed).into_iter().max();
    drop(cluster);
    let cluster = Cluster::bare(1, store, ShardOptions::default()).await;
    let stored: Vec<_> = cluster.shards[0].tables.iter().map(crate::table::Table::snapshot).collect();
    assert_eq!(memory, stored, "memory was what the store held");
    let next = json!({"metadata": {"name": "next", "namespace": "default"}});
    assert!(Some(cluster.create("configmaps", &next).await.unwrap().version) > highest);
    cluster.stop().await;
}

/// Collects a state from a list and the events after it, until the last object of the test is there.
async fn follow(cluster: Arc<Cluster>) -> BTreeMap<String, Version> {
    let shard = cluster.shard_of("configmaps", "default");
    // Somewhere in the middle.
    tokio::time::sleep(Duration::from_millis(15)).await;
    let page = shard.list(cluster.list_request("configmaps", "default")).await.unwrap();
    let mut state: BTreeMap<String, Version> =
        page.objects.iter().map(|object| (object.name.to_string(), object.version)).collect();
    let mut stream = cluster.subscribe(&shard, "configmaps", Some(page.version)).await.unwrap();
    let mut last = page.version;
    let mut watermark = page.version;
    while !state.contains_key(END) {
        let delivery = tokio::time::timeout(Duration::from_secs(60), stream.deliveries.recv()).await;
        let delivery = delivery.expect("there is always more").expect("nobody closes it");
        for event in &delivery.events {
            assert!(event.version > last, "in order, once");
            assert!(event.version > watermark, "nothing comes below a watermark");
            last = event.version;
            let name = event.object.name.to_string();
            assert_eq!(state.get(&name).copied(), event.old.as_ref().map(|old| old.version), "no gap at {name}");
            if event.deleted {
                state.remove(&name);
            } else {
                state.insert(name, event.version);
            }
        }
        assert!(delivery.watermark >= last && delivery.watermark >= watermark);
        watermark = delivery.watermark;
    }
    state
}

async fn work(cluster: Arc<Cluster>, history: Arc<Mutex<History>>, random: Arc<Seeded>, worker: u64) {
    for step in 0..STEPS {
        let name = format!("m{}", random.below(KEYS));
        let value = format!("{worker}-{step}");
        let body = json!({"metadata": {"name": name, "namespace": "default"}, "data": {"v": value}});
        match random.below(10) {
            0..=3 => note(&history, &name, Some(value), cluster.create("configmaps", &body).await),
            4..=6 => note(&history, &name, Some(value), cluster.update("configmaps", &body).await),
            7 => {
                let answer = cluster.delete("configmaps", ("default", &name), DeleteOptions::default()).await;
                let mut history = history.lock();
                if answer.is_err_and(|status| status.code() >= 500) {
                    history.open.entry(name).or_default().push(None);
                } else {
                    // Its version is not in the answer: anything later may have come since.
                    history.open.entry(name).or_default().push(None);
                }
            }
            _ => read(&cluster, &name).await,
        }
        if random.below(4) == 0 {
            tokio::time::sleep(Duration::from_micros(random.below(3000))).await;
        }
    }
}

fn note(history: &Mutex<History>, name: &str, change: Change, answer: Result<Arc<Object>, api::Status>) {
    let mut history = history.lock();
    match answer {
        Ok(object) => {
            let versions = history.acknowledged.entry(name.to_owned()).or_default();
            assert!(versions.insert(object.version, change).is_none(), "two writes share a version");
        }
        Err(status) if status.code() >= 500 => {
            history.open.entry(name.to_owned()).or_default().push(change);
        }
        Err(status) => assert!(matches!(status.code(), 404 | 409), "{status}"),
    }
}

/// What is read was committed before.
async fn read(cluster: &Cluster, name: &str) {
    match cluster.get("configmaps", "default", name).await {
        Ok(object) => {
            let slot = cluster.resource("configmaps").slot("default", "default", name);
            let key = keys::object("default", slot, "configmaps", "default", name);
            assert!(cluster.store.has_committed(&key, object.tail()), "{name} was read before it was durable");
        }
        Err(status) => assert_eq!(status.code(), 404, "{status}"),
    }
}

fn check(history: &History, listed: &[Arc<Object>]) {
    let now: BTreeMap<&str, &Arc<Object>> = listed.iter().map(|object| (object.name.as_str(), object)).collect();
    for (name, versions) in &history.acknowledged {
        let (last, change) = versions.last_key_value().expect("only made with one");
        let open = history.open.get(name);
        match now.get(name.as_str()) {
            Some(object) if object.version == *last => {
                assert_eq!(object.document()["data"]["v"].as_str(), change.as_deref());
            }
            Some(object) => {
                assert!(object.version > *last, "{name} lost an acknowledged write");
                let value = object.document()["data"]["v"].as_str().map(str::to_owned);
                assert!(open.is_some_and(|open| open.contains(&value)), "{name} is {value:?}, which nobody wrote");
            }
            None => assert!(open.is_some_and(|open| open.contains(&None)), "{name} is gone, and nobody deleted it"),
        }
    }
}
