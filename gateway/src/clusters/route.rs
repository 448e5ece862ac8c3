//! Which cluster a request names, and what is left of its path.

use api::Status;
use http::header::HOST;
use http::{Request, Uri};
use smol_str::SmolStr;

use super::{DEFAULT, unknown};

/// What paths of other clusters begin with.
const PREFIX: &str = "/clusters/";

/// Takes `/clusters/NAME` off the path, or NAME off the host where it ends in `.domain`. 404 for a path that names a
/// cluster where the host already does, and for what cannot be a name.
pub(crate) fn take<B>(request: &mut Request<B>, domain: Option<&str>) -> Result<SmolStr, Status> {
    let by_host = domain.and_then(|domain| host_cluster(request, domain));
    let Some(rest) = request.uri().path().strip_prefix(PREFIX) else {
        return Ok(by_host.unwrap_or(SmolStr::new_static(DEFAULT)));
    };
    let (name, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let name = SmolStr::new(name);
    if by_host.is_some() || !is_name(&name) {
        return Err(unknown(&name));
    }
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let uri: Uri = format!("{path}{query}").parse().map_err(|_| unknown(&name))?;
    *request.uri_mut() = uri;
    Ok(name)
}

fn host_cluster<B>(request: &Request<B>, domain: &str) -> Option<SmolStr> {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(|authority| authority.host()).or(header)?;
    let host = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |h| h.0);
    let host = host.to_ascii_lowercase();
    let name = host.strip_suffix(&domain.to_ascii_lowercase())?.strip_suffix('.')?;
    is_name(name).then(|| name.into())
}

/// Whether it may name a cluster: a DNS label, since it stands in host names.
pub(crate) fn is_name(name: &str) -> bool {
    api::names::is_dns1123_label(name).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(uri: &str, host: &str, domain: Option<&str>) -> Result<(String, String), u16> {
        let mut request = Request::get(uri).header(HOST, host).body(()).unwrap();
        let name = take(&mut request, domain).map_err(|status| status.code())?;
        Ok((name.to_string(), request.uri().to_string()))
    }

    #[test]
    fn paths_and_hosts_name_clusters() {
        let of = |name: &str, rest: &str| Ok((name.to_owned(), rest.to_owned()));
        assert_eq!(taken("/api/v1/pods?limit=1", "x", None), of("default", "/api/v1/pods?limit=1"));
        assert_eq!(taken("/clusters/a-1/api/v1/pods?limit=1", "x", None), of("a-1", "/api/v1/pods?limit=1"));
        assert_eq!(taken("/clusters/a", "x", None), of("a", "/"));
        let domain = Some("k8s.example.com");
        assert_eq!(taken("/version", "Blue.k8s.example.com:6443", domain), of("blue", "/version"));
        assert_eq!(taken("/version", "k8s.example.com", domain), of("default", "/version"));
        assert_eq!(taken("/version", "a.b.k8s.example.com", domain), of("default", "/version"));
        assert_eq!(taken("/version", "evilk8s.example.com", domain), of("default", "/version"));
        assert_eq!(taken("/clusters/b/api", "blue.k8s.example.com", domain), Err(404), "no way from one to another");
        for bad in ["/clusters/", "/clusters//api", "/clusters/A/api", "/clusters/a%2fb/api", "/clusters/a.b/api"] {
            assert_eq!(taken(bad, "x", None), Err(404), "{bad}");
        }
    }
}
