//! Bodies as client-go writes them: protobuf in, JSON out. Answers in protobuf are in `forms.rs`.

use api::codec::{Format, encode};
use api::schema::Schema;
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::testing::{Cluster, read};

const ACCEPT: &str = "application/json";

/// Sends a document of that type.
async fn send(cluster: &Cluster, method: Method, path: &str, kind: &str, document: &Value) -> (u16, Value) {
    let schema = Schema::builtin();
    let shape = schema.named(kind).unwrap();
    let body = encode(shape, document, Format::Protobuf).unwrap_or_else(|error| panic!("{error}"));
    send_bytes(cluster, method, path, body).await
}

async fn send_bytes(cluster: &Cluster, method: Method, path: &str, body: Vec<u8>) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("accept", ACCEPT);
    let request = request.header("content-type", "application/vnd.kubernetes.protobuf").body(Body::from(body)).unwrap();
    read(cluster.send(request).await).await
}

const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_made_changed_and_deleted() {
    let cluster = Cluster::start(2).await;
    let namespace = cluster.namespace_on(1).await;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let document = json!({
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": { "generateName": "gen-", "namespace": namespace }, "data": { "a": "1" }, "binaryData": { "b": "AAEC" },
    });
    let strict = format!("{path}?fieldValidation=Strict");
    let (code, made) = send(&cluster, Method::POST, &strict, CONFIG_MAP, &document).await;
    assert_eq!(code, 201, "{made}");
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
    assert_eq!((&made["data"], &made["binaryData"]), (&document["data"], &document["binaryData"]));
    let one = format!("{path}/{name}");
    assert_eq!(cluster.get(&one).await, (200, made.clone()));
    let mut changed = made.clone();
    changed["data"]["a"] = json!("2");
    let (code, updated) = send(&cluster, Method::PUT, &one, CONFIG_MAP, &changed).await;
    assert_eq!((code, &updated["data"]["a"]), (200, &json!("2")), "{updated}");
    let (code, status) = send(&cluster, Method::PUT, &one, CONFIG_MAP, &changed).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")), "the version is stale");
    let options = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
    let other = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": { "uid": "other" } });
    assert_eq!(send(&cluster, Method::DELETE, &one, options, &other).await.0, 409);
    let this = json!({ "kind": "DeleteOptions", "preconditions": { "uid": made["metadata"]["uid"] } });
    assert_eq!(send(&cluster, Method::DELETE, &one, options, &this).await.0, 200);
    assert_eq!(cluster.get(&one).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_subresources_are_read() {
    let cluster = Cluster::start(1).await;
    let account = json!({ "metadata": { "name": "default" } });
    cluster.create("/api/v1/namespaces/default/serviceaccounts", &account).await;
    let base = "/api/v1/namespaces/default/pods";
    let container = json!({ "name": "c", "image": "nginx" });
    let pod = json!({
        "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "p" }, "spec": { "containers": [container] },
    });
    let (code, answer) = send(&cluster, Method::POST, base, "io.k8s.api.core.v1.Pod", &pod).await;
    assert_eq!(code, 201, "{answer}");
    let binding = json!({
        "kind": "Binding", "apiVersion": "v1", "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n" },
    });
    let (path, kind) = (format!("{base}/p/binding"), "io.k8s.api.core.v1.Binding");
    let (code, answer) = send(&cluster, Method::POST, &path, kind, &binding).await;
    assert_eq!(code, 201, "{answer}");
    assert_eq!(cluster.get(&format!("{base}/p")).await.1["spec"]["nodeName"], "n");
    let eviction = |name: &str| {
        json!({
            "kind": "Eviction", "apiVersion": "policy/v1", "metadata": { "name": name, "namespace": "default" },
            "deleteOptions": { "gracePeriodSeconds": 0 },
        })
    };
    let (path, kind) = (format!("{base}/p/eviction"), "io.k8s.api.policy.v1.Eviction");
    let (code, status) = send(&cluster, Method::POST, &path, kind, &eviction("other")).await;
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")), "{status}");
    let (code, answer) = send(&cluster, Method::POST, &path, kind, &eviction("p")).await;
    assert_eq!(code, 201, "{answer}");
    assert_eq!(cluster.get(&format!("{base}/p")).await.0, 404);

    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let labels = json!({ "app": "web" });
    let deployment = json!({
        "kind": "Deployment", "apiVersion": "apps/v1", "metadata": { "name": "web" },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
        },
    });
    let kind = "io.k8s.api.apps.v1.Deployment";
    let (code, answer) = send(&cluster, Method::POST, deployments, kind, &deployment).await;
    assert_eq!((code, &answer["spec"]["replicas"]), (201, &json!(1)), "{answer}");
    let path = format!("{deployments}/web/scale");
    let (_, mut scale) = cluster.get(&path).await;
    scale["spec"]["replicas"] = json!(5);
    let (code, answer) = send(&cluster, Method::PUT, &path, "io.k8s.api.autoscaling.v1.Scale", &scale).await;
    assert_eq!((code, &answer["spec"]["replicas"]), (200, &json!(5)), "{answer}");
    assert_eq!(cluster.get(&format!("{deployments}/web")).await.1["spec"]["replicas"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_belong_there_is_refused() {
    let cluster = Cluster::start(1).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = |kind: &str, version: &str, namespace: &str| json!({ "kind": kind, "apiVersion": version, "metadata": { "name": "a", "namespace": namespace } });
    for (kind, document, words) in [
        (CONFIG_MAP, map("ConfigMap", "v2", "default"), "does not match the expected API version (v1)"),
        (CONFIG_MAP, map("ConfigMap", "v1", "other"), "does not match the namespace sent on the request"),
        (CONFIG_MAP, map("Secret", "v1", "default"), "the body holds a \"Secret\", not a \"ConfigMap\""),
    ] {
        let (code, status) = send(&cluster, Method::POST, maps, kind, &document).await;
        assert_eq!(code, 400, "{status}");
        assert!(status["message"].as_str().unwrap().contains(words), "{status}");
    }
    let nameless = json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": {} });
    assert_eq!(send(&cluster, Method::POST, maps, CONFIG_MAP, &nameless).await.0, 422);
    for (body, words) in [
        (&b"{\"metadata\":{\"name\":\"a\"}}"[..], "provided data does not appear to be a protobuf message"),
        (b"", "provided data does not appear to be a protobuf message"),
        (b"k8s\0\x12\x7f", "unexpected EOF at byte 6"),
        (b"k8s\0\x12\x07\x0a\x03\x0a\x01a\x12\x09", "unexpected EOF at byte 13"),
    ] {
        let (code, status) = send_bytes(&cluster, Method::POST, maps, body.to_vec()).await;
        assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")), "{status}");
        assert!(status["message"].as_str().unwrap().contains(words), "{status}");
    }
    let (code, status) = send_bytes(&cluster, Method::PATCH, &format!("{maps}/a"), b"k8s\0".to_vec()).await;
    assert_eq!(code, 415, "patches have no protobuf form: {status}");
}
