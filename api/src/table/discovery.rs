//! discovery.k8s.io: EndpointSlices.

use super::Printer;
use super::cell::{AGE, NAME, some_of, text, text_or, texts};
use crate::document::{Document, Value};

pub(super) const PRINTERS: &[Printer] = &[Printer {
    resource: "endpointslices.discovery.k8s.io",
    columns: &[
        NAME,
        text("AddressType", "IPv4, IPv6 or FQDN."),
        text("Ports", "Ports of the endpoints."),
        text("Endpoints", "Addresses of the endpoints."),
        AGE,
    ],
    print: |row| _ = row.name().text(&["addressType"]).of(ports).of(endpoints).age(),
}];

fn ports(slice: &Value) -> String {
    let port = |port: &Value| text_or(port.at(&["port"]), port.at(&["name"]).as_str().unwrap_or("*"));
    shown(&slice.list(&["ports"]).iter().map(port).collect::<Vec<_>>())
}

fn endpoints(slice: &Value) -> String {
    let addresses = slice.list(&["endpoints"]).iter().flat_map(|endpoint| texts(endpoint, &["addresses"]));
    shown(&addresses.map(str::to_owned).collect::<Vec<_>>())
}

fn shown(parts: &[String]) -> String {
    match some_of(parts, 3, ",") {
        none if none.is_empty() => "<unset>".to_owned(),
        shown => shown,
    }
}
