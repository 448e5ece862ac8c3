//! There is a seccomp profile, of the runtime or the node.

use super::seccomp_profile_baseline::{self, finding, is_wrong};
use super::{Check, Revision};
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, Values, quoted, security};

pub(super) const CHECK: Check = Check {
    id: "seccompProfile_restricted",
    level: Level::Restricted,
    revisions: &[
        Revision { since: 19, run: all, instead_of: seccomp_profile_baseline::ID },
        Revision { since: 25, run: linux, instead_of: seccomp_profile_baseline::ID },
    ],
};

fn all(subject: &Subject<'_>) -> Option<Finding> {
    let mut values = Values::new();
    let profile = subject.security(&["seccompProfile"]);
    let pod = is_wrong(profile, &mut values);
    let wrong = subject.containers_that(|container| is_wrong(security(container, &["seccompProfile"]), &mut values));
    if let Some(setters) = wrong.or_pod(pod) {
        let values = quoted(&values);
        return Some(finding(format!("{setters} must not set securityContext.seccompProfile.type to {values}")));
    }
    let silent = subject.containers_that(|container| security(container, &["seccompProfile"]).is_null());
    (profile.is_null() && !silent.is_empty()).then(|| {
        let silent = silent.said();
        finding(format!(
            "pod or {silent} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""
        ))
    })
}

/// Windows has no such thing.
fn linux(subject: &Subject<'_>) -> Option<Finding> {
    if subject.is_windows() { None } else { all(subject) }
}
