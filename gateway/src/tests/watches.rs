//! The guarantees of DESIGN D5: ordered, unique, none missing, across shards; and who waits for whom.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::Value;
use http::Method;
use serde_json::json;

use crate::relay::RelayLimits;
use crate::testing::{Cluster, version_of};
use crate::{GatewayConfig, Limits};

const ALL: &str = "/api/v1/configmaps";

fn relayed(limits: RelayLimits) -> GatewayConfig {
    GatewayConfig { relay: limits, ..GatewayConfig::default() }
}

async fn now(cluster: &Cluster, path: &str) -> u64 {
    version_of(&cluster.get(path).await.1)
}

/// Writes to both namespaces in turn: creations, changes and deletions. Returns type, name and version of each.
async fn churn(cluster: &Cluster, namespaces: [&str; 2], rounds: usize) -> Vec<(String, String, u64)> {
    let mut history = Vec::new();
    for round in 0..rounds {
        let namespace = namespaces[round % 2];
        let name = format!("map-{}", round / 4 % 3);
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let one = format!("{path}/{name}");
        let exists = cluster.get(&one).await.0 == 200;
        let (kind, answer) = match (exists, round % 3) {
            (false, _) => ("ADDED", cluster.config_map(namespace, &name).await),
            (true, 0) => {
                let mut watch =
                    cluster.watch(&format!("{path}?watch=1&resourceVersion={}", now(cluster, &path).await)).await;
                assert_eq!(cluster.ask(Method::DELETE, &one, &Value::Null).await.0, 200);
                ("DELETED", watch.next().await.unwrap()["object"].clone())
            }
            (true, _) => {
                let patch = json!({ "data": { "round": round.to_string() } });
                ("MODIFIED", cluster.ask(Method::PATCH, &one, &patch).await.1)
            }
        };
        history.push((kind.to_owned(), name, version_of(&answer)));
    }
    history
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wide_watch_sees_all_shards_in_order_once() {
    let cluster = Cluster::start(2).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let from = now(&cluster, ALL).await;
    let mut live = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={from}")).await;
    let history = churn(&cluster, [&a, &b], 60).await;
    assert!(history.is_sorted_by(|x, y| x.2 < y.2), "one client's writes are ordered");
    for expected in &history {
        assert_eq!(live.event().await, *expected);
    }
    // From any point in the middle, the rest and nothing else.
    for at in [0, 1, 29, 58, 59] {
        let mut later = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={}", history[at].2)).await;
        for expected in &history[at + 1..] {
            assert_eq!(later.event().await, *expected);
        }
        assert!(later.is_quiet().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laggard_holds_up_only_those_who_need_it() {
    let cluster = Cluster::start(2).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let from = now(&cluster, ALL).await;
    let mut wide = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={from}")).await;
    let mut narrow = cluster.watch(&format!("/api/v1/namespaces/{a}/configmaps?watch=1&resourceVersion={from}")).await;
    // The first events: everything runs.
    cluster.config_map(&a, "first").await;
    assert_eq!(wide.event().await.1, "first");
    assert_eq!(narrow.event().await.1, "first");
    cluster.gates[1].pause(true);
    let (x, y) = (cluster.config_map(&b, "behind").await, cluster.config_map(&a, "ahead").await);
    assert_eq!(narrow.event().await.1, "ahead");
    assert!(wide.is_quiet().await, "an event was released that an older one could still follow");
    cluster.gates[1].pause(false);
    assert_eq!(wide.event().await, ("ADDED".into(), "behind".into(), version_of(&x)));
    assert_eq!(wide.event().await, ("ADDED".into(), "ahead".into(), version_of(&y)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_watcher_ends_after_a_whole_event_and_slows_nobody() {
    let cluster = Cluster::with(1, relayed(RelayLimits { queue: 8, ..RelayLimits::default() })).await;
    let namespace = cluster.namespace_on(0).await;
    let path =
        format!("/api/v1/namespaces/{namespace}/configmaps?watch=1&resourceVersion={}", now(&cluster, ALL).await);
    let (mut slow, mut quick) = (cluster.watch(&path).await, cluster.watch(&path).await);
    // Both are live once they have seen something.
    cluster.config_map(&namespace, "start").await;
    assert_eq!((slow.event().await.1, quick.event().await.1), ("start".into(), "start".into()));
    let mut versions = Vec::new();
    for at in 0..40 {
        versions.push(version_of(&cluster.config_map(&namespace, &format!("map-{at}")).await));
        assert_eq!(quick.event().await.2, versions[at]);
    }
    let mut seen = Vec::new();
    while let Some(event) = slow.next().await {
        seen.push(version_of(&event["object"]));
    }
    assert!((8..40).contains(&seen.len()), "{} events", seen.len());
    assert_eq!(seen, versions[..seen.len()], "a prefix without a gap");
    // And it resumes where it was.
    let last = seen.last().unwrap();
    let mut resumed = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={last}")).await;
    for version in &versions[seen.len()..] {
        assert_eq!(resumed.event().await.2, *version);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_subscribe_again_without_gap_or_repeat() {
    let cluster = Cluster::start(2).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let mut watch = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={}", now(&cluster, ALL).await)).await;
    let mut expected = Vec::new();
    for at in 0..30 {
        if at % 7 == 3 {
            cluster.gates[at % 2].cut();
        }
        let made = cluster.config_map(if at % 3 == 0 { &a } else { &b }, &format!("map-{at}")).await;
        expected.push(("ADDED".to_owned(), format!("map-{at}"), version_of(&made)));
    }
    for event in expected {
        assert_eq!(watch.event().await, event);
    }
    assert!(watch.is_quiet().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entering_and_leaving_a_selector() {
    let cluster = Cluster::start(1).await;
    let namespace = cluster.namespace_on(0).await;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let from = now(&cluster, &path).await;
    let mut watch = cluster.watch(&format!("{path}?watch=1&labelSelector=color%3Dred&resourceVersion={from}")).await;
    cluster.config_map(&namespace, "a").await;
    let one = format!("{path}/a");
    let paint = |color: &str| json!({ "metadata": { "labels": { "color": color } } });
    let red = cluster.ask(Method::PATCH, &one, &paint("red")).await.1;
    assert_eq!(watch.event().await, ("ADDED".into(), "a".into(), version_of(&red)));
    let blue = cluster.ask(Method::PATCH, &one, &paint("blue")).await.1;
    let left = watch.next().await.unwrap();
    assert_eq!(left["type"], "DELETED");
    assert_eq!(left["object"]["metadata"]["labels"]["color"], "red", "the previous state");
    assert_eq!(version_of(&left["object"]), version_of(&blue), "at the new version");
    cluster.ask(Method::PATCH, &one, &json!({ "data": { "x": "y" } })).await;
    assert!(watch.is_quiet().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exists_comes_first_and_a_bookmark_says_where_it_ends() {
    let cluster = Cluster::start(2).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    cluster.config_map(&a, "x").await;
    cluster.config_map(&b, "y").await;
    let options = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = cluster.watch(&format!("{ALL}?{options}")).await;
    let mut names = Vec::new();
    let mark = loop {
        let event = watch.next().await.unwrap();
        if event["type"] == "BOOKMARK" {
            assert_eq!(event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
            assert_eq!(event["object"]["kind"], "ConfigMap");
            break version_of(&event["object"]);
        }
        assert_eq!(event["type"], "ADDED");
        names.push(event["object"]["metadata"]["name"].as_str().unwrap().to_owned());
    };
    assert!(names.contains(&"x".to_owned()) && names.contains(&"y".to_owned()));
    let made = cluster.config_map(&b, "z").await;
    assert!(version_of(&made) > mark);
    assert_eq!(watch.event().await, ("ADDED".into(), "z".into(), version_of(&made)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookmarks_are_safe_to_resume_from() {
    let limits = Limits { bookmark: Duration::from_millis(100), ..Limits::default() };
    let relay = RelayLimits { tick: Duration::from_millis(50), ..RelayLimits::default() };
    let cluster = Cluster::with(2, GatewayConfig { limits, relay, ..GatewayConfig::default() }).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let from = now(&cluster, ALL).await;
    let path = format!("{ALL}?watch=1&allowWatchBookmarks=true&resourceVersion={from}");
    let mut watch = cluster.watch(&path).await;
    let mut events = BTreeMap::new();
    let mut marks = Vec::new();
    for at in 0..20 {
        cluster.config_map(if at % 2 == 0 { &a } else { &b }, &format!("map-{at}")).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while events.len() < 20 || marks.len() < 3 {
        let event = watch.next().await.unwrap();
        let version = version_of(&event["object"]);
        if event["type"] == "BOOKMARK" {
            marks.push((version, events.len()));
        } else {
            assert!(marks.iter().all(|(mark, _)| *mark < version), "an event behind a bookmark that promised none");
            events.insert(version, event["object"]["metadata"]["name"].clone());
        }
    }
    for (mark, _) in marks {
        let mut resumed = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={mark}")).await;
        for (version, name) in events.range(mark + 1..) {
            let (_, found, at) = resumed.event().await;
            assert_eq!((Value::from(found), at), (name.clone(), *version));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_left_the_ring_is_410_in_the_stream() {
    let cluster = Cluster::with(1, relayed(RelayLimits { bytes: 2000, ..RelayLimits::default() })).await;
    let namespace = cluster.namespace_on(0).await;
    let from = now(&cluster, ALL).await;
    let mut early = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={from}")).await;
    for at in 0..20 {
        cluster.config_map(&namespace, &format!("map-{at}")).await;
        assert_eq!(early.event().await.1, format!("map-{at}"));
    }
    let mut late = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={from}")).await;
    let error = late.next().await.unwrap();
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(error["object"]["reason"], "Expired");
    assert_eq!(late.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_watcher_is_no_more_encoding() {
    let cluster = Cluster::start(1).await;
    let namespace = cluster.namespace_on(0).await;
    let path =
        format!("/api/v1/namespaces/{namespace}/configmaps?watch=1&resourceVersion={}", now(&cluster, ALL).await);
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches.push(cluster.watch(&path).await);
    }
    let resource = cluster.registry.named("configmaps").unwrap();
    let relay = cluster.gateway.inner.relays.relay(&"default".into(), resource);
    let mut encodings = None;
    for at in 0..=10 {
        let name = format!("map-{at}");
        cluster.config_map(&namespace, &name).await;
        let events = watches.iter_mut().map(|watch| watch.event());
        for (_, found, _) in futures_util::future::join_all(events).await {
            assert_eq!(found, name);
        }
        // The first event may find some of them still looking at the ring.
        encodings.get_or_insert_with(|| relay.encodings.load(Ordering::Relaxed));
    }
    assert_eq!(relay.encodings.load(Ordering::Relaxed) - encodings.unwrap(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_watches_get_their_pods_alone() {
    let cluster = Cluster::start(2).await;
    let namespace = cluster.namespace_on(0).await;
    let account = json!({ "metadata": { "name": "default" } });
    cluster.create(&format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &account).await;
    let from = now(&cluster, "/api/v1/pods").await;
    let path = |node: &str| format!("/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3D{node}&resourceVersion={from}");
    let (mut one, mut two) = (cluster.watch(&path("one")).await, cluster.watch(&path("two")).await);
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    for node in ["one", "two", "one"] {
        let spec = json!({ "nodeName": node, "containers": [{ "name": "c", "image": "i" }] });
        cluster.create(&pods, &json!({ "metadata": { "generateName": format!("{node}-") }, "spec": spec })).await;
    }
    assert!(one.event().await.1.starts_with("one-") && one.event().await.1.starts_with("one-"));
    assert!(two.event().await.1.starts_with("two-"));
    assert!(one.is_quiet().await && two.is_quiet().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_dead_shard_is_bounded() {
    let cluster = Cluster::with(2, relayed(RelayLimits { bytes: 8_000, ..RelayLimits::default() })).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let from = now(&cluster, ALL).await;
    let mut wide = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={from}")).await;
    let mut narrow = cluster.watch(&format!("/api/v1/namespaces/{a}/configmaps?watch=1&resourceVersion={from}")).await;
    cluster.config_map(&a, "start").await;
    assert_eq!((wide.event().await.1, narrow.event().await.1), ("start".into(), "start".into()));
    cluster.gates[1].pause(true);
    for at in 0..60 {
        let made = cluster.config_map(&a, &format!("map-{at}")).await;
        assert_eq!(narrow.event().await.2, version_of(&made), "one slot waits for nobody");
    }
    assert_eq!(wide.next().await, None, "whoever waits for all starts again");
    cluster.gates[1].pause(false);
    let from = now(&cluster, ALL).await;
    let mut again = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={from}")).await;
    for (namespace, name) in [(&b, "x"), (&a, "y"), (&b, "z")] {
        let made = cluster.config_map(namespace, name).await;
        assert_eq!(again.event().await, ("ADDED".into(), name.into(), version_of(&made)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_relays_go_and_come_back() {
    let (tick, idle) = (Duration::from_millis(20), Duration::from_millis(60));
    let cluster = Cluster::with(2, relayed(RelayLimits { tick, idle, ..RelayLimits::default() })).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let from = now(&cluster, ALL).await;
    let path = format!("{ALL}?watch=1&resourceVersion={from}");
    let mut versions = vec![version_of(&cluster.config_map(&a, "first").await)];
    let mut watch = cluster.watch(&path).await;
    assert_eq!(watch.event().await.2, versions[0]);
    // While it is watched it stays, however quiet it is.
    tokio::time::sleep(Duration::from_millis(200)).await;
    versions.push(version_of(&cluster.config_map(&b, "second").await));
    assert_eq!(watch.event().await.2, versions[1]);
    let resource = cluster.registry.named("configmaps").unwrap();
    let relay = || cluster.gateway.inner.relays.relay(&"default".into(), resource);
    let before = relay();
    drop(watch);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!std::sync::Arc::ptr_eq(&before, &relay()), "nobody watches");
    let mut watch = cluster.watch(&path).await;
    for version in versions {
        assert_eq!(watch.event().await.2, version);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_watches_and_refuses_new_ones() {
    let cluster = Cluster::start(1).await;
    let mut watch = cluster.watch(&format!("{ALL}?watch=1&resourceVersion={}", now(&cluster, ALL).await)).await;
    cluster.gateway.stop();
    assert_eq!(watch.next().await, None);
    assert_eq!(cluster.get(&format!("{ALL}?watch=1")).await.0, 503);
}
