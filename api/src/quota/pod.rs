//! Pods: their number while they run, and what they ask for.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::{SmolStr, format_smolstr};

use super::scope::Scope;
use super::{Usage, number};
use crate::document::{Document, Value};
use crate::pod_resources::{self, Amounts, List};
use crate::strategy::pod::qos_class;
use crate::time;

const MEASURED: [&str; 10] = [
    "pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
/// What every container has to say where it is limited. (A mistake, the reference says, that is not to be repeated with other
/// resources.)
const TO_BE_SAID: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const HUGE_PAGES: &str = "hugepages-";
/// Devices by the class alone, without an extended resource of their own.
const DEVICE_CLASSES: &str = "deviceclass.resource.kubernetes.io/";

pub(super) fn measures(name: &str) -> bool {
    let request = name.strip_prefix("requests.");
    MEASURED.contains(&name)
        || request.unwrap_or(name).starts_with(HUGE_PAGES)
        || request.is_some_and(|asked| is_foreign(name) || asked.starts_with(DEVICE_CLASSES))
}

/// Not one of Kubernetes' own names.
fn is_foreign(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

/// What a Pod takes: nothing but its place once it has ended.
pub(super) fn usage(pod: &Value) -> Usage {
    if matches!(pod.text(&["status", "phase"]), "Succeeded" | "Failed") {
        return Usage::default();
    }
    let (requests, limits) = (List::Requests, List::Limits);
    let mut amounts = named(&pod_resources::effective(pod, requests), &pod_resources::effective(pod, limits));
    amounts.insert(SmolStr::new_static("pods"), number(1));
    Usage { amounts, until: until(pod) }
}

/// Requests and limits by the names that quotas have for them.
fn named(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut named = Amounts::new();
    for (resource, amount) in requests {
        let is_plain = matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage");
        let is_own = is_plain || resource.starts_with(HUGE_PAGES);
        if is_own {
            named.insert(resource.clone(), *amount);
        }
        if is_own || is_foreign(resource) || resource.starts_with(DEVICE_CLASSES) {
            named.insert(format_smolstr!("requests.{resource}"), *amount);
        }
    }
    for (resource, amount) in limits {
        if matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            named.insert(format_smolstr!("limits.{resource}"), *amount);
        }
    }
    named
}

/// A Pod that is still there when its grace has passed twice is stuck, and takes nothing from others.
fn until(pod: &Value) -> Option<i64> {
    let grace = pod.int(&["metadata", "deletionGracePeriodSeconds"])?;
    let ends = time::parse(pod.text(&["metadata", "deletionTimestamp"]))?;
    Some(ends.saturating_add(grace.saturating_mul(1_000_000)))
}

pub(super) fn unsaid<'n>(pod: &Value, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let required: BTreeSet<&str> = names.filter(|name| TO_BE_SAID.contains(name)).collect();
    if required.is_empty() || pod_resources::speaks_for_containers(pod) {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in ["containers", "initContainers"].iter().flat_map(|list| pod.list(&["spec", list])) {
        let list = |key| pod_resources::parsed(container.at(&["resources", key]));
        let said = named(&list("requests"), &list("limits"));
        for name in required.iter().filter(|name| !said.contains_key(**name)) {
            missing.entry(name).or_default().insert(container.text(&["name"]));
        }
    }
    let mut parts = missing.into_iter().map(|(name, containers)| {
        let containers: Vec<&str> = containers.into_iter().collect();
        format!("{name} for: {}", containers.join(","))
    });
    let first = parts.next()?;
    Some(format!("must specify {}", parts.fold(first, |all, part| format!("{all}; {part}"))))
}

/// Whether it ends by itself.
pub(super) fn is_terminating(pod: &Value) -> bool {
    pod.int(&["spec", "activeDeadlineSeconds"]).is_some_and(|seconds| seconds >= 0)
}

pub(super) fn lies_in(pod: &Value, scope: &Scope) -> bool {
    match scope.name.as_str() {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => {
            let class = pod.text(&["spec", "priorityClassName"]);
            scope.test.holds(Some(class).filter(|class| !class.is_empty()).into_iter())
        }
        "CrossNamespacePodAffinity" => looks_across_namespaces(pod),
        _ => false,
    }
}

fn is_best_effort(pod: &Value) -> bool {
    match pod.text(&["status", "qosClass"]) {
        "" => qos_class(pod) == "BestEffort",
        class => class == "BestEffort",
    }
}

fn looks_across_namespaces(pod: &Value) -> bool {
    let across = |term: &Value| !term.list(&["namespaces"]).is_empty() || !term.at(&["namespaceSelector"]).is_null();
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let affinity = pod.at(&["spec", "affinity", kind]);
        let required = affinity.list(&["requiredDuringSchedulingIgnoredDuringExecution"]);
        let preferred = affinity.list(&["preferredDuringSchedulingIgnoredDuringExecution"]);
        required.iter().any(across) || preferred.iter().any(|weighted| across(weighted.at(&["podAffinityTerm"])))
    })
}
