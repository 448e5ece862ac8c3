//! Lists and watches that clients split among themselves by shard selectors.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::testing::{Cluster, read, version_of};
use crate::{GatewayConfig, Limits};

const ALL: &str = "/api/v1/configmaps";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

/// The selectors by which `count` clients split the hashes of a field.
fn split(field: &str, count: u128) -> Vec<String> {
    let bound = |at: u128| format!("0x{:016x}", (at << 64) / count);
    let range = |at| format!("shardRange(object.metadata.{field}, '{}', '{}')", bound(at), bound(at + 1));
    (0..count).map(range).collect()
}

/// A query parameter, as a client escapes it.
fn parameter(selector: &str) -> String {
    let escape = |c: char| match c {
        ' ' => "+".to_owned(),
        c if c.is_ascii_alphanumeric() || c == '.' => c.to_string(),
        c => format!("%{:02X}", u32::from(c)),
    };
    format!("shardSelector={}", selector.chars().map(escape).collect::<String>())
}

/// uids of what is in a list, whatever its form.
fn uids(list: &Value) -> Vec<String> {
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    match list["rows"].as_array() {
        Some(rows) => rows.iter().map(|row| uid(&row["object"])).collect(),
        None => list["items"].as_array().unwrap().iter().map(uid).collect(),
    }
}

async fn get_as(cluster: &Cluster, path: &str, accept: &str) -> Value {
    let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
    read(cluster.send(request).await).await.1
}

/// FNV-1a hardly moves what differs only at its end, so these differ from the start.
const NAMESPACES: [&str; 8] = ["0-team", "1-team", "2-team", "3-team", "4-team", "5-team", "6-team", "7-team"];

/// Two shards with some namespaces and some objects in each.
async fn filled() -> Cluster {
    let limits = Limits { bookmark: Duration::from_millis(50), ..Limits::default() };
    let config = GatewayConfig { limits, ..GatewayConfig::default() };
    let cluster = Cluster::with(2, config).await;
    for namespace in NAMESPACES {
        cluster.create("/api/v1/namespaces", &json!({ "metadata": { "name": namespace } })).await;
        for map in 0..5 {
            cluster.config_map(namespace, &format!("map-{map}")).await;
        }
    }
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_of_a_list_are_the_list() {
    let cluster = filled().await;
    let whole = cluster.get(ALL).await.1;
    assert!(whole["metadata"].get("shardInfo").is_none(), "{}", whole["metadata"]);
    let everything: BTreeSet<String> = uids(&whole).into_iter().collect();
    for (field, count, accept) in [
        ("uid", 1, "*/*"),
        ("uid", 2, "*/*"),
        ("uid", 3, TABLE),
        ("uid", 16, METADATA),
        ("namespace", 2, METADATA),
        ("namespace", 3, "*/*"),
        ("namespace", 16, TABLE),
    ] {
        let mut seen = BTreeSet::new();
        let mut parts = 0;
        for selector in split(field, count) {
            let list = get_as(&cluster, &format!("{ALL}?{}", parameter(&selector)), accept).await;
            assert_eq!(list["metadata"]["shardInfo"], json!({ "selector": selector }));
            let part = uids(&list);
            parts += usize::from(!part.is_empty());
            for uid in part {
                assert!(seen.insert(uid.clone()), "{uid} is in two of {count} by {field}");
            }
        }
        assert_eq!(seen, everything, "{count} by {field}");
        assert!(parts > 1 || count == 1, "{count} by {field} are all in one");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_in_one_shard() {
    let cluster = filled().await;
    for namespace in NAMESPACES {
        let mut sizes = Vec::new();
        for selector in split("namespace", 4) {
            let path = format!("/api/v1/namespaces/{namespace}/configmaps?{}", parameter(&selector));
            let list = cluster.get(&path).await.1;
            assert_eq!(list["metadata"]["shardInfo"], json!({ "selector": selector }));
            sizes.push(uids(&list).len());
        }
        sizes.sort_unstable();
        assert_eq!(sizes, [0, 0, 0, 5], "{namespace}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_a_shard_are_the_shard() {
    let cluster = filled().await;
    // Spelled otherwise; what comes back is the canonical spelling.
    let [low, _, high, _] = &split("uid", 4)[..] else { unreachable!("four were asked for") };
    let canonical = format!("{low} || {high}");
    let shard = parameter(&format!(" ({low})||{high} "));
    let whole = uids(&cluster.get(&format!("{ALL}?{shard}")).await.1);
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let list = cluster.get(&format!("{ALL}?{shard}&limit=3{token}")).await.1;
        assert_eq!(list["metadata"]["shardInfo"], json!({ "selector": canonical }));
        assert!(list["metadata"].get("remainingItemCount").is_none(), "unknown, as with other selectors");
        pages.extend(uids(&list));
        let Some(next) = list["metadata"]["continue"].as_str() else { break };
        token = format!("&continue={next}");
    }
    assert_eq!(pages, whole);
    assert!(whole.len() > 3, "several pages");
    // At a version, as any list.
    let version = version_of(&cluster.get(ALL).await.1);
    cluster.config_map(NAMESPACES[0], "later").await;
    let exact = format!("{ALL}?{shard}&resourceVersion={version}&resourceVersionMatch=Exact");
    assert_eq!(uids(&cluster.get(&exact).await.1), whole);
    // With another selector, both count.
    let named = cluster.get(&format!("{ALL}?{shard}&fieldSelector=metadata.name%3Dmap-0")).await.1;
    let expected: Vec<Value> = cluster.get(&format!("{ALL}?{shard}")).await.1["items"].as_array().unwrap().clone();
    let expected = expected.iter().filter(|item| item["metadata"]["name"] == "map-0").count();
    assert_eq!(uids(&named).len(), expected);
}

/// Events of a watch up to a version, as type, uid and version. A bookmark says that there are no more.
async fn events_up_to(cluster: &Cluster, path: &str, last: u64) -> Vec<(String, String, u64)> {
    let mut watch = cluster.watch(&format!("{path}&allowWatchBookmarks=true")).await;
    let mut events = Vec::new();
    loop {
        let event = watch.next().await.unwrap();
        let (kind, object) = (event["type"].as_str().unwrap(), &event["object"]);
        let version = version_of(object);
        if version <= last && kind != "BOOKMARK" {
            events.push((kind.to_owned(), object["metadata"]["uid"].as_str().unwrap().to_owned(), version));
        }
        if version >= last {
            return events;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_of_a_watch_are_the_watch() {
    let cluster = filled().await;
    let from = version_of(&cluster.get(ALL).await.1);
    for namespace in NAMESPACES {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        // A name that is taken again is another uid, perhaps of another shard.
        cluster.config_map(namespace, "new").await;
        cluster.ask(Method::PATCH, &format!("{path}/new"), &json!({ "data": { "a": "1" } })).await;
        cluster.ask(Method::DELETE, &format!("{path}/new"), &Value::Null).await;
        cluster.config_map(namespace, "new").await;
        cluster.ask(Method::PATCH, &format!("{path}/map-0"), &json!({ "metadata": { "labels": { "a": "1" } } })).await;
        cluster.ask(Method::DELETE, &format!("{path}/map-1"), &Value::Null).await;
    }
    let last = version_of(&cluster.get(ALL).await.1);
    let expected = events_up_to(&cluster, &format!("{ALL}?watch=1&resourceVersion={from}"), last).await;
    assert_eq!(expected.len(), 6 * NAMESPACES.len());
    for (field, count) in [("uid", 2), ("uid", 3), ("uid", 16), ("namespace", 2), ("namespace", 16)] {
        let shards = split(field, count).into_iter().map(|selector| {
            let (cluster, shard) = (&cluster, parameter(&selector));
            async move { events_up_to(cluster, &format!("{ALL}?watch=1&resourceVersion={from}&{shard}"), last).await }
        });
        let shards = futures_util::future::join_all(shards).await;
        assert!(shards.iter().all(|events| events.is_sorted_by_key(|event| event.2)), "each is in order");
        assert!(shards.iter().filter(|events| !events.is_empty()).count() > 1, "more than one has something");
        let mut all = shards.concat();
        all.sort_unstable_by_key(|event| event.2);
        assert_eq!(all, expected, "{count} by {field}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_begins_with_its_shard() {
    let cluster = filled().await;
    for selector in split("uid", 2) {
        let shard = parameter(&selector);
        let mut expected = uids(&cluster.get(&format!("{ALL}?{shard}")).await.1);
        let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
        let mut watch = cluster.watch(&format!("{ALL}?watch=1&{initial}&{shard}")).await;
        let mut seen = Vec::new();
        loop {
            let event = watch.next().await.unwrap();
            if event["type"] == "BOOKMARK" {
                assert_eq!(event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
                break;
            }
            seen.push(event["object"]["metadata"]["uid"].as_str().unwrap().to_owned());
        }
        expected.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletecollection_deletes_its_shard() {
    let cluster = filled().await;
    let path = "/api/v1/namespaces/3-team/configmaps";
    let before = uids(&cluster.get(path).await.1);
    let shard = split("uid", 2).remove(0);
    let (code, list) = cluster.ask(Method::DELETE, &format!("{path}?{}", parameter(&shard)), &Value::Null).await;
    assert_eq!((code, &list["metadata"]["shardInfo"]["selector"]), (200, &json!(shard)));
    let (deleted, left) = (uids(&list), uids(&cluster.get(path).await.1));
    assert!(!deleted.is_empty() && !left.is_empty(), "some of each: {deleted:?} {left:?}");
    assert_eq!([deleted, left].concat().into_iter().collect::<BTreeSet<_>>(), before.into_iter().collect());
    assert!(uids(&cluster.get(&format!("{path}?{}", parameter(&shard))).await.1).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_the_clients() {
    let cluster = Cluster::start(1).await;
    let bad = parameter("shardRange(object.metadata.name, '0x0000000000000000', '0x8000000000000000')");
    let maps = "/api/v1/namespaces/default/configmaps";
    for (method, path) in [
        (Method::GET, format!("{ALL}?{bad}")),
        (Method::GET, format!("{ALL}?watch=1&{bad}")),
        (Method::DELETE, format!("{maps}?{bad}")),
    ] {
        let (code, status) = cluster.ask(method, &path, &Value::Null).await;
        assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")), "{path}: {status}");
        let message = "invalid shard selector: unsupported field path \"object.metadata.name\"; supported: \
                       object.metadata.uid, object.metadata.namespace";
        assert_eq!(status["message"], message);
    }
    let (code, status) = cluster.get(&format!("{ALL}?shardSelector=+")).await;
    assert_eq!(code, 400, "{status}");
    // An empty parameter is none, and a get has no selectors.
    let list = cluster.get(&format!("{ALL}?shardSelector=")).await.1;
    assert!(list["metadata"].get("shardInfo").is_none());
    assert_eq!(cluster.get(&format!("/api/v1/namespaces/default?{bad}")).await.0, 200);
}
