//! What a Service needs from the pools, and the fields that depend on each other: clusterIP and clusterIPs, families and
//! their policy, ports by type.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::document::Document;
use api::{Causes, Status, Value};
use serde_json::json;

use crate::verbs::Call;

/// Where a port is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `spec.ports[i].nodePort` of these; more than one where one port is offered under two protocols.
    Ports(Vec<usize>),
    /// spec.healthCheckNodePort
    HealthCheck,
}

/// What is to be reserved. `None` as a wish: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) ip: Option<Option<IpAddr>>,
    pub(super) ports: Vec<(Place, Option<u16>)>,
}

/// What was reserved, in the order of the needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Granted {
    pub(super) ips: Vec<String>,
    pub(super) places: Vec<(Place, u16)>,
}

impl Granted {
    /// What a dry run shows: the address of the range itself, as the reference does, and no port.
    pub(super) fn pretended(call: Call<'_>, needs: &Needs) -> Self {
        let any = || call.shard.options.service_cidr.network().to_string();
        let ip = needs.ip.map(|wish| wish.map_or_else(any, |ip| ip.to_string()));
        Self { ips: ip.into_iter().collect(), places: Vec::new() }
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        self.places.iter().map(|(_, port)| *port).collect()
    }

    /// Writes it into the Service.
    pub(super) fn assign(&self, service: &mut Value, needs: &Needs) {
        if let (Some(_), Some(ip)) = (&needs.ip, self.ips.first()) {
            service.set(&["spec", "clusterIP"], ip.as_str());
            service.set(&["spec", "clusterIPs"], json!([ip]));
        }
        for (place, port) in &self.places {
            match place {
                Place::HealthCheck => service.set(&["spec", "healthCheckNodePort"], *port),
                Place::Ports(indices) => {
                    for index in indices {
                        if let Some(entry) = service.at_mut(&["spec", "ports"]).get_mut(*index) {
                            entry.set(&["nodePort"], *port);
                        }
                    }
                }
            }
        }
    }
}

/// Settles the dependent fields and says what has to be reserved.
pub(super) fn settle(call: Call<'_>, service: &mut Value, old: Option<&Value>) -> Result<Needs, Status> {
    if let Some(old) = old {
        carry_over(service, old);
        drop_by_type(service, old);
    }
    normalize_ips(service, old);
    let mut causes = Causes::default();
    settle_families(service, old, &mut causes);
    call.invalid_unless_empty(causes)?;
    let mut needs = Needs { ip: ip_need(call, service, old)?, ports: Vec::new() };
    if uses_node_ports(service) {
        needs.ports = port_needs(service, old);
    }
    let health_check = service.int(&["spec", "healthCheckNodePort"]).unwrap_or(0);
    let held = old.filter(|old| uses_health_check(old)).and_then(|old| old.int(&["spec", "healthCheckNodePort"]));
    if uses_health_check(service) && held.unwrap_or(0) == 0 {
        needs.ports.push((Place::HealthCheck, to_port(health_check)));
    }
    Ok(needs)
}

/// Addresses and ports that `before` held and `after` does not.
pub(super) fn no_longer_held(before: &Value, after: &Value) -> (Vec<String>, Vec<u16>) {
    let (ips, ports) = held(before);
    let (kept_ips, kept_ports) = held(after);
    (ips.difference(&kept_ips).cloned().collect(), ports.difference(&kept_ports).copied().collect())
}

/// Addresses and ports that a Service holds.
pub(super) fn held(service: &Value) -> (BTreeSet<String>, BTreeSet<u16>) {
    let texts = service.list(&["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
    let singular = service.text(&["spec", "clusterIP"]);
    let ips = texts.chain([singular]).filter(|ip| !ip.is_empty() && *ip != "None");
    let ports = service.list(&["spec", "ports"]).iter().filter_map(|port| port.int(&["nodePort"]));
    let ports = ports.chain(service.int(&["spec", "healthCheckNodePort"]));
    (ips.map(str::to_owned).collect(), ports.filter_map(to_port).collect())
}

fn to_port(port: i64) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}

fn kind_of(service: &Value) -> &str {
    match service.text(&["spec", "type"]) {
        "" => "ClusterIP",
        other => other,
    }
}

fn uses_cluster_ip(service: &Value) -> bool {
    kind_of(service) != "ExternalName"
}

fn uses_node_ports(service: &Value) -> bool {
    matches!(kind_of(service), "NodePort" | "LoadBalancer")
}

/// Whether ports that are not named get one.
fn allocates_node_ports(service: &Value) -> bool {
    let balanced = service.at(&["spec", "allocateLoadBalancerNodePorts"]).as_bool().unwrap_or(true);
    kind_of(service) == "NodePort" || (kind_of(service) == "LoadBalancer" && balanced)
}

fn uses_health_check(service: &Value) -> bool {
    kind_of(service) == "LoadBalancer" && service.text(&["spec", "externalTrafficPolicy"]) == "Local"
}

fn is_headless(service: &Value) -> bool {
    service.text(&["spec", "clusterIP"]) == "None"
}

fn same(service: &Value, old: &Value, field: &str) -> bool {
    service.at(&["spec", field]) == old.at(&["spec", field])
}

/// What a client left out and was allocated before stays (patchAllocatedValues).
fn carry_over(service: &mut Value, old: &Value) {
    if uses_cluster_ip(old) && uses_cluster_ip(service) {
        if service.text(&["spec", "clusterIP"]).is_empty() {
            copy(service, old, "clusterIP");
        }
        if service.list(&["spec", "clusterIPs"]).is_empty() {
            copy(service, old, "clusterIPs");
        }
    }
    if allocates_node_ports(old) && allocates_node_ports(service) {
        let numbers = |service: &Value| -> BTreeSet<i64> {
            service.list(&["spec", "ports"]).iter().filter_map(|port| port.int(&["nodePort"])).collect()
        };
        let used: BTreeSet<i64> = numbers(old).intersection(&numbers(service)).copied().collect();
        let by_name = |name: &str| {
            let port = old.list(&["spec", "ports"]).iter().find(|port| port.text(&["name"]) == name);
            port.and_then(|port| port.int(&["nodePort"]))
        };
        for port in service.at_mut(&["spec", "ports"]).as_array_mut().into_iter().flatten() {
            if port.int(&["nodePort"]).unwrap_or(0) == 0
                && let Some(before) = by_name(port.text(&["name"])).filter(|before| !used.contains(before))
            {
                port.set(&["nodePort"], before);
            }
        }
    }
    if uses_health_check(old) && uses_health_check(service) {
        let before = old.at(&["spec", "healthCheckNodePort"]);
        if service.int(&["spec", "healthCheckNodePort"]).unwrap_or(0) == 0 && !before.is_null() {
            service.set(&["spec", "healthCheckNodePort"], before.clone());
        }
    }
}

fn copy(service: &mut Value, old: &Value, field: &str) {
    let before = old.at(&["spec", field]);
    if !before.is_null() {
        service.set(&["spec", field], before.clone());
    }
}

/// What a new type has no use for goes, if the client did not touch it (dropTypeDependentFields).
fn drop_by_type(service: &mut Value, old: &Value) {
    if uses_cluster_ip(old) && !uses_cluster_ip(service) {
        let untouched = same(service, old, "clusterIP") && same(service, old, "clusterIPs");
        let fields = [
            ("clusterIP", untouched),
            ("clusterIPs", untouched),
            ("ipFamilies", same(service, old, "ipFamilies")),
            ("ipFamilyPolicy", same(service, old, "ipFamilyPolicy")),
        ];
        for (field, _) in fields.into_iter().filter(|(_, drop)| *drop) {
            service.remove(&["spec", field]);
        }
    }
    let ports = |service: &Value| -> Vec<Option<i64>> {
        service.list(&["spec", "ports"]).iter().map(|port| port.int(&["nodePort"])).collect()
    };
    if allocates_node_ports(old) && !allocates_node_ports(service) && ports(old) == ports(service) {
        for port in service.at_mut(&["spec", "ports"]).as_array_mut().into_iter().flatten() {
            port.remove(&["nodePort"]);
        }
    }
    let balanced = |service: &Value| kind_of(service) == "LoadBalancer";
    let reachable = |service: &Value| {
        uses_node_ports(service)
            || (kind_of(service) == "ClusterIP" && !service.list(&["spec", "externalIPs"]).is_empty())
    };
    let dropped = [
        ("healthCheckNodePort", uses_health_check(old) && !uses_health_check(service)),
        ("allocateLoadBalancerNodePorts", balanced(old) && !balanced(service)),
        ("loadBalancerClass", balanced(old) && !balanced(service)),
        ("externalTrafficPolicy", reachable(old) && !reachable(service)),
    ];
    for (field, _) in dropped.into_iter().filter(|(_, drop)| *drop) {
        if same(service, old, field) {
            service.remove(&["spec", field]);
        }
    }
    if !balanced(service) && !service.at(&["status", "loadBalancer"]).is_null() {
        service.set(&["status", "loadBalancer"], json!({}));
    }
}

/// clusterIP and clusterIPs agree, for clients that know only one of them (normalizeClusterIPs).
fn normalize_ips(service: &mut Value, old: Option<&Value>) {
    let ip = service.text(&["spec", "clusterIP"]).to_owned();
    let Some(old) = old else {
        if !ip.is_empty() && service.list(&["spec", "clusterIPs"]).is_empty() {
            service.set(&["spec", "clusterIPs"], json!([ip]));
        }
        return;
    };
    let before = old.text(&["spec", "clusterIP"]);
    let same_list = same(service, old, "clusterIPs");
    if before == ip {
        if service.list(&["spec", "clusterIPs"]).is_empty() && uses_cluster_ip(service) {
            copy(service, old, "clusterIPs");
        }
    } else if same_list && !ip.is_empty() {
        service.set(&["spec", "clusterIPs"], json!([ip]));
    } else if same_list && !before.is_empty() {
        service.remove(&["spec", "clusterIPs"]);
    }
}

/// ipFamilies and ipFamilyPolicy of a cluster with IPv4 only (initIPFamilyFields).
fn settle_families(service: &mut Value, old: Option<&Value>, causes: &mut Causes) {
    if !uses_cluster_ip(service) {
        return;
    }
    let selectorless =
        is_headless(service) && service.at(&["spec", "selector"]).as_object().is_none_or(|map| map.is_empty());
    if service.text(&["spec", "ipFamilyPolicy"]).is_empty() {
        let before = old.map_or("", |old| old.text(&["spec", "ipFamilyPolicy"]));
        let policy = match before {
            "" if selectorless => "RequireDualStack",
            "" => "SingleStack",
            before => before,
        };
        service.set(&["spec", "ipFamilyPolicy"], policy.to_owned());
    }
    let policy = service.text(&["spec", "ipFamilyPolicy"]).to_owned();
    let families: Vec<String> =
        service.list(&["spec", "ipFamilies"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if selectorless {
        let mut families = if families.is_empty() { vec!["IPv4".to_owned()] } else { families };
        if families.len() == 1 && policy != "SingleStack" {
            families.push(if families[0] == "IPv4" { "IPv6" } else { "IPv4" }.to_owned());
        }
        service.set(&["spec", "ipFamilies"], families);
        return;
    }
    if policy == "RequireDualStack" {
        let why = "this cluster is not configured for dual-stack services";
        causes.invalid("spec.ipFamilyPolicy", &policy.into(), why);
    }
    for (at, family) in families.iter().enumerate().filter(|(_, family)| *family != "IPv4") {
        causes.invalid(format!("spec.ipFamilies[{at}]"), &family.as_str().into(), "not configured on this cluster");
    }
    let ips = service.list(&["spec", "clusterIPs"]).to_vec();
    for (at, ip) in ips.iter().enumerate().filter(|(_, ip)| ip.as_str().is_some_and(|ip| ip.contains(':'))) {
        causes.invalid(format!("spec.clusterIPs[{at}]"), ip, "IPv6 is not configured on this cluster");
    }
    if families.is_empty() {
        service.set(&["spec", "ipFamilies"], json!(["IPv4"]));
    }
}

fn ip_need(call: Call<'_>, service: &Value, old: Option<&Value>) -> Result<Option<Option<IpAddr>>, Status> {
    if !uses_cluster_ip(service) || is_headless(service) || old.is_some_and(uses_cluster_ip) {
        // An address that is there already is immutable: validation says so.
        return Ok(None);
    }
    let wish = service.text(&["spec", "clusterIP"]);
    if wish.is_empty() {
        return Ok(Some(None));
    }
    match wish.parse::<IpAddr>() {
        Ok(ip) => Ok(Some(Some(ip))),
        Err(_) => {
            let mut causes = Causes::default();
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            causes.invalid("spec.clusterIPs[0]", &wish.into(), why);
            call.invalid_unless_empty(causes).map(|()| None)
        }
    }
}

fn port_needs(service: &Value, old: Option<&Value>) -> Vec<(Place, Option<u16>)> {
    let held = old.filter(|old| uses_node_ports(old)).map(|old| held(old).1).unwrap_or_default();
    let ports = service.list(&["spec", "ports"]);
    let number = |port: &Value| port.int(&["nodePort"]).and_then(to_port);
    let wished = |at: i64| ports.iter().find(|port| port.int(&["port"]) == Some(at)).and_then(number);
    let mut needs: Vec<(Place, Option<u16>)> = Vec::new();
    let mut shared: Vec<(i64, usize)> = Vec::new();
    for (at, port) in ports.iter().enumerate() {
        let offered = port.int(&["port"]).unwrap_or(0);
        let wish = number(port).or_else(|| wished(offered).filter(|_| old.is_none()));
        match wish {
            Some(wish) if held.contains(&wish) => {}
            // One number serves one port under several protocols.
            Some(wish) => match needs.iter_mut().find(|(_, have)| *have == Some(wish)) {
                Some((Place::Ports(indices), _)) => indices.push(at),
                _ => needs.push((Place::Ports(vec![at]), Some(wish))),
            },
            None if !allocates_node_ports(service) => {}
            None => match shared.iter().find(|(port, _)| *port == offered && old.is_none()) {
                Some((_, need)) => {
                    if let Place::Ports(indices) = &mut needs[*need].0 {
                        indices.push(at);
                    }
                }
                None => {
                    shared.push((offered, needs.len()));
                    needs.push((Place::Ports(vec![at]), None));
                }
            },
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_two_protocols_is_one_number() {
        let service = json!({"spec": {"type": "NodePort", "ports": [
            {"name": "a", "port": 53, "protocol": "UDP"}, {"name": "b", "port": 53, "protocol": "TCP"},
            {"name": "c", "port": 80, "nodePort": 30080},
        ]}});
        let needs = port_needs(&service, None);
        assert_eq!(needs, [(Place::Ports(vec![0, 1]), None), (Place::Ports(vec![2]), Some(30080))]);
    }

    #[test]
    fn what_was_allocated_stays() {
        let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "ports": [{"name": "a", "port": 80, "nodePort": 30001}]}});
        let mut new = json!({"spec": {"type": "NodePort", "ports": [{"name": "a", "port": 81}]}});
        carry_over(&mut new, &old);
        assert_eq!(held(&new), held(&old));
        assert!(port_needs(&new, Some(&old)).is_empty());
    }

    #[test]
    fn a_type_without_addresses_gives_them_back() {
        let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "ports": [{"port": 80, "nodePort": 30001}]}});
        let mut new = old.clone();
        new["spec"]["type"] = json!("ExternalName");
        drop_by_type(&mut new, &old);
        assert_eq!(new["spec"], json!({"type": "ExternalName", "ports": [{"port": 80}]}));
        assert_eq!(no_longer_held(&old, &new), (vec!["10.0.0.1".to_owned()], vec![30001]));
    }

    #[test]
    fn one_family_is_what_there_is() {
        let mut causes = Causes::default();
        let mut service = json!({"spec": {"selector": {"a": "b"}}});
        settle_families(&mut service, None, &mut causes);
        assert_eq!(service["spec"]["ipFamilies"], json!(["IPv4"]));
        assert_eq!(service["spec"]["ipFamilyPolicy"], "SingleStack");
        let mut headless = json!({"spec": {"clusterIP": "None"}});
        settle_families(&mut headless, None, &mut causes);
        assert_eq!(headless["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
        assert!(causes.is_empty());
        let mut dual = json!({"spec": {"ipFamilyPolicy": "RequireDualStack", "selector": {"a": "b"}}});
        settle_families(&mut dual, None, &mut causes);
        assert_eq!(causes.0.len(), 1);
    }
}
