//! NetworkPolicies.

use super::path::Path;
use super::{Strategy, field, fill, labels};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// networking.k8s.io/v1 NetworkPolicy.
pub(super) struct NetworkPolicy;

/// A direction's rules, its peers and how it is called.
const DIRECTIONS: &[(&str, &str, &str)] = &[("ingress", "from", "Ingress"), ("egress", "to", "Egress")];

impl Strategy for NetworkPolicy {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        for (direction, ..) in DIRECTIONS {
            for rule in fill::each(spec, direction) {
                for port in fill::each(rule, "ports") {
                    fill::text(port, "protocol", "TCP");
                }
            }
        }
        if field::list(spec, "policyTypes").is_empty() {
            let egress = !field::list(spec, "egress").is_empty();
            let types = if egress { vec!["Ingress", "Egress"] } else { vec!["Ingress"] };
            fill::set(spec, "policyTypes", types.into());
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        labels::selector(spec, "podSelector", &path, causes);
        for (direction, peers, _) in DIRECTIONS {
            let list = path.child(direction);
            for (at, rule) in field::list(spec, direction).iter().enumerate() {
                let path = list.index(at);
                let ports = path.child("ports");
                for (at, port) in field::list(rule, "ports").iter().enumerate() {
                    self::port(port, &ports.index(at), causes);
                }
                let list = path.child(peers);
                for (at, peer) in field::list(rule, peers).iter().enumerate() {
                    self::peer(peer, &list.index(at), causes);
                }
            }
        }
        let types = field::list(spec, "policyTypes");
        let list = path.child("policyTypes");
        if types.len() > 2 {
            let words = "may not specify more than two policyTypes";
            return causes.invalid(list, field::get(spec, "policyTypes"), words);
        }
        for (at, kind) in types.iter().enumerate() {
            if !DIRECTIONS.iter().any(|(_, _, known)| kind == known) {
                causes.not_supported(list.index(at), kind, &["Ingress", "Egress"]);
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn port(port: &Value, path: &Path<'_>, causes: &mut Causes) {
    field::optional_choice(port, "protocol", path, &["TCP", "UDP", "SCTP"], causes);
    let value = field::get(port, "port");
    if !value.is_null() {
        field::port(value, path.child("port"), causes);
    }
    let Some(end) = field::int(port, "endPort") else { return };
    let end_path = path.child("endPort");
    match value {
        Value::Null => causes.invalid(end_path, &end.into(), "may not be specified when `port` is not specified"),
        Value::String(_) => {
            causes.invalid(end_path, &end.into(), "may not be specified when `port` is non-numeric");
        }
        start => {
            if end < start.as_i64().unwrap_or_default() {
                causes.invalid(end_path, start, "must be greater than or equal to `port`");
            }
            field::port_number(end, end_path, causes);
        }
    }
}

fn peer(peer: &Value, path: &Path<'_>, causes: &mut Causes) {
    let keys = ["podSelector", "namespaceSelector"];
    let selectors = keys.iter().filter(|key| field::is_set(peer, key)).count();
    for key in keys {
        labels::selector(peer, key, path, causes);
    }
    let block = field::get(peer, "ipBlock");
    if !block.is_null() {
        ip_block(block, &path.child("ipBlock"), causes);
    }
    match (selectors, block.is_null()) {
        (0, true) => causes.required(path, "must specify a peer"),
        (1.., false) => causes.forbidden(path, "may not specify both ipBlock and another peer"),
        _ => {}
    }
}

fn ip_block(block: &Value, path: &Path<'_>, causes: &mut Causes) {
    if !field::required_text(block, "cidr", path, causes) {
        return;
    }
    let Some(whole) = field::cidr(field::text(block, "cidr"), path.child("cidr"), causes) else { return };
    let list = path.child("except");
    for (at, value) in field::list(block, "except").iter().enumerate() {
        let part = field::cidr(value.as_str().unwrap_or_default(), list.index(at), causes);
        if part.is_some_and(|part| part == whole || !whole.contains(&part)) {
            causes.invalid(list.index(at), value, "must be a strict subset of `cidr`");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::complaints;

    #[test]
    fn rules() {
        let of = |rule: Value| {
            let mut object = json!({"spec": {"podSelector": {}, "egress": [rule]}});
            NetworkPolicy.default(&mut object);
            object
        };
        let good = of(json!({"ports": [{"port": 80, "endPort": 90}], "to": [
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}));
        assert_eq!(good["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(good["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
        assert_eq!(complaints(&NetworkPolicy, &good), []);
        for (rule, field, message) in [
            (json!({"to": [{}]}), "spec.egress[0].to[0]", "Required value: must specify a peer"),
            (
                json!({"to": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}),
                "spec.egress[0].to[0]",
                "Forbidden: may not specify both ipBlock and another peer",
            ),
            (
                json!({"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}}]}),
                "spec.egress[0].to[0].ipBlock.except[0]",
                "Invalid value: \"11.0.0.0/8\": must be a strict subset of `cidr`",
            ),
            (
                json!({"ports": [{"endPort": 1}]}),
                "spec.egress[0].ports[0].endPort",
                "Invalid value: 1: may not be specified when `port` is not specified",
            ),
            (
                json!({"ports": [{"port": "web", "endPort": 1}]}),
                "spec.egress[0].ports[0].endPort",
                "Invalid value: 1: may not be specified when `port` is non-numeric",
            ),
        ] {
            assert_eq!(complaints(&NetworkPolicy, &of(rule)), [(field.to_owned(), message.to_owned())]);
        }
    }
}
