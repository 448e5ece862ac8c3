//! Nobody is user 0; since v1.35 in Pods with users of their own somebody may.

use super::{Check, since};
use crate::document::Value;
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, security};

pub(super) const CHECK: Check =
    Check { id: "runAsUser", level: Level::Restricted, revisions: &[since(23, all), since(35, users_of_the_node)] };

fn all(subject: &Subject<'_>) -> Option<Finding> {
    let is_root = |user: &Value| user.as_i64() == Some(0);
    let wrong = subject.containers_that(|container| is_root(security(container, &["runAsUser"])));
    let setters = wrong.or_pod(is_root(subject.security(&["runAsUser"])))?;
    Some(Finding { reason: "runAsUser=0".to_owned(), detail: format!("{setters} must not set runAsUser=0") })
}

fn users_of_the_node(subject: &Subject<'_>) -> Option<Finding> {
    if subject.has_users_of_its_own() { None } else { all(subject) }
}
