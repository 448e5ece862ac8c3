//! The ranges that ClusterIPs come from, and each address that was given out.

use super::path::Path;
use super::{Strategy, field};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// networking.k8s.io/v1 ServiceCIDR.
pub(super) struct ServiceCidr;

impl Strategy for ServiceCidr {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let list = Path::new("spec.cidrs");
        let ranges = field::list(spec, "cidrs");
        if ranges.is_empty() {
            return causes.required(list, "at least one CIDR required");
        }
        if ranges.len() > 2 {
            return causes.invalid(list, spec, "may only hold up to 2 values");
        }
        let mut families = Vec::new();
        for (at, range) in ranges.iter().enumerate() {
            let text = range.as_str().unwrap_or_default();
            field::complain(names::is_valid_cidr(text), text, list.index(at), causes);
            families.extend(text.parse().ok().map(|net| matches!(net, ipnet::IpNet::V4(_))));
        }
        if matches!(families.as_slice(), [one, other] if one == other) {
            let words = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
            causes.invalid(list, field::get(spec, "cidrs"), words);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let ranges = |of| field::list(field::get(of, "spec"), "cidrs");
        let (now, before) = (ranges(object), ranges(old));
        let list = Path::new("spec.cidrs");
        if now.len() != before.len() && (before.len(), now.len()) != (1, 2) {
            return causes.invalid(list, field::get(field::get(object, "spec"), "cidrs"), field::IMMUTABLE);
        }
        for (at, (now, _)) in now.iter().zip(before).enumerate().filter(|(_, (now, before))| now != before) {
            causes.invalid(list.index(at), now, field::IMMUTABLE);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// networking.k8s.io/v1 IPAddress: its name is the address.
pub(super) struct IpAddress;

impl Strategy for IpAddress {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let parent = field::get(field::get(object, "spec"), "parentRef");
        let path = Path::new("spec.parentRef");
        if parent.is_null() {
            return causes.required(path, "");
        }
        match field::text(parent, "group") {
            "" => {}
            group => field::dns_subdomain(group, path.child("group"), causes),
        }
        field::path_segment(parent, "resource", &path, causes);
        field::path_segment(parent, "name", &path, causes);
        match field::text(parent, "namespace") {
            "" => {}
            name => field::complain(names::is_path_segment_name(name), name, path.child("namespace"), causes),
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "spec"), field::get(old, "spec"));
        field::immutable(new, old, "parentRef", &Path::new("spec"), causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_valid_ip(name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    #[test]
    fn ranges() {
        let of = |cidrs: &[&str]| json!({"spec": {"cidrs": cidrs}});
        let one = of(&["10.96.0.0/16"]);
        assert_eq!(complaints(&ServiceCidr, &one), []);
        assert_eq!(complaints(&ServiceCidr, &of(&[]))[0].1, "Required value: at least one CIDR required");
        assert_eq!(complaints(&ServiceCidr, &of(&["10.96.0.1/16"]))[0].0, "spec.cidrs[0]");
        assert_eq!(complaints(&ServiceCidr, &of(&["10.96.0.0/16", "10.97.0.0/16"]))[0].0, "spec.cidrs");
        assert_eq!(complaints_update(&ServiceCidr, &of(&["10.96.0.0/16", "fd00::/108"]), &one), []);
        assert_eq!(complaints_update(&ServiceCidr, &of(&["10.97.0.0/16"]), &one)[0].0, "spec.cidrs[0]");
    }

    #[test]
    fn addresses() {
        let address = json!({"spec": {"parentRef": {"resource": "services", "name": "web", "namespace": "default"}}});
        assert_eq!(complaints(&IpAddress, &address), []);
        assert_eq!(complaints(&IpAddress, &json!({}))[0].0, "spec.parentRef");
        assert!(IpAddress.validate_name("10.96.0.1").is_empty());
        assert!(!IpAddress.validate_name("10.096.0.1").is_empty());
        let moved = json!({"spec": {"parentRef": {"resource": "services", "name": "other"}}});
        assert_eq!(complaints_update(&IpAddress, &moved, &address)[0].0, "spec.parentRef");
    }
}
