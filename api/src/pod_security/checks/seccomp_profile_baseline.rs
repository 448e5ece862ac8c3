//! The runtime's seccomp profile may be exchanged for one of the node's, not taken away.

use std::collections::BTreeSet;

use super::{Check, since};
use crate::document::{Document, Value};
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, Values, plural, quoted, security};

pub(super) const CHECK: Check =
    Check { id: ID, level: Level::Baseline, revisions: &[since(0, annotations), since(19, fields)] };
pub(super) const ID: &str = "seccompProfile_baseline";

const POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// What said so before there were fields.
fn annotations(subject: &Subject<'_>) -> Option<Finding> {
    let containers = subject.containers().map(|container| format!("{CONTAINER}{}", container.text(&["name"])));
    let mut wrong = BTreeSet::new();
    for key in std::iter::once(POD.to_owned()).chain(containers) {
        let Some(value) = subject.annotations.at(&[&key]).as_str() else { continue };
        if !matches!(value, "runtime/default" | "docker/default") && !value.starts_with("localhost/") {
            wrong.insert(format!("{key}={value:?}"));
        }
    }
    let count = wrong.len();
    let wrong: Vec<String> = wrong.into_iter().collect();
    (count > 0)
        .then(|| finding(format!("forbidden {} {}", plural(count, "annotation", "annotations"), wrong.join(", "))))
}

fn fields(subject: &Subject<'_>) -> Option<Finding> {
    let mut values = Values::new();
    let pod = is_wrong(subject.security(&["seccompProfile"]), &mut values);
    let wrong = subject.containers_that(|container| is_wrong(security(container, &["seccompProfile"]), &mut values));
    let setters = wrong.or_pod(pod)?;
    Some(finding(format!("{setters} must not set securityContext.seccompProfile.type to {}", quoted(&values))))
}

/// Whether a profile is there and may not be.
pub(super) fn is_wrong<'a>(profile: &'a Value, values: &mut Values<'a>) -> bool {
    let kind = profile.text(&["type"]);
    let wrong = !profile.is_null() && !matches!(kind, "RuntimeDefault" | "Localhost");
    if wrong {
        values.insert(kind);
    }
    wrong
}

pub(super) fn finding(detail: String) -> Finding {
    Finding { reason: "seccompProfile".to_owned(), detail }
}
