//! No probes and hooks that the node sends elsewhere than to the Pod.

use std::collections::BTreeSet;

use super::{Check, since};
use crate::document::{Document, Value};
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, Values, plural, quoted};

pub(super) const CHECK: Check =
    Check { id: "hostProbesAndHostLifecycle", level: Level::Baseline, revisions: &[since(34, hosts)] };

const HANDLERS: [&[&str]; 5] = [
    &["livenessProbe"],
    &["readinessProbe"],
    &["startupProbe"],
    &["lifecycle", "postStart"],
    &["lifecycle", "preStop"],
];

fn hosts(subject: &Subject<'_>) -> Option<Finding> {
    let (mut containers, mut hosts) = (BTreeSet::new(), Values::new());
    for container in subject.containers() {
        for host in HANDLERS.iter().flat_map(|path| named(container.at(path))) {
            containers.insert(container.text(&["name"]));
            hosts.insert(host);
        }
    }
    let (containers_count, hosts_count) = (containers.len(), hosts.len());
    (!containers.is_empty()).then(|| Finding {
        reason: "probe or lifecycle host".to_owned(),
        detail: format!(
            "{} {} {} {} {}",
            plural(containers_count, "container", "containers"),
            quoted(&containers),
            plural(containers_count, "uses", "use"),
            plural(hosts_count, "probe or lifecycle host", "probe or lifecycle hosts"),
            quoted(&hosts)
        ),
    })
}

fn named(handler: &Value) -> impl Iterator<Item = &str> {
    let hosts = ["httpGet", "tcpSocket"].into_iter().map(|kind| handler.text(&[kind, "host"]));
    hosts.filter(|host| !host.is_empty())
}
