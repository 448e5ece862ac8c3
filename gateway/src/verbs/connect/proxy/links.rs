//! Links of what a backend answers: those that lead to itself are led through the gateway, as the reference does with the
//! Location of a redirect and with the attributes of HTML.

use api::Status;
use axum::body::Body;
use futures_util::stream::{self, StreamExt};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Response};

use super::html::{Coding, Pages};

/// What links are made of.
#[derive(Clone, Debug)]
pub(super) struct Links {
    /// Under what path the backend is reached through the gateway.
    pub(super) prefix: String,
    /// The backend's own host and port.
    pub(super) backend: String,
    /// The host that the client asked.
    pub(super) host: String,
}

impl Links {
    /// The answer with its links rewritten.
    pub(super) fn rewrite(self, mut answer: Response<Body>) -> Result<Response<Body>, Status> {
        if let Some(to) = answer.headers().get(LOCATION).filter(|to| !to.is_empty()) {
            let text = to.to_str().map_err(|error| {
                Status::said(500, "InternalError", format!("error trying to parse Location header: {error}"))
            })?;
            if let Some(to) = self.lead(text).and_then(|to| HeaderValue::from_str(&to).ok()) {
                answer.headers_mut().insert(LOCATION, to);
            }
            return Ok(answer);
        }
        let Some(coding) = coding(answer.headers()).filter(|_| is_html(answer.headers())) else { return Ok(answer) };
        answer.headers_mut().remove(CONTENT_LENGTH);
        Ok(answer.map(|body| {
            let pages = Pages::new(self, coding);
            let pieces = stream::unfold(Some((body.into_data_stream(), pages)), |state| async {
                let (mut body, mut pages) = state?;
                let piece = match body.next().await {
                    Some(Ok(data)) => Ok(pages.take(&data)),
                    Some(Err(error)) => return Some((Err(error), None)),
                    None => return Some((pages.end().map_err(axum::Error::new), None)),
                };
                Some((piece.and_then(|piece| piece.map_err(axum::Error::new)), Some((body, pages))))
            });
            Body::from_stream(pieces)
        }))
    }

    /// Where a link leads when it goes through the gateway; `None`: it stays.
    pub(super) fn lead(&self, link: &str) -> Option<String> {
        let Link { origin, host, path, rest } = Link::split(link);
        let elsewhere = !host.is_empty() && host != self.backend && host != self.host;
        if elsewhere || !path.starts_with('/') {
            return None;
        }
        let origin = if host == self.host { origin } else { "" };
        let through = path.starts_with(&self.prefix);
        let path = if through { path.to_owned() } else { join(&self.prefix, path) };
        Some(format!("{origin}{path}{rest}")).filter(|led| led != link)
    }
}

fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html")
}

/// How a body is compressed; `None` where nobody here knows how to read it.
fn coding(headers: &HeaderMap) -> Option<Coding> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"") => Some(Coding::Identity),
        Some(b"gzip") => Some(Coding::Gzip),
        Some(b"deflate") => Some(Coding::Deflate),
        Some(_) => None,
    }
}

/// A link in parts that make it up again.
struct Link<'a> {
    /// Scheme and host with what is between them.
    origin: &'a str,
    host: &'a str,
    path: &'a str,
    /// From `?` or `#` on.
    rest: &'a str,
}

impl<'a> Link<'a> {
    fn split(link: &'a str) -> Self {
        let is_scheme = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        let scheme = link.find(':').filter(|at| is_scheme(&link[..*at])).map_or(0, |at| at + 1);
        let behind = &link[scheme..];
        let (authority, start) = match behind.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                (&rest[..end], scheme + 2 + end)
            }
            None => ("", scheme),
        };
        let host = authority.rsplit('@').next().unwrap_or_default();
        let end = link[start..].find(['?', '#']).map_or(link.len(), |at| start + at);
        Self { origin: &link[..start], host, path: &link[start..end], rest: &link[end..] }
    }
}

/// `path` below `prefix`, without `.`, `..` and double slashes, with its slash at the end.
fn join(prefix: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in prefix.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') { "/" } else { "" };
    format!("/{}{slash}", parts.join("/"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn links() -> Links {
        let prefix = "/api/v1/namespaces/a/services/b:80/proxy".to_owned();
        Links { prefix, backend: "10.0.0.1:80".to_owned(), host: "api.example.com:6443".to_owned() }
    }

    #[test]
    fn links_to_the_backend_lead_through_the_gateway() {
        let links = links();
        let prefix = links.prefix.clone();
        for (link, led) in [
            ("/", format!("{prefix}/")),
            ("/a/b?c=/d#e", format!("{prefix}/a/b?c=/d#e")),
            ("http://10.0.0.1:80/a/", format!("{prefix}/a/")),
            ("//10.0.0.1:80/a", format!("{prefix}/a")),
            ("http://api.example.com:6443/a", format!("http://api.example.com:6443{prefix}/a")),
            ("/a//b/../c", format!("{prefix}/a/c")),
        ] {
            assert_eq!(links.lead(link), Some(led), "{link}");
        }
        let through = format!("{prefix}/a");
        for stays in ["a/b", "?x", "#y", "", "http://example.com/a", "mailto:a@b", "javascript:f('/x')", &through] {
            assert_eq!(links.lead(stays), None, "{stays}");
        }
    }

    #[tokio::test]
    async fn redirects_and_pages_are_rewritten_and_the_rest_is_not() {
        let rewritten = async |headers: &[(&str, &str)], body: &str| {
            let mut answer = Response::builder();
            for (name, value) in headers {
                answer = answer.header(*name, *value);
            }
            let answer = links().rewrite(answer.body(Body::from(body.to_owned())).unwrap()).unwrap();
            let (parts, body) = answer.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            (parts.headers, String::from_utf8(body.to_vec()).unwrap())
        };
        let page = r#"<a href="/x">x</a>"#;
        let (headers, body) = rewritten(&[("location", "/y"), ("content-type", "text/html")], page).await;
        assert_eq!(headers["location"], "/api/v1/namespaces/a/services/b:80/proxy/y");
        assert_eq!(body, page);
        let html = [("content-type", "text/html; charset=utf-8"), ("content-length", "18")];
        let (headers, body) = rewritten(&html, page).await;
        assert_eq!(body, r#"<a href="/api/v1/namespaces/a/services/b:80/proxy/x">x</a>"#);
        assert!(!headers.contains_key("content-length"));
        assert_eq!(rewritten(&[("content-type", "text/plain")], page).await.1, page);
        assert_eq!(rewritten(&[("content-type", "text/html"), ("content-encoding", "br")], page).await.1, page);
    }
}
