//! Logical clusters: apart in every way.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::testing::{Cluster, master, read};

const CLUSTERS: &str = "/shardplane/v1/clusters";

impl Cluster {
    /// A request by whoever has that token.
    async fn as_bearer(&self, method: Method, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", "application/json").body(body).unwrap();
        read(self.gateway.handle(request, None).await).await
    }
}

async fn create(cluster: &Cluster, name: &str) -> String {
    let made = cluster.create(CLUSTERS, &json!({ "name": name })).await;
    assert_eq!((&made["name"], &made["phase"]), (&json!(name), &json!("Ready")));
    made["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn clusters_hold_objects_watches_and_credentials_apart() {
    let cluster = Cluster::start(2).await;
    let (blue, red) = (create(&cluster, "blue").await, create(&cluster, "red").await);
    let maps = |name: &str| format!("/clusters/{name}/api/v1/namespaces/default/configmaps");
    let map = json!({ "metadata": { "name": "same" }, "data": { "of": "blue" } });
    let (code, made) = cluster.as_bearer(Method::POST, &maps("blue"), &blue, &map).await;
    assert_eq!((code, &made["data"]["of"]), (201, &json!("blue")), "{made}");
    // The same name in another cluster is another object, and its absence is seen.
    let one = |name: &str| format!("{}/same", maps(name));
    assert_eq!(cluster.as_bearer(Method::GET, &one("red"), &red, &Value::Null).await.0, 404);
    assert_eq!(cluster.get("/api/v1/namespaces/default/configmaps/same").await.0, 404);
    let (_, all) = cluster.as_bearer(Method::GET, "/clusters/blue/api/v1/configmaps", &blue, &Value::Null).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    let spaces = cluster.as_bearer(Method::GET, "/clusters/red/api/v1/namespaces", &red, &Value::Null).await.1;
    assert_eq!(spaces["items"].as_array().unwrap().len(), 4, "what every cluster has from its first moment");

    // A continue token is bound to its cluster.
    let page = "/clusters/blue/api/v1/namespaces?limit=1";
    let page = cluster.as_bearer(Method::GET, page, &blue, &Value::Null).await.1;
    let token = page["metadata"]["continue"].as_str().unwrap();
    let stolen = format!("/clusters/red/api/v1/namespaces?limit=1&continue={token}");
    assert_eq!(cluster.as_bearer(Method::GET, &stolen, &red, &Value::Null).await.0, 400);

    // One's token is nobody in the other's, and neither is the service's administrator.
    for (path, token) in [(one("red"), &blue), (one("blue"), &red), ("/api/v1/pods".to_owned(), &blue)] {
        assert_eq!(cluster.as_bearer(Method::GET, &path, token, &Value::Null).await.0, 401, "{path}");
    }
    assert_eq!(cluster.get(&one("blue")).await.0, 401);
    let inner = format!("/clusters/blue{CLUSTERS}");
    assert_eq!(cluster.as_bearer(Method::GET, &inner, &blue, &Value::Null).await.0, 404, "tenants see no tenants");
    assert_eq!(cluster.get("/clusters/green/api/v1/pods").await.0, 404);
    assert_eq!(cluster.get("/clusters/blue/readyz").await.0, 200);
}

#[tokio::test]
async fn a_name_can_be_taken_again_and_holds_nothing_of_before() {
    let cluster = Cluster::start(2).await;
    let first = create(&cluster, "blue").await;
    let (code, again) = cluster.ask(Method::POST, CLUSTERS, &json!({ "name": "blue" })).await;
    assert_eq!(code, 409, "{again}");
    for (body, wanted) in [(json!({ "name": "Not a label" }), 422), (json!({ "nome": "x" }), 400)] {
        assert_eq!(cluster.ask(Method::POST, CLUSTERS, &body).await.0, wanted, "{body}");
    }
    let space = json!({ "metadata": { "name": "mine" } });
    let spaces = "/clusters/blue/api/v1/namespaces";
    assert_eq!(cluster.as_bearer(Method::POST, spaces, &first, &space).await.0, 201);
    assert_eq!(cluster.ask(Method::DELETE, &format!("{CLUSTERS}/blue"), &Value::Null).await.0, 200);
    assert_eq!(cluster.as_bearer(Method::GET, spaces, &first, &Value::Null).await.0, 404);
    assert_eq!(cluster.ask(Method::DELETE, &format!("{CLUSTERS}/blue"), &Value::Null).await.0, 404);
    assert_eq!(cluster.ask(Method::DELETE, &format!("{CLUSTERS}/default"), &Value::Null).await.0, 403);
    let second = create(&cluster, "blue").await;
    assert_eq!(cluster.as_bearer(Method::GET, spaces, &first, &Value::Null).await.0, 401, "the former token");
    let (_, listed) = cluster.as_bearer(Method::GET, spaces, &second, &Value::Null).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);
    let names = cluster.get(CLUSTERS).await.1;
    let names: Vec<_> = names["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["default", "blue"]);
}

#[tokio::test]
async fn hosts_name_clusters_where_there_is_a_domain() {
    let config = crate::GatewayConfig { cluster_domain: Some("k8s.test".to_owned()), ..Default::default() };
    let cluster = Cluster::with(1, config).await;
    let token = create(&cluster, "blue").await;
    let ask = |host: &str, token: &str| {
        let request = Request::get("/api/v1/namespaces").header("host", host);
        let request = request.header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
        cluster.gateway.handle(request, None)
    };
    assert_eq!(read(ask("blue.k8s.test:6443", &token).await).await.0, 200);
    assert_eq!(read(ask("red.k8s.test", &token).await).await.0, 404);
    assert_eq!(read(ask("elsewhere.test", &token).await).await.0, 401, "the default cluster, where it is nobody");
    let request = Request::get("/api/v1/namespaces").header("host", "127.0.0.1").body(Body::empty()).unwrap();
    assert_eq!(read(cluster.gateway.handle(request, Some(Arc::new(master()))).await).await.0, 200);
}
