//! What a request's method and path ask for: the reference's RequestInfo.

use http::Method;
use smol_str::SmolStr;

use crate::query::{Query, decode};

/// A request, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    /// Logical cluster. A prefix of the path may name it one day; until then it is the configured one.
    pub(crate) cluster: SmolStr,
    /// Kubernetes' verb for resources, the method in lower case otherwise.
    pub(crate) verb: &'static str,
    /// As it came.
    pub(crate) path: String,
    /// Whether the fields below mean anything.
    pub(crate) is_resource: bool,
    /// Empty for the core group.
    pub(crate) group: SmolStr,
    pub(crate) version: SmolStr,
    /// Plural.
    pub(crate) resource: SmolStr,
    pub(crate) subresource: SmolStr,
    pub(crate) namespace: SmolStr,
    /// From the path alone.
    pub(crate) name: SmolStr,
    /// Whether the path goes on behind the subresource.
    pub(crate) deeper: bool,
    pub(crate) query: Query,
}

impl RequestInfo {
    pub(crate) fn new(cluster: &SmolStr, method: &Method, path: &str, query: Option<&str>) -> Self {
        let mut info = Self {
            cluster: cluster.clone(),
            verb: method_name(method),
            path: path.to_owned(),
            query: Query::parse(query),
            ..Self::default()
        };
        let parts: Vec<SmolStr> = path.split('/').filter(|part| !part.is_empty()).map(segment).collect();
        let rest = match parts.iter().map(SmolStr::as_str).collect::<Vec<_>>()[..] {
            ["api", version, _, ..] => {
                info.version = version.into();
                &parts[2..]
            }
            ["apis", group, version, _, ..] => {
                (info.group, info.version) = (group.into(), version.into());
                &parts[3..]
            }
            _ => return info,
        };
        info.is_resource = true;
        info.read_resource(method, rest);
        info
    }

    fn read_resource(&mut self, method: &Method, mut rest: &[SmolStr]) {
        self.verb = match *method {
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        };
        // The deprecated way to ask for a watch.
        let watch = rest[0] == "watch" && rest.len() > 1;
        if watch {
            rest = &rest[1..];
        }
        if rest[0] == "namespaces" && rest.len() > 1 {
            self.namespace = rest[1].clone();
            // A namespace's own subresources are not resources in it.
            if rest.len() > 2 && !matches!(rest[2].as_str(), "status" | "finalize") {
                rest = &rest[2..];
            }
        }
        let part = |at: usize| rest.get(at).cloned().unwrap_or_default();
        (self.resource, self.name, self.subresource) = (part(0), part(1), part(2));
        self.deeper = rest.len() > 3;
        if self.verb == "get" && (watch || (self.name.is_empty() && self.query.flag("watch") == Some(true))) {
            self.verb = "watch";
        } else if self.name.is_empty() {
            self.verb = match self.verb {
                "get" => "list",
                "delete" => "deletecollection",
                other => other,
            };
        }
    }

    /// `resource`, `namespace` or `cluster`: how much of the cluster is asked for, as metrics say it.
    pub(crate) fn scope(&self) -> &'static str {
        match (self.is_resource, !self.name.is_empty() || self.verb == "create", !self.namespace.is_empty()) {
            (false, ..) => "",
            (_, true, _) => "resource",
            (_, _, true) => "namespace",
            _ => "cluster",
        }
    }
}

fn segment(part: &str) -> SmolStr {
    if part.contains('%') { decode(part, false).into() } else { part.into() }
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        Method::CONNECT => "connect",
        Method::TRACE => "trace",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(method: Method, path: &str, query: &str) -> RequestInfo {
        RequestInfo::new(&"default".into(), &method, path, Some(query))
    }

    #[test]
    fn paths_are_taken_apart_as_the_reference_does() {
        let cases = [
            ("GET", "/api/v1/pods", "", "list", "", "pods", "", "", ""),
            ("GET", "/api/v1/pods", "watch=1", "watch", "", "pods", "", "", ""),
            ("GET", "/api/v1/namespaces", "", "list", "", "namespaces", "", "", ""),
            ("GET", "/api/v1/namespaces/a", "", "get", "", "namespaces", "a", "a", ""),
            ("PUT", "/api/v1/namespaces/a/finalize", "", "update", "", "namespaces", "a", "a", "finalize"),
            ("GET", "/api/v1/namespaces/a/pods", "watch=false", "list", "", "pods", "a", "", ""),
            ("POST", "/api/v1/namespaces/a/pods/b/binding", "", "create", "", "pods", "a", "b", "binding"),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                "",
                "patch",
                "apps",
                "deployments",
                "a",
                "b",
                "scale",
            ),
            (
                "DELETE",
                "/apis/apps/v1/namespaces/a/deployments",
                "",
                "deletecollection",
                "apps",
                "deployments",
                "a",
                "",
                "",
            ),
            ("DELETE", "/api/v1/nodes/n1", "", "delete", "", "nodes", "", "n1", ""),
            ("GET", "/api/v1/watch/namespaces/a/pods/b", "", "watch", "", "pods", "a", "b", ""),
            ("GET", "/api/v1/nodes/a%3Ab", "", "get", "", "nodes", "", "a:b", ""),
        ];
        for (method, path, query, verb, group, resource, namespace, name, subresource) in cases {
            let info = info(method.parse().unwrap(), path, query);
            assert!(info.is_resource, "{path}");
            assert_eq!(
                (info.verb, &*info.group, &*info.resource, &*info.namespace, &*info.name, &*info.subresource),
                (verb, group, resource, namespace, name, subresource),
                "{method} {path}?{query}"
            );
        }
    }

    #[test]
    fn other_paths_are_no_resources() {
        for path in ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/openapi/v3/api/v1"] {
            let info = info(Method::GET, path, "");
            assert!(!info.is_resource, "{path}");
            assert_eq!(info.verb, "get");
        }
    }
}
