//! The addresses of a Service: how its singular and plural fields follow each other, what was given out is kept, and
//! what may change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::path::Path;
use super::service::is_headless;
use super::{field, fill};
use crate::document::Value;
use crate::status::Causes;

/// On create an old client sets `clusterIP` only.
pub(super) fn mirror_new(spec: &mut Value) {
    let address = field::text(spec, "clusterIP").to_owned();
    if !address.is_empty() && field::list(spec, "clusterIPs").is_empty() {
        fill::set(spec, "clusterIPs", vec![address].into());
    }
}

/// What was given out before and is not mentioned now is kept, so that applying the same manifest again is no change.
pub(super) fn keep_given(spec: &mut Value, old: &Value) {
    let kind = |spec: &Value| field::text(spec, "type").to_owned();
    if kind(spec) != "ExternalName" && kind(old) != "ExternalName" {
        keep(spec, old, "clusterIP");
        keep(spec, old, "clusterIPs");
        for key in ["ipFamilies", "ipFamilyPolicy"] {
            keep(spec, old, key);
        }
    }
    if needs_node_ports(spec) && needs_node_ports(old) {
        keep_node_ports(spec, old);
    }
    let local = |spec: &Value| {
        field::text(spec, "type") == "LoadBalancer" && field::text(spec, "externalTrafficPolicy") == "Local"
    };
    if local(spec)
        && local(old)
        && field::int(spec, "healthCheckNodePort").unwrap_or_default() == 0
        && let Some(port) = field::int(old, "healthCheckNodePort")
    {
        fill::set(spec, "healthCheckNodePort", port.into());
    }
}

fn keep(spec: &mut Value, old: &Value, key: &str) {
    let nothing = field::text(spec, key).is_empty() && field::list(spec, key).is_empty();
    if let Some(before) = old.get(key).filter(|before| nothing && !before.is_null()) {
        fill::set(spec, key, before.clone());
    }
}

fn needs_node_ports(spec: &Value) -> bool {
    match field::text(spec, "type") {
        "NodePort" => true,
        "LoadBalancer" => field::get(spec, "allocateLoadBalancerNodePorts") != &Value::Bool(false),
        _ => false,
    }
}

/// The node ports that a spec has.
pub(super) fn node_ports(spec: &Value) -> BTreeSet<i64> {
    let ports = field::list(spec, "ports").iter().filter_map(|port| field::int(port, "nodePort"));
    ports.filter(|port| *port != 0).collect()
}

fn keep_node_ports(spec: &mut Value, old: &Value) {
    let used: BTreeSet<i64> = node_ports(spec).intersection(&node_ports(old)).copied().collect();
    let by_name: BTreeMap<&str, i64> = field::list(old, "ports")
        .iter()
        .filter_map(|port| Some((field::text(port, "name"), field::int(port, "nodePort")?)))
        .collect();
    for port in fill::each(spec, "ports") {
        let name = field::text(port, "name").to_owned();
        let before = by_name.get(name.as_str()).filter(|before| !used.contains(before));
        if let Some(before) = before {
            fill::nonzero(port, "nodePort", *before);
        }
    }
}

/// On update one of both fields may follow the other.
pub(super) fn mirror(spec: &mut Value, old: &Value) {
    let (now, before) = (field::text(spec, "clusterIP").to_owned(), field::text(old, "clusterIP"));
    let same = field::list(spec, "clusterIPs") == field::list(old, "clusterIPs");
    if now == before || !same {
        return;
    }
    if now.is_empty() {
        fill::remove(spec, "clusterIPs");
    } else {
        fill::set(spec, "clusterIPs", vec![now].into());
    }
}

/// Rules of the addresses of one Service.
pub(super) fn validate(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    if field::text(spec, "type") == "ExternalName" {
        return;
    }
    let list = path.child("clusterIPs");
    let all = field::get(spec, "clusterIPs");
    let addresses = field::list(spec, "clusterIPs");
    match (field::text(spec, "clusterIP"), addresses.first()) {
        ("", Some(_)) => causes.invalid(list, all, "must be empty when `clusterIP` is not specified"),
        ("", None) => {}
        (_, None) => causes.required(list, ""),
        (single, Some(first)) if first != single => {
            causes.invalid(list, all, "first value must match `clusterIP`");
        }
        _ => {}
    }
    families(spec, path, causes);
    let mut parsed = Vec::new();
    let mut right = true;
    for (at, address) in addresses.iter().enumerate() {
        if at == 0 && address == "None" {
            if addresses.len() > 1 {
                right = false;
                causes.invalid(list, all, "'None' must be the first and only value");
            }
            continue;
        }
        let ip = field::ip(address.as_str().unwrap_or_default(), list.index(at), causes);
        right &= ip.is_some();
        parsed.extend(ip);
    }
    if addresses.len() > 2 {
        causes.invalid(list, all, "may only hold up to 2 values");
    }
    if !right {
        return;
    }
    if matches!(parsed.as_slice(), [a, b, ..] if a.is_ipv4() == b.is_ipv4()) {
        causes.invalid(list, all, "may specify no more than one IP for each IP family");
    }
    of_families(spec, &parsed, &list, causes);
}

fn families(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("ipFamilies");
    let mut seen = BTreeSet::new();
    for (at, family) in field::list(spec, "ipFamilies").iter().enumerate() {
        let name = family.as_str().unwrap_or_default();
        if !matches!(name, "IPv4" | "IPv6") {
            causes.not_supported(list.index(at), family, &["IPv4", "IPv6"]);
        }
        if !seen.insert(name) {
            causes.duplicate(list.index(at), family);
        }
    }
    const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
    field::optional_choice(spec, "ipFamilyPolicy", path, POLICIES, causes);
}

fn of_families(spec: &Value, addresses: &[IpAddr], list: &Path<'_>, causes: &mut Causes) {
    for (at, (ip, family)) in addresses.iter().zip(field::list(spec, "ipFamilies")).enumerate() {
        let wrong = (family == "IPv4" && ip.is_ipv6()) || (family == "IPv6" && ip.is_ipv4());
        if wrong {
            let family = family.as_str().unwrap_or_default();
            let words = format!("expected an {family} value as indicated by `ipFamilies[{at}]`");
            causes.invalid(list.index(at), &Value::from(ip.to_string()), &words);
        }
    }
}

/// What was given out stays; a second family may come and go.
pub(super) fn validate_update(new: &Value, old: &Value, path: &Path<'_>, causes: &mut Causes) {
    let external = |spec: &Value| field::text(spec, "type") == "ExternalName";
    let (headless, was_headless) = (is_headless(new), is_headless(old));
    if external(new) || external(old) || (headless && was_headless) {
        return;
    }
    let list = path.child("clusterIPs");
    let (now, before) = (field::list(new, "clusterIPs"), field::list(old, "clusterIPs"));
    let all = field::get(new, "clusterIPs");
    if now.len() == before.len() {
        for at in (0..now.len()).filter(|at| now[*at] != before[*at]) {
            causes.invalid(list.index(at), all, "may not change once set");
        }
    } else {
        match (now.first(), before.first()) {
            (None, Some(_)) => causes.invalid(list.index(0), all, "primary clusterIP can not be unset"),
            (Some(now), Some(before)) if now != before => {
                causes.invalid(list.index(0), all, "may not change once set");
            }
            _ => {}
        }
        releases_secondary(new, now.len(), before.len(), "clusterIP", path, causes);
    }
    if headless == was_headless {
        families_update(new, old, path, causes);
    }
}

fn families_update(new: &Value, old: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("ipFamilies");
    let (now, before) = (field::list(new, "ipFamilies"), field::list(old, "ipFamilies"));
    let changed = now.iter().zip(before).any(|(now, before)| now != before);
    let primary_changed = matches!((now.first(), before.first()), (Some(now), Some(before)) if now != before);
    if primary_changed || (changed && now.len() == before.len()) {
        causes.invalid(list.index(0), field::get(new, "ipFamilies"), "may not change once set");
    }
    releases_secondary(new, now.len(), before.len(), "ipFamily", path, causes);
}

fn releases_secondary(new: &Value, now: usize, before: usize, what: &str, path: &Path<'_>, causes: &mut Causes) {
    if now == 1 && before > 1 && field::text(new, "ipFamilyPolicy") != "SingleStack" {
        let words = format!("must be set to 'SingleStack' when releasing the secondary {what}");
        causes.invalid(path.child("ipFamilyPolicy"), field::get(new, "ipFamilyPolicy"), &words);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(new: Value, old: Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        validate(&new, &Path::new("spec"), &mut causes);
        validate_update(&new, &old, &Path::new("spec"), &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    #[test]
    fn the_same_manifest_again_changes_nothing() {
        let old = json!({
            "type": "NodePort", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "ports": [{"name": "a", "port": 80, "nodePort": 30000}],
        });
        let mut new = json!({"type": "NodePort", "ports": [{"name": "a", "port": 80}]});
        keep_given(&mut new, &old);
        mirror(&mut new, &old);
        assert_eq!(new, old);
        assert_eq!(complaints(new, old), []);
    }

    #[test]
    fn addresses_stay() {
        let old = json!({"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"]});
        let mut new = json!({"type": "ClusterIP", "clusterIP": "10.96.0.2"});
        keep_given(&mut new, &old);
        mirror(&mut new, &old);
        assert_eq!(
            complaints(new, old),
            [("spec.clusterIPs[0]".into(), "Invalid value: [\"10.96.0.2\"]: may not change once set".into())]
        );
    }

    #[test]
    fn forms() {
        for (spec, message) in [
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"]}),
                "Invalid value: [\"10.0.0.2\"]: first value must match `clusterIP`",
            ),
            (
                json!({"clusterIP": "None", "clusterIPs": ["None", "10.0.0.1"]}),
                "Invalid value: [\"None\",\"10.0.0.1\"]: 'None' must be the first and only value",
            ),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]}),
                "Invalid value: [\"10.0.0.1\",\"10.0.0.2\"]: may specify no more than one IP for each IP family",
            ),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv6"]}),
                "Invalid value: \"10.0.0.1\": expected an IPv6 value as indicated by `ipFamilies[0]`",
            ),
            (json!({"ipFamilies": ["IPv4", "IPv4"]}), "Duplicate value: \"IPv4\""),
        ] {
            assert_eq!(complaints(spec.clone(), spec)[0].1, message);
        }
    }
}
