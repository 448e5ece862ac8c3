//! No capabilities beyond those that runtimes give by themselves, and not NET_RAW.

use super::{Check, since};
use crate::document::{Document, Value};
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, Values, quoted};

pub(super) const CHECK: Check = Check { id: ID, level: Level::Baseline, revisions: &[since(0, added)] };
pub(super) const ID: &str = "capabilities_baseline";

const ALLOWED: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn added(subject: &Subject<'_>) -> Option<Finding> {
    let mut values = Values::new();
    let wrong = subject.containers_that(|container| {
        let added = container.list(&["securityContext", "capabilities", "add"]).iter().filter_map(Value::as_str);
        let forbidden: Vec<&str> = added.filter(|capability| !ALLOWED.contains(capability)).collect();
        values.extend(&forbidden);
        !forbidden.is_empty()
    });
    (!wrong.is_empty()).then(|| Finding {
        reason: "non-default capabilities".to_owned(),
        detail: format!("{} must not include {} in securityContext.capabilities.add", wrong.said(), quoted(&values)),
    })
}
