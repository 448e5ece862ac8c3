//! /proc stays masked. Since v1.35 `baseline` lets Pods with users of their own see it, and `restricted` still does not.

use super::{Check, Revision, since};
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, Values, quoted, security};

pub(super) const BASELINE: Check =
    Check { id: "procMount", level: Level::Baseline, revisions: &[since(0, masked), since(35, masked_for_root)] };
pub(super) const RESTRICTED: Check = Check {
    id: "procMount_restricted",
    level: Level::Restricted,
    revisions: &[Revision { since: 35, run: masked, instead_of: "procMount" }],
};

fn masked(subject: &Subject<'_>) -> Option<Finding> {
    let mut values = Values::new();
    let wrong = subject.containers_that(|container| {
        let wrong = security(container, &["procMount"]).as_str().filter(|kind| *kind != "Default");
        values.extend(wrong);
        wrong.is_some()
    });
    (!wrong.is_empty()).then(|| Finding {
        reason: "procMount".to_owned(),
        detail: format!("{} must not set securityContext.procMount to {}", wrong.said(), quoted(&values)),
    })
}

fn masked_for_root(subject: &Subject<'_>) -> Option<Finding> {
    if subject.has_users_of_its_own() { None } else { masked(subject) }
}
