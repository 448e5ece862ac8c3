//! No network, processes or IPC of the node.

use super::{Check, since};
use crate::document::{Document, Value};
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::Subject;

pub(super) const CHECK: Check = Check { id: "hostNamespaces", level: Level::Baseline, revisions: &[since(0, shared)] };

fn shared(subject: &Subject<'_>) -> Option<Finding> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter();
    let shared = shared.filter(|field| subject.spec.at(&[field]) == &Value::Bool(true));
    let shared: Vec<String> = shared.map(|field| format!("{field}=true")).collect();
    (!shared.is_empty()).then(|| Finding { reason: "host namespaces".to_owned(), detail: shared.join(", ") })
}
