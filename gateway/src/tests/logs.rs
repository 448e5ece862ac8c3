//! Logs, asked of a kubelet that speaks TLS and wants to know who asks.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::pki::Pki;
use crate::testing::{Cluster, ambient};
use crate::{GatewayConfig, KubeletAccess, tls};

/// Answers with what it was asked and by whom; container `new` has not started.
async fn kubelet(pki: &Pki) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(&pki.fleet(), Some(&pki.ca())).unwrap()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let chain = stream.get_ref().1.peer_certificates();
                let user = chain.and_then(|chain| crate::authn::certificate_user(&chain[0]));
                let user = user.map_or("nobody".to_owned(), |user| user.name.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let waiting = request.uri().path().ends_with("/new");
                    let text = match waiting {
                        true => "container \"new\" in pod \"web\" is waiting to start: ContainerCreating".to_owned(),
                        false => format!("{} by {user}\n", request.uri()),
                    };
                    let mut response = Response::new(Full::new(Bytes::from(text)));
                    if waiting {
                        *response.status_mut() = StatusCode::BAD_REQUEST;
                    }
                    async move { Ok::<_, std::convert::Infallible>(response) }
                });
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

async fn cluster(allowed: &[&str]) -> (Cluster, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    let pki = Pki::ensure(place.path(), &[], &ambient()).unwrap();
    let identity = pki.kubelet_client();
    let kubelets = KubeletAccess {
        identity: Some((identity.certificate, identity.key)),
        ca: Some(pki.ca()),
        allowed_internal: allowed.iter().map(|rule| (*rule).to_owned()).collect(),
    };
    let cluster = Cluster::with(2, GatewayConfig { kubelets, ..GatewayConfig::default() }).await;
    let port = kubelet(&pki).await;
    let status = json!({
        "addresses": [{ "type": "Hostname", "address": "node" }, { "type": "InternalIP", "address": "127.0.0.1" }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
    });
    cluster.create("/api/v1/nodes", &json!({ "metadata": { "name": "node" }, "status": status })).await;
    let account = json!({ "metadata": { "name": "default" } });
    cluster.create("/api/v1/namespaces/default/serviceaccounts", &account).await;
    for (name, node) in [("web", Some("node")), ("waiting", None)] {
        let container = |name: &str| json!({ "name": name, "image": "i" });
        let mut spec = json!({ "containers": [container("old"), container("new")] });
        if let Some(node) = node {
            spec["nodeName"] = json!(node);
        }
        let pod = json!({ "metadata": { "name": name }, "spec": spec });
        cluster.create("/api/v1/namespaces/default/pods", &pod).await;
    }
    (cluster, place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_come_from_the_kubelet() {
    let (cluster, _place) = cluster(&["127.0.0.1"]).await;
    let log = |rest: &str| {
        let (cluster, path) = (&cluster, format!("/api/v1/namespaces/default/pods/{rest}"));
        async move { cluster.get(&path).await }
    };
    let (code, text) = log("web/log?container=old&tailLines=5&evil=1").await;
    let expected = "/containerLogs/default/web/old?tailLines=5 by kube-apiserver-kubelet-client\n";
    assert_eq!((code, text), (200, Value::from(expected)));
    let (code, status) = log("web/log").await;
    let message = "a container name must be specified for pod web, choose one of: [old new]";
    assert_eq!((code, &status["message"]), (400, &json!(message)));
    let (code, status) = log("web/log?container=new").await;
    let message = "container \"new\" in pod \"web\" is waiting to start: ContainerCreating";
    assert_eq!((code, &status["message"]), (400, &json!(message)));
    assert_eq!(log("waiting/log?container=old").await, (204, json!("")), "on no node yet");
    let (code, status) = log("web/log?container=old&tailLines=-1").await;
    assert_eq!((code, &status["details"]["causes"][0]["field"]), (422, &json!("tailLines")), "{status}");
    assert_eq!(log("nobody/log").await.0, 404);
    assert_eq!(cluster.ask(Method::POST, "/api/v1/namespaces/default/pods/web/log", &Value::Null).await.0, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_points_inside_is_refused() {
    let (cluster, _place) = cluster(&[]).await;
    let (code, status) = cluster.get("/api/v1/namespaces/default/pods/web/log?container=old").await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")), "{status}");
}
