//! Fields that a write through the main resource or a subresource cannot change, and so nobody owns through it: the
//! reference's reset fields, which are facts of each kind.

use super::set::Set;
use crate::resource::{Resource, Served};

/// Which fields of a set stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// All but these, and what lies below them.
    Without(&'static [&'static [&'static str]]),
    /// Only what lies on these paths, where `None` is any step.
    Only(&'static [&'static [Option<&'static str>]]),
}

impl Filter {
    pub(super) fn keep(self, set: Set) -> Set {
        match self {
            Self::Without([]) => set,
            Self::Without(paths) => {
                let path = |path: &&[&'static str]| {
                    path.iter().map(|step| super::element::Element::Field((*step).into())).collect()
                };
                set.recursive_difference(&paths.iter().map(path).collect())
            }
            Self::Only(paths) => set.only(paths),
        }
    }
}

const SPEC: &[&[&str]] = &[&["spec"]];
const STATUS: &[&[&str]] = &[&["status"]];
const METADATA_AND_SPEC: &[&[&str]] = &[&["metadata"], &["spec"]];

const RESIZED: &[&[Option<&str>]] = &[
    &[Some("spec"), Some("containers"), None, Some("resources")],
    &[Some("spec"), Some("containers"), None, Some("resizePolicy")],
    &[Some("spec"), Some("initContainers"), None, Some("resources")],
    &[Some("spec"), Some("initContainers"), None, Some("resizePolicy")],
];

/// Built-in kinds whose status is written without touching spec, but with metadata.
const SPEC_ONLY: [&str; 17] = [
    "cronjobs.batch",
    "customresourcedefinitions.apiextensions.k8s.io",
    "daemonsets.apps",
    "horizontalpodautoscalers.autoscaling",
    "ingresses.networking.k8s.io",
    "jobs.batch",
    "namespaces",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "podcertificaterequests.certificates.k8s.io",
    "poddisruptionbudgets.policy",
    "replicasets.apps",
    "replicationcontrollers",
    "resourcequotas",
    "services",
    "statefulsets.apps",
];

/// What stays of a set that was written through a subresource (empty for none).
pub(super) fn of(resource: &Resource, served: &Served, subresource: &str) -> Filter {
    match (resource.id_name.as_str(), subresource) {
        ("certificatesigningrequests.certificates.k8s.io", "") => Filter::Without(&[&["spec"], &["status"]]),
        ("certificatesigningrequests.certificates.k8s.io", "status") => {
            Filter::Without(&[&["spec"], &["status", "conditions"]])
        }
        ("certificatesigningrequests.certificates.k8s.io", "approval") => {
            Filter::Without(&[&["spec"], &["status", "certificate"]])
        }
        ("deployments.apps", "status") => Filter::Without(&[&["spec"], &["metadata", "labels"]]),
        ("namespaces", "finalize") => Filter::Without(STATUS),
        ("podcertificaterequests.certificates.k8s.io", "") => Filter::Without(&[]),
        ("pods", "status") => {
            Filter::Without(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]])
        }
        ("pods", "ephemeralcontainers") => Filter::Only(&[&[Some("spec"), Some("ephemeralContainers")]]),
        ("pods", "resize") => Filter::Only(RESIZED),
        (name, "status") if SPEC_ONLY.contains(&name) => Filter::Without(SPEC),
        (_, "status") => Filter::Without(METADATA_AND_SPEC),
        (_, "") if resource.has_status_in(served) => Filter::Without(STATUS),
        _ => Filter::Without(&[]),
    }
}

/// What the server itself keeps, and nobody owns.
pub(super) fn without_system_fields(set: Set) -> Set {
    const NEVER: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let entries = set.0.into_iter().filter_map(|mut entry| {
        let super::element::Element::Field(name) = &entry.element else { return Some(entry) };
        match name.as_str() {
            "apiVersion" | "kind" => entry.node.member = false,
            "metadata" => {
                entry.node.member = false;
                let is_system = |entry: &super::set::Entry| {
                    matches!(&entry.element, super::element::Element::Field(name) if NEVER.contains(&name.as_str()))
                };
                for entry in entry.node.children.0.iter_mut().filter(|entry| is_system(entry)) {
                    entry.node.member = false;
                }
                entry.node.children.0.retain(|entry| !entry.node.is_empty());
            }
            _ => {}
        }
        (!entry.node.is_empty()).then_some(entry)
    });
    Set(entries.collect())
}
