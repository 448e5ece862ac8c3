//! Ingresses and their classes.

use super::path::Path;
use super::{Strategy, field, fill};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// networking.k8s.io/v1 Ingress.
pub(super) struct Ingress;

const CLASS: &str = "kubernetes.io/ingress.class";

impl Strategy for Ingress {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        let default = field::get(spec, "defaultBackend");
        let rules = field::list(spec, "rules");
        if rules.is_empty() && default.is_null() {
            let words = "either `defaultBackend` or `rules` must be specified";
            causes.invalid(path, field::get(spec, "rules"), words);
        }
        if !default.is_null() {
            backend(default, &path.child("defaultBackend"), causes);
        }
        let list = path.child("rules");
        for (at, rule) in rules.iter().enumerate() {
            self::rule(rule, &list.index(at), causes);
        }
        tls(spec, &path.child("tls"), causes);
        if field::is_set(spec, "ingressClassName") {
            field::dns_subdomain(field::text(spec, "ingressClassName"), path.child("ingressClassName"), causes);
        }
    }

    /// The old annotation and the field may not contradict each other at first.
    fn validate_create(&self, object: &Value, causes: &mut Causes) {
        let annotation = object.at(&["metadata", "annotations", CLASS]);
        let class = object.at(&["spec", "ingressClassName"]);
        if !annotation.is_null() && !class.is_null() && annotation != class {
            let words = "must match `ingressClassName` when both are specified";
            causes.invalid(Path::new("annotations").child(CLASS), annotation, words);
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, causes: &mut Causes) {
        let list = Path::new("status.loadBalancer.ingress");
        for (at, ingress) in object.list(&["status", "loadBalancer", "ingress"]).iter().enumerate() {
            let path = list.index(at);
            match field::text(ingress, "ip") {
                "" => {}
                ip => drop(field::ip(ip, path.child("ip"), causes)),
            }
            match field::text(ingress, "hostname") {
                "" => {}
                name => host(name, path.child("hostname"), causes),
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn host(name: &str, path: Path<'_>, causes: &mut Causes) {
    if name.parse::<std::net::IpAddr>().is_ok() {
        causes.invalid(path, &Value::from(name), "must be a DNS name, not an IP address");
    }
    host_form(name, path, causes);
}

fn host_form(name: &str, path: Path<'_>, causes: &mut Causes) {
    let wrong = match name.contains('*') {
        true => names::is_wildcard_dns1123_subdomain(name),
        false => names::is_dns1123_subdomain(name),
    };
    field::complain(wrong, name, path, causes);
}

fn rule(rule: &Value, path: &Path<'_>, causes: &mut Causes) {
    match field::text(rule, "host") {
        "" => {}
        name => host(name, path.child("host"), causes),
    }
    let http = field::get(rule, "http");
    if http.is_null() {
        return;
    }
    let paths = field::list(http, "paths");
    let list = path.child("http.paths");
    if paths.is_empty() {
        causes.required(list, "");
    }
    for (at, path) in paths.iter().enumerate() {
        http_path(path, &list.index(at), causes);
    }
}

fn http_path(of: &Value, path: &Path<'_>, causes: &mut Causes) {
    let text = field::text(of, "path");
    let value = Value::from(text);
    let at = path.child("path");
    let absolute = text.starts_with('/');
    match field::text(of, "pathType") {
        "" => return causes.required(path.child("pathType"), "pathType must be specified"),
        "Exact" | "Prefix" => {
            if !absolute {
                causes.invalid(at, &value, "must be an absolute path");
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|part| text.contains(part)) {
                causes.invalid(at, &value, &format!("must not contain '{part}'"));
            }
            for end in ["/..", "/."].into_iter().filter(|end| text.ends_with(end)) {
                causes.invalid(at, &value, &format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !absolute {
                causes.invalid(at, &value, "must be an absolute path");
            }
        }
        _ => field::choice(of, "pathType", path, &["Exact", "ImplementationSpecific", "Prefix"], causes),
    }
    backend(field::get(of, "backend"), &path.child("backend"), causes);
}

fn backend(backend: &Value, path: &Path<'_>, causes: &mut Causes) {
    let (resource, service) = (field::get(backend, "resource"), field::get(backend, "service"));
    let nothing = Value::from("");
    match (resource.is_null(), service.is_null()) {
        (false, false) => causes.invalid(path, &nothing, "cannot set both resource and service backends"),
        (true, true) => causes.invalid(path, &nothing, "resource or service backend is required"),
        (false, true) => reference(resource, &path.child("resource"), causes),
        (true, false) => {
            let service_path = path.child("service");
            if field::required_text(service, "name", &service_path, causes) {
                field::dns_label(field::text(service, "name"), service_path.child("name"), causes);
            }
            let port = field::get(service, "port");
            match (field::get(port, "name"), field::int(port, "number").unwrap_or_default()) {
                (Value::String(name), 0) if !name.is_empty() => {
                    field::port(field::get(port, "name"), service_path.child("port.name"), causes);
                }
                (Value::String(name), _) if !name.is_empty() => {
                    causes.invalid(path, &nothing, "cannot set both port name & port number");
                }
                (_, 0) => causes.required(path, "port name or number is required"),
                (_, number) => field::port_number(number, service_path.child("port.number"), causes),
            }
        }
    }
}

/// A reference to an object of any kind in the same namespace.
fn reference(reference: &Value, path: &Path<'_>, causes: &mut Causes) {
    if field::is_set(reference, "apiGroup") {
        field::dns_subdomain(field::text(reference, "apiGroup"), path.child("apiGroup"), causes);
    }
    field::path_segment(reference, "kind", path, causes);
    field::path_segment(reference, "name", path, causes);
}

fn tls(spec: &Value, list: &Path<'_>, causes: &mut Causes) {
    for (at, tls) in field::list(spec, "tls").iter().enumerate() {
        let path = list.index(at);
        let hosts = path.child("hosts");
        for (at, name) in field::list(tls, "hosts").iter().enumerate() {
            host_form(name.as_str().unwrap_or_default(), hosts.index(at), causes);
        }
        match field::text(tls, "secretName") {
            "" => {}
            name => field::dns_subdomain(name, path.child("secretName"), causes),
        }
    }
}

/// networking.k8s.io/v1 IngressClass.
pub(super) struct IngressClass;

impl Strategy for IngressClass {
    fn default(&self, object: &mut Value) {
        if let Some(parameters) = fill::field(object, "spec").and_then(|spec| fill::field(spec, "parameters")) {
            fill::value(parameters, "scope", || "Cluster".into());
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        let controller = field::text(spec, "controller");
        if controller.len() > 250 {
            causes.too_long(path.child("controller"), 250);
        }
        field::domain_prefixed_path(controller, path.child("controller"), causes);
        let parameters = field::get(spec, "parameters");
        if parameters.is_null() {
            return;
        }
        let path = path.child("parameters");
        reference(parameters, &path, causes);
        let namespace = field::get(parameters, "namespace").as_str();
        match (field::text(parameters, "scope"), namespace) {
            ("", _) => causes.required(path.child("scope"), ""),
            ("Namespace", None) => {
                causes.required(path.child("namespace"), "`parameters.scope` is set to 'Namespace'");
            }
            ("Namespace", Some(name)) => field::dns_label(name, path.child("namespace"), causes),
            ("Cluster", Some(_)) => {
                causes.forbidden(path.child("namespace"), "`parameters.scope` is set to 'Cluster'");
            }
            _ => field::choice(parameters, "scope", &path, &["Cluster", "Namespace"], causes),
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "spec"), field::get(old, "spec"));
        field::immutable(new, old, "controller", &Path::new("spec"), causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    fn ingress(path: Value) -> Value {
        json!({"spec": {"rules": [{"host": "a.example.com", "http": {"paths": [path]}}]}})
    }

    #[test]
    fn ingresses() {
        let service = json!({"service": {"name": "web", "port": {"number": 80}}});
        let good = ingress(json!({"path": "/", "pathType": "Prefix", "backend": service}));
        assert_eq!(complaints(&Ingress, &good), []);
        let at = |rest: &str| format!("spec.rules[0].http.paths[0].{rest}");
        for (path, field, message) in [
            (json!({"path": "/", "backend": service}), at("pathType"), "Required value: pathType must be specified"),
            (
                json!({"path": "a", "pathType": "Exact", "backend": service}),
                at("path"),
                "Invalid value: \"a\": must be an absolute path",
            ),
            (
                json!({"path": "/a//b", "pathType": "Exact", "backend": service}),
                at("path"),
                "Invalid value: \"/a//b\": must not contain '//'",
            ),
            (
                json!({"path": "/", "pathType": "Regex", "backend": service}),
                at("pathType"),
                "Unsupported value: \"Regex\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
            ),
            (
                json!({"path": "/", "pathType": "Prefix"}),
                at("backend"),
                "Invalid value: \"\": resource or service backend is required",
            ),
            (
                json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web"}}}),
                at("backend"),
                "Required value: port name or number is required",
            ),
        ] {
            assert_eq!(complaints(&Ingress, &ingress(path)), [(field, message.to_owned())]);
        }
        assert_eq!(complaints(&Ingress, &json!({"spec": {}}))[0].0, "spec");
        let host = json!({"spec": {"rules": [{"host": "10.0.0.1"}]}});
        assert_eq!(
            complaints(&Ingress, &host)[0].1,
            "Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address"
        );
    }

    #[test]
    fn classes() {
        let mut class = json!({"spec": {"controller": "example.com/c", "parameters": {"kind": "K", "name": "n"}}});
        IngressClass.default(&mut class);
        assert_eq!(class["spec"]["parameters"]["scope"], "Cluster");
        assert_eq!(complaints(&IngressClass, &class), []);
        let mut other = class.clone();
        other["spec"]["controller"] = json!("c");
        assert_eq!(
            complaints(&IngressClass, &other)[0].1,
            "Invalid value: \"c\": must be a domain-prefixed path (such as \"acme.io/foo\")"
        );
        assert_eq!(complaints_update(&IngressClass, &other, &class)[0].0, "spec.controller");
        let mut contradiction = json!({"spec": {"ingressClassName": "a"}});
        contradiction["metadata"] = json!({"annotations": {CLASS: "b"}});
        let mut causes = Causes::default();
        Ingress.validate_create(&contradiction, &mut causes);
        assert_eq!(causes.0.len(), 1);
    }
}
