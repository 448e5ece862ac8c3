//! Nothing may get more privileges than what started it, as set-user-ID programs do.

use super::{Check, since};
use crate::document::Value;
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, security};

pub(super) const CHECK: Check =
    Check { id: "allowPrivilegeEscalation", level: Level::Restricted, revisions: &[since(8, all), since(25, linux)] };

fn all(subject: &Subject<'_>) -> Option<Finding> {
    let wrong = |container| security(container, &["allowPrivilegeEscalation"]) != &Value::Bool(false);
    let wrong = subject.containers_that(wrong);
    (!wrong.is_empty()).then(|| Finding {
        reason: "allowPrivilegeEscalation != false".to_owned(),
        detail: format!("{} must set securityContext.allowPrivilegeEscalation=false", wrong.said()),
    })
}

/// Windows has no such thing.
fn linux(subject: &Subject<'_>) -> Option<Finding> {
    if subject.is_windows() { None } else { all(subject) }
}
