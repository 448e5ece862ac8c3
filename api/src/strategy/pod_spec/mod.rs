//! The PodSpec, alone in Pods and inside every workload's template: its defaults and its rules.
//!
//! Start reading at [`validate`]; one file per part that it walks through.

use std::collections::BTreeSet;

mod affinity;
mod container;
mod defaults;
mod effective;
mod env;
mod mounts;
mod network;
mod probes;
mod scheduling;
mod security;
#[cfg(test)]
mod tests;
mod volume_defaults;
mod volumes;

pub(super) use affinity::node_selector;
pub(super) use defaults::{pod_only, spec as default};
pub(super) use scheduling::{taints, tolerations};
pub(super) use volume_defaults::of_providers as default_providers;
pub(super) use volumes::{csi_driver_name, host_path, of_provider};

use super::path::Path;
use super::{field, labels, resources};
use crate::document::Value;
use crate::status::Causes;

/// Whose spec it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// A Pod of that name: everything must be right now.
    Pod(&'a str),
    /// A template: what defaulting of Pods will set may still be missing.
    Template,
}

/// Every rule of a PodSpec.
pub(super) fn validate(spec: &Value, owner: Owner<'_>, path: &Path<'_>, causes: &mut Causes) {
    let is_pod = owner != Owner::Template;
    let name = if let Owner::Pod(name) = owner { name } else { "" };
    if !field::is_set(spec, "terminationGracePeriodSeconds") {
        causes.required(path.child("terminationGracePeriodSeconds"), "");
    }
    let volumes = volumes::validate(spec, name, is_pod, path, causes);
    let claims = resource_claims(spec, path, causes);
    let around = container::Around { spec, volumes, claims, is_pod };
    container::regular(&around, path, causes);
    container::init(&around, path, causes);
    container::ephemeral(&around, path, causes);
    resources::of_pod(spec, path, causes);
    network::host_ports(spec, is_pod, path, causes);
    field::required_choice(spec, "restartPolicy", path, &["Always", "OnFailure", "Never"], causes);
    network::dns_policy(spec, path, causes);
    labels::labels(spec, "nodeSelector", path, causes);
    security::of_pod(spec, path, causes);
    affinity::validate(spec, path, causes);
    network::dns_config(spec, path, causes);
    let gates = path.child("readinessGates");
    for (at, gate) in field::list(spec, "readinessGates").iter().enumerate() {
        field::qualified_name(field::text(gate, "conditionType"), gates.index(at).child("conditionType"), causes);
    }
    scheduling::gates(spec, path, causes);
    scheduling::spread(spec, path, causes);
    host_users(spec, path, causes);
    network::hostname_override(spec, path, causes);
    names(spec, path, causes);
    field::between(spec, "activeDeadlineSeconds", (1, i64::from(i32::MAX)), path, causes);
    for key in ["hostname", "subdomain"] {
        match field::text(spec, key) {
            "" => {}
            name => field::dns_label(name, path.child(key), causes),
        }
    }
    scheduling::tolerations(spec, path, causes);
    network::host_aliases(spec, path, causes);
    if field::is_set(spec, "preemptionPolicy") {
        let choices = &["PreemptLowerPriority", "Never"];
        field::required_choice(spec, "preemptionPolicy", path, choices, causes);
    }
    resources::limits(spec, "overhead", &path.child("overhead"), causes);
    operating_system(spec, path, causes);
    file_key_volumes(spec, &around.volumes, path, causes);
}

/// Names of other objects.
fn names(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    for key in ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"] {
        match field::text(spec, key) {
            "" => {}
            name => field::dns_subdomain(name, path.child(key), causes),
        }
    }
}

fn resource_claims<'v>(spec: &'v Value, path: &Path<'_>, causes: &mut Causes) -> BTreeSet<&'v str> {
    let list = path.child("resourceClaims");
    let mut names = BTreeSet::new();
    for (at, claim) in field::list(spec, "resourceClaims").iter().enumerate() {
        let path = list.index(at);
        let name = field::text(claim, "name");
        if field::required_text(claim, "name", &path, causes) {
            if names.insert(name) {
                field::dns_label(name, path.child("name"), causes);
            } else {
                causes.duplicate(path.child("name"), &Value::from(name));
            }
        }
        let keys = ["resourceClaimName", "resourceClaimTemplateName"];
        match keys.into_iter().filter(|key| field::is_set(claim, key)).count() {
            0 => {
                let words = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                causes.invalid(path, claim, words);
            }
            1 => {}
            _ => {
                let words = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                causes.invalid(path, claim, words);
            }
        }
        for key in keys.into_iter().filter(|key| field::is_set(claim, key)) {
            field::dns_subdomain(field::text(claim, key), path.child(key), causes);
        }
    }
    names
}

/// A user namespace of its own cannot go with other namespaces of the host.
fn host_users(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    if field::get(spec, "hostUsers") != &Value::Bool(false) {
        return;
    }
    for (key, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if field::is_true(spec, key) {
            causes.forbidden(path.child(shown), "when `hostUsers` is false");
        }
    }
    for_each_container(spec, path, |container, path| {
        if !field::list(container, "volumeDevices").is_empty() {
            causes.forbidden(path.child("volumeDevices"), "when `hostUsers` is false");
        }
    });
}

/// Every container of every kind, with its path.
pub(super) fn for_each_container(spec: &Value, path: &Path<'_>, mut visit: impl FnMut(&Value, &Path<'_>)) {
    for key in ["initContainers", "containers", "ephemeralContainers"] {
        let list = path.child(key);
        for (at, container) in field::list(spec, key).iter().enumerate() {
            visit(container, &list.index(at));
        }
    }
}

fn operating_system(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let os = field::get(spec, "os");
    if os.is_null() {
        return;
    }
    match field::text(os, "name") {
        "" => causes.required(path.child("os.name"), ""),
        "linux" => no_windows_options(spec, path, causes),
        "windows" => no_linux_options(spec, path, causes),
        other => causes.not_supported(path.child("os"), &Value::from(other), &["linux", "windows"]),
    }
}

fn no_windows_options(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let words = "windows options cannot be set for a linux pod";
    let mut check = |of: &Value, path: &Path<'_>| {
        if field::is_set(field::get(of, "securityContext"), "windowsOptions") {
            causes.forbidden(path.child("securityContext").child("windowsOptions"), words);
        }
    };
    check(spec, path);
    for_each_container(spec, path, check);
}

fn no_linux_options(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    const OF_POD: &[&str] = &[
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
        "seLinuxChangePolicy",
    ];
    const OF_CONTAINER: &[&str] = &[
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    let words = "cannot be set for a windows pod";
    for key in ["hostUsers", "shareProcessNamespace"].into_iter().filter(|key| field::is_set(spec, key)) {
        causes.forbidden(path.child(key), words);
    }
    for key in ["hostPID", "hostIPC"].into_iter().filter(|key| field::is_true(spec, key)) {
        causes.forbidden(path.child(key), words);
    }
    let mut check = |of: &Value, path: &Path<'_>, keys: &[&str]| {
        let context = field::get(of, "securityContext");
        for key in keys.iter().filter(|key| field::is_set(context, key)) {
            causes.forbidden(path.child("securityContext").child(key), words);
        }
    };
    check(spec, path, OF_POD);
    for_each_container(spec, path, |container, path| check(container, path, OF_CONTAINER));
}

/// A variable that is read from a file reads it from an `emptyDir`.
fn file_key_volumes(spec: &Value, volumes: &mounts::Volumes<'_>, path: &Path<'_>, causes: &mut Causes) {
    for_each_container(spec, path, |container, path| {
        let env = path.child("env");
        for (at, variable) in field::list(container, "env").iter().enumerate() {
            let reference = field::get(field::get(variable, "valueFrom"), "fileKeyRef");
            if reference.is_null() {
                continue;
            }
            let path = env.index(at);
            let path = path.child("valueFrom.fileKeyRef.volumeName");
            let name = field::get(reference, "volumeName");
            match volumes.get(name.as_str().unwrap_or_default()) {
                None => causes.not_found(path, name),
                Some(volume) if !field::is_set(volume, "emptyDir") => {
                    causes.invalid(path, name, "referenced volume must be of type emptyDir");
                }
                Some(_) => {}
            }
        }
    });
}
