//! Quota that is exact: whatever comes at once, moves, fails or starts again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::Value;
use api::document::Document;
use api::object::Draft;
use api::resource::Durability;
use api::slot::SlotSet;
use futures_util::future::join_all;
use serde_json::json;
use smol_str::SmolStr;

use super::audit::audit;
use super::cluster::*;
use super::faulty::{Fault, FaultyStore};
use crate::log::Operation;
use crate::sequencer::{Change, Charged, Known, Proposal, Revision, Sequenced};
use crate::service::*;
use crate::{Shard, ShardOptions};

fn quota(name: &str, spec: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

fn pod(name: &str, cpu: &str) -> Value {
    let resources = json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}});
    json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]},
    })
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default"}})
}

/// What a quota says is used of something.
async fn used(cluster: &Cluster, quota: &str, of: &str) -> String {
    let document = cluster.get("resourcequotas", "default", quota).await.unwrap().document();
    assert_eq!(document.at(&["status", "hard"]), document.at(&["spec", "hard"]));
    document.text(&["status", "used", of]).to_owned()
}

/// Waits until a quota says something: what it says of its own rules is written a moment after these.
async fn says(cluster: &Cluster, quota: &str, of: &str, amount: &str) {
    let mut stream =
        cluster.subscribe(&cluster.shard_of("resourcequotas", "default"), "resourcequotas", None).await.unwrap();
    loop {
        let now = cluster.get("resourcequotas", "default", quota).await.unwrap().document();
        if now.text(&["status", "used", of]) == amount {
            return;
        }
        let next = tokio::time::timeout(Duration::from_secs(60), stream.deliveries.recv()).await;
        next.unwrap_or_else(|_| panic!("it does not become {amount}: {now}")).expect("nobody closes it");
    }
}

fn message(answer: Result<Arc<api::Object>, api::Status>) -> String {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), status.reason()), (403, api::status::Reason::Forbidden), "{status}");
    status.message().to_owned()
}

fn check(shards: &[Arc<Shard>]) {
    shards.iter().for_each(|shard| crate::quota::consistency_check(shard));
}

#[tokio::test(start_paused = true)]
async fn of_many_at_once_exactly_as_many_are_let_in_as_fit() {
    let cluster = Cluster::start(2).await;
    cluster.store.set_latency(Duration::from_millis(2));
    cluster
        .create("resourcequotas", &quota("q", &json!({"hard": {"pods": "40", "requests.cpu": "100"}})))
        .await
        .unwrap();
    let names: Vec<String> = (0..64).map(|at| format!("p{at}")).collect();
    let made = join_all(names.iter().map(|name| async { cluster.create("pods", &pod(name, "100m")).await })).await;
    let refused: Vec<String> = made.into_iter().filter(Result::is_err).map(message).collect();
    assert_eq!(refused.len(), 24);
    for refused in refused {
        assert!(
            refused.ends_with("exceeded quota: q, requested: pods=1, used: pods=40, limited: pods=40"),
            "{refused}"
        );
    }
    assert_eq!(cluster.list("pods", "default").await.len(), 40);
    assert_eq!(used(&cluster, "q", "pods").await, "40", "it says so as soon as it is so");
    assert_eq!(used(&cluster, "q", "requests.cpu").await, "4");
    check(&cluster.shards);
}

/// Between a decision and its place others may get theirs.
#[tokio::test(start_paused = true)]
async fn what_was_decided_at_the_same_moment_does_not_fit_twice() {
    let cluster = Cluster::start(1).await;
    let shard = &cluster.shards[0];
    let resource = cluster.resource("configmaps");
    let table = shard.table_id("default", resource.id).unwrap();
    let place = (0, SmolStr::new("default"));
    let propose = |name: &str| {
        let (known, document) = (shard.sequencer.known(&place), map(name));
        let charged = match known {
            Known::Drawn(revision, rules) => {
                let charge = rules.charge("configmaps", &document);
                Some(Charged { revision, rules, charge, may_refuse: true })
            }
            _ => None,
        };
        Proposal {
            table,
            key: ("default".into(), name.into()),
            slot: resource.slot("default", "default", name),
            durability: Durability::Strict,
            base: None,
            guards: Vec::new(),
            change: Change::Put(Draft::new(&resource, &document)),
            request: 0,
            code: 201,
            operation: Operation::Put,
            place: Some(place.clone()),
            charged,
            revision: Revision::None,
        }
    };
    let is_in = |proposal| match shard.sequencer.propose(proposal) {
        Ok(Sequenced::Done { .. }) => true,
        Ok(Sequenced::Moved) => false,
        other => panic!("{other:?}"),
    };
    let unaware = propose("a");
    cluster.create("resourcequotas", &quota("q", &json!({"hard": {"configmaps": "1"}}))).await.unwrap();
    assert!(!is_in(unaware), "it was decided before there was a quota");
    says(&cluster, "q", "configmaps", "0").await;
    let (first, second, third) = (propose("a"), propose("b"), propose("c"));
    assert!(is_in(first));
    assert!(!is_in(second), "there was room for one of them");
    cluster.merge("resourcequotas", ("default", "q"), &json!({"spec": {"hard": {"configmaps": "2"}}})).await.unwrap();
    says(&cluster, "q", "configmaps", "1").await;
    assert!(!is_in(third), "it was decided under other rules");
    assert!(is_in(propose("c")));
    assert_eq!(cluster.create("configmaps", &map("d")).await.unwrap_err().code(), 403);
    assert_eq!(cluster.list("configmaps", "default").await.len(), 2);
    check(&cluster.shards);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_lets_go_what_a_quota_counts() {
    let cluster = Cluster::start(1).await;
    cluster.create("resourcequotas", &quota("q", &json!({"hard": {"configmaps": "3"}}))).await.unwrap();
    for name in ["a", "b", "c"] {
        cluster.create("configmaps", &map(name)).await.unwrap();
    }
    cluster.store.set_full(true);
    cluster.update("configmaps", &map("a")).await.expect("nothing changes");
    let mut changed = map("a");
    changed["data"] = json!({"k": "v"});
    assert_eq!(cluster.update("configmaps", &changed).await.unwrap_err().code(), 503);
    cluster.delete("configmaps", ("default", "a"), DeleteOptions::default()).await.expect("deletions make room");
    cluster.delete("configmaps", ("default", "b"), DeleteOptions::default()).await.expect("deletions make room");
    assert_eq!(used(&cluster, "q", "configmaps").await, "3", "there is no room to say so");
    cluster.store.set_full(false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.create("configmaps", &map("d")).await.unwrap();
    says(&cluster, "q", "configmaps", "2").await;
    check(&cluster.shards);
}

#[tokio::test(start_paused = true)]
async fn what_goes_or_ends_gives_back_at_once() {
    let cluster = Cluster::start(1).await;
    cluster.create("resourcequotas", &quota("q", &json!({"hard": {"pods": "1", "count/pods": "2"}}))).await.unwrap();
    let mut first = cluster.create("pods", &pod("a", "1")).await.unwrap().document();
    let full = "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
    assert_eq!(message(cluster.create("pods", &pod("b", "1")).await), full);
    first["status"]["phase"] = json!("Succeeded");
    cluster.update_part("pods", "status", &first).await.unwrap();
    assert_eq!(used(&cluster, "q", "pods").await, "0");
    cluster.create("pods", &pod("b", "1")).await.unwrap();
    let places = "pods \"c\" is forbidden: exceeded quota: q, requested: count/pods=1,pods=1, used: count/pods=2,pods=1, \
                  limited: count/pods=2,pods=1";
    assert_eq!(message(cluster.create("pods", &pod("c", "1")).await), places);
    cluster.delete("pods", ("default", "b"), DeleteOptions::default()).await.unwrap();
    assert_eq!((used(&cluster, "q", "pods").await, used(&cluster, "q", "count/pods").await), ("0".into(), "1".into()));
    cluster.create("pods", &pod("c", "1")).await.unwrap();
    check(&cluster.shards);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_stuck_on_a_lost_node_gives_back_after_its_grace() {
    let cluster = Cluster::start(1).await;
    cluster.create("resourcequotas", &quota("q", &json!({"hard": {"pods": "1"}}))).await.unwrap();
    let mut running = pod("a", "1");
    running["spec"]["nodeName"] = json!("n");
    cluster.create("pods", &running).await.unwrap();
    cluster.delete("pods", ("default", "a"), DeleteOptions::default()).await.unwrap();
    assert_eq!(used(&cluster, "q", "pods").await, "1", "it is given its grace");
    cluster.create("pods", &pod("b", "1")).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(62)).await;
    assert_eq!(used(&cluster, "q", "pods").await, "0", "nobody wrote anything");
    cluster.create("pods", &pod("b", "1")).await.unwrap();
    check(&cluster.shards);
}

#[tokio::test(start_paused = true)]
async fn rules_hold_from_the_moment_at_which_they_are_written() {
    let cluster = Cluster::start(1).await;
    cluster.create("pods", &pod("a", "1")).await.unwrap();
    cluster.create("resourcequotas", &quota("q", &json!({"hard": {"requests.cpu": "3"}}))).await.unwrap();
    let exceeded = message(cluster.create("pods", &pod("b", "2500m")).await);
    let expected = "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=2500m, used: requests.cpu=1, limited: \
                    requests.cpu=3";
    assert_eq!(exceeded, expected, "what was there before counts");
    says(&cluster, "q", "requests.cpu", "1").await;
    let stated = cluster.get("resourcequotas", "default", "q").await.unwrap();
    cluster.merge("resourcequotas", ("default", "q"), &json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
    cluster.merge("resourcequotas", ("default", "q"), &json!({"spec": {"hard": {"requests.cpu": "4"}}})).await.unwrap();
    cluster.create("pods", &pod("b", "2500m")).await.unwrap();
    assert_eq!(used(&cluster, "q", "requests.cpu").await, "3500m");
    // Somebody else's idea of what is used does not last.
    let mut wrong = cluster.get("resourcequotas", "default", "q").await.unwrap().document();
    assert_eq!(wrong["metadata"]["labels"]["a"], "b");
    assert!(wrong["metadata"]["resourceVersion"].as_str().unwrap().parse::<api::Version>().unwrap() > stated.version);
    wrong["status"]["used"]["requests.cpu"] = json!("0");
    cluster.update_part("resourcequotas", "status", &wrong).await.unwrap();
    assert_eq!(used(&cluster, "q", "requests.cpu").await, "3500m");
    // Below what is used: nothing more, and what is there may shrink.
    cluster.merge("resourcequotas", ("default", "q"), &json!({"spec": {"hard": {"requests.cpu": "1"}}})).await.unwrap();
    cluster.create("pods", &pod("c", "1")).await.unwrap_err();
    cluster.delete("resourcequotas", ("default", "q"), DeleteOptions::default()).await.unwrap();
    cluster.create("pods", &pod("c", "1")).await.unwrap();
    assert!(cluster.shards[0].sequencer.places().is_empty(), "there is nothing left to account for");
}

#[tokio::test(start_paused = true)]
async fn what_a_quota_needs_has_to_be_said() {
    let cluster = Cluster::start(1).await;
    let spec = json!({"hard": {"limits.cpu": "1", "requests.memory": "1Gi"}});
    cluster.create("resourcequotas", &quota("q", &spec)).await.unwrap();
    let unsaid = "pods \"a\" is forbidden: failed quota: q: must specify requests.memory for: c";
    assert_eq!(message(cluster.create("pods", &pod("a", "1")).await), unsaid);
    let best_effort = quota("e", &json!({"hard": {"pods": "0"}, "scopes": ["BestEffort"]}));
    cluster.create("resourcequotas", &best_effort).await.unwrap();
    cluster.delete("resourcequotas", ("default", "q"), DeleteOptions::default()).await.unwrap();
    cluster.create("pods", &pod("a", "1")).await.unwrap();
    let mut plain = pod("b", "1");
    plain["spec"]["containers"][0]["resources"].take();
    let refused = message(cluster.create("pods", &plain).await);
    assert!(refused.ends_with("exceeded quota: e, requested: pods=1, used: pods=0, limited: pods=0"), "{refused}");
    check(&cluster.shards);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_nothing_and_is_refused_like_the_rest() {
    let cluster = Cluster::start(1).await;
    cluster.create("resourcequotas", &quota("q", &json!({"hard": {"configmaps": "1"}}))).await.unwrap();
    let dry = |name: &str| {
        let options = WriteOptions { dry_run: true, ..WriteOptions::default() };
        let verb = Verb::Create { body: bytes(&map(name)), format: Format::Json, options, uid: "u".into() };
        cluster.send(cluster.request("configmaps", "default", name, verb))
    };
    dry("a").await.unwrap();
    dry("b").await.unwrap();
    cluster.create("configmaps", &map("a")).await.unwrap();
    let refused = dry("b").await.unwrap_err();
    let expected = "configmaps \"b\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: \
                    configmaps=1";
    assert_eq!(refused.message(), expected);
    let again = message(cluster.create("configmaps", &map("a")).await);
    assert_eq!(again, expected.replace("\"b\"", "\"a\""), "that it is there comes second");
    assert_eq!(used(&cluster, "q", "configmaps").await, "1");
}

#[tokio::test(start_paused = true)]
async fn services_are_counted_by_what_becomes_of_them() {
    let cluster = Cluster::start(2).await;
    let spec = json!({"hard": {"services.nodeports": "1", "services": "5", "count/resourcequotas": "2"}});
    cluster.create("resourcequotas", &quota("q", &spec)).await.unwrap();
    let service = |name: &str, kind: &str, ports: u16| {
        let ports: Vec<Value> = (0..ports).map(|at| json!({"name": format!("p{at}"), "port": 80 + at})).collect();
        json!({
            "metadata": {"name": name, "namespace": "default"}, "spec": {"type": kind, "ports": ports, "selector": {"a": "b"}},
        })
    };
    cluster.create("services", &service("a", "ClusterIP", 2)).await.unwrap();
    let two = service("a", "NodePort", 2);
    let refused = message(cluster.update("services", &two).await);
    let limit =
        "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1";
    assert!(refused.ends_with(limit), "{refused}");
    cluster.update("services", &service("a", "NodePort", 1)).await.unwrap();
    assert_eq!(used(&cluster, "q", "services.nodeports").await, "1");
    cluster.create("services", &service("b", "NodePort", 1)).await.unwrap_err();
    cluster.update("services", &service("a", "ClusterIP", 1)).await.unwrap();
    cluster.create("services", &service("b", "NodePort", 1)).await.unwrap();
    // The Service that leads to the API is one too.
    assert_eq!(used(&cluster, "q", "services").await, "3");
    cluster.create("resourcequotas", &quota("r", &json!({}))).await.unwrap();
    let refused = message(cluster.create("resourcequotas", &quota("s", &json!({}))).await);
    assert!(refused.contains("used: count/resourcequotas=2"), "{refused}");
    check(&cluster.shards);
}

#[tokio::test(start_paused = true)]
async fn an_account_moves_with_its_slot_and_comes_back_after_a_restart() {
    let cluster = Cluster::start(2).await;
    cluster.create("resourcequotas", &quota("q", &json!({"hard": {"configmaps": "2"}}))).await.unwrap();
    cluster.create("configmaps", &map("a")).await.unwrap();
    let slot = cluster.resource("configmaps").slot("default", "default", "a");
    let from = cluster.shards.iter().position(|shard| shard.owned().contains(slot)).unwrap();
    cluster.move_slots(&[slot].into_iter().collect(), from, 1 - from).await.unwrap();
    assert!(cluster.shards[from].sequencer.places().is_empty());
    cluster.create("configmaps", &map("b")).await.unwrap();
    cluster.create("configmaps", &map("c")).await.unwrap_err();
    check(&cluster.shards);
    let cluster = cluster.restart().await;
    cluster.create("configmaps", &map("c")).await.unwrap_err();
    assert_eq!(used(&cluster, "q", "configmaps").await, "2");
    cluster.delete("configmaps", ("default", "a"), DeleteOptions::default()).await.unwrap();
    cluster.create("configmaps", &map("c")).await.unwrap();
    check(&cluster.shards);
}

/// What one round of the random test found.
#[derive(Default)]
struct Round {
    made: usize,
    refused: usize,
    unknown: usize,
}

const LIMIT: usize = 20;

/// Rounds of creations at once and deletions at once, while slots move, commits fail and logs are trimmed; after some of them
/// everything starts again.
async fn run(seed: u64, shards: usize) {
    let random = Arc::new(Seeded::new(seed));
    let store = FaultyStore::default();
    store.set_latency(Duration::from_millis(2));
    let options = ShardOptions { retention: Duration::from_millis(200), ..ShardOptions::default() };
    let mut cluster = Cluster::bare(shards, store, options).await;
    cluster.bootstrap().await;
    let hard = json!({"hard": {"count/configmaps": LIMIT.to_string(), "configmaps": "1000"}});
    cluster.create("resourcequotas", &quota("q", &hard)).await.unwrap();
    let mut next = 0;
    for _ in 0..6 {
        for _ in 0..random.below(4) {
            let faults = [Fault::Refused, Fault::Unavailable, Fault::UnknownApplied, Fault::UnknownNotApplied];
            cluster.store.inject(random.below(12), faults[random.below(4) as usize]);
        }
        let shared = Arc::new(cluster);
        let mover = tokio::spawn(move_about(shared.clone(), random.clone()));
        let before = names(&shared).await;
        let round = create_many(&shared, &mut next, &random).await;
        let after = names(&shared).await;
        assert!(after.len() <= LIMIT, "{} of {LIMIT}", after.len());
        assert!(after.len() >= before.len() + round.made && after.len() <= before.len() + round.made + round.unknown);
        // Nothing went meanwhile: who was refused met a full house.
        assert!(round.refused == 0 || after.len() == LIMIT, "refused with {} of {LIMIT}", after.len());
        delete_some(&shared, after, &random).await;
        mover.abort();
        let _ = mover.await;
        shared.store.heal();
        shared.settle(&SlotSet::full()).await;
        verify(&shared).await;
        cluster = Arc::into_inner(shared).expect("nobody else has it");
        if random.below(3) == 0 {
            cluster = cluster.restart().await;
        }
    }
    audit(&cluster).await;
    cluster.stop().await;
}

async fn names(cluster: &Cluster) -> BTreeSet<String> {
    loop {
        let shard = cluster.shard_of("configmaps", "default");
        match shard.list(cluster.list_request("configmaps", "default")).await {
            Ok(page) => return page.objects.iter().map(|object| object.name.to_string()).collect(),
            Err(ShardError::NotOwner) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn create_many(cluster: &Cluster, next: &mut usize, random: &Seeded) -> Round {
    let names: Vec<String> = (0..8 + random.below(24)).map(|at| format!("m{}", *next + at as usize)).collect();
    *next += names.len();
    let made = join_all(names.iter().map(|name| async { cluster.create("configmaps", &map(name)).await })).await;
    let mut round = Round::default();
    for answer in made {
        match answer {
            Ok(_) => round.made += 1,
            Err(status) if status.code() == 403 => round.refused += 1,
            Err(status) if status.code() >= 500 => round.unknown += 1,
            Err(status) => panic!("{status}"),
        }
    }
    round
}

async fn delete_some(cluster: &Cluster, names: BTreeSet<String>, random: &Seeded) {
    let gone: Vec<String> = names.into_iter().filter(|_| random.below(2) == 0).collect();
    let options = DeleteOptions::default;
    join_all(gone.iter().map(|name| cluster.delete("configmaps", ("default", name), options()))).await;
}

/// Once it is quiet, the quota says what is there, and there is as much room as it says.
async fn verify(cluster: &Cluster) {
    let count = names(cluster).await.len();
    says(cluster, "q", "count/configmaps", &count.to_string()).await;
    assert_eq!(used(cluster, "q", "configmaps").await, count.to_string());
    check(&cluster.shards);
}

async fn move_about(cluster: Arc<Cluster>, random: Arc<Seeded>) {
    let slot = cluster.resource("configmaps").slot("default", "default", "m0");
    let slots: SlotSet = [slot].into_iter().collect();
    loop {
        tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
        for shard in &cluster.shards {
            let _ = crate::checkpoint::pass(shard).await;
        }
        let count = cluster.shards.len();
        let from = cluster.shards.iter().position(|shard| shard.owned().contains(slot)).unwrap_or(0);
        let to = (from + 1) % count;
        if count > 1 && cluster.move_slots(&slots, from, to).await.is_err() {
            cluster.settle(&slots).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn quota_is_exact_while_commits_fail() {
    for seed in seeds(20) {
        eprintln!("SHARDPLANE_SEED={seed}");
        run(seed, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn quota_is_exact_while_slots_move() {
    for seed in seeds(20) {
        eprintln!("SHARDPLANE_SEED={seed}");
        run(seed, 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn quota_is_exact_on_many_threads() {
    for seed in seeds(4) {
        eprintln!("SHARDPLANE_SEED={seed}");
        run(seed, 1 + 2 * (seed as usize % 2)).await;
    }
}
