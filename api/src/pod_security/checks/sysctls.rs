//! Only kernel parameters that are known to stay within the Pod.

use super::{Check, since};
use crate::document::Document;
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::Subject;

pub(super) const CHECK: Check = Check {
    id: "sysctls",
    level: Level::Baseline,
    revisions: &[since(0, first), since(27, with_reserved_ports), since(29, with_keepalive), since(32, with_buffers)],
};

/// Since which version each is known to.
const SAFE: [(&str, u64); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn first(subject: &Subject<'_>) -> Option<Finding> {
    unsafe_since(subject, 0)
}

fn with_reserved_ports(subject: &Subject<'_>) -> Option<Finding> {
    unsafe_since(subject, 27)
}

fn with_keepalive(subject: &Subject<'_>) -> Option<Finding> {
    unsafe_since(subject, 29)
}

fn with_buffers(subject: &Subject<'_>) -> Option<Finding> {
    unsafe_since(subject, 32)
}

fn unsafe_since(subject: &Subject<'_>, minor: u64) -> Option<Finding> {
    let is_safe = |name: &str| SAFE.iter().any(|(safe, since)| *safe == name && *since <= minor);
    let sysctls = subject.spec.list(&["securityContext", "sysctls"]).iter().map(|sysctl| sysctl.text(&["name"]));
    let wrong: Vec<&str> = sysctls.filter(|name| !is_safe(name)).collect();
    (!wrong.is_empty()).then(|| Finding { reason: "forbidden sysctls".to_owned(), detail: wrong.join(", ") })
}
