//! Nodes.

use serde_json::json;

use super::path::Path;
use super::pod_spec;
use super::{Strategy, field, fill, resources};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// core/v1 Node.
pub(super) struct Node;

impl Strategy for Node {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = fill::field(object, "spec") {
            mirror_ranges(spec);
        }
        if let Some(status) = fill::field(object, "status")
            && let Some(capacity) = status.get("capacity").filter(|capacity| !capacity.is_null()).cloned()
        {
            fill::value(status, "allocatable", || capacity);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.remove(&["spec", "configSource"]);
        object.remove(&["status", "config"]);
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let (spec, status) = (field::get(object, "spec"), field::get(object, "status"));
        pod_spec::taints(spec, &Path::new("metadata"), causes);
        of_status(status, causes);
        let list = Path::new("spec.podCIDRs");
        let ranges = field::list(spec, "podCIDRs");
        let mut families = Vec::new();
        for (at, range) in ranges.iter().enumerate() {
            let range = field::cidr(range.as_str().unwrap_or_default(), list.index(at), causes);
            families.extend(range.map(|range| matches!(range, ipnet::IpNet::V4(_))));
        }
        let dual = !matches!(families.as_slice(), [true, true] | [false, false]);
        if ranges.len() > 2 || (ranges.len() == 2 && !dual) {
            let words = "may specify no more than one CIDR for each IP family";
            causes.invalid(list, field::get(spec, "podCIDRs"), words);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "spec"), field::get(old, "spec"));
        if !field::list(old, "podCIDRs").is_empty() && field::list(old, "podCIDRs") != field::list(new, "podCIDRs") {
            let words = "node updates may not change podCIDR except from \"\" to valid";
            causes.forbidden("spec.podCIDRs", words);
        }
        let provider = field::text(old, "providerID");
        if !provider.is_empty() && provider != field::text(new, "providerID") {
            let words = "node updates may not change providerID except from \"\" to valid";
            causes.forbidden("spec.providerID", words);
        }
        if field::text(old, "externalID") != field::text(new, "externalID") {
            causes.forbidden("spec.externalID", "may not be updated");
        }
        addresses(field::get(object, "status"), causes);
    }

    fn validate_status(&self, object: &Value, _old: &Value, causes: &mut Causes) {
        let status = field::get(object, "status");
        of_status(status, causes);
        addresses(status, causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// `podCIDR` is the first of `podCIDRs`; where they differ, the singular one counts.
fn mirror_ranges(spec: &mut Value) {
    let single = field::text(spec, "podCIDR").to_owned();
    let first = field::list(spec, "podCIDRs").first().and_then(Value::as_str).map(str::to_owned);
    match first {
        Some(first) if single.is_empty() => fill::set(spec, "podCIDR", first.into()),
        Some(first) if first == single => {}
        _ if single.is_empty() => {}
        _ => fill::set(spec, "podCIDRs", json!([single])),
    }
}

fn of_status(status: &Value, causes: &mut Causes) {
    let path = Path::new("status");
    resources::amounts(status, "capacity", &path, causes);
    resources::amounts(status, "allocatable", &path, causes);
}

fn addresses(status: &Value, causes: &mut Causes) {
    let list = Path::new("status.addresses");
    let all = field::list(status, "addresses");
    for (at, address) in all.iter().enumerate() {
        if all[..at].contains(address) {
            causes.duplicate(list.index(at), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    #[test]
    fn defaults() {
        let mut node = json!({"spec": {"podCIDR": "10.0.0.0/24"}, "status": {"capacity": {"cpu": "4"}}});
        Node.default(&mut node);
        assert_eq!(node["spec"]["podCIDRs"], json!(["10.0.0.0/24"]));
        assert_eq!(node["status"]["allocatable"], json!({"cpu": "4"}));
    }

    #[test]
    fn rules() {
        let node = json!({"spec": {"podCIDRs": ["10.0.0.0/24"], "taints": [{"key": "a", "effect": "NoSchedule"}]},
            "status": {"capacity": {"cpu": "4", "pods": "110"}}});
        assert_eq!(complaints(&Node, &node), []);
        let found = complaints(&Node, &json!({"spec": {"taints": [{"key": "a"}]}}));
        assert_eq!(found, [("metadata.taints[0].effect".into(), "Required value".into())]);
        let found = complaints(&Node, &json!({"spec": {"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}}));
        assert!(found[0].1.ends_with("may specify no more than one CIDR for each IP family"));
        let found = complaints(&Node, &json!({"status": {"capacity": {"pods": "-1"}}}));
        assert_eq!(found[0].0, "status.capacity.pods");

        let mut moved = node.clone();
        moved["spec"]["podCIDRs"] = json!(["10.0.1.0/24"]);
        assert_eq!(complaints_update(&Node, &moved, &node)[0].0, "spec.podCIDRs");
        let unassigned = json!({"spec": {}});
        assert_eq!(complaints_update(&Node, &node, &unassigned), []);
    }
}
