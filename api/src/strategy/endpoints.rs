//! Endpoints, the ancestors of EndpointSlices.

use super::path::Path;
use super::{Strategy, field, fill};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// core/v1 Endpoints.
pub(super) struct Endpoints;

impl Strategy for Endpoints {
    fn default(&self, object: &mut Value) {
        for subset in fill::each(object, "subsets") {
            for port in fill::each(subset, "ports") {
                fill::text(port, "protocol", "TCP");
            }
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let list = Path::new("subsets");
        for (at, subset) in field::list(object, "subsets").iter().enumerate() {
            let path = list.index(at);
            let lists = ["addresses", "notReadyAddresses"];
            if lists.iter().all(|key| field::list(subset, key).is_empty()) {
                causes.required(path, "must specify `addresses` or `notReadyAddresses`");
            }
            for key in lists {
                let list = path.child(key);
                for (at, address) in field::list(subset, key).iter().enumerate() {
                    self::address(address, &list.index(at), causes);
                }
            }
            let ports = field::list(subset, "ports");
            let list = path.child("ports");
            for (at, port) in ports.iter().enumerate() {
                self::port(port, ports.len() > 1, &list.index(at), causes);
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn address(address: &Value, path: &Path<'_>, causes: &mut Causes) {
    let ip = field::ip(field::text(address, "ip"), path.child("ip"), causes);
    match field::text(address, "hostname") {
        "" => {}
        name => field::dns_label(name, path.child("hostname"), causes),
    }
    if field::is_set(address, "nodeName") {
        field::dns_subdomain(field::text(address, "nodeName"), path.child("nodeName"), causes);
    }
    if let Some(ip) = ip {
        field::endpoint_ip(ip, path.child("ip"), causes);
    }
}

fn port(port: &Value, needs_name: bool, path: &Path<'_>, causes: &mut Causes) {
    match field::text(port, "name") {
        "" if needs_name => causes.required(path.child("name"), ""),
        "" => {}
        name => field::dns_label(name, path.child("name"), causes),
    }
    field::port_number(field::int(port, "port").unwrap_or_default(), path.child("port"), causes);
    field::required_choice(port, "protocol", path, field::PROTOCOLS, causes);
    if field::is_set(port, "appProtocol") {
        field::qualified_name(field::text(port, "appProtocol"), path.child("appProtocol"), causes);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::complaints;

    #[test]
    fn rules() {
        let mut good = json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]});
        Endpoints.default(&mut good);
        assert_eq!(good["subsets"][0]["ports"][0]["protocol"], "TCP");
        assert_eq!(complaints(&Endpoints, &good), []);
        let bad = json!({"subsets": [{"ports": [{"port": 0, "protocol": "TCP"}]}]});
        let fields: Vec<String> = complaints(&Endpoints, &bad).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["subsets[0]", "subsets[0].ports[0].port"]);
        let local = json!({"subsets": [{"addresses": [{"ip": "169.254.0.1"}]}]});
        assert_eq!(complaints(&Endpoints, &local)[0].0, "subsets[0].addresses[0].ip");
    }
}
