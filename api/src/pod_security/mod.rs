//! Pod Security Standards: what a Pod may not ask for under the levels `privileged`, `baseline` and `restricted`, version by
//! version, and what the labels of a Namespace say about it (the admission plugin PodSecurity).
//!
//! A level is a list of checks (one file each in `checks/`), and a check has a revision for each version that changed it, so
//! that a Namespace which names a version keeps what it had. Start reading at [`evaluate`] and [`Policy::of`].
//!
//! What `audit` asks for is read and validated, and nothing else comes of it: there is no audit log.

mod checks;
mod configuration;
mod existing;
mod level;
mod subject;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::document::{Document, Value};
pub use configuration::{Configuration, Exemptions};
pub use existing::{exempt_namespace, existing};
pub use level::{Level, LevelVersion, Policy, Version};
use subject::Subject;

/// What one check does not allow about a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// As short as can be: `hostPort`.
    reason: String,
    /// Where, and what is wanted instead.
    detail: String,
}

/// What all checks of a level do not allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Whether there is nothing to complain about.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The reasons alone.
    pub fn reasons(&self) -> String {
        let reasons: Vec<&str> = self.0.iter().map(|finding| finding.reason.as_str()).collect();
        reasons.join(", ")
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Finding { reason, detail }) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            match detail.as_str() {
                "" => write!(f, "{comma}{reason}")?,
                detail => write!(f, "{comma}{reason} ({detail})")?,
            }
        }
        Ok(())
    }
}

/// Holds a Pod, or the template of one, to a level.
pub fn evaluate(at: LevelVersion, pod: &Value) -> Findings {
    let subject = Subject { annotations: pod.at(&["metadata", "annotations"]), spec: pod.at(&["spec"]) };
    Findings(checks::of(at).filter_map(|check| check(&subject)).collect())
}

/// The template of the Pods that a workload makes; `None` for other kinds, and where there is none.
pub fn template<'d>(id_name: &str, document: &'d Value) -> Option<&'d Value> {
    let template = match id_name {
        "podtemplates" => document.at(&["template"]),
        "replicationcontrollers"
        | "daemonsets.apps"
        | "deployments.apps"
        | "replicasets.apps"
        | "statefulsets.apps"
        | "jobs.batch" => document.at(&["spec", "template"]),
        "cronjobs.batch" => document.at(&["spec", "jobTemplate", "spec", "template"]),
        _ => return None,
    };
    template.is_object().then_some(template)
}

/// Whether an update of a Pod changes what may matter: its containers and their images.
pub fn is_significant(pod: &Value, old: &Value) -> bool {
    let image = |container: &Value| container.text(&["image"]).to_owned();
    for list in ["containers", "initContainers"] {
        let (now, before) = (pod.list(&["spec", list]), old.list(&["spec", list]));
        if now.len() != before.len() || now.iter().zip(before).any(|(now, before)| image(now) != image(before)) {
            return true;
        }
    }
    let before = old.list(&["spec", "ephemeralContainers"]);
    pod.list(&["spec", "ephemeralContainers"]).iter().any(|container| {
        let same = before.iter().find(|before| before.text(&["name"]) == container.text(&["name"]));
        same.is_none_or(|same| image(same) != image(container))
    })
}
