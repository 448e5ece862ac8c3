//! The Events that go with acts.

use client::{EventKind, Regarding, known};

use super::admission::Rejection;
use super::machine::Act;
use super::view::Plan;
use crate::config::Events;
use crate::node::Kubelet;

/// Tells of an act that was carried out.
pub(super) fn tell(kubelet: &Kubelet, plan: &Plan, rejection: Option<&Rejection>, act: Act) {
    let (config, recorder) = (&kubelet.fleet.config, &kubelet.recorder);
    if let (Act::Reject, Some(rejection)) = (act, rejection) {
        kubelet.fleet.counters.rejected.inc();
        if config.events >= Events::Started {
            recorder.event(&regarding(plan, ""), EventKind::Warning, rejection.reason, &rejection.message);
        }
    }
    for container in &*plan.containers {
        let about = || regarding(plan, &container.name);
        match act {
            Act::Start | Act::Restart => {
                if config.events == Events::All {
                    let image = &container.image;
                    let pulled =
                        format!("Container image {image:?} already present on machine and can be accessed by the pod");
                    recorder.event(&about(), EventKind::Normal, "Pulled", &pulled);
                    recorder.event(&about(), EventKind::Normal, "Created", "Container created");
                }
                if config.events >= Events::Started {
                    recorder.event(&about(), EventKind::Normal, "Started", "Container started");
                }
            }
            Act::BackOff if config.events >= Events::Started => {
                let message = format!(
                    "Back-off restarting failed container {} in pod {}_{}({})",
                    container.name, plan.name, plan.namespace, plan.uid
                );
                recorder.event(&about(), EventKind::Warning, "BackOff", &message);
            }
            _ => {}
        }
    }
}

/// Tells that the containers are being stopped.
pub(super) fn tell_killing(kubelet: &Kubelet, plan: &Plan) {
    for container in &*plan.containers {
        let message = format!("Stopping container {}", container.name);
        kubelet.recorder.event(&regarding(plan, &container.name), EventKind::Normal, "Killing", &message);
    }
}

fn regarding(plan: &Plan, container: &str) -> Regarding {
    Regarding {
        api: known::PODS,
        namespace: plan.namespace.to_string(),
        name: plan.name.to_string(),
        uid: plan.uid.to_string(),
        field_path: if container.is_empty() { String::new() } else { format!("spec.containers{{{container}}}") },
    }
}
