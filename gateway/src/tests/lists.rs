//! Lists: across shards, in pages, at versions.

use api::Version;
use http::Method;
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::continuation::Continuation;
use crate::testing::{Cluster, version_of};

const ALL: &str = "/api/v1/configmaps";

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| {
            let metadata = &item["metadata"];
            format!("{}/{}", metadata["namespace"].as_str().unwrap(), metadata["name"].as_str().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_show_one_moment_in_key_order() {
    let cluster = Cluster::start(3).await;
    let mut namespaces = Vec::new();
    for shard in [0, 1, 2] {
        namespaces.push(cluster.namespace_on(shard).await);
    }
    for at in 0..30 {
        cluster.config_map(&namespaces[at % 3], &format!("map-{at:02}")).await;
    }
    let whole = cluster.get(ALL).await.1;
    assert_eq!(whole["kind"], "ConfigMapList");
    assert!(names(&whole).is_sorted());
    let (mut pages, mut path, mut version) = (Vec::new(), format!("{ALL}?limit=7"), None);
    let mut expected_left = 30;
    loop {
        let (code, page) = cluster.get(&path).await;
        assert_eq!(code, 200, "{page}");
        let at = *version.get_or_insert(version_of(&page));
        assert_eq!(version_of(&page), at, "every page is of the first one's moment");
        pages.extend(names(&page));
        expected_left -= page["items"].as_array().unwrap().len();
        let Some(token) = page["metadata"]["continue"].as_str() else { break };
        assert_eq!(page["metadata"]["remainingItemCount"], expected_left);
        path = format!("{ALL}?limit=7&continue={token}");
        // What happens meanwhile is not shown.
        cluster.config_map(&namespaces[0], &format!("new-{}", pages.len())).await;
        let gone = format!("/api/v1/namespaces/{}/configmaps/map-29", namespaces[2]);
        cluster.ask(Method::DELETE, &gone, &Value::Null).await;
    }
    assert_eq!(pages, names(&whole));
}

/// A first page, and its token as it is once its state is gone.
async fn page_of_the_past(cluster: &Cluster, path: &str, scope: &str) -> (Value, String) {
    let page = cluster.get(&format!("{path}?limit=4")).await.1;
    let last = &page["items"].as_array().unwrap().last().unwrap()["metadata"];
    let last = ["namespace", "name"].map(|key| SmolStr::from(last[key].as_str().unwrap()));
    let token = Continuation::new("default", "configmaps", scope, Version(1), last.into());
    (page, token.encode())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_whose_state_is_gone_goes_on_at_the_latest() {
    let cluster = Cluster::start(3).await;
    let namespaces = [cluster.namespace_on(0).await, cluster.namespace_on(1).await, cluster.namespace_on(2).await];
    for at in 0..12 {
        cluster.config_map(&namespaces[at % 3], &format!("map-{at:02}")).await;
    }
    let one = format!("/api/v1/namespaces/{}/configmaps", namespaces[1]);
    for at in 0..8 {
        cluster.config_map(&namespaces[1], &format!("more-{at}")).await;
    }
    for (path, scope) in [(ALL, ""), (one.as_str(), namespaces[1].as_str())] {
        let (first, old) = page_of_the_past(&cluster, path, scope).await;
        let (code, status) = cluster.get(&format!("{path}?limit=4&continue={old}")).await;
        assert_eq!((code, &status["reason"]), (410, &json!("Expired")), "{status}");
        let message = status["message"].as_str().unwrap();
        assert!(message.contains("or use the continue token in this response"), "{message}");
        let mut token = status["metadata"]["continue"].as_str().unwrap().to_owned();
        // What happens until the token is used is seen, in its place.
        cluster.config_map(&namespaces[2], &format!("z{}", scope.len())).await;
        cluster.config_map(&namespaces[1], &format!("z{}", scope.len())).await;
        let whole = cluster.get(path).await.1;
        let (mut rest, mut version) = (Vec::new(), None);
        loop {
            let (code, page) = cluster.get(&format!("{path}?limit=4&continue={token}")).await;
            assert_eq!(code, 200, "{page}");
            let at = *version.get_or_insert(version_of(&page));
            assert!(at >= version_of(&whole), "the latest state");
            assert_eq!(version_of(&page), at, "consistent from here on");
            rest.extend(names(&page));
            let Some(next) = page["metadata"]["continue"].as_str() else { break };
            token = next.to_owned();
            cluster.config_map(&namespaces[1], &format!("zz-unseen-{}-{}", scope.len(), rest.len())).await;
        }
        assert_eq!([names(&first), rest].concat(), names(&whole));
    }
    let (_, old) = page_of_the_past(&cluster, &one, &namespaces[1]).await;
    let (code, status) = cluster.ask(Method::DELETE, &format!("{one}?continue={old}"), &Value::Null).await;
    assert_eq!((code, status["metadata"]["continue"].is_string()), (410, true), "{status}");
    let latest = status["metadata"]["continue"].as_str().unwrap();
    assert_eq!(cluster.get(&format!("{ALL}?continue={latest}")).await.0, 400, "a token of another list");
    let too_old = cluster.get(&format!("{ALL}?resourceVersion=1&resourceVersionMatch=Exact")).await.1;
    assert_eq!(too_old["message"], "The resourceVersion for the provided list is too old.");
    assert_eq!(too_old["metadata"], json!({}), "nothing to go on with");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_kept() {
    let cluster = Cluster::start(2).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    let first = version_of(&cluster.config_map(&a, "first").await);
    let second = version_of(&cluster.config_map(&b, "second").await);
    let exactly = |version: u64| format!("{ALL}?resourceVersion={version}&resourceVersionMatch=Exact");
    let old = cluster.get(&exactly(first)).await.1;
    assert_eq!((names(&old), version_of(&old)), (vec![format!("{a}/first")], first));
    assert_eq!(names(&cluster.get(&exactly(second)).await.1).len(), 2);
    // A namespace of one shard, at a version that the other one released.
    let path = format!("/api/v1/namespaces/{a}/configmaps?resourceVersion={second}");
    let list = cluster.get(&path).await.1;
    assert!(version_of(&list) >= second, "not older than asked for");
    let path = format!("{ALL}?resourceVersion=0&limit=500");
    assert_eq!(names(&cluster.get(&path).await.1).len(), 2);
    let future = format!("{ALL}?resourceVersion={}", second + (60_000_000 << 12));
    let (code, status) = cluster.get(&future).await;
    assert_eq!((code, &status["reason"]), (504, &json!("Timeout")));
    assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_and_their_mistakes() {
    let cluster = Cluster::start(2).await;
    let (a, b) = (cluster.namespace_on(0).await, cluster.namespace_on(1).await);
    for (namespace, name, color) in [(&a, "x", "red"), (&b, "y", "blue"), (&b, "x", "red")] {
        let body = json!({ "metadata": { "name": name, "labels": { "color": color } } });
        cluster.create(&format!("/api/v1/namespaces/{namespace}/configmaps"), &body).await;
    }
    let found = |query: &str| {
        let (cluster, path) = (&cluster, format!("{ALL}?{query}"));
        async move { names(&cluster.get(&path).await.1) }
    };
    assert_eq!(found("labelSelector=color%3Dred").await, [format!("{a}/x"), format!("{b}/x")]);
    assert_eq!(found("labelSelector=color+notin+(red)").await, [format!("{b}/y")]);
    assert_eq!(found("fieldSelector=metadata.name%3Dx").await.len(), 2);
    assert_eq!(found(&format!("fieldSelector=metadata.namespace%3D{b}")).await.len(), 2);
    let one = format!("/api/v1/namespaces/{b}/configmaps?fieldSelector=metadata.name%3Dx");
    assert_eq!(names(&cluster.get(&one).await.1), [format!("{b}/x")]);
    let limited = cluster.get(&format!("{ALL}?labelSelector=color%3Dred&limit=1")).await.1;
    assert!(limited["metadata"]["continue"].is_string());
    assert!(limited["metadata"]["remainingItemCount"].is_null(), "unknown with selectors, as in the reference");
    for (bad, code) in [
        ("fieldSelector=spec.foo%3D1", 400),
        ("labelSelector=%3D%3D", 400),
        ("continue=nonsense", 400),
        ("limit=x", 400),
        ("resourceVersion=x", 400),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=1&resourceVersionMatch=Exact", 410),
    ] {
        let (found, status) = cluster.get(&format!("{ALL}?{bad}")).await;
        assert_eq!(found, code, "{bad}: {status}");
        assert_eq!(status["kind"], "Status");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletecollection_deletes_what_it_lists() {
    let cluster = Cluster::start(2).await;
    let namespace = cluster.namespace_on(1).await;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    for (name, color) in [("a", "red"), ("b", "red"), ("c", "blue")] {
        cluster.create(&path, &json!({ "metadata": { "name": name, "labels": { "color": color } } })).await;
    }
    let (code, list) = cluster.ask(Method::DELETE, &format!("{path}?labelSelector=color%3Dred"), &Value::Null).await;
    assert_eq!((code, names(&list).len()), (200, 2));
    assert_eq!(names(&cluster.get(&path).await.1), [format!("{namespace}/c")]);
    assert_eq!(cluster.ask(Method::DELETE, ALL, &Value::Null).await.0, 405, "not in all namespaces at once");
}

/// While a write is pending, what is published is older than the shard's clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_list_is_never_older_than_it_was_asked_to_be() {
    let cluster = std::sync::Arc::new(Cluster::start(1).await);
    let namespace = cluster.namespace_on(0).await;
    cluster.store.set_latency(std::time::Duration::from_millis(3));
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let (cluster, namespace, done) = (cluster.clone(), namespace.clone(), done.clone());
            tokio::spawn(async move {
                for at in 0.. {
                    if done.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    cluster.config_map(&namespace, &format!("map-{writer}-{at}")).await;
                }
            })
        })
        .collect();
    let secrets = format!("/api/v1/namespaces/{namespace}/secrets");
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    for _ in 0..150 {
        // Nothing is pending there, so this is of now.
        let wanted = version_of(&cluster.get(&secrets).await.1);
        let path = format!("{maps}?fieldSelector=metadata.name=none&resourceVersion={wanted}");
        let (code, list) = cluster.get(&path).await;
        assert!(code == 200 && version_of(&list) >= wanted, "{wanted}: {list}");
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}
