//! A request on its way to another server, and the answer as it comes. The server knows the gateway by its certificate, and by
//! that believes it who asks (`X-Remote-User`, RFC-less and described with the reference's authenticating proxy).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::BodyDataStream;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use shards::outside::Caller;
use shards::service::UserInfo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ApiService;
use crate::config::FrontProxy;
use crate::{Inner, Ticket};

/// How long a server may take to be reached.
const PATIENCE: Duration = Duration::from_secs(10);
/// What says who asks.
const REMOTE: &str = "x-remote-";
/// What concerns one connection only (RFC 9110, 7.6.1).
const HOPS: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// An answer that another server gave: it goes on as it is. In the answer's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed;

/// Passes a request on.
pub(crate) async fn serve(
    inner: &Arc<Inner>,
    ticket: &Ticket,
    service: &ApiService,
    request: Request<Body>,
) -> Response<Body> {
    if !service.is_available {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "service unavailable");
    }
    let (caller, identity) = (inner.caller(&ticket.info.cluster), inner.config.front_proxy.as_ref());
    let stopping = inner.stopping.clone();
    let asked = ask(caller, service, identity, &ticket.user, request);
    let answer = tokio::select! {
        () = stopping.cancelled() => return plain(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"),
        answer = asked => answer,
    };
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(why) => {
            tracing::debug!(service = %service.name, why, "a request could not be passed on");
            return plain(StatusCode::SERVICE_UNAVAILABLE, &why);
        }
    };
    without_hops(answer.headers_mut());
    let mut answer =
        answer.map(|body| Body::from_stream(BodyDataStream::new(body).take_until(stopping.cancelled_owned())));
    *answer.version_mut() = Version::default();
    answer.extensions_mut().insert(Passed);
    answer
}

/// What the reference says that has no Status for it.
fn plain(code: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache, private"));
    response.extensions_mut().insert(Passed);
    response
}

/// Sends a request of a user's to an APIService's server, and waits for the head of the answer.
pub(super) async fn ask(
    caller: Caller<'_>,
    service: &ApiService,
    identity: Option<&FrontProxy>,
    user: &UserInfo,
    mut request: Request<Body>,
) -> Result<Response<Incoming>, String> {
    let tls = service.tls(identity)?;
    let place = service.place();
    let opened = tokio::time::timeout(PATIENCE, async {
        let addresses = place.find(caller).await.map_err(|_| "service unavailable".to_owned())?;
        let shown = addresses[0];
        let failed = |error: std::io::Error| format!("dial tcp {shown}: connect: {error}");
        let stream = TcpStream::connect(&addresses[..]).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let name = ServerName::try_from(place.host()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| format!("tls: {error}"))?;
        Ok::<_, String>((stream, shown))
    });
    let (stream, address) = opened.await.map_err(|_| "dial tcp: i/o timeout".to_owned())??;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends when the body of the answer was read, or dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to another server ended early");
        }
    });
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    *request.uri_mut() = target.parse().map_err(|_| "the path is no URI".to_owned())?;
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    without_hops(headers);
    headers.remove(AUTHORIZATION);
    headers.insert(HOST, HeaderValue::from_str(&address.to_string()).map_err(|error| error.to_string())?);
    introduce(headers, user);
    sender.send_request(request).await.map_err(|error| error.to_string())
}

fn without_hops(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOPS) {
        headers.remove(name);
    }
}

/// Says who asks, and nothing that the client said about it.
fn introduce(headers: &mut HeaderMap, user: &UserInfo) {
    let said: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(REMOTE)).cloned().collect();
    said.iter().for_each(|name| drop(headers.remove(name)));
    let mut add = |name: &str, value: &str| {
        // A name that fits no header is one that the server cannot be told.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &user.name);
    if !user.uid.is_empty() {
        add("x-remote-uid", &user.uid);
    }
    user.groups.iter().for_each(|group| add("x-remote-group", group));
    for (key, values) in &user.extra {
        let name = format!("x-remote-extra-{}", escaped(key));
        values.iter().for_each(|value| add(&name, value));
    }
}

/// A key as part of a header's name: what may not stand there is percent-encoded.
fn escaped(key: &str) -> String {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte);
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match is_token(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The whole body of an answer, up to a limit.
pub(super) async fn read(body: Incoming, limit: usize) -> Result<Bytes, String> {
    use http_body_util::{BodyExt, Limited};
    let read = Limited::new(body, limit).collect().await;
    read.map(|read| read.to_bytes()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_says_who_asks_and_the_client_does_not() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-remote-user", "root"),
            ("x-remote-group", "system:masters"),
            ("x-remote-extra-a", "b"),
            ("accept", "application/json"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let user = UserInfo {
            name: "ann".to_owned(),
            uid: "7".to_owned(),
            groups: vec!["one".to_owned(), "two".to_owned()],
            extra: vec![("example.com/Scopes".to_owned(), vec!["x".to_owned(), "y".to_owned()])],
        };
        introduce(&mut headers, &user);
        let mut said: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        said.sort_unstable();
        assert_eq!(
            said,
            [
                ("accept", "application/json"),
                ("x-remote-extra-example.com%2fscopes", "x"),
                ("x-remote-extra-example.com%2fscopes", "y"),
                ("x-remote-group", "one"),
                ("x-remote-group", "two"),
                ("x-remote-uid", "7"),
                ("x-remote-user", "ann"),
            ]
        );
    }

    #[test]
    fn what_concerns_one_connection_stays_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "close, x-own"), ("x-own", "1"), ("te", "trailers"), ("x-kept", "1")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        without_hops(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}
