//! Services. Addresses and node ports are given out elsewhere; what they must look like is said in
//! [`super::service_addresses`].

use std::collections::BTreeSet;

use serde_json::json;

use super::path::Path;
use super::service_addresses as addresses;
use super::{Strategy, field, fill, labels};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// core/v1 Service.
pub(super) struct Service;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: &[&str] = &["Cluster", "Local"];

impl Strategy for Service {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        session_affinity_default(spec);
        fill::text(spec, "type", "ClusterIP");
        for port in fill::each(spec, "ports") {
            fill::text(port, "protocol", "TCP");
            let number = field::int(port, "port").unwrap_or_default();
            let target = field::get(port, "targetPort");
            if target.is_null() || target == 0 || target == "" {
                fill::set(port, "targetPort", number.into());
            }
        }
        if is_external(spec) {
            fill::text(spec, "externalTrafficPolicy", "Cluster");
        }
        let kind = field::text(spec, "type").to_owned();
        if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
            fill::value(spec, "internalTrafficPolicy", || json!("Cluster"));
        }
        if kind == "LoadBalancer" {
            fill::value(spec, "allocateLoadBalancerNodePorts", || json!(true));
            let balancer = fill::field(object, "status").and_then(|status| fill::field(status, "loadBalancer"));
            for ingress in balancer.into_iter().flat_map(|balancer| fill::each(balancer, "ingress")) {
                if !field::text(ingress, "ip").is_empty() {
                    fill::value(ingress, "ipMode", || json!("VIP"));
                }
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        addresses::mirror_new(fill::map(object, "spec"));
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        let before = field::get(old, "spec");
        let spec = fill::map(object, "spec");
        addresses::keep_given(spec, before);
        addresses::mirror(spec, before);
        drop_what_the_type_has_not(spec, before);
        if field::text(spec, "type") != "LoadBalancer" {
            object.remove(&["status", "loadBalancer"]);
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        of_type(spec, &path, causes);
        ports(spec, &path, causes);
        labels::labels(spec, "selector", &path, causes);
        field::required_choice(spec, "sessionAffinity", &path, &["ClientIP", "None"], causes);
        session_affinity(spec, &path, causes);
        addresses::validate(spec, &path, causes);
        external_ips(spec, &path, causes);
        field::required_choice(spec, "type", &path, TYPES, causes);
        node_ports(spec, &path, causes);
        load_balancer(object, &path, causes);
        traffic(spec, &path, causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "spec"), field::get(old, "spec"));
        let path = Path::new("spec");
        addresses::validate_update(new, old, &path, causes);
        let balanced = |spec: &Value| field::text(spec, "type") == "LoadBalancer";
        let class = field::get(new, "loadBalancerClass");
        if balanced(new) && balanced(old) && class != field::get(old, "loadBalancerClass") {
            causes.invalid(path.child("loadBalancerClass"), class, "may not change once set");
        }
        let port = |spec: &Value| field::int(spec, "healthCheckNodePort").unwrap_or_default();
        if needs_health_check(new) && needs_health_check(old) && port(new) != port(old) {
            causes.forbidden(path.child("healthCheckNodePort"), field::IMMUTABLE);
        }
    }

    /// A DNS label: dots would make more than one label of the name that DNS serves.
    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_label(name)
    }
}

fn session_affinity_default(spec: &mut Value) {
    fill::text(spec, "sessionAffinity", "None");
    match field::text(spec, "sessionAffinity") {
        "None" => drop(fill::remove(spec, "sessionAffinityConfig")),
        "ClientIP" => {
            let config = fill::map(fill::map(spec, "sessionAffinityConfig"), "clientIP");
            fill::int(config, "timeoutSeconds", 10_800);
        }
        _ => {}
    }
}

pub(super) fn is_headless(spec: &Value) -> bool {
    matches!(field::list(spec, "clusterIPs"), [one] if one == "None")
}

fn is_external(spec: &Value) -> bool {
    match field::text(spec, "type") {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !field::list(spec, "externalIPs").is_empty(),
        _ => false,
    }
}

fn needs_health_check(spec: &Value) -> bool {
    field::text(spec, "type") == "LoadBalancer" && field::text(spec, "externalTrafficPolicy") == "Local"
}

/// Fields that came with the old type, that the new one has no use for, and that the client did not change.
fn drop_what_the_type_has_not(spec: &mut Value, old: &Value) {
    let kind = |spec: &Value| field::text(spec, "type").to_owned();
    let (new_kind, old_kind) = (kind(spec), kind(old));
    let mut drop_same = |applies: bool, key: &str| {
        if applies && field::get(spec, key) == field::get(old, key) {
            fill::remove(spec, key);
        }
    };
    let lost_address = old_kind != "ExternalName" && new_kind == "ExternalName";
    for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        drop_same(lost_address, key);
    }
    let balanced_no_more = old_kind == "LoadBalancer" && new_kind != "LoadBalancer";
    drop_same(balanced_no_more, "allocateLoadBalancerNodePorts");
    drop_same(balanced_no_more, "loadBalancerClass");
    let health_check_no_more = needs_health_check(old) && !needs_health_check(spec);
    let same_health_check = field::get(spec, "healthCheckNodePort") == field::get(old, "healthCheckNodePort");
    if health_check_no_more && same_health_check {
        fill::remove(spec, "healthCheckNodePort");
    }
    let outside_no_more = is_external(old) && !is_external(spec);
    if outside_no_more && field::get(spec, "externalTrafficPolicy") == field::get(old, "externalTrafficPolicy") {
        fill::remove(spec, "externalTrafficPolicy");
    }
    let has_ports = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    if has_ports(&old_kind) && !has_ports(&new_kind) {
        let given = addresses::node_ports(old);
        if addresses::node_ports(spec).is_subset(&given) {
            for port in fill::each(spec, "ports") {
                fill::remove(port, "nodePort");
            }
        }
    }
}

fn of_type(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let kind = field::text(spec, "type");
    if field::list(spec, "ports").is_empty() && !is_headless(spec) && kind != "ExternalName" {
        causes.required(path.child("ports"), "");
    }
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(spec) => {
            let words = format!("may not be set to 'None' for {kind} services");
            causes.invalid(path.child("clusterIPs").index(0), &Value::from("None"), &words);
        }
        "ExternalName" => external_name(spec, path, causes),
        _ => {}
    }
}

fn external_name(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    for key in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !field::same(field::get(spec, key), &Value::Null) {
            causes.forbidden(path.child(key), "may not be set for ExternalName services");
        }
    }
    match field::text(spec, "externalName") {
        "" | "." => causes.required(path.child("externalName"), ""),
        name => field::dns_subdomain(name.strip_suffix('.').unwrap_or(name), path.child("externalName"), causes),
    }
}

fn ports(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("ports");
    let ports = field::list(spec, "ports");
    let mut names = BTreeSet::new();
    for (at, port) in ports.iter().enumerate() {
        let path = list.index(at);
        match field::text(port, "name") {
            "" if ports.len() > 1 => causes.required(path.child("name"), ""),
            "" => {}
            name => {
                field::dns_label(name, path.child("name"), causes);
                if !names.insert(name) {
                    causes.duplicate(path.child("name"), &Value::from(name));
                }
            }
        }
        field::port_number(field::int(port, "port").unwrap_or_default(), path.child("port"), causes);
        field::required_choice(port, "protocol", &path, field::PROTOCOLS, causes);
        field::port(field::get(port, "targetPort"), path.child("targetPort"), causes);
        if field::is_set(port, "appProtocol") {
            field::qualified_name(field::text(port, "appProtocol"), path.child("appProtocol"), causes);
        }
    }
}

fn session_affinity(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let config = field::get(spec, "sessionAffinityConfig");
    let path = path.child("sessionAffinityConfig");
    match field::text(spec, "sessionAffinity") {
        "None" if !config.is_null() => {
            causes.forbidden(path, "must not be set when session affinity is None");
        }
        "ClientIP" => {
            let client = field::get(config, "clientIP");
            let path = path.child("clientIP");
            match field::int(client, "timeoutSeconds") {
                None => {
                    causes.required(path.child("timeoutSeconds"), "when session affinity type is ClientIP");
                }
                Some(seconds) if !(1..=86_400).contains(&seconds) => {
                    let words = "must be greater than 0 and less than 86400";
                    causes.invalid(path.child("timeoutSeconds"), &Value::from(seconds), words);
                }
                Some(_) => {}
            }
        }
        _ => {}
    }
}

fn external_ips(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("externalIPs");
    for (at, value) in field::list(spec, "externalIPs").iter().enumerate() {
        if let Some(ip) = field::ip(value.as_str().unwrap_or_default(), list.index(at), causes) {
            field::endpoint_ip(ip, list.index(at), causes);
        }
    }
}

fn node_ports(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("ports");
    let (mut taken, mut served) = (BTreeSet::new(), BTreeSet::new());
    for (at, port) in field::list(spec, "ports").iter().enumerate() {
        let path = list.index(at);
        let protocol = field::text(port, "protocol");
        let node_port = field::int(port, "nodePort").unwrap_or_default();
        if node_port != 0 {
            if field::text(spec, "type") == "ClusterIP" {
                causes.forbidden(path.child("nodePort"), "may not be used when `type` is 'ClusterIP'");
            }
            if !taken.insert((protocol, node_port)) {
                causes.duplicate(path.child("nodePort"), &Value::from(node_port));
            }
        }
        let number = field::int(port, "port").unwrap_or_default();
        if !served.insert((protocol, number)) {
            causes.duplicate(path, &json!({"protocol": protocol, "port": number}));
        }
    }
}

fn load_balancer(object: &Value, path: &Path<'_>, causes: &mut Causes) {
    let spec = field::get(object, "spec");
    let balanced = field::text(spec, "type") == "LoadBalancer";
    let ranges = field::list(spec, "loadBalancerSourceRanges");
    let list = path.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() && !balanced {
        causes.forbidden(list, "may only be used when `type` is 'LoadBalancer'");
    }
    for (at, range) in ranges.iter().enumerate() {
        field::cidr(range.as_str().unwrap_or_default().trim(), list.index(at), causes);
    }
    if field::is_set(spec, "allocateLoadBalancerNodePorts") && !balanced {
        let words = "may only be used when `type` is 'LoadBalancer'";
        causes.forbidden(path.child("allocateLoadBalancerNodePorts"), words);
    }
    if field::is_set(spec, "loadBalancerClass") {
        let path = path.child("loadBalancerClass");
        match balanced {
            true => field::qualified_name(field::text(spec, "loadBalancerClass"), path, causes),
            false => causes.forbidden(path, "may only be used when `type` is 'LoadBalancer'"),
        }
    }
}

fn traffic(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let policy = field::get(spec, "externalTrafficPolicy");
    if is_external(spec) {
        field::required_choice(spec, "externalTrafficPolicy", path, POLICIES, causes);
    } else if !field::text(spec, "externalTrafficPolicy").is_empty() {
        let words = "may only be set for externally-accessible services";
        causes.invalid(path.child("externalTrafficPolicy"), policy, words);
    }
    // Where one is needed and there is none yet, it will be given out.
    if let Some(port) = field::int(spec, "healthCheckNodePort").filter(|port| *port != 0) {
        let path = path.child("healthCheckNodePort");
        if needs_health_check(spec) {
            field::port_number(port, path, causes);
        } else {
            let words = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            causes.invalid(path, &Value::from(port), words);
        }
    }
    field::optional_choice(spec, "internalTrafficPolicy", path, POLICIES, causes);
    const NEAR: &[&str] = &["PreferClose", "PreferSameZone", "PreferSameNode"];
    field::optional_choice(spec, "trafficDistribution", path, NEAR, causes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    fn service(change: Value) -> Value {
        let mut object = json!({"spec": {"ports": [{"port": 80}]}});
        for (key, value) in change.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        Service.default(&mut object);
        Service.prepare_create(&mut object);
        object
    }

    #[test]
    fn defaults() {
        assert_eq!(
            service(json!({}))["spec"],
            json!({
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "sessionAffinity": "None",
                "type": "ClusterIP", "internalTrafficPolicy": "Cluster",
            })
        );
        let balanced = service(json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP"}));
        assert_eq!(balanced["spec"]["externalTrafficPolicy"], "Cluster");
        assert_eq!(balanced["spec"]["allocateLoadBalancerNodePorts"], true);
        assert_eq!(balanced["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 10_800);
        let headless = service(json!({"clusterIP": "None"}));
        assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    }

    #[test]
    fn what_passes() {
        for change in [
            json!({}),
            json!({"clusterIP": "None", "ports": []}),
            json!({"type": "NodePort", "ports": [{"name": "a", "port": 1, "nodePort": 30000}, {"name": "b", "port": 2}]}),
            json!({"type": "ExternalName", "externalName": "a.example.com.", "ports": []}),
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "loadBalancerSourceRanges": ["10.0.0.0/8"]}),
            json!({"ports": [{"name": "a", "port": 53, "protocol": "TCP"}, {"name": "b", "port": 53, "protocol": "UDP"}]}),
            json!({"clusterIP": "10.96.0.10"}),
        ] {
            assert_eq!(complaints(&Service, &service(change.clone())), [], "{change}");
        }
    }

    #[test]
    fn what_does_not() {
        for (change, field, message) in [
            (json!({"ports": []}), "spec.ports", "Required value"),
            (json!({"ports": [{"port": 1}, {"port": 2}]}), "spec.ports[0].name", "Required value"),
            (
                json!({"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]}),
                "spec.ports[1].name",
                "Duplicate value: \"a\"",
            ),
            (
                json!({"ports": [{"port": 0}]}),
                "spec.ports[0].port",
                "Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                json!({"ports": [{"port": 80, "nodePort": 30000}]}),
                "spec.ports[0].nodePort",
                "Forbidden: may not be used when `type` is 'ClusterIP'",
            ),
            (
                json!({"type": "Mine"}),
                "spec.type",
                "Unsupported value: \"Mine\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \
                 \"NodePort\"",
            ),
            (json!({"type": "ExternalName", "ports": []}), "spec.externalName", "Required value"),
            (
                json!({"type": "NodePort", "clusterIP": "None"}),
                "spec.clusterIPs[0]",
                "Invalid value: \"None\": may not be set to 'None' for NodePort services",
            ),
            (
                json!({"externalTrafficPolicy": "Local"}),
                "spec.externalTrafficPolicy",
                "Invalid value: \"Local\": may only be set for externally-accessible services",
            ),
            (
                json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}),
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                "Invalid value: 0: must be greater than 0 and less than 86400",
            ),
            (
                json!({"loadBalancerClass": "a/b"}),
                "spec.loadBalancerClass",
                "Forbidden: may only be used when `type` is 'LoadBalancer'",
            ),
            (
                json!({"externalIPs": ["127.0.0.1"]}),
                "spec.externalIPs[0]",
                "Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            ),
        ] {
            let found = complaints(&Service, &service(change));
            assert_eq!(found[0], (field.to_owned(), message.to_owned()));
        }
    }

    #[test]
    fn a_new_type_drops_what_it_has_no_use_for() {
        let old = service(json!({
            "type": "LoadBalancer", "clusterIP": "10.96.0.1", "loadBalancerClass": "a/b",
            "ports": [{"port": 80, "nodePort": 30000}],
        }));
        let mut new = old.clone();
        new["spec"]["type"] = json!("ClusterIP");
        Service.prepare_update(&mut new, &old);
        assert_eq!(complaints(&Service, &new), []);
        assert_eq!(complaints_update(&Service, &new, &old), []);
        let mut new = old.clone();
        new["spec"]["type"] = json!("ExternalName");
        new["spec"]["externalName"] = json!("a.b");
        Service.prepare_update(&mut new, &old);
        assert_eq!(new["spec"].get("clusterIP"), None);
        assert_eq!(complaints(&Service, &new), []);
    }
}
