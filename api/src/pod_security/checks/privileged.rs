//! No container that may do everything.

use super::{Check, since};
use crate::document::Value;
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, security};

pub(super) const CHECK: Check = Check { id: "privileged", level: Level::Baseline, revisions: &[since(0, privileged)] };

fn privileged(subject: &Subject<'_>) -> Option<Finding> {
    let wrong = subject.containers_that(|container| security(container, &["privileged"]) == &Value::Bool(true));
    (!wrong.is_empty()).then(|| Finding {
        reason: "privileged".to_owned(),
        detail: format!("{} must not set securityContext.privileged=true", wrong.said()),
    })
}
