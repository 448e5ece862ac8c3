//! A webhook of a test's own, for admission or conversion: HTTPS with its own certificate, and a log of what it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// What a webhook does with a request.
pub enum Does {
    /// It answers a review, to which the uid is added.
    Answers(Value),
    /// It answers something else: code, headers and body.
    Says(u16, String),
    /// It reads the request, and nothing more.
    Hangs,
}

type Behaviour = dyn Fn(&str, &Value) -> Does + Send + Sync;

/// See the module. It serves until the test's process ends.
pub struct Webhook {
    pub address: SocketAddr,
    /// As clientConfig wants it.
    pub bundle: String,
    /// Path and request of each review.
    seen: Arc<Mutex<Vec<(String, Value)>>>,
    connections: Arc<AtomicUsize>,
}

impl Webhook {
    /// Behaves as told by path and `request` of the review.
    pub fn start(behaves: impl Fn(&str, &Value) -> Does + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), behaves)
    }

    /// The same at another address of this machine.
    pub fn start_at(ip: IpAddr, behaves: impl Fn(&str, &Value) -> Does + Send + Sync + 'static) -> Self {
        let names = ["127.0.0.1", "hook.default.svc", "behind.default.svc"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let webhook = Self {
            address: listener.local_addr().unwrap(),
            bundle: BASE64_STANDARD.encode(made.cert.pem()),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (seen, connections) = (webhook.seen.clone(), webhook.connections.clone());
        let (config, behaves): (_, Arc<Behaviour>) = (Arc::new(config), Arc::new(behaves));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let (config, seen, behaves) = (config.clone(), seen.clone(), behaves.clone());
                std::thread::spawn(move || serve(stream, config, &seen, &*behaves));
            }
        });
        webhook
    }

    /// The reviews of a path so far.
    pub fn seen(&self, path: &str) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(at, _)| at == path).map(|(_, request)| request.clone()).collect()
    }

    /// Those of paths that are asked for an object of that name, in order.
    pub fn paths_for(&self, name: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(_, request)| request["name"] == name).map(|(at, _)| at.clone()).collect()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// clientConfig that leads to a path of it.
    pub fn client(&self, path: &str) -> Value {
        json!({"url": format!("https://{}{path}", self.address), "caBundle": self.bundle})
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, seen: &Mutex<Vec<(String, Value)>>, behaves: &Behaviour) {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream));
    while let Some((path, body)) = request(&mut stream) {
        let review: Value = serde_json::from_slice(&body).unwrap();
        let asked = &review["request"];
        seen.lock().unwrap().push((path.clone(), asked.clone()));
        let (head, body) = match behaves(&path, asked) {
            Does::Answers(mut response) => {
                response["uid"] = asked["uid"].clone();
                let answer = json!({"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response});
                ("200 OK".to_owned(), answer.to_string())
            }
            Does::Says(code, text) => (format!("{code} Told"), text),
            Does::Hangs => {
                let _ = stream.read(&mut [0]);
                return;
            }
        };
        // Where a redirect leads has to be refused, too.
        let location = "location: https://127.0.0.1:1/\r\n";
        let answer = format!("HTTP/1.1 {head}\r\n{location}content-length: {}\r\n\r\n{body}", body.len());
        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Path and body of the next request on a connection.
fn request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut path, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if path.is_none() {
            let target = line.split_whitespace().nth(1)?;
            path = Some(target.split('?').next()?.to_owned());
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((path?, body))
}
