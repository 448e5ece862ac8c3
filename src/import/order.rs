//! What comes before what: namespaces first, then what others name, owners before dependents. And what stays.

use super::ImportArgs;
use super::copy::Copying;
use super::discover::{Kind, Kinds};

/// Kinds whose place matters, in order. Others come where `*` stands, by name.
const ORDER: [&str; 26] = [
    "namespaces",
    "priorityclasses.scheduling.k8s.io",
    "runtimeclasses.node.k8s.io",
    "serviceaccounts",
    "secrets",
    "configmaps",
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "storageclasses.storage.k8s.io",
    "persistentvolumes",
    "persistentvolumeclaims",
    "services",
    "*",
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "replicationcontrollers",
    "replicasets.apps",
    "cronjobs.batch",
    "jobs.batch",
    "pods",
    // They would count what is created, change it, or refuse it.
    "limitranges",
    "resourcequotas",
    "poddisruptionbudgets.policy",
];

/// Kinds that are left out unless they are asked for, and why.
const LEFT_OUT: [(&str, &str); 16] = [
    ("events", "it tells what happened there"),
    ("events.events.k8s.io", "it tells what happened there"),
    ("leases.coordination.k8s.io", "it says who lives there"),
    ("nodes", "kubelets register themselves"),
    ("endpoints", "controllers make them"),
    ("endpointslices.discovery.k8s.io", "controllers make them"),
    ("controllerrevisions.apps", "controllers make them"),
    ("ipaddresses.networking.k8s.io", "they come with their Services"),
    ("servicecidrs.networking.k8s.io", "the target has its own"),
    ("csinodes.storage.k8s.io", "kubelets register themselves"),
    ("csistoragecapacities.storage.k8s.io", "drivers tell them"),
    ("volumeattachments.storage.k8s.io", "they are about nodes"),
    ("certificatesigningrequests.certificates.k8s.io", "they are about the other CA"),
    ("apiservices.apiregistration.k8s.io", "they are the target's own"),
    ("componentstatuses", "they are computed"),
    ("pods.metrics.k8s.io", "they are computed"),
];

/// Not possible yet.
const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// The kinds to copy, in order, with what the target calls them: nothing where it does not serve them, or cannot yet take them.
pub(super) fn in_order(
    args: &ImportArgs,
    there: &Kinds,
    here: &Kinds,
    copying: &mut Copying<'_>,
) -> Vec<(Kind, Option<Kind>)> {
    let place = |name: &str| {
        let known = ORDER.iter().position(|kind| *kind == name);
        known.or_else(|| ORDER.iter().position(|kind| *kind == "*"))
    };
    let mut kinds: Vec<&Kind> = there.values().collect();
    kinds.sort_by_key(|kind| (place(&kind.name), kind.name.clone()));
    let mut chosen = Vec::new();
    for kind in kinds {
        let name = kind.name.as_str();
        let asked = args.resources.iter().any(|wanted| wanted == name);
        if (!args.resources.is_empty() && !asked) || args.exclude_resources.iter().any(|not| not == name) {
            continue;
        }
        // Of namespaces that are chosen, the Namespaces come along.
        if !args.namespaces.is_empty() && !kind.api.namespaced && name != "namespaces" {
            continue;
        }
        let left_out = LEFT_OUT.iter().find(|(kind, _)| *kind == name);
        match (left_out, here.get(name)) {
            (Some((_, why)), _) if !asked => copying.left_out(name, why),
            (_, Some(into)) if name != CRDS && into.creates => chosen.push((kind.clone(), Some(into.clone()))),
            _ => chosen.push((kind.clone(), None)),
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_come_before_dependents() {
        let at = |name: &str| ORDER.iter().position(|kind| *kind == name).unwrap();
        for pair in [
            ("namespaces", "serviceaccounts"),
            ("persistentvolumes", "persistentvolumeclaims"),
            ("deployments.apps", "replicasets.apps"),
            ("replicasets.apps", "pods"),
            ("cronjobs.batch", "jobs.batch"),
            ("jobs.batch", "pods"),
            ("secrets", "pods"),
        ] {
            assert!(at(pair.0) < at(pair.1), "{pair:?}");
        }
    }
}
