//! Which headers go on with a request or an answer, and which are between two neighbours only (RFC 9110, 7.6.1).

use http::header::{CONNECTION, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::Peer;
use crate::authn::without_credentials;

const HOP_BY_HOP: [HeaderName; 9] = [
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

/// Takes out what concerns one connection.
pub(super) fn without_hops(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Whether a client wants another protocol on this connection.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let wants = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("upgrade"));
    headers.contains_key(UPGRADE) && headers.get_all(CONNECTION).iter().any(wants)
}

/// Makes a client's request one of the gateway's: it goes by HTTP/1.1, without the client's credentials, and says for whom.
/// `target` is the path and query that the server is asked for.
pub(crate) fn prepare(parts: &mut Parts, target: &str) -> Result<(), http::Error> {
    if !parts.headers.contains_key(HOST)
        && let Some(authority) = parts.uri.authority()
    {
        parts.headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
    }
    parts.uri = target.parse()?;
    parts.version = Version::HTTP_11;
    without_credentials(&mut parts.headers);
    // Whoever waits for leave to send its body gets it from this side.
    parts.headers.remove(EXPECT);
    if let Some(Peer(peer)) = parts.extensions.get::<Peer>() {
        const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
        let before = parts.headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let chain: Vec<&str> = before.collect();
        let own = peer.ip().to_canonical().to_string();
        let chain = if chain.is_empty() { own } else { format!("{}, {own}", chain.join(", ")) };
        parts.headers.insert(FORWARDED_FOR, HeaderValue::from_str(&chain)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn what_concerns_one_connection_stays_behind() {
        let request = Request::get("https://api:6443/api/v1/nodes/n/proxy/x?a=b")
            .header("connection", "keep-alive, X-Own")
            .header("x-own", "1")
            .header("te", "trailers")
            .header("authorization", "Bearer secret")
            .header("x-forwarded-for", "192.0.2.1")
            .header("x-app", "kept")
            .extension(Peer("[::ffff:192.0.2.2]:5".parse().unwrap()));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        prepare(&mut parts, "/x?a=b").unwrap();
        without_hops(&mut parts.headers);
        let left: Vec<(&str, &str)> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(
            left,
            [("x-forwarded-for", "192.0.2.1, 192.0.2.2"), ("x-app", "kept"), ("host", "api:6443")],
            "{left:?}"
        );
        assert_eq!(parts.uri, "/x?a=b");
    }

    #[test]
    fn an_upgrade_is_asked_for_by_two_headers() {
        let asked = |connection: &str, upgrade: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, connection.parse().unwrap());
            if let Some(upgrade) = upgrade {
                headers.insert(UPGRADE, upgrade.parse().unwrap());
            }
            is_upgrade(&headers)
        };
        assert!(asked("keep-alive, Upgrade", Some("websocket")) && asked("upgrade", Some("SPDY/3.1")));
        assert!(!asked("keep-alive", Some("websocket")) && !asked("Upgrade", None));
    }
}
