//! OpenAPI over HTTP: forms, hashes, and what clients may keep.

use std::io::Read;

use axum::body::Body;
use flate2::read::GzDecoder;
use http::{HeaderMap, Request};
use serde_json::Value;

use crate::testing::Cluster;

const V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const V3: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";

async fn get(cluster: &Cluster, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = cluster.send(request.body(Body::empty()).unwrap()).await;
    let (code, headers) = (response.status().as_u16(), response.headers().clone());
    (code, headers, axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn gunzip(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    plain
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openapi_2_comes_in_each_form() {
    let cluster = Cluster::start(1).await;
    let (code, headers, body) = get(&cluster, "/openapi/v2", &[]).await;
    assert_eq!((code, text(&headers, "content-type")), (200, "application/json"));
    assert_eq!(text(&headers, "content-length"), body.len().to_string());
    let document: Value = serde_json::from_slice(&body).unwrap();
    assert!(document["definitions"]["io.k8s.api.core.v1.Pod"]["description"].is_string());
    let tag = text(&headers, "etag").to_owned();
    for name in [V2, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"] {
        let (code, headers, body) = get(&cluster, "/openapi/v2", &[("accept", name)]).await;
        assert_eq!((code, text(&headers, "content-type"), text(&headers, "etag")), (200, V2, tag.as_str()));
        assert!(body.starts_with(b"\x0a\x032.0\x12"), "swagger and info: {:?}", &body[..8]);
        assert_eq!(text(&headers, "content-length"), body.len().to_string());
    }
    let (_, headers, small) = get(&cluster, "/openapi/v2", &[("accept-encoding", "gzip")]).await;
    assert_eq!((text(&headers, "content-encoding"), text(&headers, "etag")), ("gzip", tag.as_str()));
    assert!(small.len() < body.len() / 5 && gunzip(&small) == body);
    for known in [&tag, &format!("\"x\", W/{tag}"), "*"] {
        let (code, headers, body) = get(&cluster, "/openapi/v2", &[("if-none-match", known)]).await;
        assert_eq!((code, body.len(), text(&headers, "etag")), (304, 0, tag.as_str()), "{known}");
    }
    assert_eq!(get(&cluster, "/openapi/v2", &[("if-none-match", "\"x\"")]).await.0, 200);
    assert_eq!(get(&cluster, "/openapi/v2", &[("accept", "text/html")]).await.0, 406);
    assert_eq!(get(&cluster, "/openapi/v2", &[("accept", "text/html, */*;q=0.1")]).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openapi_3_is_kept_by_hash() {
    let cluster = Cluster::start(1).await;
    let (_, _, index) = get(&cluster, "/openapi/v3", &[]).await;
    let index: Value = serde_json::from_slice(&index).unwrap();
    let at = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let (path, hash) = at.split_once("?hash=").unwrap();
    assert_eq!(path, "/openapi/v3/apis/apps/v1");
    let (code, headers, body) = get(&cluster, at, &[]).await;
    assert_eq!((code, text(&headers, "cache-control")), (200, "public, immutable"));
    assert!(text(&headers, "expires").ends_with(" GMT") && text(&headers, "etag") == format!("\"{hash}\""));
    let document: Value = serde_json::from_slice(&body).unwrap();
    let strategy = &document["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentStrategy"];
    assert!(strategy["properties"]["type"]["description"].as_str().unwrap().contains("Recreate"));
    let (code, headers, _) = get(&cluster, path, &[]).await;
    assert_eq!((code, text(&headers, "cache-control"), text(&headers, "expires")), (200, "no-cache, private", ""));
    // An old hash leads to the new one, from wherever the path is.
    let (code, headers, body) = get(&cluster, &format!("{path}?hash=0123"), &[]).await;
    assert_eq!((code, text(&headers, "location"), body.len()), (301, format!("?hash={hash}").as_str(), 0));
    let (code, headers, body) = get(&cluster, path, &[("accept", V3), ("accept-encoding", "gzip")]).await;
    assert_eq!((code, text(&headers, "content-type"), text(&headers, "content-encoding")), (200, V3, "gzip"));
    assert!(gunzip(&body).starts_with(b"\x0a\x053.0.0\x12"));
    assert_eq!(get(&cluster, path, &[("accept", V2)]).await.0, 406);
    assert_eq!(get(&cluster, "/openapi/v3/apis/apps/v2", &[]).await.0, 404);
    for (path, entry) in index["paths"].as_object().unwrap() {
        let (code, headers, _) = get(&cluster, entry["serverRelativeURL"].as_str().unwrap(), &[]).await;
        assert_eq!((code, text(&headers, "cache-control")), (200, "public, immutable"), "{path}");
    }
}
