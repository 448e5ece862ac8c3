//! SELinux: a few types, and neither user nor role.

use super::{Check, since};
use crate::document::{Document, Value};
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, Values, plural, quoted, security};

pub(super) const CHECK: Check =
    Check { id: "seLinuxOptions", level: Level::Baseline, revisions: &[since(0, first), since(31, with_engine)] };

const FIRST: [&str; 4] = ["", "container_t", "container_init_t", "container_kvm_t"];
const WITH_ENGINE: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

fn first(subject: &Subject<'_>) -> Option<Finding> {
    options(subject, &FIRST)
}

fn with_engine(subject: &Subject<'_>) -> Option<Finding> {
    options(subject, &WITH_ENGINE)
}

/// What was found wrong anywhere.
#[derive(Default)]
struct Wrong<'a> {
    types: Values<'a>,
    user: bool,
    role: bool,
}

impl<'a> Wrong<'a> {
    fn look(&mut self, options: &'a Value, allowed: &[&str]) -> bool {
        let kind = options.text(&["type"]);
        let (kind_wrong, user, role) =
            (!allowed.contains(&kind), !options.text(&["user"]).is_empty(), !options.text(&["role"]).is_empty());
        if kind_wrong {
            self.types.insert(kind);
        }
        self.user |= user;
        self.role |= role;
        kind_wrong || user || role
    }
}

fn options(subject: &Subject<'_>, allowed: &[&str]) -> Option<Finding> {
    let mut wrong = Wrong::default();
    let pod = wrong.look(subject.security(&["seLinuxOptions"]), allowed);
    let containers = subject.containers_that(|container| wrong.look(security(container, &["seLinuxOptions"]), allowed));
    let setters = containers.or_pod(pod)?;
    let mut said = Vec::new();
    if !wrong.types.is_empty() {
        said.push(format!("{} {}", plural(wrong.types.len(), "type", "types"), quoted(&wrong.types)));
    }
    if wrong.user {
        said.push("user may not be set".to_owned());
    }
    if wrong.role {
        said.push("role may not be set".to_owned());
    }
    let detail = format!("{setters} set forbidden securityContext.seLinuxOptions: {}", said.join("; "));
    Some(Finding { reason: "seLinuxOptions".to_owned(), detail })
}
