//! Slots move and shards die under watches and lists: neither error nor gap nor repeat (DESIGN D5, D6).

use std::time::Duration;

use api::Value;
use api::slot::SlotSet;
use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use crate::GatewayConfig;
use crate::relay::RelayLimits;
use crate::testing::{Cluster, Watch, version_of};

const ALL: &str = "/api/v1/configmaps";

fn slots_of(namespace: &str) -> SlotSet {
    [api::slot::of_namespace("default", namespace)].into_iter().collect()
}

async fn now(cluster: &Cluster) -> u64 {
    version_of(&cluster.get(ALL).await.1)
}

async fn wide(cluster: &Cluster) -> Watch {
    let from = now(cluster).await;
    cluster.watch(&format!("{ALL}?watch=1&resourceVersion={from}")).await
}

async fn narrow(cluster: &Cluster, namespace: &str) -> Watch {
    let from = now(cluster).await;
    cluster.watch(&format!("/api/v1/namespaces/{namespace}/configmaps?watch=1&resourceVersion={from}")).await
}

fn added(object: &Value) -> (String, String, u64) {
    ("ADDED".into(), object["metadata"]["name"].as_str().unwrap().into(), version_of(object))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_does_not_notice_that_its_slot_moves() {
    let cluster = Cluster::start(3).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let (mut all, mut moved, mut other) =
        (wide(&cluster).await, narrow(&cluster, &a).await, narrow(&cluster, &b).await);
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    let mut owner = 0;
    for round in 0..9 {
        of_a.push(added(&cluster.config_map(&a, &format!("before-{round}")).await));
        let heir = (owner + 1) % 3;
        cluster.move_slots(&slots_of(&a), owner, heir).await;
        owner = heir;
        of_a.push(added(&cluster.config_map(&a, &format!("behind-{round}")).await));
        of_b.push(added(&cluster.config_map(&b, &format!("other-{round}")).await));
    }
    for expected in &of_a {
        assert_eq!(moved.event().await, *expected);
    }
    for expected in &of_b {
        assert_eq!(other.event().await, *expected);
    }
    let mut together = [of_a, of_b].concat();
    together.sort_by_key(|event| event.2);
    for expected in &together {
        assert_eq!(all.event().await, *expected);
    }
    assert!(all.is_quiet().await && moved.is_quiet().await);
    // And from the middle of it, the rest and nothing else.
    let mut later = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={}", together[9].2)).await;
    for expected in &together[10..] {
        assert_eq!(later.event().await, *expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slot_had_is_asked_for_before_what_follows_is_sent() {
    let cluster = Cluster::start(2).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let (mut all, mut moved, mut other) =
        (wide(&cluster).await, narrow(&cluster, &a).await, narrow(&cluster, &b).await);
    let first = added(&cluster.config_map(&a, "first").await);
    assert_eq!((all.event().await, moved.event().await), (first.clone(), first));
    // The old owner's last words are on their way, and the new one is slow to tell what they were.
    cluster.gates[0].pause(true);
    cluster.gates[1].withhold_history(true);
    let unheard = added(&cluster.config_map(&a, "unheard").await);
    cluster.move_slots(&slots_of(&a), 0, 1).await;
    let behind = added(&cluster.config_map(&a, "behind").await);
    let beside = added(&cluster.config_map(&b, "beside").await);
    assert_eq!(other.event().await, beside, "it has nothing to wait for");
    assert!(moved.is_quiet().await, "an event came before an older one of the same slot");
    cluster.gates[1].withhold_history(false);
    assert_eq!((moved.event().await, moved.event().await), (unheard.clone(), behind.clone()));
    assert!(all.is_quiet().await, "the paused shard still has slots");
    cluster.gates[0].pause(false);
    for expected in [unheard, behind, beside] {
        assert_eq!(all.event().await, expected);
    }
    assert!(all.is_quiet().await && moved.is_quiet().await, "the old owner's words came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_does_not_end_when_a_shard_dies() {
    let cluster = Cluster::start(3).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let (mut all, mut dying, mut other) =
        (wide(&cluster).await, narrow(&cluster, &b).await, narrow(&cluster, &a).await);
    let mut expected = vec![added(&cluster.config_map(&b, "heard").await)];
    assert_eq!(dying.event().await, expected[0]);
    // It commits once more, and nobody hears of it.
    cluster.gates[1].pause(true);
    expected.push(added(&cluster.config_map(&b, "unheard").await));
    cluster.gates[1].die();
    cluster.gates[1].cut();
    expected.push(added(&cluster.config_map(&a, "meanwhile").await));
    assert_eq!(other.event().await, expected[2], "a living shard's slot waits for nobody");
    assert_eq!(all.event().await, expected[0]);
    assert!(all.is_quiet().await && dying.is_quiet().await);
    cluster.take_over(1, 2).await;
    let after = added(&cluster.config_map(&b, "after").await);
    assert_eq!((dying.event().await, dying.event().await), (expected[1].clone(), after.clone()));
    for expected in [&expected[1], &expected[2], &after] {
        assert_eq!(all.event().await, *expected);
    }
    assert!(all.is_quiet().await && dying.is_quiet().await && other.is_quiet().await);
    let metrics = cluster.text("/metrics").await;
    let paused = |line: &&str| line.starts_with("shardplane_relay_pause_seconds_count") && line.contains("configmaps");
    assert!(metrics.lines().find(paused).is_some_and(|line| !line.ends_with(" 0")), "the pause was not counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_shard_that_lost_its_slots_says_nothing_twice() {
    let cluster = Cluster::start(2).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let (mut all, mut moved) = (wide(&cluster).await, narrow(&cluster, &b).await);
    cluster.gates[1].pause(true);
    let mut expected = vec![added(&cluster.config_map(&b, "unheard").await)];
    cluster.take_over(1, 0).await;
    for (namespace, name) in [(&b, "one"), (&a, "two"), (&b, "three")] {
        expected.push(added(&cluster.config_map(namespace, name).await));
    }
    cluster.gates[1].pause(false);
    for event in &expected {
        assert_eq!(all.event().await, *event);
    }
    for at in [0, 1, 3] {
        assert_eq!(moved.event().await, expected[at]);
    }
    assert!(all.is_quiet().await && moved.is_quiet().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_a_slot_without_an_owner_waits_or_is_told_to_try_again() {
    let relay = RelayLimits { tick: Duration::from_millis(50), ..RelayLimits::default() };
    let cluster = Cluster::with(2, GatewayConfig { relay, ..GatewayConfig::default() }).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let mut before = wide(&cluster).await;
    let made = added(&cluster.config_map(&b, "made").await);
    assert_eq!(before.event().await, made);
    cluster.gates[1].die();
    cluster.gates[1].cut();
    let path = format!("/api/v1/namespaces/{b}/configmaps");
    let queries = ["watch=1", "watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", "limit=5"];
    let asked = [&path, ALL].into_iter().flat_map(|path| queries.map(|query| format!("{path}?{query}")));
    let answers = asked.map(|path| {
        let request = Request::get(&path).body(Body::empty()).unwrap();
        async { (cluster.send(request).await, path) }
    });
    for (response, path) in futures_util::future::join_all(answers).await {
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &"1".parse().unwrap()),
            "{path}"
        );
    }
    assert_eq!(cluster.get(&format!("/api/v1/namespaces/{a}/configmaps")).await.0, 200, "that shard lives");
    // One that knows where it begins hangs on until there is somebody.
    let mut resumed = cluster.watch(&format!("{path}?watch=1&resourceVersion={}", made.2)).await;
    cluster.take_over(1, 0).await;
    let after = added(&cluster.config_map(&b, "after").await);
    assert_eq!((resumed.event().await, before.event().await), (after.clone(), after));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_waits_for_the_successor_of_a_shard_that_died() {
    let cluster = Cluster::start(2).await;
    let b = cluster.namespace_on(1).await;
    cluster.config_map(&b, "made").await;
    cluster.gates[1].die();
    let late = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.take_over(1, 0).await;
    };
    let ((code, list), ()) = tokio::join!(cluster.get(ALL), late);
    assert_eq!(code, 200, "{list}");
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]).collect();
    assert!(names.contains(&&json!("made")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_across_a_move_show_one_moment() {
    let cluster = Cluster::start(4).await;
    let namespaces = [cluster.namespace_on(0).await, cluster.namespace_on(1).await, cluster.namespace_on(2).await];
    for at in 0..60 {
        cluster.config_map(&namespaces[at % 3], &format!("map-{at:02}")).await;
    }
    let everything = cluster.get(ALL).await.1;
    let keys = |list: &Value| -> Vec<(Value, Value)> {
        let key = |item: &Value| (item["metadata"]["namespace"].clone(), item["metadata"]["name"].clone());
        list["items"].as_array().unwrap().iter().map(key).collect()
    };
    let (mut seen, mut token, mut version) = (Vec::new(), String::new(), None);
    for page in 0.. {
        let list = cluster.get(&format!("{ALL}?limit=7&continue={token}")).await.1;
        let found = keys(&list);
        let metadata = &list["metadata"];
        assert_eq!(*version.get_or_insert(metadata["resourceVersion"].clone()), metadata["resourceVersion"]);
        seen.extend(found);
        let left = metadata["remainingItemCount"].as_u64().unwrap_or_default() as usize;
        assert_eq!(seen.len() + left, keys(&everything).len());
        token = metadata["continue"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            break;
        }
        // The slot goes round, and what it holds changes.
        let namespace = &namespaces[0];
        cluster.move_slots(&slots_of(namespace), page % 4, (page + 1) % 4).await;
        cluster.config_map(namespace, &format!("new-{page}")).await;
        let gone = format!("/api/v1/namespaces/{namespace}/configmaps/map-{:02}", page * 3);
        assert_eq!(cluster.ask(Method::DELETE, &gone, &Value::Null).await.0, 200);
    }
    assert_eq!(seen, keys(&everything));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_of_the_future_are_answered_as_the_reference_does() {
    let cluster = Cluster::start(2).await;
    let a = cluster.namespace_on(0).await;
    let future = now(&cluster).await + (60_000_000 << 12);
    let asked = ["", "&resourceVersionMatch=Exact", "&resourceVersionMatch=NotOlderThan", "&limit=1", "&watch=1"];
    let paths = [ALL.to_owned(), format!("/api/v1/namespaces/{a}/configmaps")];
    let asked = paths.iter().flat_map(|path| {
        asked.map(|query| {
            let path = format!("{path}?resourceVersion={future}{query}");
            let cluster = &cluster;
            async move { (cluster.get(&path).await, path) }
        })
    });
    for ((code, status), path) in futures_util::future::join_all(asked).await {
        assert_eq!((code, &status["reason"]), (504, &json!("Timeout")), "{path}");
        assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge", "{path}");
        assert_eq!(status["details"]["retryAfterSeconds"], 1, "{path}");
    }
    assert!(now(&cluster).await < future, "a client has moved a clock");
}

/// Writers, moves, broken and halting streams, all at once: the machine's scheduler decides what meets what.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_hold_while_slots_move_under_load() {
    let cluster = Cluster::start(3).await;
    let namespaces = [cluster.namespace_on(0).await, cluster.namespace_on(1).await, cluster.namespace_on(2).await];
    let mut all = wide(&cluster).await;
    let mut of_one = Vec::new();
    for namespace in &namespaces {
        of_one.push(narrow(&cluster, namespace).await);
    }
    let write = async |namespace: &str| {
        let mut made = Vec::new();
        for at in 0..60 {
            made.push(added(&cluster.config_map(namespace, &format!("map-{at}")).await));
        }
        made
    };
    let disturb = async {
        let mut owners = [0, 1, 2];
        for round in 0..24 {
            let (namespace, gate) = (round % 3, &cluster.gates[round * 7 % 3]);
            if round % 4 == 1 {
                gate.cut();
            }
            gate.pause(round % 4 == 2);
            let heir = (owners[namespace] + 1 + round % 2) % 3;
            cluster.move_slots(&slots_of(&namespaces[namespace]), owners[namespace], heir).await;
            owners[namespace] = heir;
            tokio::time::sleep(Duration::from_millis(5)).await;
            gate.pause(false);
        }
    };
    let [a, b, c] = &namespaces;
    let (a, b, c, ()) = tokio::join!(write(a), write(b), write(c), disturb);
    for (watch, made) in of_one.iter_mut().zip([&a, &b, &c]) {
        for expected in made {
            assert_eq!(watch.event().await, *expected);
        }
    }
    let mut together = [a, b, c].concat();
    together.sort_by_key(|event| event.2);
    for expected in &together {
        assert_eq!(all.event().await, *expected);
    }
    assert!(all.is_quiet().await);
}
