//! Random verbs at once, with faults at random commits, against what the history allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::slot::{SLOTS, Slot, SlotSet};
use api::{Object, Version};
use parking_lot::Mutex;
use serde_json::json;

use super::audit::audit;
use super::cluster::*;
use super::faulty::{Fault, FaultyStore};
use crate::ShardOptions;
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
        run(seed, 1).await;
    }
}

/// The same while slots move between three shards.
#[tokio::test(start_paused = true)]
async fn acknowledged_writes_survive_moves_and_faults() {
    for seed in seeds(25) {
        eprintln!("SHARDPLANE_SEED={seed}");
        run(seed, 3).await;
    }
}

/// The same with threads that really meet: a seed does not repeat what the machine's scheduler did.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_writes_survive_faults_on_many_threads() {
    for seed in seeds(4) {
        eprintln!("SHARDPLANE_SEED={seed}");
        run(seed, 1 + 2 * (seed as usize % 2)).await;
    }
}

async fn run(seed: u64, shards: usize) {
    let random = Arc::new(Seeded::new(seed));
    let store = FaultyStore::default();
    store.set_latency(Duration::from_millis(2));
    let mut cluster = Cluster::bare(shards, store, options()).await;
    cluster.bootstrap().await;
    let cluster = Arc::new(cluster);
    for _ in 0..random.below(6) {
        let fault = [Fault::Unavailable, Fault::UnknownApplied, Fault::UnknownNotApplied][random.below(3) as usize];
        cluster.store.inject(random.below(120), fault);
    }
    let history = Arc::new(Mutex::new(History::default()));
    let follower = tokio::spawn(follow(cluster.clone()));
    cluster.store.set_read_latency(Duration::from_micros(random.below(800)));
    let mover = tokio::spawn(move_about(cluster.clone(), random.clone()));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| tokio::spawn(work(cluster.clone(), history.clone(), random.clone(), worker)))
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    mover.abort();
    // It may have been about to adopt.
    let _ = mover.await;
    cluster.store.heal();
    cluster.store.set_read_latency(Duration::ZERO);
    cluster.settle(&SlotSet::full()).await;
    cluster.create("configmaps", &json!({"metadata": {"name": END, "namespace": "default"}})).await.unwrap();
    let followed = follower.await.unwrap();
    let listed = cluster.list("configmaps", "default").await;
    check(&history.lock(), &listed);
    let state: BTreeMap<String, Version> =
        listed.iter().map(|object| (object.name.to_string(), object.version)).collect();
    assert_eq!(followed, state, "a list and the events after it make the same state");
    let found = audit(&cluster).await;

    let store = cluster.store.clone();
    let highest = versions(&listed).into_iter().max();
    drop(cluster);
    let cluster = Cluster::bare(shards, store, options()).await;
    assert_eq!(audit(&cluster).await.objects, found.objects, "memory was what the store held");
    let next = json!({"metadata": {"name": "next", "namespace": "default"}});
    let next = loop {
        // Its clock begins anew, behind what was written: what admission reads is known once it has caught up.
        match cluster.create("configmaps", &next).await {
            Err(status) if status.code() == 503 => {}
            made => break made.unwrap(),
        }
    };
    assert!(Some(next.version) > highest);
    cluster.stop().await;
}

/// Logs that are trimmed all the time.
fn options() -> ShardOptions {
    let retention = Duration::from_millis(200);
    ShardOptions { retention, relaxed_retention: retention, ..ShardOptions::default() }
}

/// Moves slots from one shard to another, and trims logs.
async fn move_about(cluster: Arc<Cluster>, random: Arc<Seeded>) {
    let slot = cluster.resource("configmaps").slot("default", "default", "m0");
    loop {
        tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
        for shard in &cluster.shards {
            let _ = crate::checkpoint::pass(shard).await;
        }
        let count = cluster.shards.len();
        if count == 1 {
            continue;
        }
        let from = cluster.shards.iter().position(|shard| shard.owned().contains(slot));
        let from = from.unwrap_or(0);
        let to = (from + 1 + random.below(count as u64 - 1) as usize) % count;
        let mut slots: SlotSet = (0..random.below(40)).map(|_| Slot(random.below(u64::from(SLOTS)) as u16)).collect();
        slots.insert(slot);
        let slots = slots.intersection(&cluster.shards[from].owned());
        if cluster.move_slots(&slots, from, to).await.is_err() {
            cluster.settle(&slots).await;
        }
    }
}

/// Collects a state from a list and the events after it, wherever the slot goes, until the last object of the test is
/// there.
async fn follow(cluster: Arc<Cluster>) -> BTreeMap<String, Version> {
    let slot = cluster.resource("configmaps").slot("default", "default", END);
    // Somewhere in the middle.
    tokio::time::sleep(Duration::from_millis(15)).await;
    let page = loop {
        match cluster.shard_of("configmaps", "default").list(cluster.list_request("configmaps", "default")).await {
            Ok(page) => break page,
            Err(ShardError::NotOwner) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("{error}"),
        }
    };
    let state = page.objects.iter().map(|object| (object.name.to_string(), object.version)).collect();
    let mut seen = Seen { state, last: page.version, watermark: page.version };
    while !seen.state.contains_key(END) {
        attach(&cluster, slot, &mut seen).await;
    }
    seen.state
}

/// What a follower has seen of a slot.
struct Seen {
    state: BTreeMap<String, Version>,
    last: Version,
    watermark: Version,
}

impl Seen {
    fn take(&mut self, events: &[Arc<Event>], watermark: Version) {
        for event in events {
            assert!(event.version > self.last, "in order, once");
            assert!(event.version > self.watermark, "nothing comes below a watermark");
            self.last = event.version;
            let name = event.object.name.to_string();
            assert_eq!(self.state.get(&name).copied(), event.old.as_ref().map(|old| old.version), "no gap at {name}");
            if event.deleted {
                self.state.remove(&name);
            } else {
                self.state.insert(name, event.version);
            }
        }
        assert!(watermark >= self.last && watermark >= self.watermark);
        self.watermark = watermark;
    }
}

/// Follows a slot at its present owner, as long as that has it.
async fn attach(cluster: &Cluster, slot: Slot, seen: &mut Seen) {
    let again = || tokio::time::sleep(Duration::from_millis(1));
    let shard = cluster.shard_of("configmaps", "default");
    let Ok(mut stream) = cluster.subscribe(&shard, "configmaps", None).await else { return again().await };
    if !stream.slots.contains(slot) {
        return again().await;
    }
    let resource = cluster.resource("configmaps").id;
    let slots: Arc<SlotSet> = Arc::new([slot].into_iter().collect());
    let request = HistoryRequest { cluster: "default".into(), resource, slots, from: seen.watermark };
    match shard.history(request).await {
        Ok(history) => seen.take(&history.events, history.to),
        Err(ShardError::NotOwner) => return again().await,
        Err(error) => panic!("{error}"),
    }
    while !seen.state.contains_key(END) {
        let delivery = tokio::time::timeout(Duration::from_secs(60), stream.deliveries.recv()).await;
        let delivery = delivery.expect("there is always more").expect("nobody closes it");
        let here = delivery.events.iter().filter(|event| event.slot == slot && event.version > seen.watermark);
        let here: Vec<_> = here.cloned().collect();
        if delivery.slots.as_ref().is_some_and(|slots| !slots.contains(slot)) {
            seen.take(&here, seen.watermark.max(here.last().map_or(Version::ZERO, |event| event.version)));
            return;
        }
        seen.take(&here, delivery.watermark.max(seen.watermark));
    }
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
            assert!(cluster.store.has_committed(object.stored()), "{name} was read before it was durable");
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
