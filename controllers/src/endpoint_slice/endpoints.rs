//! What one Pod is to one Service: an endpoint and the ports behind it.

use std::net::IpAddr;

use api::Value;
use smol_str::SmolStr;

use crate::views::{Endpoint, EndpointConditions, EndpointPort, Node, Pod, Service, ServicePort, TargetRef};

/// Whether a Pod can be an endpoint at all: it has an address and has not ended. Terminating ones are, and say so.
pub fn is_candidate(pod: &Pod) -> bool {
    !pod.is_terminal() && pod.addresses().next().is_some()
}

/// The endpoint that a Pod is; `None` where it has no address of this type (`IPv4`, `IPv6`).
pub fn of_pod(pod: &Pod, node: Option<&Node>, service: &Service, address_type: &str) -> Option<Endpoint> {
    let addresses: Vec<SmolStr> = pod.addresses().filter_map(|text| address(text, address_type)).collect();
    if addresses.is_empty() {
        return None;
    }
    let serving = pod.is_ready();
    let terminating = pod.metadata.is_deleting();
    let ready = service.spec.publish_not_ready_addresses || (serving && !terminating);
    let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    let filled = |text: &str| Some(SmolStr::from(text)).filter(|text| !text.is_empty());
    let meta = &pod.metadata;
    Some(Endpoint {
        addresses,
        conditions: EndpointConditions { ready: Some(ready), serving: Some(serving), terminating: Some(terminating) },
        hostname: named.then(|| pod.spec.hostname.clone()),
        node_name: filled(&pod.spec.node_name),
        target_ref: Some(TargetRef {
            kind: "Pod".into(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
        }),
        zone: node.and_then(|node| filled(node.label("topology.kubernetes.io/zone"))),
    })
}

fn address(text: &str, address_type: &str) -> Option<SmolStr> {
    let ip: IpAddr = text.parse().ok()?;
    let fits = ip.is_ipv4() == (address_type == "IPv4");
    fits.then(|| ip.to_string().into())
}

/// The address types of a Service: of its families, or else of its clusterIP.
pub fn address_types(service: &Service) -> Vec<&'static str> {
    let mut types = Vec::new();
    for family in &service.spec.ip_families {
        match family.as_str() {
            "IPv4" => types.push("IPv4"),
            "IPv6" => types.push("IPv6"),
            _ => {}
        }
    }
    if types.is_empty() {
        types.push(if service.spec.cluster_ip.contains(':') { "IPv6" } else { "IPv4" });
    }
    types
}

/// The ports of a Service as they are on this Pod. A named port that the Pod lacks is left out.
pub fn ports_of(pod: &Pod, service: &Service) -> Vec<EndpointPort> {
    let mut ports: Vec<EndpointPort> = service.spec.ports.iter().filter_map(|port| port_of(pod, port)).collect();
    ports.sort();
    ports
}

fn port_of(pod: &Pod, service_port: &ServicePort) -> Option<EndpointPort> {
    let port = match &service_port.target_port {
        Value::Number(number) => i32::try_from(number.as_i64()?).ok()?,
        Value::String(name) => named_port(pod, name, &service_port.protocol)?,
        _ => return None,
    };
    Some(EndpointPort {
        name: service_port.name.clone(),
        protocol: service_port.protocol.clone(),
        port,
        app_protocol: service_port.app_protocol.clone(),
    })
}

fn named_port(pod: &Pod, name: &str, protocol: &str) -> Option<i32> {
    let sidecars = pod.spec.init_containers.iter().filter(|init| init.restart_policy == "Always");
    let mut ports = pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    let same = |given: &str| given == protocol || (given.is_empty() && protocol == "TCP");
    ports.find(|port| port.name == name && same(&port.protocol)).map(|port| port.container_port)
}

/// Whether a change of a Pod can change its endpoints.
pub fn differs(old: &Pod, new: &Pod) -> bool {
    old.metadata.labels != new.metadata.labels
        || old.metadata.is_deleting() != new.metadata.is_deleting()
        || old.is_terminal() != new.is_terminal()
        || old.is_ready() != new.is_ready()
        || old.status.pod_ip != new.status.pod_ip
        || old.status.pod_ips != new.status.pod_ips
        || old.spec.hostname != new.spec.hostname
        || old.spec.subdomain != new.spec.subdomain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(value: Value) -> Service {
        serde_json::from_value(value).unwrap()
    }

    fn pod(value: Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn conditions_say_whether_to_use_it() {
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        let web = service(json!({ "metadata": { "name": "web" } }));
        let eager = service(json!({ "metadata": { "name": "web" }, "spec": { "publishNotReadyAddresses": true } }));
        let make = |conditions: &Value, going: bool| {
            let mut value = json!({
                "metadata": { "name": "p", "namespace": "ns", "uid": "1" },
                "spec": { "nodeName": "n", "hostname": "p", "subdomain": "web" },
                "status": { "podIP": "10.0.0.1", "podIPs": [{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }],
                    "conditions": conditions },
            });
            if going {
                value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            pod(value)
        };
        let says = |pod: &Pod, service: &Service| {
            let conditions = of_pod(pod, None, service, "IPv4").unwrap().conditions;
            (conditions.ready.unwrap(), conditions.serving.unwrap(), conditions.terminating.unwrap())
        };
        assert_eq!(says(&make(&ready, false), &web), (true, true, false));
        assert_eq!(says(&make(&ready, true), &web), (false, true, true));
        assert_eq!(says(&make(&json!([]), false), &web), (false, false, false));
        assert_eq!(says(&make(&json!([]), true), &eager), (true, false, true));
        let node: Node =
            serde_json::from_value(json!({ "metadata": { "labels": { "topology.kubernetes.io/zone": "z1" } } }))
                .unwrap();
        let endpoint = of_pod(&make(&ready, false), Some(&node), &web, "IPv6").unwrap();
        assert_eq!(
            serde_json::to_value(endpoint).unwrap(),
            json!({
                "addresses": ["fd00::1"], "conditions": { "ready": true, "serving": true, "terminating": false },
                "hostname": "p", "nodeName": "n", "zone": "z1",
                "targetRef": { "kind": "Pod", "namespace": "ns", "name": "p", "uid": "1" },
            })
        );
    }

    #[test]
    fn named_ports_are_looked_up_on_each_pod() {
        let service = service(json!({ "spec": { "ports": [
            { "name": "web", "protocol": "TCP", "port": 80, "targetPort": "http" },
            { "name": "dns", "protocol": "UDP", "port": 53, "targetPort": 5353 },
            { "name": "none", "protocol": "TCP", "port": 1, "targetPort": "missing" },
        ] } }));
        let pod = pod(json!({ "spec": {
            "containers": [{ "ports": [{ "name": "http", "containerPort": 9, "protocol": "UDP" }] }],
            "initContainers": [
                { "ports": [{ "name": "http", "containerPort": 7, "protocol": "TCP" }] },
                { "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }], "restartPolicy": "Always" },
            ],
        } }));
        let ports: Vec<_> = ports_of(&pod, &service).into_iter().map(|port| (port.name, port.port)).collect();
        assert_eq!(ports, [("dns".into(), 5353), ("web".into(), 8080)]);
    }
}
