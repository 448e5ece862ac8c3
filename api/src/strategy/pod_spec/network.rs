//! Host network, DNS and host names of a Pod.

use crate::document::Value;
use crate::names;
use crate::status::Causes;
use crate::strategy::field;
use crate::strategy::path::Path;

/// On the host's network a container's port is the host's.
pub(super) fn host_ports(spec: &Value, is_pod: bool, path: &Path<'_>, causes: &mut Causes) {
    if !field::is_true(spec, "hostNetwork") {
        return;
    }
    let containers = path.child("containers");
    for (at, container) in field::list(spec, "containers").iter().enumerate() {
        let path = containers.index(at);
        let ports = path.child("ports");
        for (at, port) in field::list(container, "ports").iter().enumerate() {
            let host = field::int(port, "hostPort").unwrap_or_default();
            if (is_pod || host != 0) && host != field::int(port, "containerPort").unwrap_or_default() {
                let words = "must match `containerPort` when `hostNetwork` is true";
                causes.invalid(ports.index(at).child("hostPort"), &Value::from(host), words);
            }
        }
    }
}

pub(super) fn dns_policy(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    const POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    field::required_choice(spec, "dnsPolicy", path, POLICIES, causes);
}

pub(super) fn dns_config(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let config = field::get(spec, "dnsConfig");
    let path = path.child("dnsConfig");
    let servers = field::list(config, "nameservers");
    if field::text(spec, "dnsPolicy") == "None" {
        if config.is_null() {
            return causes.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            let words = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return causes.required(path.child("nameservers"), words);
        }
    }
    let list = path.child("nameservers");
    if servers.len() > 3 {
        causes.invalid(list, field::get(config, "nameservers"), "must not have more than 3 nameservers");
    }
    for (at, server) in servers.iter().enumerate() {
        field::ip(server.as_str().unwrap_or_default(), list.index(at), causes);
    }
    searches(config, path.child("searches"), causes);
    let options = path.child("options");
    for (at, option) in field::list(config, "options").iter().enumerate() {
        if field::text(option, "name").is_empty() {
            causes.required(options.index(at), "must not be empty");
        }
    }
}

fn searches(config: &Value, list: Path<'_>, causes: &mut Causes) {
    let searches: Vec<&str> = field::list(config, "searches").iter().filter_map(Value::as_str).collect();
    if searches.len() > 32 {
        causes.invalid(list, field::get(config, "searches"), "must not have more than 32 search paths");
    }
    if searches.join(" ").len() > 2048 {
        let words = "must not have more than 2048 characters (including spaces) in the search list";
        causes.invalid(list, field::get(config, "searches"), words);
    }
    for (at, search) in searches.iter().enumerate().filter(|(_, search)| **search != ".") {
        // Underscores are allowed here, and nowhere else.
        let domain = search.strip_suffix('.').unwrap_or(search);
        let without = domain.replace('_', "-");
        let edge = without.split('.').map(|label| label.trim_matches('-')).collect::<Vec<_>>().join(".");
        let form = if domain.contains('_') { edge } else { without };
        field::complain(names::is_dns1123_subdomain(&form), domain, list.index(at), causes);
    }
}

pub(super) fn host_aliases(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("hostAliases");
    for (at, alias) in field::list(spec, "hostAliases").iter().enumerate() {
        let path = list.index(at);
        field::ip(field::text(alias, "ip"), path.child("ip"), causes);
        let names = path.child("hostnames");
        for (at, name) in field::list(alias, "hostnames").iter().enumerate() {
            field::dns_subdomain(name.as_str().unwrap_or_default(), names.index(at), causes);
        }
    }
}

pub(super) fn hostname_override(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let Some(name) = field::get(spec, "hostnameOverride").as_str() else { return };
    let path = path.child("hostnameOverride");
    if field::is_true(spec, "setHostnameAsFQDN") {
        causes.forbidden(path, "may not be specified when setHostnameAsFQDN is true");
    }
    if field::is_true(spec, "hostNetwork") {
        causes.forbidden(path, "may not be specified when hostNetwork is true");
    }
    if name.len() > 64 {
        causes.too_long(path, 64);
    }
    field::dns_subdomain(name, path, causes);
}
