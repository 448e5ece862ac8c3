//! What is passed on: to a pod, a service or a node by `proxy`, and to a kubelet with an upgrade.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::pki::Pki;
use crate::testing::{Cluster, ambient};
use crate::{GatewayConfig, KubeletAccess, tls};

type Answer = Response<Full<Bytes>>;

/// Says what it was asked. Some paths answer something else.
async fn echo(request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let headers: serde_json::Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().into()))
        .collect();
    let said = json!({
        "method": parts.method.as_str(), "target": parts.uri.to_string(), "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    let answer = Response::builder().header("x-app", "kept").header("connection", "x-hop").header("x-hop", "1");
    let (answer, text) = match parts.uri.path() {
        "/page" => (answer.header("content-type", "text/html"), r#"<a href="/x">x</a>"#.to_owned()),
        "/moved" => (answer.status(302).header("location", "/to/"), String::new()),
        "/broken" => (answer.status(500), "it broke".to_owned()),
        _ => (answer.header("content-type", "application/json"), said.to_string()),
    };
    answer.body(Full::new(Bytes::from(text))).unwrap()
}

/// A pod's port, which speaks HTTP.
async fn pod() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request| async { Ok::<_, std::convert::Infallible>(echo(request).await) });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(async move { server.serve_connection(TokioIo::new(stream), service).await });
        }
    });
    address
}

/// Agrees to what is asked for with `/exec`, and says everything twice from then on. Refuses the rest.
async fn kubelet(pki: &Pki) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(&pki.fleet(), Some(&pki.ca())).unwrap()));
    let agree = |mut request: Request<Incoming>| async move {
        let (path, agreed) = (request.uri().to_string(), request.uri().path().starts_with("/exec/"));
        let headers = request.headers().clone();
        if !agreed {
            let answer = Response::builder().status(StatusCode::NOT_FOUND);
            return Ok::<_, std::convert::Infallible>(
                answer.body(Full::new(Bytes::from("pod does not exist"))).unwrap(),
            );
        }
        tokio::spawn(async move {
            let mut stream = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..length].repeat(2)).await.unwrap();
                stream.flush().await.unwrap();
            }
        });
        let answer = Response::builder().status(101).header("connection", "Upgrade").header("x-asked", path);
        let answer = answer.header("upgrade", &headers["upgrade"]);
        let answer = answer.header("x-version", &headers["x-stream-protocol-version"]);
        let known = headers.contains_key("authorization");
        Ok(answer.header("x-credentials", known.to_string()).body(Full::default()).unwrap())
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), service_fn(agree)).with_upgrades().await;
            });
        }
    });
    port
}

struct Served {
    cluster: Cluster,
    pki: Pki,
    address: SocketAddr,
    shutdown: CancellationToken,
    _place: tempfile::TempDir,
}

/// A gateway over TLS, a node, and the pod `web` with its service on it.
async fn serve(proxy_allow: &[&str]) -> Served {
    let place = tempfile::tempdir().unwrap();
    let pki = Pki::ensure(place.path(), &[], &ambient()).unwrap();
    let identity = pki.kubelet_client();
    let kubelets = KubeletAccess {
        identity: Some((identity.certificate, identity.key)),
        ca: Some(pki.ca()),
        allowed_internal: vec!["127.0.0.1".to_owned()],
    };
    let proxy_allow = proxy_allow.iter().map(|rule| (*rule).to_owned()).collect();
    let config = GatewayConfig { client_ca: Some(pki.ca()), kubelets, proxy_allow, ..GatewayConfig::default() };
    let cluster = Cluster::with(1, config).await;
    let (kubelet, pod) = (kubelet(&pki).await, pod().await);
    let status = json!({
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": kubelet } },
    });
    cluster.create("/api/v1/nodes", &json!({ "metadata": { "name": "node" }, "status": status })).await;
    let account = json!({ "metadata": { "name": "default" } });
    cluster.create("/api/v1/namespaces/default/serviceaccounts", &account).await;
    let container = json!({ "name": "c", "image": "i", "ports": [{ "containerPort": pod.port() }] });
    let web = json!({ "metadata": { "name": "web" }, "spec": { "nodeName": "node", "containers": [container] } });
    cluster.create("/api/v1/namespaces/default/pods", &web).await;
    let ip = json!({ "status": { "podIP": "127.0.0.1", "podIPs": [{ "ip": "127.0.0.1" }] } });
    let path = "/api/v1/namespaces/default/pods/web/status";
    assert_eq!(cluster.ask(http::Method::PATCH, path, &ip).await.0, 200);
    let service = json!({ "metadata": { "name": "web" }, "spec": { "ports": [{ "name": "http", "port": 80 }] } });
    cluster.create("/api/v1/namespaces/default/services", &service).await;
    let slice = |name: &str, ip: &str| {
        json!({
            "metadata": { "name": name, "labels": { "kubernetes.io/service-name": "web" } }, "addressType": "IPv4",
            "ports": [{ "name": "http", "port": pod.port() }],
            "endpoints": [{ "addresses": [ip], "targetRef": { "kind": "Pod", "namespace": "default", "name": "web" } }],
        })
    };
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    cluster.create(slices, &slice("forged", "10.9.9.9")).await;
    let listener = tls::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(cluster.gateway.clone().serve(listener, pki.server(), shutdown.clone()));
    Served { cluster, pki, address, shutdown, _place: place }
}

impl Served {
    async fn connect(&self) -> TlsStream<TcpStream> {
        let admin = self.pki.admin();
        let identity = Some((admin.certificate, admin.key));
        let access = KubeletAccess { identity, ca: Some(self.pki.ca()), allowed_internal: Vec::new() };
        let tls = tls::client::config(&access).unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
        connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
    }

    /// A request by HTTP/1.1: code, headers and body.
    async fn ask(&self, head: &str, body: &str) -> (u16, String, String) {
        let mut stream = self.connect().await;
        let length = body.len();
        let request =
            format!("{head}\r\nhost: api.example.com\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("an end");
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    /// The head of an answer to an upgrade, and the stream behind it.
    async fn upgrade(&self, target: &str) -> (String, TlsStream<TcpStream>) {
        let mut stream = self.connect().await;
        let request = format!(
            "POST {target} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\
             x-stream-protocol-version: v4.channel.k8s.io\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        (String::from_utf8(head).unwrap().to_ascii_lowercase(), stream)
    }
}

const POD: &str = "/api/v1/namespaces/default/pods/web";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_request_reaches_a_pod() {
    let served = serve(&["127.0.0.1"]).await;
    let head = format!(
        "PATCH {POD}/proxy/a%2Fb/?c=d&c=e HTTP/1.1\r\nauthorization: Bearer x\r\nx-own: 1\r\nte: trailers\r\nuser-agent: u"
    );
    let (code, headers, body) = served.ask(&head, "hello").await;
    assert_eq!(code, 200, "{body}");
    assert!(headers.contains("x-app: kept") && !headers.contains("x-hop"), "{headers}");
    let said: Value =
        serde_json::from_str(body.split("\r\n").find(|line| line.starts_with('{')).unwrap_or(&body)).unwrap();
    assert_eq!((&said["method"], &said["target"]), (&json!("PATCH"), &json!("/a%2Fb/?c=d&c=e")));
    assert_eq!(said["body"], "hello");
    let own = |name: &str| said["headers"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!((own("host").as_str(), own("x-own").as_str()), ("api.example.com", "1"));
    assert_eq!((own("authorization").as_str(), own("te").as_str()), ("", ""));
    assert_eq!(own("x-forwarded-for"), "127.0.0.1");
    assert_eq!(own("x-forwarded-uri"), format!("{POD}/proxy/a%2Fb/"));

    let (code, headers, _) = served.ask(&format!("GET {POD}/proxy?x=1 HTTP/1.1"), "").await;
    assert!(code == 301 && headers.contains(&format!("location: {POD}/proxy/?x=1")), "{headers}");
    let (code, headers, _) = served.ask(&format!("GET {POD}/proxy/moved HTTP/1.1"), "").await;
    assert!(code == 302 && headers.contains(&format!("location: {POD}/proxy/to/")), "{headers}");
    let (_, _, body) = served.ask(&format!("GET {POD}/proxy/page HTTP/1.1"), "").await;
    assert!(body.contains(&format!("<a href=\"{POD}/proxy/x\">")), "{body}");
    let (code, _, body) = served.ask(&format!("GET {POD}/proxy/broken HTTP/1.1"), "").await;
    assert_eq!((code, body.as_str()), (500, "it broke"), "as the pod said it");
    assert_eq!(served.ask(&format!("TRACE {POD}/proxy/ HTTP/1.1"), "").await.0, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_leads_to_none_but_its_pods() {
    let served = serve(&["127.0.0.1"]).await;
    let base = "/api/v1/namespaces/default/services";
    for (name, code, message) in [
        ("web:80", 503, "no endpoints available for service \"web:80\""),
        ("http:web:http", 503, "no endpoints available for service \"http:web:http\""),
        ("web", 503, "no endpoints available for service \"web\""),
        ("web:81", 503, "no service port 81 found for service \"web\""),
        ("nobody:80", 404, "services \"nobody\" not found"),
        ("ftp:web:80", 400, "invalid service request \"ftp:web:80\""),
    ] {
        let (answered, status) = served.cluster.get(&format!("{base}/{name}/proxy/x")).await;
        assert_eq!((answered, &status["message"]), (code, &json!(message)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_inside_is_not_reached_by_proxy() {
    let served = serve(&[]).await;
    for path in [format!("{POD}/proxy/"), "/api/v1/nodes/node:22/proxy/".to_owned()] {
        let (code, status) = served.cluster.get(&path).await;
        assert_eq!((code, &status["message"]), (400, &json!("address not allowed")), "{path}");
    }
    let (code, said) = served.cluster.get("/api/v1/nodes/node/proxy/healthz").await;
    assert_eq!((code, said), (404, json!("pod does not exist")), "but the node's own kubelet is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let served = serve(&[]).await;
    let (head, mut stream) = served.upgrade(&format!("{POD}/exec?command=ls&command=-l&stdout=true")).await;
    assert!(head.starts_with("http/1.1 101 ") && head.contains("upgrade: spdy/3.1"), "{head}");
    assert!(head.contains("x-asked: /exec/default/web/c?output=1&command=ls&command=-l"), "{head}");
    assert!(head.contains("x-version: v4.channel.k8s.io") && head.contains("x-credentials: false"), "{head}");
    stream.write_all(b"abc").await.unwrap();
    let mut said = [0; 6];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"abcabc");
    let metrics = served.cluster.text("/metrics").await;
    let open = "apiserver_longrunning_requests{logical_cluster=\"default\",verb=\"CONNECT\",group=\"\",version=\"v1\",\
                resource=\"pods\",subresource=\"exec\",scope=\"resource\"} 1";
    assert!(metrics.contains(open), "{metrics}");

    let (head, _stream) = served.upgrade(&format!("{POD}/attach")).await;
    assert!(head.starts_with("http/1.1 404 "), "what the kubelet refuses is refused: {head}");
    served.shutdown.cancel();
    let end = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut said)).await.expect("a stop ends it");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_an_upgrade_are_told_so() {
    let served = serve(&[]).await;
    let post = async |path: &str| {
        let (code, status) = served.cluster.ask(http::Method::POST, path, &Value::Null).await;
        (code, status["message"].as_str().unwrap_or_default().to_owned())
    };
    let base = "/api/v1/namespaces/default/pods";
    assert_eq!(post(&format!("{base}/web/exec?command=ls")).await, (400, "Upgrade request required".to_owned()));
    let message = "container z is not valid for pod web";
    assert_eq!(post(&format!("{base}/web/attach?container=z")).await, (400, message.to_owned()));
    assert_eq!(post(&format!("{base}/nobody/exec")).await, (404, "pods \"nobody\" not found".to_owned()));
    let waiting =
        json!({ "metadata": { "name": "waiting" }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    served.cluster.create(base, &waiting).await;
    let message = "pod waiting does not have a host assigned";
    assert_eq!(post(&format!("{base}/waiting/portforward")).await, (400, message.to_owned()));
    assert_eq!(post(&format!("{base}/web/exec?dryRun=All")).await, (400, "dryRun is not supported".to_owned()));
    assert_eq!(post(&format!("{base}/web/exec/x")).await.0, 404);
    assert_eq!(served.cluster.ask(http::Method::PUT, &format!("{base}/web/exec"), &Value::Null).await.0, 405);
}
