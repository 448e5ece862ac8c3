//! What a Namespace is told when its labels change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::configuration::Configuration;
use super::level::{LevelVersion, Policy};
use super::{Findings, evaluate};
use crate::Object;
use crate::document::{Document, Value};

/// Pods that are looked at.
const MOST: usize = 3000;

/// Who violates the same: the first by name, and how many.
#[derive(Default)]
struct Group {
    name: String,
    count: usize,
}

#[derive(Default)]
struct Groups {
    checked: usize,
    by_reason: BTreeMap<String, Group>,
}

impl Groups {
    fn check(&mut self, enforce: LevelVersion, pod: &Value) {
        if self.checked == MOST {
            return;
        }
        self.checked += 1;
        let findings: Findings = evaluate(enforce, pod);
        if findings.is_empty() {
            return;
        }
        let group = self.by_reason.entry(findings.reasons()).or_default();
        if group.count == 0 || pod.name() < group.name.as_str() {
            group.name = pod.name().to_owned();
        }
        group.count += 1;
    }
}

/// Warnings about Pods that are there already and would not be let in any more. One Pod of each workload is looked at first.
pub fn existing(
    pods: &[Arc<Object>],
    namespace: &str,
    enforce: LevelVersion,
    configuration: &Configuration,
) -> Vec<String> {
    let (mut groups, mut controllers) = (Groups::default(), BTreeSet::new());
    let (mut total, mut alike) = (0, Vec::new());
    for object in pods {
        let pod = object.document();
        if configuration.exemptions.runtime_class_of(&pod) {
            continue;
        }
        total += 1;
        let mut owners = pod.list(&["metadata", "ownerReferences"]).iter();
        let controller = owners.find(|owner| owner.at(&["controller"]) == &Value::Bool(true));
        let is_first = controller.is_none_or(|owner| controllers.insert(owner.text(&["uid"]).to_owned()));
        if is_first {
            groups.check(enforce, &pod);
        } else {
            alike.push(object);
        }
    }
    for object in alike.into_iter().take(MOST - groups.checked) {
        groups.check(enforce, &object.document());
    }
    let mut warnings = Vec::new();
    if groups.checked < total {
        let checked = groups.checked;
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {checked} of {total} existing pods"
        ));
    }
    if !groups.by_reason.is_empty() {
        warnings.push(format!(
            "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{enforce}\""
        ));
    }
    let mut said: Vec<String> = groups.by_reason.into_iter().map(|(reason, group)| group.said(&reason)).collect();
    said.sort();
    warnings.extend(said);
    warnings
}

impl Group {
    fn said(&self, reason: &str) -> String {
        let Self { name, count } = self;
        match count {
            1 => format!("{name}: {reason}"),
            2 => format!("{name} (and 1 other pod): {reason}"),
            _ => format!("{name} (and {} other pods): {reason}", count - 1),
        }
    }
}

/// The warning for labels that will not be looked at, if there are any.
pub fn exempt_namespace(namespace: &Value, policy: &Policy, configuration: &Configuration) -> Option<String> {
    if policy.is_privileged() || policy.is_like(&configuration.defaults) {
        return None;
    }
    let (name, said) = (namespace.name(), policy.said(namespace));
    Some(format!("namespace {name:?} is exempt from Pod Security, and the policy ({said}) will be ignored"))
}
