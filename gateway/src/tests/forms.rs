//! Answers in protobuf and YAML, and large ones compressed: the same documents as in JSON.

use std::io::Read;

use api::codec::{Format, decode};
use api::document::Document;
use api::schema::Schema;
use axum::body::Body;
use futures_util::StreamExt;
use http::{HeaderMap, Method, Request, Response};
use serde_json::{Value, json};

use crate::testing::Cluster;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MAP: &str = "io.k8s.api.core.v1.ConfigMap";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

async fn ask(cluster: &Cluster, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    cluster.send(request.body(Body::empty()).unwrap()).await
}

async fn bytes(response: Response<Body>) -> (u16, HeaderMap, Vec<u8>) {
    let (code, headers) = (response.status().as_u16(), response.headers().clone());
    (code, headers, axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
}

async fn accepting(cluster: &Cluster, path: &str, accept: &str) -> (u16, String, Vec<u8>) {
    let (code, headers, body) = bytes(ask(cluster, path, &[("accept", accept)]).await).await;
    (code, headers["content-type"].to_str().unwrap().to_owned(), body)
}

fn read(kind: &str, body: &[u8]) -> Value {
    let schema = Schema::builtin();
    decode(schema.named(kind).unwrap(), body, Format::Protobuf).unwrap_or_else(|error| panic!("{error}")).value
}

/// Fields of a message that have a length, and what is in them.
fn fields(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((tag, rest)) = body.split_first() {
        assert_eq!(tag & 7, 2, "a length");
        let (mut length, mut shift, mut at) = (0, 0, 0);
        loop {
            length |= usize::from(rest[at] & 0x7f) << shift;
            (shift, at) = (shift + 7, at + 1);
            if rest[at - 1] < 0x80 {
                break;
            }
        }
        found.push((tag >> 3, rest[at..at + length].to_vec()));
        body = &rest[at + length..];
    }
    found
}

/// apiVersion, kind and object of an envelope.
fn opened(body: &[u8]) -> (String, String, Vec<u8>) {
    let parts = fields(body.strip_prefix(b"k8s\0").unwrap());
    assert_eq!(parts.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let words = fields(&parts[0].1);
    let word = |at: usize| String::from_utf8(words[at].1.clone()).unwrap();
    (word(0), word(1), parts[1].1.clone())
}

fn enveloped(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
    api::codec::protobuf::wrap(api_version, kind, object)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_and_lists_are_the_same_in_every_form() {
    let cluster = Cluster::start(2).await;
    let namespace = cluster.namespace_on(1).await;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    for name in ["a", "b", "c"] {
        let body = json!({ "metadata": { "name": name, "labels": { "l": name } }, "data": { "on": "yes", "n": "1" } });
        cluster.create(&path, &body).await;
    }
    let (_, stored) = cluster.get(&format!("{path}/b")).await;
    let (code, media, body) =
        accepting(&cluster, &format!("{path}/b"), "application/vnd.kubernetes.protobuf,*/*").await;
    assert_eq!((code, &*media), (200, PROTOBUF));
    assert_eq!(read(MAP, &body), stored);
    let (code, media, body) = accepting(&cluster, &format!("{path}/b"), "application/yaml").await;
    assert_eq!((code, &*media), (200, "application/yaml"));
    let schema = Schema::builtin();
    assert_eq!(decode(schema.named(MAP).unwrap(), &body, Format::Yaml).unwrap().value, stored);

    let (_, listed) = cluster.get(&format!("{path}?limit=2")).await;
    let (code, _, body) = accepting(&cluster, &format!("{path}?limit=2"), PROTOBUF).await;
    let (api_version, kind, list) = opened(&body);
    assert_eq!((code, &*api_version, &*kind), (200, "v1", "ConfigMapList"));
    let parts = fields(&list);
    let meta = read(&format!("{META}.ListMeta"), &enveloped("v1", "ListMeta", &parts[0].1));
    assert_eq!(meta["remainingItemCount"], 1);
    assert!(!meta.text(&["continue"]).is_empty());
    let items: Vec<Value> = parts[1..]
        .iter()
        .map(|(number, item)| {
            assert_eq!(*number, 2);
            read(MAP, &enveloped("", "", item))
        })
        .collect();
    assert_eq!(Value::from(items), listed["items"]);

    let metadata = format!("{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    let (code, _, body) = accepting(&cluster, &path, &metadata).await;
    let (api_version, kind, list) = opened(&body);
    assert_eq!((code, &*api_version, &*kind), (200, "meta.k8s.io/v1", "PartialObjectMetadataList"));
    let item = &fields(&list)[2].1;
    let shown = read(&format!("{META}.ObjectMeta"), &enveloped("", "", &fields(item)[0].1));
    assert_eq!((fields(item).len(), shown), (1, stored["metadata"].clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_and_refusals_are_written_as_asked() {
    let cluster = Cluster::start(1).await;
    let path = "/api/v1/namespaces/default/configmaps";
    let (code, media, body) = accepting(&cluster, &format!("{path}/none"), PROTOBUF).await;
    assert_eq!((code, &*media), (404, PROTOBUF));
    let status = read(&format!("{META}.Status"), &body);
    assert_eq!((&status["reason"], &status["details"]["name"]), (&json!("NotFound"), &json!("none")));
    assert_eq!((&status["kind"], &status["apiVersion"]), (&json!("Status"), &json!("v1")));

    for accept in ["application/cbor", "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1"] {
        let (code, media, body) = accepting(&cluster, path, accept).await;
        let status: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((code, &*media, &status["reason"]), (406, "application/json", &json!("NotAcceptable")));
        let message = "only the following media types are accepted: application/json, application/yaml, \
                       application/vnd.kubernetes.protobuf";
        assert_eq!(status["message"], message);
    }
    let (code, _, body) = accepting(&cluster, &format!("{path}?watch=1"), "application/yaml").await;
    assert!(code == 406 && String::from_utf8(body).unwrap().contains("application/json;stream=watch"));
    let request = Request::post(path).header("content-type", "application/cbor").body(Body::from("x")).unwrap();
    assert_eq!(cluster.send(request).await.status(), 415);

    let (code, _, body) = accepting(&cluster, "/apis", PROTOBUF).await;
    assert_eq!((code, opened(&body).1), (200, "APIGroupList".to_owned()));
    let (code, _, body) = accepting(&cluster, "/api/v1", PROTOBUF).await;
    let list = read(&format!("{META}.APIResourceList"), &body);
    assert!(code == 200 && list.list(&["resources"]).iter().any(|row| row["name"] == "pods"));
    let aggregated = format!("{PROTOBUF};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let (code, media, body) = accepting(&cluster, "/apis", &format!("{aggregated},application/json")).await;
    assert_eq!((code, &media), (200, &aggregated));
    let (_, _, text) = accepting(&cluster, "/apis", &aggregated.replace(PROTOBUF, "application/json")).await;
    let text: Value = serde_json::from_slice(&text).unwrap();
    let groups = read("io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList", &body);
    assert_eq!(groups["items"][0]["versions"], text["items"][0]["versions"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_are_compressed_for_those_who_take_it() {
    let cluster = Cluster::start(1).await;
    let path = "/api/v1/namespaces/default/configmaps";
    for name in ["a", "b", "c"] {
        let body = json!({ "metadata": { "name": name }, "data": { "x": "0123456789".repeat(6000) } });
        cluster.create(path, &body).await;
    }
    for accept in ["application/json", PROTOBUF, "application/yaml"] {
        let (_, plain, whole) = bytes(ask(&cluster, path, &[("accept", accept)]).await).await;
        assert!(!plain.contains_key("content-encoding") && whole.len() > 128 << 10);
        let both = [("accept", accept), ("accept-encoding", "br, gzip")];
        let (code, headers, body) = bytes(ask(&cluster, path, &both).await).await;
        assert_eq!((code, headers["content-encoding"].to_str().unwrap()), (200, "gzip"), "{accept}");
        assert!(body.len() < whole.len() / 10);
        let mut again = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut again).unwrap();
        assert_eq!(again, whole, "{accept}");
        let (_, headers, _) = bytes(ask(&cluster, &format!("{path}/a"), &both).await).await;
        assert!(!headers.contains_key("content-encoding"), "too small");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_have_frames_and_one_encoding_serves_all() {
    let cluster = Cluster::start(1).await;
    let path = "/api/v1/namespaces/default/configmaps";
    cluster.config_map("default", "before").await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        let response = ask(&cluster, &format!("{path}?watch=1"), &[("accept", PROTOBUF)]).await;
        assert_eq!(response.headers()["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
        watches.push((response.into_body().into_data_stream(), Vec::new()));
    }
    let made = cluster.config_map("default", "after").await;
    let (_, deleted) = cluster.ask(Method::DELETE, &format!("{path}/before"), &Value::Null).await;
    assert_eq!(deleted["status"], "Success");
    for (body, buffer) in &mut watches {
        let mut events = Vec::new();
        while events.len() < 3 {
            let length = buffer.first_chunk().map_or(usize::MAX, |head| u32::from_be_bytes(*head) as usize);
            if buffer.len() < length.saturating_add(4) {
                buffer.extend_from_slice(&body.next().await.unwrap().unwrap());
                continue;
            }
            let frame: Vec<u8> = buffer.drain(..4 + length).skip(4).collect();
            let parts = fields(&frame);
            let kind = String::from_utf8(parts[0].1.clone()).unwrap();
            events.push((kind, read(MAP, &fields(&parts[1].1)[0].1)));
        }
        let told: Vec<(&str, &str)> = events.iter().map(|(kind, object)| (kind.as_str(), object.name())).collect();
        assert_eq!(told, [("ADDED", "before"), ("ADDED", "after"), ("DELETED", "before")]);
        assert_eq!(events[1].1, made);
    }
    let forms = &cluster.gateway.inner.forms;
    assert_eq!(forms.encodings(), 3, "one for each state, whatever the number of watchers");
    let (_, _, body) = accepting(&cluster, path, PROTOBUF).await;
    assert!(opened(&body).2.len() > 100);
    accepting(&cluster, &format!("{path}/after"), PROTOBUF).await;
    assert_eq!(forms.encodings(), 3, "lists and gets find what watches made");
}
