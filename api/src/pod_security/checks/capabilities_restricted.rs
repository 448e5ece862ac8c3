//! All capabilities are dropped; NET_BIND_SERVICE may come back.

use super::{Check, Revision, capabilities_baseline};
use crate::document::{Document, Value};
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, Values, quoted};

pub(super) const CHECK: Check = Check {
    id: "capabilities_restricted",
    level: Level::Restricted,
    revisions: &[
        Revision { since: 22, run: all, instead_of: capabilities_baseline::ID },
        Revision { since: 25, run: linux, instead_of: capabilities_baseline::ID },
    ],
};

fn all(subject: &Subject<'_>) -> Option<Finding> {
    let keeping = subject.containers_that(|container| {
        !container.list(&["securityContext", "capabilities", "drop"]).iter().any(|capability| capability == "ALL")
    });
    let mut values = Values::new();
    let adding = subject.containers_that(|container| {
        let added = container.list(&["securityContext", "capabilities", "add"]).iter().filter_map(Value::as_str);
        let forbidden: Vec<&str> = added.filter(|capability| *capability != "NET_BIND_SERVICE").collect();
        values.extend(&forbidden);
        !forbidden.is_empty()
    });
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", keeping.said()));
    }
    if !adding.is_empty() {
        let values = quoted(&values);
        details.push(format!("{} must not include {values} in securityContext.capabilities.add", adding.said()));
    }
    (!details.is_empty())
        .then(|| Finding { reason: "unrestricted capabilities".to_owned(), detail: details.join("; ") })
}

/// Windows has no such thing.
fn linux(subject: &Subject<'_>) -> Option<Finding> {
    if subject.is_windows() { None } else { all(subject) }
}
