//! exec, attach and port-forward, by the protocols that clients speak.

use client::fake::FakeApi;
use futures_util::SinkExt;
use http_body_util::Empty;
use hyper::upgrade::Upgraded;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use streaming::spdy::{Session, Stream};
use streaming::websocket::{Tunnel, ask};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;

type Io = TokioIo<Upgraded>;

struct Fleet {
    server: Server,
    logs: Logs,
    connector: TlsConnector,
    _shutdown: CancellationToken,
}

/// The Pod `web`, of which the API knows that its container names port 80.
async fn fleet() -> Fleet {
    let (logs, authority, key) = (logs(), Authority::new(), KeyPair::generate().unwrap());
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority.0).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let identity = Identity::Given(vec![certificate.der().clone()], key);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let shutdown = CancellationToken::new();
    let options = ServerOptions { listener, identity, client_ca: None };
    let server = Server::start(options, logs.clone(), shutdown.clone()).unwrap();
    let api = FakeApi::new();
    let pod = json!({
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "default", "uid": "u"},
        "spec": {"containers": [{"name": "nginx", "image": "nginx:1.21", "ports": [{"containerPort": 80}]}]},
        "status": {"podIP": "10.0.0.7"},
    });
    api.put("/api/v1/namespaces/default/pods/web", pod);
    logs.set_clients(Arc::new(move |_| api.client(manual_ambient())));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(tls.with_root_certificates(roots).with_no_client_auth()));
    Fleet { server, logs, connector, _shutdown: shutdown }
}

impl Fleet {
    /// Asks for another protocol; the answer, and what is behind it where the server agrees.
    async fn upgrade(&self, path: &str, headers: &[(&str, &str)]) -> (http::response::Parts, Result<Io, String>) {
        let tcp = TcpStream::connect(self.server.address()).await.unwrap();
        let stream = self.connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::post(path).header("host", "localhost").header("connection", "Upgrade");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (parts, body) = answer.into_parts();
            let text = body.collect().await.unwrap().to_bytes();
            return (parts, Err(String::from_utf8(text.to_vec()).unwrap()));
        }
        let mut answer = answer;
        let upgrading = hyper::upgrade::on(&mut answer);
        (answer.into_parts().0, Ok(TokioIo::new(upgrading.await.unwrap())))
    }

    async fn spdy(&self, path: &str, protocol: &str) -> Session {
        let headers = [("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", protocol)];
        let (answer, io) = self.upgrade(path, &headers).await;
        let io = io.unwrap();
        assert_eq!(answer.headers["x-stream-protocol-version"], protocol);
        Session::client(io, None)
    }

    async fn websocket(&self, path: &str, protocol: &str) -> Io {
        let headers = [
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", protocol),
        ];
        let (answer, io) = self.upgrade(path, &headers).await;
        let io = io.unwrap();
        assert_eq!(answer.headers["sec-websocket-protocol"], protocol);
        io
    }
}

async fn open(session: &Session, headers: &[(&str, &str)]) -> Stream {
    session.open(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()).await.unwrap()
}

async fn all(mut stream: Stream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn commands_run_over_spdy() {
    let fleet = fleet().await;
    let run = async |query: &str, typed: &str| {
        let session = fleet.spdy(&format!("/exec/default/web/nginx?{query}"), "v4.channel.k8s.io").await;
        let error = open(&session, &[("streamtype", "error")]).await;
        let stdout = open(&session, &[("streamtype", "stdout")]).await;
        if query.contains("input=1") {
            let mut stdin = open(&session, &[("streamtype", "stdin")]).await;
            stdin.write_all(typed.as_bytes()).await.unwrap();
            stdin.shutdown().await.unwrap();
        }
        (all(stdout).await, all(error).await)
    };
    let (out, status) = run("output=1&command=echo&command=hello%20there", "").await;
    assert_eq!((out.as_str(), status.as_str()), ("hello there\n", r#"{"metadata":{},"status":"Success"}"#));
    let (out, status) = run("output=1&input=1&command=cat", "typed").await;
    assert_eq!(out, "typed");
    assert!(status.contains("Success"), "{status}");
    let (_, status) = run("output=1&command=sh&command=-c&command=exit+3", "").await;
    assert!(status.contains(r#""causes":[{"message":"3","reason":"ExitCode"}]"#), "{status}");
    let (out, _) = run("output=1&input=1&command=sh&command=-c&command=cat%20%3E/tmp/kept", "kept").await;
    assert_eq!(out, "");
    assert_eq!(
        run("output=1&command=cat&command=/tmp/kept", "").await.0,
        "kept",
        "files last as long as the container"
    );
    fleet.logs.restart(&key(), fleet.logs.now());
    assert_eq!(run("output=1&command=cat&command=/tmp/kept", "").await.0, "", "and no longer");
}

#[tokio::test]
async fn a_terminal_echoes_and_corrects() {
    let fleet = fleet().await;
    let io = fleet.websocket("/exec/default/web/nginx?input=1&output=1&tty=1&command=sh", "v5.channel.k8s.io").await;
    let mut socket = ask(io).await;
    let typed = [b"\0".as_slice(), b"echo hx\x7fi\rexit 7\r"].concat();
    socket.send(tokio_tungstenite::tungstenite::Message::Binary(typed.into())).await.unwrap();
    let (mut shown, mut status) = (String::new(), String::new());
    while let Some(Ok(message)) = socket.next().await {
        let data = message.into_data();
        match data.first() {
            Some(1) => shown.push_str(std::str::from_utf8(&data[1..]).unwrap()),
            Some(3) if data.len() > 2 => status.push_str(std::str::from_utf8(&data[1..]).unwrap()),
            _ => {}
        }
    }
    assert!(shown.contains("echo hx\x08 \x08i\r\n") && shown.contains("hi\r\n"), "{shown:?}");
    assert!(status.contains("\"message\":\"7\""), "{status}");
}

#[tokio::test]
async fn what_is_attached_to_ends_with_the_container() {
    let fleet = fleet().await;
    let session = fleet.spdy("/attach/default/web/nginx?output=1", "v4.channel.k8s.io").await;
    let error = open(&session, &[("streamtype", "error")]).await;
    let stdout = open(&session, &[("streamtype", "stdout")]).await;
    let showing = tokio::spawn(all(stdout));
    // Once it is shown something it is attached.
    tokio::task::yield_now().await;
    fleet.logs.finish(&key(), fleet.logs.now());
    assert!(all(error).await.contains("Success"));
    let shown = showing.await.unwrap();
    assert!(shown.is_empty() || shown.contains("ended after"), "{shown}");
    let (answer, why) = fleet.upgrade("/attach/default/web/nginx?output=1", &[("upgrade", "SPDY/3.1")]).await;
    assert_eq!((answer.status.as_u16(), why.unwrap_err().as_str()), (500, "container not found (\"nginx\")"));
}

async fn forwarded(session: &Session, port: &str) -> (String, String) {
    let pair = |kind| [("streamtype", kind), ("port", port), ("requestid", "7")];
    let error = open(session, &pair("error")).await;
    let mut data = open(session, &pair("data")).await;
    // Who refuses may do it before this has come.
    let _ = data.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    (all(data).await, all(error).await)
}

#[tokio::test]
async fn ports_that_the_pod_names_answer() {
    let fleet = fleet().await;
    let bare = fleet.spdy("/portForward/default/web", "portforward.k8s.io").await;
    let io = fleet.websocket("/portForward/default/web", "SPDY/3.1+portforward.k8s.io").await;
    let tunnelled = Session::client(Tunnel::new(ask(io).await), None);
    for session in [bare, tunnelled] {
        for _ in 0..2 {
            let (page, error) = forwarded(&session, "80").await;
            assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("Nothing runs in it"), "{page}");
            assert_eq!(error, "");
        }
        let (page, error) = forwarded(&session, "81").await;
        assert_eq!(page, "");
        assert!(error.starts_with("error forwarding port 81 to pod web, uid u: "), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_agreed_on_is_said() {
    let fleet = fleet().await;
    let exec = "/exec/default/web/nginx?output=1&command=ls";
    for (path, headers, code, why) in [
        (exec, [("upgrade", "other"), ("x", "y")], 400, "Upgrade request required"),
        (exec, [("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v9.channel.k8s.io")], 403, "client supports"),
        ("/exec/default/web/nginx?command=ls", [("upgrade", "SPDY/3.1"), ("x", "y")], 400, "at least 1 of stdin"),
        ("/exec/default/none/nginx?output=1", [("upgrade", "SPDY/3.1"), ("x", "y")], 404, "pod does not exist"),
        ("/exec/default/web/none?output=1", [("upgrade", "SPDY/3.1"), ("x", "y")], 500, "container not found"),
        ("/portForward/default/web", [("upgrade", "other"), ("x", "y")], 400, "Upgrade request required"),
    ] {
        let (answer, said) = fleet.upgrade(path, &headers).await;
        let said = said.unwrap_err();
        assert!(answer.status.as_u16() == code && said.contains(why), "{path}: {} {said}", answer.status);
    }
}
