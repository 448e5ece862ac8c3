//! EndpointSlices.

use std::collections::BTreeSet;

use super::path::Path;
use super::{Strategy, field, fill, labels};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// discovery.k8s.io/v1 EndpointSlice.
pub(super) struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn default(&self, object: &mut Value) {
        for port in fill::each(object, "ports") {
            fill::value(port, "name", || "".into());
            fill::text(port, "protocol", "TCP");
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        const TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
        match field::text(object, "addressType") {
            "" => causes.required("addressType", ""),
            other if !TYPES.contains(&other) => {
                causes.not_supported("addressType", &Value::from(other), TYPES);
            }
            _ => {}
        }
        ports(object, causes);
        endpoints(object, causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        if field::text(object, "addressType") != field::text(old, "addressType") {
            causes.invalid("addressType", field::get(object, "addressType"), field::IMMUTABLE);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn ports(object: &Value, causes: &mut Causes) {
    let list = Path::new("ports");
    let ports = field::list(object, "ports");
    if field::too_many(ports.len(), 20_000, list, causes) {
        return;
    }
    let mut seen = BTreeSet::new();
    for (at, port) in ports.iter().enumerate() {
        let path = list.index(at);
        let name = field::text(port, "name");
        if !name.is_empty() {
            field::dns_label(name, path.child("name"), causes);
        }
        if !seen.insert(name) {
            causes.duplicate(path.child("name"), &Value::from(name));
        }
        field::required_choice(port, "protocol", &path, field::PROTOCOLS, causes);
        if field::is_set(port, "appProtocol") {
            field::qualified_name(field::text(port, "appProtocol"), path.child("appProtocol"), causes);
        }
    }
}

fn endpoints(object: &Value, causes: &mut Causes) {
    let list = Path::new("endpoints");
    let endpoints = field::list(object, "endpoints");
    if field::too_many(endpoints.len(), 1000, list, causes) {
        return;
    }
    for (at, endpoint) in endpoints.iter().enumerate() {
        let path = list.index(at);
        let addresses = field::list(endpoint, "addresses");
        if addresses.is_empty() {
            causes.required(path.child("addresses"), "must contain at least 1 address");
        }
        field::too_many(addresses.len(), 100, path.child("addresses"), causes);
        for (at, value) in addresses.iter().filter_map(Value::as_str).enumerate() {
            address(value, field::text(object, "addressType"), at, &path.child("addresses"), causes);
        }
        if field::is_set(endpoint, "nodeName") {
            field::dns_subdomain(field::text(endpoint, "nodeName"), path.child("nodeName"), causes);
        }
        let topology = field::pairs(endpoint, "deprecatedTopology").count();
        field::too_many(topology, 16, path.child("deprecatedTopology"), causes);
        labels::labels(endpoint, "deprecatedTopology", &path, causes);
        if field::is_set(endpoint, "hostname") {
            field::dns_label(field::text(endpoint, "hostname"), path.child("hostname"), causes);
        }
        hints(field::get(endpoint, "hints"), &path.child("hints"), causes);
    }
}

fn address(value: &str, family: &str, at: usize, list: &Path<'_>, causes: &mut Causes) {
    let path = list.index(at);
    if family == "FQDN" {
        let name = value.strip_suffix('.').unwrap_or(value);
        field::dns_subdomain(name, path, causes);
        if !name.contains('.') {
            let words = "should be a domain with at least two segments separated by dots";
            causes.invalid(path, &Value::from(value), words);
        }
        return;
    }
    let Some(ip) = field::ip(value, path, causes) else { return };
    match family {
        "IPv4" if !ip.is_ipv4() => causes.invalid(list, &Value::from(value), "must be an IPv4 address"),
        "IPv6" if !ip.is_ipv6() => causes.invalid(list, &Value::from(value), "must be an IPv6 address"),
        "IPv6" if ip.to_string() != value => {
            return causes.invalid(path, &Value::from(value), &format!("must be in canonical form (\"{ip}\")"));
        }
        _ => {}
    }
    field::endpoint_ip(ip, path, causes);
}

fn hints(hints: &Value, path: &Path<'_>, causes: &mut Causes) {
    for key in ["forZones", "forNodes"] {
        let list = path.child(key);
        let all = field::list(hints, key);
        if field::too_many(all.len(), 8, list, causes) {
            return;
        }
        let mut seen = BTreeSet::new();
        for (at, hint) in all.iter().enumerate() {
            let path = list.index(at);
            let name = field::text(hint, "name");
            if !seen.insert(name) {
                causes.duplicate(path.child("name"), &Value::from(name));
            }
            match key {
                "forZones" => labels::label_value(name, path.child("name"), causes),
                _ => field::dns_subdomain(name, path.child("name"), causes),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    fn slice(endpoint: Value) -> Value {
        let mut object = json!({"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [endpoint]});
        EndpointSlice.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let good = slice(json!({"addresses": ["10.0.0.1"], "nodeName": "n", "hints": {"forZones": [{"name": "a"}]}}));
        assert_eq!(good["ports"][0], json!({"name": "", "port": 80, "protocol": "TCP"}));
        assert_eq!(complaints(&EndpointSlice, &good), []);
        for (endpoint, field, message) in [
            (json!({"addresses": []}), "endpoints[0].addresses", "Required value: must contain at least 1 address"),
            (
                json!({"addresses": ["fd00::1"]}),
                "endpoints[0].addresses",
                "Invalid value: \"fd00::1\": must be an IPv4 address",
            ),
            (
                json!({"addresses": ["127.0.0.1"]}),
                "endpoints[0].addresses[0]",
                "Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
            (
                json!({"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": "a"}, {"name": "a"}]}}),
                "endpoints[0].hints.forZones[1].name",
                "Duplicate value: \"a\"",
            ),
        ] {
            let found = complaints(&EndpointSlice, &slice(endpoint));
            assert_eq!(found[0], (field.to_owned(), message.to_owned()));
        }
        assert_eq!(complaints(&EndpointSlice, &json!({}))[0].0, "addressType");
        let mut other = good.clone();
        other["addressType"] = json!("FQDN");
        assert_eq!(complaints_update(&EndpointSlice, &other, &good)[0].0, "addressType");
    }
}
