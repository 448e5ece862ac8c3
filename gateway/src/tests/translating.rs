//! A client that has a WebSocket and a kubelet that speaks SPDY, with the gateway between them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use streaming::remote::{Outcome, Wishes, serve_spdy};
use streaming::spdy::Session;
use streaming::websocket::{Tunnel, ask};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::pki::Pki;
use crate::testing::{Cluster, ambient};
use crate::{GatewayConfig, KubeletAccess, PodAccess, tls};

type Io = TokioIo<hyper::upgrade::Upgraded>;

const ALL: Wishes = Wishes { stdin: true, stdout: true, stderr: false, tty: false };

/// What a kubelet does with a connection that it has agreed to.
async fn work(io: Io, path: String, ended: mpsc::Sender<&'static str>) {
    if path.starts_with("/portForward/") {
        let (_session, mut accept) = Session::server(io);
        while let (Some(error), Some(mut data)) = (accept.recv().await, accept.recv().await) {
            assert_eq!((error.header("streamtype"), data.header("streamtype")), ("error", "data"));
            let mut asked = [0; 4];
            data.read_exact(&mut asked).await.unwrap();
            data.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            data.shutdown().await.unwrap();
            let (_, mut silent) = error.split();
            silent.finish().await.unwrap();
        }
        return;
    }
    let mut remote = serve_spdy(io, "v4.channel.k8s.io", ALL).await.unwrap();
    let (mut stdin, mut stdout) = (remote.stdin.take().unwrap(), remote.stdout.take().unwrap());
    if path.contains("command=vanish") {
        return;
    }
    let gone = remote.gone.clone();
    let echo = async {
        while let Some(data) = stdin.next().await {
            stdout.send(data).await.unwrap();
        }
        stdout.finish().await.unwrap();
    };
    tokio::select! {
        () = echo => {}
        () = gone.cancelled() => return ended.send("gone").await.unwrap(),
    }
    drop((stdin, stdout));
    remote.ending.finish(&Outcome::Exit(9)).await.unwrap();
    ended.send("finished").await.unwrap();
}

/// A kubelet that speaks SPDY, and says how commands have ended. It knows only the pod `web`.
async fn kubelet(pki: &Pki) -> (u16, mpsc::Receiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(&pki.fleet(), Some(&pki.ca())).unwrap()));
    let (ended, ends) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, ended) = (acceptor.clone(), ended.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |mut request: Request<Incoming>| {
                    let ended = ended.clone();
                    async move {
                        let path = request.uri().to_string();
                        let spdy = request.headers().get("upgrade").is_some_and(|upgrade| upgrade == "SPDY/3.1");
                        if !path.contains("/web") || !spdy || request.headers().contains_key("sec-websocket-key") {
                            let answer = Response::builder().status(StatusCode::NOT_FOUND);
                            return answer.body(Full::new(Bytes::from("pod does not exist")));
                        }
                        let protocol = request.headers()["x-stream-protocol-version"].clone();
                        let upgrading = hyper::upgrade::on(&mut request);
                        tokio::spawn(async move { work(TokioIo::new(upgrading.await.unwrap()), path, ended).await });
                        let answer = Response::builder().status(101).header("connection", "Upgrade");
                        let answer = answer.header("x-stream-protocol-version", protocol);
                        answer.header("upgrade", "SPDY/3.1").body(Full::default())
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            });
        }
    });
    (port, ends)
}

struct Served {
    cluster: Cluster,
    pki: Pki,
    address: std::net::SocketAddr,
    ends: mpsc::Receiver<&'static str>,
    _place: tempfile::TempDir,
}

async fn serve() -> Served {
    let place = tempfile::tempdir().unwrap();
    let pki = Pki::ensure(place.path(), &[], &ambient()).unwrap();
    let identity = pki.kubelet_client();
    let (port, ends) = kubelet(&pki).await;
    let kubelets = KubeletAccess {
        identity: Some((identity.certificate, identity.key)),
        ca: Some(pki.ca()),
        allowed_internal: vec![format!("127.0.0.1:{port}")],
    };
    let config =
        GatewayConfig { client_ca: Some(pki.ca()), kubelets, pods: PodAccess::Kubelets, ..GatewayConfig::default() };
    let cluster = Cluster::with(1, config).await;
    let status = json!({
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
    });
    cluster.create("/api/v1/nodes", &json!({ "metadata": { "name": "node" }, "status": status })).await;
    let account = json!({ "metadata": { "name": "default" } });
    cluster.create("/api/v1/namespaces/default/serviceaccounts", &account).await;
    for name in ["web", "other"] {
        let spec = json!({ "nodeName": "node", "containers": [{ "name": "c", "image": "i" }] });
        let pod = json!({ "metadata": { "name": name }, "spec": spec });
        cluster.create("/api/v1/namespaces/default/pods", &pod).await;
        let ip = json!({ "status": { "podIP": "10.0.0.7", "podIPs": [{ "ip": "10.0.0.7" }] } });
        let path = format!("/api/v1/namespaces/default/pods/{name}/status");
        assert_eq!(cluster.ask(http::Method::PATCH, &path, &ip).await.0, 200);
    }
    let service = json!({ "metadata": { "name": "web" }, "spec": { "ports": [{ "port": 80 }] } });
    cluster.create("/api/v1/namespaces/default/services", &service).await;
    let slice = |name: &str, ip: &str| {
        json!({
            "metadata": { "name": name, "labels": { "kubernetes.io/service-name": "web" } }, "addressType": "IPv4",
            "ports": [{ "name": "", "port": 8080 }],
            "endpoints": [{ "addresses": [ip], "targetRef": { "kind": "Pod", "namespace": "default", "name": "web" } }],
        })
    };
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    cluster.create(slices, &slice("own", "10.0.0.7")).await;
    cluster.create(slices, &slice("forged", "10.9.9.9")).await;
    let listener = tls::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(cluster.gateway.clone().serve(listener, pki.server(), CancellationToken::new()));
    Served { cluster, pki, address, ends, _place: place }
}

impl Served {
    async fn websocket(&self, target: &str, protocol: &str) -> WebSocketStream<Io> {
        let admin = self.pki.admin();
        let identity = Some((admin.certificate, admin.key));
        let access = KubeletAccess { identity, ca: Some(self.pki.ca()), allowed_internal: Vec::new() };
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls::client::config(&access).unwrap()));
        let stream = TcpStream::connect(self.address).await.unwrap();
        let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let request = Request::get(target)
            .header("host", "x")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", protocol);
        let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 101, "{target}");
        assert_eq!(answer.headers()["sec-websocket-protocol"], protocol);
        ask(TokioIo::new(hyper::upgrade::on(answer).await.unwrap())).await
    }

    async fn exec(&self, pod: &str, command: &str) -> WebSocketStream<Io> {
        let path = format!("/api/v1/namespaces/default/pods/{pod}/exec?stdin=1&stdout=1&command={command}");
        self.websocket(&path, "v5.channel.k8s.io").await
    }
}

/// What each channel has said until the end.
async fn said(mut socket: WebSocketStream<Io>) -> [Vec<u8>; 5] {
    let mut said: [Vec<u8>; 5] = Default::default();
    let read = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Binary(data) = message {
                said[usize::from(data[0])].extend_from_slice(&data[1..]);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("the end");
    said
}

fn status(said: &[Vec<u8>; 5]) -> Value {
    serde_json::from_slice(&said[3]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_translated_whole() {
    let mut served = serve().await;
    let mut socket = served.exec("web", "cat").await;
    let typed: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
    let (mut sink, stream) = socket.split();
    let sent = typed.clone();
    let sending = tokio::spawn(async move {
        for piece in sent.chunks(10_000) {
            sink.send(Message::Binary([&[0], piece].concat().into())).await.unwrap();
        }
        sink.send(Message::Binary(Bytes::from_static(&[255, 0]))).await.unwrap();
        sink
    });
    let mut said: [Vec<u8>; 5] = Default::default();
    let mut stream = stream;
    while let Some(Ok(message)) = stream.next().await {
        if let Message::Binary(data) = message {
            said[usize::from(data[0])].extend_from_slice(&data[1..]);
        }
    }
    assert!(said[1] == typed, "{} bytes of {}", said[1].len(), typed.len());
    assert_eq!(status(&said)["details"]["causes"][0]["message"], "9", "the exit code arrives as the kubelet said it");
    socket = stream.reunite(sending.await.unwrap()).unwrap();
    drop(socket);
    assert_eq!(served.ends.recv().await, Some("finished"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_behind_is_said_on_the_channel_for_errors() {
    let served = serve().await;
    let refused = status(&said(served.exec("other", "ls").await).await);
    let message = "Internal error occurred: unable to upgrade connection: pod does not exist";
    assert_eq!((&refused["reason"], &refused["message"]), (&json!("InternalError"), &json!(message)));
    let vanished = status(&said(served.exec("web", "vanish").await).await);
    let message = "Internal error occurred: the kubelet has ended without a result";
    assert_eq!((&vanished["status"], &vanished["message"]), (&json!("Failure"), &json!(message)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_ends_its_command() {
    let mut served = serve().await;
    let mut socket = served.exec("web", "cat").await;
    socket.send(Message::Binary(Bytes::from_static(b"\0x"))).await.unwrap();
    // The echo says that the command runs.
    while socket.next().await.unwrap().unwrap().into_data() != b"\x01x"[..] {}
    drop(socket);
    let ended = tokio::time::timeout(Duration::from_secs(10), served.ends.recv()).await.expect("the kubelet notices");
    assert_eq!(ended, Some("gone"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_ends_at_the_gateway() {
    let served = serve().await;
    let path = "/api/v1/namespaces/default/pods/web/portforward";
    let socket = served.websocket(path, "SPDY/3.1+portforward.k8s.io").await;
    let session = Session::client(Tunnel::new(socket), None);
    for _ in 0..3 {
        let headers =
            |kind: &str| vec![("streamtype".to_owned(), kind.to_owned()), ("port".to_owned(), "80".to_owned())];
        let _error = session.open(headers("error")).await.unwrap();
        let mut data = session.open(headers("data")).await.unwrap();
        data.write_all(b"GET ").await.unwrap();
        let mut answer = String::new();
        data.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("ok"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_reached_through_the_kubelet_of_its_pod() {
    let served = serve().await;
    let base = "/api/v1/namespaces/default";
    for path in ["pods/web:8080/proxy/", "services/web:80/proxy/", "services/web/proxy/x"] {
        for _ in 0..3 {
            let (code, said) = served.cluster.get(&format!("{base}/{path}")).await;
            assert_eq!((code, &said), (200, &json!("ok")), "{path}: the forged endpoint is not tried");
        }
    }
    let (code, status) = served.cluster.get(&format!("{base}/pods/other:80/proxy/")).await;
    let message = "error trying to reach service: pod does not exist";
    assert_eq!((code, &status["message"]), (503, &json!(message)));
}
