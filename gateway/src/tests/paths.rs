//! Routing, forms of answers, and what bad input gets.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use shards::service::UserInfo;

use crate::testing::{Cluster, master, read, version_of};
use crate::{GatewayConfig, Tokens};

async fn accepting(cluster: &Cluster, path: &str, accept: &str) -> (u16, Value) {
    let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
    read(cluster.send(request).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verbs_of_one_object() {
    let cluster = Cluster::start(2).await;
    let namespace = cluster.namespace_on(1).await;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let made = cluster.create(&path, &json!({ "metadata": { "generateName": "gen-" }, "data": { "a": "1" } })).await;
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
    assert_eq!((&made["kind"], &made["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    let one = format!("{path}/{name}");
    assert_eq!(cluster.get(&one).await, (200, made.clone()));
    let mut changed = made.clone();
    changed["data"]["a"] = json!("2");
    let (code, updated) = cluster.ask(Method::PUT, &one, &changed).await;
    assert_eq!((code, &updated["data"]["a"]), (200, &json!("2")));
    let (code, status) = cluster.ask(Method::PUT, &one, &changed).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")), "the version is stale");
    let (code, patched) = cluster.ask(Method::PATCH, &one, &json!({ "data": { "a": null, "b": "3" } })).await;
    assert_eq!((code, &patched["data"]), (200, &json!({ "b": "3" })));
    assert!(version_of(&patched) > version_of(&updated));
    let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": { "uid": "other" } });
    assert_eq!(cluster.ask(Method::DELETE, &one, &options).await.0, 409);
    let (code, status) = cluster.ask(Method::DELETE, &one, &Value::Null).await;
    assert_eq!((code, &status["status"]), (200, &json!("Success")));
    let (code, status) = cluster.get(&one).await;
    assert_eq!((code, &status["reason"]), (404, &json!("NotFound")));
    assert_eq!(status["message"], json!(format!("configmaps {name:?} not found")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_gets_a_status() {
    let cluster = Cluster::start(1).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let other = json!({ "metadata": { "name": "a", "namespace": "other" } });
    let cases = [
        (Method::GET, "/api/v1/gizmos", Value::Null, 404),
        (Method::GET, "/apis/nope/v1/gizmos", Value::Null, 404),
        (Method::GET, "/nowhere", Value::Null, 404),
        (Method::GET, "/openapi/v3/apis/apps/v2", Value::Null, 404),
        (Method::GET, "/api/v1/configmaps/a", Value::Null, 404),
        (Method::GET, "/api/v1/namespaces/default/nodes", Value::Null, 404),
        (Method::GET, "/api/v1/namespaces/default/configmaps/a/status", Value::Null, 404),
        (Method::POST, "/api/v1/configmaps", json!({ "metadata": { "name": "a" } }), 405),
        (Method::POST, "/api/v1/namespaces/default/configmaps/a", json!({ "metadata": { "name": "a" } }), 405),
        (Method::PUT, maps, json!({ "metadata": { "name": "a" } }), 405),
        (Method::PATCH, maps, json!({ "metadata": { "name": "a" } }), 405),
        (Method::POST, "/version", Value::Null, 405),
        (Method::POST, maps, json!({ "metadata": {} }), 422),
        (Method::POST, maps, other, 400),
        (Method::POST, maps, json!({ "metadata": { "name": "UPPER" } }), 422),
        (Method::POST, maps, json!("text"), 400),
        (Method::POST, maps, json!([]), 400),
        (Method::PUT, "/api/v1/namespaces/default/configmaps/b", json!({ "metadata": { "name": "a" } }), 400),
    ];
    for (method, path, body, code) in cases {
        let (found, status) = cluster.ask(method.clone(), path, &body).await;
        assert_eq!(found, code, "{method} {path} {body}: {status}");
        assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(code)), "{path}");
    }
    let send = |kind: &'static str, body: Vec<u8>| {
        let request = Request::post(maps).header("content-type", kind).body(Body::from(body)).unwrap();
        let answer = cluster.send(request);
        async { read(answer.await).await }
    };
    let (code, status) = send("application/json", b"{\"metadata\":{\"name\":\"a\"},".to_vec()).await;
    assert_eq!(code, 400);
    assert!(!status["message"].as_str().unwrap().is_empty());
    assert_eq!(send("application/cbor", b"\xa0".to_vec()).await.0, 415);
    assert_eq!(send("application/json", vec![b' '; (3 << 20) + 1]).await.0, 413);
    let yaml = b"metadata:\n  name: from-yaml\ndata:\n  a: b\n".to_vec();
    assert_eq!(send("application/yaml", yaml).await.0, 201);
    let patch = |kind: &'static str, query: &str| {
        let request = Request::patch(format!("{maps}/x?{query}")).header("content-type", kind);
        let answer = cluster.send(request.body(Body::from("{}")).unwrap());
        async { read(answer.await).await }
    };
    let (code, status) = patch("application/apply-patch+yaml", "").await;
    assert_eq!((code, &status["details"]["causes"][0]["field"]), (422, &json!("fieldManager")), "{status}");
    let (code, status) = patch("application/merge-patch+json", "force=true").await;
    assert_eq!((code, &status["details"]["causes"][0]["field"]), (422, &json!("force")), "{status}");
    assert_eq!(patch("application/apply-patch+cbor", "fieldManager=me").await.0, 415);
    let (code, status) = patch("application/apply-patch+yaml", "fieldManager=me").await;
    assert_eq!((code, status["message"].as_str()), (400, Some("invalid object type: /, Kind=")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may() {
    let tokens = Tokens::parse("boss,root,1,system:masters\nguest,x,2").unwrap();
    let cluster = Cluster::with(1, GatewayConfig { tokens, ..GatewayConfig::default() }).await;
    let ask = |path: &'static str, token: Option<&str>, identity: Option<UserInfo>| {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = cluster.gateway.handle(request.body(Body::empty()).unwrap(), identity.map(Arc::new));
        async { read(answer.await).await }
    };
    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(ask(pods, None, None).await.0, 401);
    assert_eq!(ask(pods, Some("wrong"), None).await.0, 401);
    assert_eq!(ask(pods, Some("boss"), None).await.0, 200);
    let (code, status) = ask(pods, Some("guest"), None).await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    );
    assert_eq!(ask(pods, None, Some(master())).await.0, 200);
    for open in ["/healthz", "/livez", "/readyz", "/readyz/ping"] {
        assert_eq!(ask(open, None, None).await, (200, json!("ok")), "{open}");
    }
    let (_, verbose) = ask("/readyz?verbose&exclude=shards", None, None).await;
    assert_eq!(verbose, "[+]ping ok\n[+]shards excluded: ok\n[+]shutdown ok\nreadyz check passed\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_of_answers() {
    let cluster = Cluster::start(2).await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let (code, list) = accepting(&cluster, "/api/v1/namespaces", table).await;
    assert_eq!((code, &list["kind"]), (200, &json!("Table")));
    assert_eq!(list["columnDefinitions"][0]["name"], "Name");
    let row = &list["rows"][0];
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(row["cells"][0], row["object"]["metadata"]["name"]);
    let (_, one) = accepting(&cluster, "/api/v1/namespaces/default?includeObject=Object", table).await;
    assert_eq!((&one["rows"][0]["object"]["kind"], one["rows"].as_array().unwrap().len()), (&json!("Namespace"), 1));
    let metadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let (_, list) = accepting(&cluster, "/api/v1/namespaces", metadata).await;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert!(list["items"][0]["spec"].is_null());
    // Content-Length of a list that was made in pieces is right, or the body would not have parsed; HEAD has none.
    let head = Request::head("/api/v1/namespaces").body(Body::empty()).unwrap();
    let response = cluster.send(head).await;
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("audit-id"));
    let pretty =
        cluster.send(Request::get("/api/v1/namespaces/default?pretty=true").body(Body::empty()).unwrap()).await;
    let text = axum::body::to_bytes(pretty.into_body(), 1 << 20).await.unwrap();
    assert!(text.starts_with(b"{\n  \"kind\": \"Namespace\",\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_lists_what_is_served() {
    let cluster = Cluster::start(1).await;
    let (_, groups) = cluster.get("/apis/").await;
    let names: Vec<&str> = groups["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"apps") && names.contains(&"events.k8s.io") && !names.contains(&""), "{names:?}");
    let (_, autoscaling) = cluster.get("/apis/autoscaling").await;
    assert_eq!(autoscaling["preferredVersion"]["version"], "v2");
    let (_, core) = cluster.get("/api/v1").await;
    let rows = core["resources"].as_array().unwrap();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(row("pods")["shortNames"], json!(["po"]));
    assert_eq!(row("configmaps")["storageVersionHash"], "qFsyl6wFWjQ=", "as the reference's");
    assert_eq!(row("pods/eviction")["group"], "policy");
    let request = Request::get("/api/v1").body(Body::empty()).unwrap();
    let text = axum::body::to_bytes(cluster.send(request).await.into_body(), usize::MAX).await.unwrap();
    let order = b"{\"name\":\"configmaps\",\"singularName\":\"configmap\",\"namespaced\":true,\"kind\":\"ConfigMap\",\"verbs\":[";
    assert!(text.windows(order.len()).any(|window| window == order), "in the reference's order");
    assert!(rows.iter().all(|row| !row["verbs"].as_array().unwrap().is_empty()));
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let request = || Request::get("/apis").header("accept", accept);
    let response = cluster.send(request().body(Body::empty()).unwrap()).await;
    let tag = response.headers()["etag"].clone();
    let (_, all) = read(response).await;
    assert_eq!((&all["kind"], &all["apiVersion"]), (&json!("APIGroupDiscoveryList"), &json!("apidiscovery.k8s.io/v2")));
    let again = request().header("if-none-match", tag).body(Body::empty()).unwrap();
    assert_eq!(cluster.send(again).await.status(), 304);
    assert_eq!(cluster.get("/version").await.1["minor"], "36");
    assert_eq!(cluster.get("/apis/apps/v2").await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_by_the_references_names() {
    let cluster = Cluster::start(1).await;
    cluster.get("/api/v1/namespaces/default").await;
    cluster.get("/api/v1/no-such-things/x").await;
    let (_, text) = cluster.get("/metrics").await;
    let text = text.as_str().unwrap().to_owned();
    let line = "apiserver_request_total{logical_cluster=\"default\",verb=\"GET\",group=\"\",version=\"v1\",resource=\"namespaces\",subresource=\"\",\
                scope=\"resource\",code=\"200\"} 1";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("apiserver_request_duration_seconds_bucket") && !text.contains("no-such-things"));
}
