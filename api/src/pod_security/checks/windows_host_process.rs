//! On Windows, nothing that runs beside the node's own processes.

use super::{Check, since};
use crate::document::Value;
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, security};

pub(super) const CHECK: Check =
    Check { id: "windowsHostProcess", level: Level::Baseline, revisions: &[since(0, host_process)] };

const PATH: [&str; 2] = ["windowsOptions", "hostProcess"];

fn host_process(subject: &Subject<'_>) -> Option<Finding> {
    let is_set = |value: &Value| value == &Value::Bool(true);
    let wrong = subject.containers_that(|container| is_set(security(container, &PATH)));
    let setters = wrong.or_pod(is_set(subject.security(&PATH)))?;
    Some(Finding {
        reason: "hostProcess".to_owned(),
        detail: format!("{setters} must not set securityContext.windowsOptions.hostProcess=true"),
    })
}
