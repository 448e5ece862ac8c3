//! Nothing runs as root; since v1.35 Pods with users of their own may, for their root is nobody on the node.

use super::{Check, since};
use crate::document::Value;
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, security};

pub(super) const CHECK: Check =
    Check { id: "runAsNonRoot", level: Level::Restricted, revisions: &[since(0, all), since(35, users_of_the_node)] };

fn all(subject: &Subject<'_>) -> Option<Finding> {
    let pod = subject.security(&["runAsNonRoot"]).as_bool();
    let of = |container: &Value| security(container, &["runAsNonRoot"]).as_bool();
    let explicit = subject.containers_that(|container| of(container) == Some(false));
    if let Some(setters) = explicit.or_pod(pod == Some(false)) {
        return Some(finding(format!("{setters} must not set securityContext.runAsNonRoot=false")));
    }
    let silent = subject.containers_that(|container| of(container).is_none() && pod != Some(true));
    let detail = || format!("pod or {} must set securityContext.runAsNonRoot=true", silent.said());
    (!silent.is_empty()).then(|| finding(detail()))
}

fn finding(detail: String) -> Finding {
    Finding { reason: "runAsNonRoot != true".to_owned(), detail }
}

fn users_of_the_node(subject: &Subject<'_>) -> Option<Finding> {
    if subject.has_users_of_its_own() { None } else { all(subject) }
}
