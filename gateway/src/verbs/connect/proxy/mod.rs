//! proxy of pods, services and nodes: any request, to whatever answers there. Where it goes is each one's file; what the
//! answer's links are made of is in [`links`] and [`html`].

mod html;
mod links;
mod node;
mod pod;
mod service;

use api::Status;
use axum::body::Body;
use futures_util::StreamExt;
use http::header::{HOST, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyDataStream;

use super::Connect;
use crate::Original;
use crate::forward::{Backend, exchange, is_upgrade, prepare, upgrade};
use links::Links;

pub(super) async fn serve(mut connect: Connect) -> Result<Response<Body>, Status> {
    let name = Name::split(&connect.call.info.name);
    let backend = match connect.call.resource.id_name.as_str() {
        "pods" => pod::find(&connect.call, name).await?,
        "services" => service::find(&connect.call, name).await?,
        _ => node::find(&connect.call, name).await?,
    };
    let path = Paths::of(&connect)?;
    let query = connect.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{}{query}", if path.rest.is_empty() { "/" } else { path.rest.as_str() });
    let bad = |error: http::Error| Status::bad_request(error.to_string());
    if is_upgrade(&connect.parts.headers) {
        let passage = connect.passage();
        prepare(&mut connect.parts, &target).map_err(bad)?;
        return upgrade(passage, &backend, Request::from_parts(connect.parts, connect.body)).await;
    }
    if path.rest.is_empty() && matches!(connect.parts.method, Method::GET | Method::HEAD) {
        return redirect(&format!("{}/{query}", path.prefix));
    }
    prepare(&mut connect.parts, &target).map_err(bad)?;
    let uri = HeaderValue::from_str(&format!("{}{}", path.prefix, path.rest)).map_err(|error| bad(error.into()))?;
    connect.parts.headers.insert("x-forwarded-uri", uri);
    let host = connect.parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let links = Links { prefix: path.prefix, backend: backend.authority(), host };
    let stopping = connect.call.gateway.stopping.clone();
    let answer = tokio::select! {
        () = stopping.cancelled() => return Err(Status::unavailable("the server is shutting down")),
        answer = ask(&backend, Request::from_parts(connect.parts, connect.body)) => answer?,
    };
    let answer = answer.map(|body| Body::from_stream(BodyDataStream::new(body).take_until(stopping.cancelled_owned())));
    links.rewrite(answer)
}

async fn ask(backend: &Backend, request: Request<Body>) -> Result<Response<Body>, Status> {
    let failed = |error: &dyn std::fmt::Display| {
        Status::said(503, "ServiceUnavailable", format!("error trying to reach service: {error}"))
    };
    let link = backend.connect().await.map_err(|error| failed(&error))?;
    let answer = exchange(link, request).await.map_err(|error| failed(&error))?;
    Ok(answer.map(Body::new))
}

/// So that relative links of a page lead below it.
fn redirect(to: &str) -> Result<Response<Body>, Status> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let to = HeaderValue::from_str(to).map_err(Status::internal)?;
    response.headers_mut().insert(LOCATION, to);
    Ok(response)
}

/// `name`, `name:port` or `scheme:name:port`, as the last part of a path says what to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name<'a> {
    /// All of it.
    whole: &'a str,
    parts: Option<(&'a str, &'a str, &'a str)>,
}

impl<'a> Name<'a> {
    fn split(whole: &'a str) -> Self {
        let parts = match whole.split(':').collect::<Vec<_>>()[..] {
            [name] => Some(("", name, "")),
            [name, port] => Some(("", name, port)),
            [scheme, name, port] => Some((scheme, name, port)),
            _ => None,
        };
        let parts = parts.filter(|(scheme, name, _)| matches!(*scheme, "" | "http" | "https") && !name.is_empty());
        Self { whole, parts }
    }

    /// Scheme, name and port, of which the first and the last may be empty; 400 otherwise.
    fn of(self, what: &str) -> Result<(&'a str, &'a str, &'a str), Status> {
        self.parts.ok_or_else(|| Status::bad_request(format!("invalid {what} request {:?}", self.whole)))
    }
}

/// A port in a URL.
fn port(text: &str) -> Result<u16, Status> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
        let why = format!("error trying to reach service: dial tcp: lookup tcp/{text}: unknown port");
        Status::said(503, "ServiceUnavailable", why)
    })
}

/// A request's path as the client wrote it, in two.
#[derive(Debug, PartialEq, Eq)]
struct Paths {
    /// Up to and with `/proxy`.
    prefix: String,
    /// Behind it: empty, or from a slash on.
    rest: String,
}

impl Paths {
    fn of(connect: &Connect) -> Result<Self, Status> {
        let original = connect.parts.extensions.get::<Original>().map_or(&connect.parts.uri, |Original(uri)| uri);
        // api, v1, (namespaces, its name,) the resource, its name, proxy
        let parts = if connect.call.resource.namespaced { 7 } else { 5 };
        Self::split(original.path(), connect.parts.uri.path(), parts).ok_or_else(Status::unknown_path)
    }

    /// `routed` is `original` without the name of a logical cluster before it, and without slashes at the end.
    fn split(original: &str, routed: &str, parts: usize) -> Option<Self> {
        let before = original.trim_end_matches('/').len().checked_sub(routed.len())?;
        let mut at = 0;
        for _ in 0..parts {
            let part = routed.get(at..)?;
            let start = part.find(|c| c != '/')?;
            at += start + part[start..].find('/').unwrap_or(part.len() - start);
        }
        let (prefix, rest) = original.split_at_checked(before + at)?;
        Some(Self { prefix: prefix.to_owned(), rest: rest.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_scheme_and_port() {
        let split = |text| Name::split(text).of("pod").ok();
        assert_eq!(split("web"), Some(("", "web", "")));
        assert_eq!(split("web:80"), Some(("", "web", "80")));
        assert_eq!(split("https:web:"), Some(("https", "web", "")));
        for wrong in ["ftp:web:80", "a:b:c:d", ":80", ""] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
        assert_eq!(Name::split("a:b:c:d").of("pod").unwrap_err().message(), "invalid pod request \"a:b:c:d\"");
        assert_eq!(port("80"), Ok(80));
        assert_eq!(port("http").unwrap_err().code(), 503);
    }

    #[test]
    fn the_rest_of_a_path_is_kept_as_it_was_written() {
        let split = |original: &str, routed: &str, parts| {
            let paths = Paths::split(original, routed, parts).unwrap();
            (paths.prefix, paths.rest)
        };
        let base = "/api/v1/namespaces/a/services/b:80/proxy";
        for rest in ["", "/", "/x%2Fy/", "//x/../y"] {
            let original = format!("{base}{rest}");
            assert_eq!(split(&original, original.trim_end_matches('/'), 7), (base.to_owned(), rest.to_owned()));
            let original = format!("/clusters/blue{base}{rest}");
            let routed = original.trim_end_matches('/').strip_prefix("/clusters/blue").unwrap();
            assert_eq!(split(&original, routed, 7), (format!("/clusters/blue{base}"), rest.to_owned()));
        }
        let (prefix, rest) = split("/api/v1/nodes/n/proxy/pods", "/api/v1/nodes/n/proxy/pods", 5);
        assert_eq!((prefix.as_str(), rest.as_str()), ("/api/v1/nodes/n/proxy", "/pods"));
        assert_eq!(Paths::split("/api/v1/nodes", "/api/v1/nodes", 5), None);
    }
}
