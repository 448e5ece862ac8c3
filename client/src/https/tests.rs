use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use futures_util::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::fake::manual_ambient;
use crate::kubeconfig::{Authorization, Scheme};
use crate::{Client, ClientError};

struct Server {
    target: Target,
    connections: Arc<AtomicU32>,
    /// How many more pieces of slow answers may be sent.
    pieces: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Stops, and returns when all its sockets are closed.
    async fn stopped(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

type Body = BoxBody<Bytes, std::convert::Infallible>;

fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed()
}

async fn answer(request: hyper::Request<Incoming>, seen: u32, pieces: Arc<Semaphore>) -> hyper::Response<Body> {
    let header = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    let about = serde_json::json!({
        "path": request.uri().path(), "version": format!("{:?}", request.version()), "connection": seen,
        "authorization": header("authorization"), "agent": header("user-agent"),
    });
    match request.uri().path() {
        "/p/slow" => {
            let chunks = futures_util::stream::unfold(0u32, move |at| {
                let pieces = pieces.clone();
                async move {
                    pieces.acquire().await.unwrap().forget();
                    let line = format!("{{\"type\":\"ADDED\",\"object\":{at}}}\n");
                    (at < 3).then(|| (Ok(Frame::data(Bytes::from(line))), at + 1))
                }
            });
            hyper::Response::new(BodyExt::boxed(StreamBody::new(chunks)))
        }
        "/p/forbidden" => hyper::Response::builder().status(403).body(whole("no")).unwrap(),
        _ => hyper::Response::new(whole(about.to_string())),
    }
}

async fn serve(alpn: &[&[u8]], port: u16) -> Server {
    let made = rcgen::generate_simple_self_signed(vec!["kubernetes".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (connections, stop) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
    let (pieces, tasks) = (Arc::new(Semaphore::new(0)), TaskTracker::new());
    let (count, stopped, few, tracker) = (connections.clone(), stop.clone(), pieces.clone(), tasks.clone());
    tasks.spawn(async move {
        while let Some(Ok((tcp, _))) = stopped.run_until_cancelled(listener.accept()).await {
            let (acceptor, seen, stopped) = (acceptor.clone(), count.fetch_add(1, Ordering::SeqCst), stopped.clone());
            let few = few.clone();
            tracker.spawn(async move {
                let Ok(stream) = acceptor.accept(tcp).await else { return };
                let service = service_fn(move |request| {
                    let answer = answer(request, seen, few.clone());
                    async move { Ok::<_, std::convert::Infallible>(answer.await) }
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let serving = builder.serve_connection(TokioIo::new(stream), service);
                stopped.run_until_cancelled(serving).await;
            });
        }
    });
    let target = Target {
        scheme: Scheme::Https,
        host: "127.0.0.1".into(),
        port,
        prefix: "/p".into(),
        ca: vec![made.cert.der().clone()],
        insecure: false,
        tls_server_name: Some("kubernetes".into()),
        identity: None,
        authorization: Authorization::Token("t0ken".into()),
        namespace: "default".into(),
    };
    Server { target, connections, pieces, stop, tasks }
}

fn client(server: &Server) -> Client {
    let transport = HttpsTransport::new(&server.target, HttpsOptions::new(manual_ambient())).unwrap();
    Client::new(transport, "tester/1", manual_ambient())
}

async fn ask(client: &Client, path: &str) -> serde_json::Value {
    serde_json::from_slice(&client.raw_get(path).await.unwrap()).unwrap()
}

#[tokio::test]
async fn http2_is_preferred_and_shared() {
    let server = serve(&[b"h2", b"http/1.1"], 0).await;
    let client = client(&server);
    let asked = futures_util::future::join_all((0..20).map(|_| ask(&client, "/x?y=z"))).await;
    assert!(asked.iter().all(|about| about["version"] == "HTTP/2.0" && about["path"] == "/p/x"), "{asked:?}");
    assert_eq!((&asked[0]["authorization"], &asked[0]["agent"]), (&"Bearer t0ken".into(), &"tester/1".into()));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn http1_is_the_way_back_and_its_connections_are_used_again() {
    let server = serve(&[b"http/1.1"], 0).await;
    let client = client(&server);
    for _ in 0..20 {
        assert_eq!(ask(&client, "/x").await["version"], "HTTP/1.1");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    let error = client.raw_get("/forbidden").await.unwrap_err();
    assert!(matches!(&error, ClientError::Status { code: 403, reason, .. } if reason == "Forbidden"), "{error:?}");
}

#[tokio::test]
async fn a_body_arrives_in_pieces() {
    for alpn in [b"h2".as_slice(), b"http/1.1"] {
        let server = serve(&[alpn], 0).await;
        let transport = HttpsTransport::new(&server.target, HttpsOptions::new(manual_ambient())).unwrap();
        let answer = transport.send(Request::get("/slow").body(Bytes::new()).unwrap()).await.unwrap();
        let mut body = answer.into_body();
        for at in 0..3 {
            // The next piece leaves when this one has come.
            server.pieces.add_permits(1);
            let piece = body.next().await.unwrap().unwrap();
            assert_eq!(piece, format!("{{\"type\":\"ADDED\",\"object\":{at}}}\n"));
        }
        server.pieces.add_permits(1);
        while let Some(end) = body.next().await {
            assert!(end.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_full_connection_gets_company() {
    let server = serve(&[b"h2"], 0).await;
    let options = HttpsOptions { streams: 2, ..HttpsOptions::new(manual_ambient()) };
    let transport = HttpsTransport::new(&server.target, options).unwrap();
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(transport.send(Request::get("/slow").body(Bytes::new()).unwrap()).await.unwrap());
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn it_connects_again_after_a_restart() {
    let mut server = serve(&[b"h2"], 0).await;
    let port = server.target.port;
    let client = client(&server);
    ask(&client, "/x").await;
    server.stopped().await;
    // Until the client has read that the connection is closed it may still send on it.
    let mut tries = 0..100;
    loop {
        let made = client.create::<serde_json::Value>(&crate::known::PODS, "a", &serde_json::json!({})).await;
        match made.unwrap_err() {
            ClientError::Transport(error) if !error.sent => break,
            ClientError::Transport(_) if tries.next().is_some() => {}
            other => panic!("{other:?}"),
        }
    }
    // The new server has a new certificate, which this client does not trust.
    server = serve(&[b"h2"], port).await;
    // The pause before it tries again is over.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    let error = client.raw_get("/x").await.unwrap_err().to_string();
    assert!(error.contains("no TLS with"), "{error}");
    server.target.ca.clear();
    server.target.insecure = true;
    assert_eq!(ask(&self::client(&server), "/x").await["path"], "/p/x");
}
