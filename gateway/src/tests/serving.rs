//! The same over TLS, as clients see it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::pki::Pki;
use crate::testing::{Cluster, ambient};
use crate::{GatewayConfig, KubeletAccess, tls};

struct Served {
    _cluster: Cluster,
    _place: tempfile::TempDir,
    pki: Pki,
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<Result<(), tls::ServeError>>,
}

async fn serve() -> Served {
    let place = tempfile::tempdir().unwrap();
    let pki = Pki::ensure(place.path(), &[], &ambient()).unwrap();
    let config = GatewayConfig { client_ca: Some(pki.ca()), ..GatewayConfig::default() };
    let cluster = Cluster::with(1, config).await;
    let listener = tls::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(cluster.gateway.clone().serve(listener, pki.server(), shutdown.clone()));
    Served { _cluster: cluster, _place: place, pki, address, shutdown, serving }
}

impl Served {
    /// Asks over a connection of its own, by HTTP/2 or HTTP/1.1, with the administrator's certificate or none.
    async fn ask(&self, path: &str, protocol: &str, known: bool) -> Result<Response<Incoming>, String> {
        let admin = self.pki.admin();
        let identity = known.then_some((admin.certificate, admin.key));
        let access = KubeletAccess { identity, ca: Some(self.pki.ca()), allowed_internal: Vec::new() };
        let mut tls = tls::client::config(&access).unwrap();
        tls.alpn_protocols = vec![protocol.into()];
        let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
        let name = "localhost".try_into().unwrap();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.map_err(|e| e.to_string())?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        let stream = TokioIo::new(stream);
        let request = Request::get(format!("https://localhost{path}")).header("host", "localhost");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        if protocol == "h2" {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.map_err(|error| error.to_string())
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.map_err(|error| error.to_string())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_say_who_asks() {
    let served = serve().await;
    for protocol in ["h2", "http/1.1"] {
        let response = served.ask("/api/v1/namespaces", protocol, true).await.unwrap();
        assert_eq!(response.status(), 200);
        let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), length);
        assert_eq!(served.ask("/api/v1/namespaces", protocol, false).await.unwrap().status(), 401);
        assert_eq!(served.ask("/readyz", protocol, false).await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_ends_watches_within_its_grace() {
    let served = serve().await;
    let mut watches = Vec::new();
    for protocol in ["h2", "http/1.1"] {
        let response = served.ask("/api/v1/configmaps?watch=1&resourceVersion=0", protocol, true).await.unwrap();
        assert_eq!(response.status(), 200);
        watches.push(response.into_body());
    }
    let began = Instant::now();
    served.shutdown.cancel();
    for watch in watches {
        let end = tokio::time::timeout(Duration::from_secs(1), watch.collect()).await.expect("watches end at once");
        assert!(end.is_ok(), "and cleanly: {end:?}");
    }
    served.serving.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert!(TcpStream::connect(served.address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_one_clear_line() {
    let first = tls::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let address = first.local_addr().unwrap();
    let error = tls::listen(address).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {address}: ")) && !error.contains('\n'), "{error}");
}
