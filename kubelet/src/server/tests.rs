//! The server, over TLS.

mod streams;

use client::fake::manual_ambient;
use client::https::{HttpsOptions, HttpsTransport};
use client::kubeconfig::{Authorization, Identity as ClientIdentity, Scheme, Target};
use client::{BodyStream, Client, Transport};
use futures_util::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use super::*;
use crate::logs::Span;
use crate::logs::lines::Lines;

const START: i64 = 1_767_225_600_000_000 - 25_000_000;

fn key() -> Key {
    Key { namespace: "default".into(), name: "web".into() }
}

fn logs() -> Logs {
    let logs = Logs::default();
    logs.set_clock(manual_ambient());
    let life = Life {
        node: "node-7".into(),
        uid: "u".into(),
        containers: [("nginx".into(), "nginx:1.21".into())].into(),
        inits: 0,
        span: Span { start: START, end: None },
        previous: None,
    };
    logs.begin(&key(), life);
    logs
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn client(&self) -> ClientIdentity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        ClientIdentity {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

async fn serve(logs: Logs, client_ca: Option<&Authority>) -> (Server, CancellationToken) {
    let options = ServerOptions {
        listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        identity: Identity::SelfSigned(vec!["localhost".into()]),
        client_ca: client_ca.map(|ca| vec![ca.0.der().clone()]),
    };
    let shutdown = CancellationToken::new();
    (Server::start(options, logs, shutdown.clone()).unwrap(), shutdown)
}

fn transport(server: &Server, identity: Option<ClientIdentity>) -> Arc<dyn Transport> {
    let target = Target {
        scheme: Scheme::Https,
        host: "127.0.0.1".into(),
        port: server.address().port(),
        prefix: String::new(),
        ca: Vec::new(),
        insecure: true,
        tls_server_name: None,
        identity,
        authorization: Authorization::None,
        namespace: String::new(),
    };
    HttpsTransport::new(&target, HttpsOptions::new(manual_ambient())).unwrap()
}

async fn get(transport: &Arc<dyn Transport>, path: &str) -> (u16, String) {
    let (code, body) = open(transport, path).await;
    let chunks: Vec<_> = body.map(|chunk| chunk.unwrap()).collect().await;
    (code, String::from_utf8(chunks.concat()).unwrap())
}

async fn open(transport: &Arc<dyn Transport>, path: &str) -> (u16, BodyStream) {
    let answer = transport.send(Request::get(path).body(Bytes::new()).unwrap()).await.unwrap();
    (answer.status().as_u16(), answer.into_body())
}

#[tokio::test]
async fn logs_are_read_with_their_options() {
    let (server, _shutdown) = serve(logs(), None).await;
    let transport = transport(&server, None);
    let (code, text) = get(&transport, "/containerLogs/default/web/nginx").await;
    assert_eq!((code, text.lines().count()), (200, 3), "{text}");
    assert!(text.contains("node-7") && text.contains("nginx:1.21") && text.contains("simulated"), "{text}");
    for (query, lines) in [("tailLines=1", 1), ("tailLines=0", 0), ("sinceSeconds=16", 2), ("limitBytes=9", 1)] {
        let (_, text) = get(&transport, &format!("/containerLogs/default/web/nginx?{query}")).await;
        assert_eq!(text.lines().count(), lines, "{query}: {text}");
    }
    let (_, text) = get(&transport, "/containerLogs/default/web/nginx?limitBytes=9").await;
    assert_eq!(text.len(), 9);
    let (_, text) = get(&transport, "/containerLogs/default/web/nginx?timestamps=true&tailLines=1").await;
    assert!(text.starts_with("2025-12-31T23:59:55.000000Z 2025-12-31T23:59:55Z shardplane-sim: "), "{text}");
    for (path, code) in [
        ("/containerLogs/default/none/nginx", 404),
        ("/containerLogs/default/web/none", 404),
        ("/containerLogs/default/web/nginx?previous=true", 400),
        ("/containerLogs/default/web/nginx?tailLines=x", 400),
        ("/else", 404),
    ] {
        assert_eq!(get(&transport, path).await.0, code, "{path}");
    }
    let (_, pods) = get(&transport, "/pods").await;
    assert!(pods.contains("\"nodeName\":\"node-7\""), "{pods}");
}

#[tokio::test]
async fn a_follower_is_told_the_end() {
    let logs = logs();
    let (server, _shutdown) = serve(logs.clone(), None).await;
    let transport = transport(&server, None);
    let (_, mut body) = open(&transport, "/containerLogs/default/web/nginx?follow=true&tailLines=1").await;
    let first = String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.contains("has been running for 20 s"), "{first}");
    logs.finish(&key(), logs.now());
    let rest: Vec<_> = timeout(Duration::from_secs(5), body.map(|chunk| chunk.unwrap()).collect()).await.unwrap();
    let rest = String::from_utf8(rest.concat()).unwrap();
    assert!(rest.contains("ended after 25 s"), "{rest}");
    logs.restart(&key(), logs.now());
    let (code, text) = get(&transport, "/containerLogs/default/web/nginx?previous=true").await;
    assert_eq!((code, text), (200, [&*previous(&logs)].concat()));
}

fn previous(logs: &Logs) -> String {
    let life = logs.get(&key()).unwrap();
    let span = life.previous.unwrap();
    let lines = Lines { life: &life, pod: ("default", "web"), container: 0, span };
    (0..lines.count(logs.now())).map(|at| lines.text(at, false)).collect()
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let (own, other) = (Authority::new(), Authority::new());
    let (server, shutdown) = serve(logs(), Some(&own)).await;
    let stranger = transport(&server, None);
    assert_eq!(get(&stranger, "/containerLogs/default/web/nginx").await.0, 401);
    assert_eq!(get(&stranger, "/pods").await.0, 401);
    assert_eq!(get(&stranger, "/healthz").await, (200, "ok".to_owned()));
    let known = transport(&server, Some(own.client()));
    assert_eq!(get(&known, "/containerLogs/default/web/nginx").await.0, 200);
    let forged = Client::new(transport(&server, Some(other.client())), "test", manual_ambient());
    assert!(forged.raw_get("/pods").await.is_err());
    shutdown.cancel();
}
