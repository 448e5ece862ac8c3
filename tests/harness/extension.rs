//! An API server of a test's own, to be aggregated: HTTPS with its own certificate, which asks for a client's.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the client showed a certificate of the CA that it is to believe.
    pub is_known: bool,
}

impl Asked {
    /// The values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(have, _)| have == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// What it answers.
pub enum Says {
    Json(u16, Value),
    /// Lines as they come, until the other end of the channel is dropped.
    Lines(Receiver<String>),
}

type Behaviour = dyn Fn(&Asked) -> Says + Send + Sync;

/// See the module. It serves until the test's process ends.
pub struct Extension {
    pub address: SocketAddr,
    /// As caBundle wants it.
    pub bundle: String,
    seen: Arc<Mutex<Vec<Asked>>>,
}

impl Extension {
    /// Serves as the Service of that name in `default` would; `clients` is PEM of the CA that it believes.
    pub fn start(
        ip: IpAddr,
        service: &str,
        clients: &str,
        behaves: impl Fn(&Asked) -> Says + Send + Sync + 'static,
    ) -> Self {
        let made = rcgen::generate_simple_self_signed([format!("{service}.default.svc")]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(clients.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let extension = Self {
            address: listener.local_addr().unwrap(),
            bundle: BASE64_STANDARD.encode(made.cert.pem()),
            seen: Arc::default(),
        };
        let seen = extension.seen.clone();
        let (config, behaves): (_, Arc<Behaviour>) = (Arc::new(config), Arc::new(behaves));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, seen, behaves) = (config.clone(), seen.clone(), behaves.clone());
                std::thread::spawn(move || serve(stream, config, &seen, &*behaves));
            }
        });
        extension
    }

    /// What it was asked below a path, so far.
    pub fn seen(&self, path: &str) -> Vec<Asked> {
        self.seen.lock().unwrap().iter().filter(|asked| asked.target.starts_with(path)).cloned().collect()
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, seen: &Mutex<Vec<Asked>>, behaves: &Behaviour) {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream));
    while let Some(mut asked) = request(&mut stream) {
        asked.is_known = stream.get_ref().conn.peer_certificates().is_some();
        seen.lock().unwrap().push(asked.clone());
        let to = stream.get_mut();
        let head = |code: u16, length: &str| {
            format!("HTTP/1.1 {code} Told\r\ncontent-type: application/json\r\nx-from: extension\r\n{length}\r\n\r\n")
        };
        let written = match behaves(&asked) {
            Says::Json(code, value) => {
                let body = value.to_string();
                to.write_all(format!("{}{body}", head(code, &format!("content-length: {}", body.len()))).as_bytes())
            }
            Says::Lines(lines) => {
                let begun = to.write_all(head(200, "transfer-encoding: chunked").as_bytes());
                let mut chunk = |text: &str| {
                    to.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).and_then(|()| to.flush())
                };
                begun
                    .and_then(|()| lines.iter().try_for_each(|line| chunk(&format!("{line}\n"))))
                    .and_then(|()| chunk(""))
            }
        };
        if written.and_then(|()| stream.get_mut().flush()).is_err() {
            return;
        }
    }
}

fn request(stream: &mut impl BufRead) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let of = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let body = match (of("content-length"), of("transfer-encoding")) {
        (Some(length), _) => {
            let mut body = vec![0; length.parse().ok()?];
            stream.read_exact(&mut body).ok()?;
            body
        }
        (None, Some(_)) => chunks(stream)?,
        (None, None) => Vec::new(),
    };
    Some(Asked { method, target, headers, body, is_known: false })
}

fn chunks(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim_end(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(&chunk[..length]);
        if length == 0 {
            return Some(body);
        }
    }
}
