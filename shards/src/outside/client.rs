//! HTTPS calls to one server. Connections are kept for the next one; redirects are not followed.

use std::error::Error;
use std::sync::{Arc, OnceLock};

use api::Value;
use api::document::Document;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::Place;
use super::{Caller, tls};

/// The longest answer that is read.
const ANSWER: usize = 8 << 20;
/// Connections that are kept without a request.
const IDLE: usize = 8;
/// How much of an answer that is none is shown.
const SHOWN: usize = 512;

/// The way to one server.
pub struct Client {
    place: Result<Place, String>,
    path: String,
    bundle: String,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
    idle: Mutex<Vec<Connection>>,
}

type Connection = SendRequest<Full<Bytes>>;

impl Client {
    /// Of a clientConfig.
    pub fn new(config: &Value) -> Self {
        let (place, path) = match config.at(&["url"]).as_str() {
            Some(url) => of_url(url),
            None => of_service(config.at(&["service"])),
        };
        let bundle = config.text(&["caBundle"]).to_owned();
        Self { place, path, bundle, tls: OnceLock::new(), idle: Mutex::default() }
    }

    /// Where it is, as errors show it.
    pub fn url(&self, seconds: u64) -> String {
        let (host, port) =
            self.place.as_ref().map_or_else(|_| (String::new(), 0), |place| (place.host(), place.port()));
        format!("https://{}{}", authority(&host, port), self.target(seconds))
    }

    fn target(&self, seconds: u64) -> String {
        format!("{}?timeout={seconds}s", self.path)
    }

    /// Posts a review and answers what came back. The caller gives it a deadline; one that ends early closes the connection.
    pub async fn post(&self, caller: Caller<'_>, body: Bytes, seconds: u64) -> Result<Bytes, String> {
        let idle = self.idle.lock().pop();
        if let Some(connection) = idle.filter(|connection| !connection.is_closed()) {
            // It may have been closed while nobody looked: only an answer counts.
            if let Ok(answer) = self.send(connection, body.clone(), seconds).await {
                return answer;
            }
        }
        let connection = self.connect(caller).await?;
        self.send(connection, body, seconds).await?
    }

    /// The outer error: no answer began.
    async fn send(
        &self,
        mut connection: Connection,
        body: Bytes,
        seconds: u64,
    ) -> Result<Result<Bytes, String>, String> {
        let place = self.place.as_ref().map_err(Clone::clone)?;
        let request = Request::post(self.target(seconds))
            .header(HOST, authority(&place.host(), place.port()))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, */*")
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        connection.ready().await.map_err(|error| chain(&error))?;
        let response = connection.send_request(request).await.map_err(|error| chain(&error))?;
        let answer = read(response).await;
        if answer.is_ok() {
            let mut idle = self.idle.lock();
            if idle.len() < IDLE {
                idle.push(connection);
            }
        }
        Ok(answer)
    }

    async fn connect(&self, caller: Caller<'_>) -> Result<Connection, String> {
        let place = self.place.as_ref().map_err(Clone::clone)?;
        let tls = self.tls.get_or_init(|| tls::config(&self.bundle)).clone()?;
        let name = place.host();
        let name = ServerName::try_from(name.clone()).map_err(|_| format!("{name:?} is no name of a server"))?;
        let addresses = place.find(caller).await?;
        let shown = addresses[0];
        let stream = TcpStream::connect(&addresses[..]).await.map_err(|error| format!("dial tcp {shown}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| format!("tls: {error}"))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
        // Ends when the sender is dropped, or the other side closes.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a server outside ended");
            }
        });
        Ok(sender)
    }
}

async fn read(response: Response<Incoming>) -> Result<Bytes, String> {
    let code = response.status();
    let body = Limited::new(response.into_body(), ANSWER).collect().await;
    let body = body.map_err(|error| format!("the answer cannot be read: {error}"))?.to_bytes();
    match code {
        StatusCode::OK => Ok(body),
        StatusCode::NOT_FOUND => Err("the server could not find the requested resource".to_owned()),
        code if code.is_redirection() => Err(format!("the server answered {code}, and redirects are not followed")),
        code if code.is_server_error() => {
            let said: String = String::from_utf8_lossy(&body).trim().chars().take(SHOWN).collect();
            let said = if said.is_empty() { "unknown".to_owned() } else { said };
            Err(format!("an error on the server ({said:?}) has prevented the request from succeeding"))
        }
        code => Err(format!("the server answered {code}")),
    }
}

fn of_url(url: &str) -> (Result<Place, String>, String) {
    let Ok(uri) = url.parse::<Uri>() else { return (Err(format!("{url:?} is no URL")), String::new()) };
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let place = Place::Url { host: host.to_owned(), port: uri.port_u16().unwrap_or(443) };
    (Ok(place), uri.path().to_owned())
}

fn of_service(service: &Value) -> (Result<Place, String>, String) {
    let port = service.int(&["port"]).and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
    let (namespace, name) = (service.text(&["namespace"]).into(), service.text(&["name"]).into());
    let path = service.text(&["path"]);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    (Ok(Place::Service { namespace, name, port }), path)
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// An error with what it came from.
fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn configurations_say_where_servers_are() {
        let client = |config: Value| Client::new(&config);
        let url = |config: Value| client(config).url(10);
        assert_eq!(url(json!({"url": "https://a.example.com/b"})), "https://a.example.com:443/b?timeout=10s");
        assert_eq!(url(json!({"url": "https://[::1]:8443"})), "https://[::1]:8443/?timeout=10s");
        let service = json!({"service": {"namespace": "n", "name": "s", "port": 8443, "path": "/validate"}});
        assert_eq!(url(service), "https://s.n.svc:8443/validate?timeout=10s");
        assert_eq!(url(json!({"service": {"namespace": "n", "name": "s"}})), "https://s.n.svc:443/?timeout=10s");
    }
}
