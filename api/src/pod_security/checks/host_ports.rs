//! No ports of the node.

use std::collections::BTreeSet;

use super::{Check, since};
use crate::document::Document;
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, plural};

pub(super) const CHECK: Check = Check { id: "hostPorts", level: Level::Baseline, revisions: &[since(0, ports)] };

fn ports(subject: &Subject<'_>) -> Option<Finding> {
    // In the order of texts, as the reference has them.
    let mut ports = BTreeSet::new();
    let wrong = subject.containers_that(|container| {
        let taken = container.list(&["ports"]).iter().filter_map(|port| port.int(&["hostPort"]));
        let taken: Vec<String> = taken.filter(|port| *port != 0).map(|port| port.to_string()).collect();
        let any = !taken.is_empty();
        ports.extend(taken);
        any
    });
    let count = ports.len();
    let list: Vec<String> = ports.into_iter().collect();
    (!wrong.is_empty()).then(|| Finding {
        reason: "hostPort".to_owned(),
        detail: format!(
            "{} {} {} {}",
            wrong.said(),
            wrong.plural("uses", "use"),
            plural(count, "hostPort", "hostPorts"),
            list.join(", ")
        ),
    })
}
