//! Containers of the three kinds: regular, init (sidecars among them) and ephemeral.

use std::collections::BTreeSet;

use super::mounts::{self, Volumes};
use super::{env, probes, security};
use crate::document::Value;
use crate::status::Causes;
use crate::strategy::path::Path;
use crate::strategy::{field, resources};

/// What all containers of one PodSpec share.
pub(super) struct Around<'v> {
    pub(super) spec: &'v Value,
    pub(super) volumes: Volumes<'v>,
    /// The names in spec.resourceClaims.
    pub(super) claims: BTreeSet<&'v str>,
    pub(super) is_pod: bool,
}

/// Fields that an ephemeral container may not have: nothing may depend on it.
const NOT_EPHEMERAL: &[&str] = &[
    "ports",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resizePolicy",
    "restartPolicy",
];

/// `spec.containers`
pub(super) fn regular(around: &Around<'_>, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("containers");
    let containers = field::list(around.spec, "containers");
    if containers.is_empty() {
        return causes.required(list, "");
    }
    let mut names = BTreeSet::new();
    for (at, container) in containers.iter().enumerate() {
        let path = list.index(at);
        common(container, around, &path, causes);
        if !names.insert(field::text(container, "name")) {
            causes.duplicate(path.child("name"), field::get(container, "name"));
        }
        probes::of_container(container, around.spec, &path, causes);
        restart_policy(container, &path, causes);
    }
    host_ports(containers, &list, causes);
}

/// `spec.initContainers`
pub(super) fn init(around: &Around<'_>, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("initContainers");
    let mut names: BTreeSet<&str> = names_of(around.spec, "containers").collect();
    for (at, container) in field::list(around.spec, "initContainers").iter().enumerate() {
        let path = list.index(at);
        let sidecar = field::text(container, "restartPolicy") == "Always";
        common(container, around, &path, causes);
        restart_policy(container, &path, causes);
        let name = field::text(container, "name");
        if !names.insert(name) && !name.is_empty() {
            causes.duplicate(path.child("name"), &Value::from(name));
        }
        host_ports(std::slice::from_ref(container), &list, causes);
        if sidecar {
            probes::of_container(container, around.spec, &path, causes);
            continue;
        }
        for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if field::is_set(container, key) {
                let words = "may not be set for init containers without restartPolicy=Always";
                causes.forbidden(path.child(key), words);
            }
        }
        let policies = path.child("resizePolicy");
        for (at, policy) in field::list(container, "resizePolicy").iter().enumerate() {
            if field::text(policy, "restartPolicy") == "RestartContainer" {
                let words = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                let path = policies.index(at);
                causes.invalid(path.child("restartPolicy"), field::get(policy, "restartPolicy"), words);
            }
        }
    }
}

/// `spec.ephemeralContainers`
pub(super) fn ephemeral(around: &Around<'_>, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("ephemeralContainers");
    let targets: BTreeSet<&str> =
        names_of(around.spec, "containers").chain(names_of(around.spec, "initContainers")).collect();
    let mut names = targets.clone();
    for (at, container) in field::list(around.spec, "ephemeralContainers").iter().enumerate() {
        let path = list.index(at);
        common(container, around, &path, causes);
        if !names.insert(field::text(container, "name")) {
            causes.duplicate(path.child("name"), field::get(container, "name"));
        }
        let target = field::text(container, "targetContainerName");
        if !target.is_empty() && !targets.contains(target) {
            causes.not_found(path.child("targetContainerName"), &Value::from(target));
        }
        let words = "cannot be set for an Ephemeral Container";
        for key in NOT_EPHEMERAL {
            if !field::same(field::get(container, key), &Value::Null) {
                causes.forbidden(path.child(key), words);
            }
        }
        let mounts = path.child("volumeMounts");
        for (at, mount) in field::list(container, "volumeMounts").iter().enumerate() {
            for key in ["subPath", "subPathExpr"] {
                if !field::text(mount, key).is_empty() {
                    causes.forbidden(mounts.index(at).child(key), words);
                }
            }
        }
    }
}

fn names_of<'v>(spec: &'v Value, key: &str) -> impl Iterator<Item = &'v str> + use<'v> {
    field::list(spec, key).iter().map(|container| field::text(container, "name"))
}

fn common(container: &Value, around: &Around<'_>, path: &Path<'_>, causes: &mut Causes) {
    if field::required_text(container, "name", path, causes) {
        field::dns_label(field::text(container, "name"), path.child("name"), causes);
    }
    let image = field::text(container, "image");
    if field::required_text(container, "image", path, causes) && around.is_pod && image.trim() != image {
        let words = "must not have leading or trailing whitespace";
        causes.invalid(path.child("image"), &Value::from(image), words);
    }
    const MESSAGES: &[&str] = &["File", "FallbackToLogsOnError"];
    field::required_choice(container, "terminationMessagePolicy", path, MESSAGES, causes);
    ports(container, &path.child("ports"), causes);
    env::of_container(container, path, causes);
    mounts::of_container(container, &around.volumes, path, causes);
    field::required_choice(container, "imagePullPolicy", path, &["Always", "IfNotPresent", "Never"], causes);
    resources::of_container(container, &around.claims, path, causes);
    resize_policy(container, around.spec, path, causes);
    security::of_container(container, around.spec, path, causes);
}

fn ports(container: &Value, list: &Path<'_>, causes: &mut Causes) {
    let mut names = BTreeSet::new();
    for (at, port) in field::list(container, "ports").iter().enumerate() {
        let path = list.index(at);
        let name = field::text(port, "name");
        if !name.is_empty() {
            let before = causes.0.len();
            field::port(field::get(port, "name"), path.child("name"), causes);
            if causes.0.len() == before && !names.insert(name) {
                causes.duplicate(path.child("name"), &Value::from(name));
            }
        }
        match field::int(port, "containerPort").unwrap_or_default() {
            0 => causes.required(path.child("containerPort"), ""),
            number => field::port_number(number, path.child("containerPort"), causes),
        }
        match field::int(port, "hostPort").unwrap_or_default() {
            0 => {}
            number => field::port_number(number, path.child("hostPort"), causes),
        }
        field::required_choice(port, "protocol", &path, field::PROTOCOLS, causes);
    }
}

/// No two of these containers may want one port of the host.
fn host_ports(containers: &[Value], list: &Path<'_>, causes: &mut Causes) {
    let mut taken = BTreeSet::new();
    for (at, container) in containers.iter().enumerate() {
        let path = list.index(at);
        let ports = path.child("ports");
        for (at, port) in field::list(container, "ports").iter().enumerate() {
            let number = field::int(port, "hostPort").unwrap_or_default();
            if number == 0 {
                continue;
            }
            let wanted = format!("{}/{}/{number}", field::text(port, "protocol"), field::text(port, "hostIP"));
            let value = Value::from(wanted.as_str());
            if !taken.insert(wanted) {
                causes.duplicate(ports.index(at).child("hostPort"), &value);
            }
        }
    }
}

fn restart_policy(container: &Value, path: &Path<'_>, causes: &mut Causes) {
    const POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
    const ACTIONS: &[&str] = &["Restart", "RestartAllContainers"];
    let rules = field::list(container, "restartPolicyRules");
    if field::is_set(container, "restartPolicy") {
        field::choice(container, "restartPolicy", path, POLICIES, causes);
    } else if !rules.is_empty() {
        let words = "must specify restartPolicy when restart rules are used";
        causes.required(path.child("restartPolicy"), words);
    }
    let list = path.child("restartPolicyRules");
    field::too_many(rules.len(), 20, list, causes);
    for (at, rule) in rules.iter().enumerate() {
        let path = list.index(at);
        field::choice(rule, "action", &path, ACTIONS, causes);
        let codes = field::get(rule, "exitCodes");
        if codes.is_null() {
            causes.required(path.child("exitCodes"), "must be specified");
            continue;
        }
        let path = path.child("exitCodes");
        field::choice(codes, "operator", &path, &["In", "NotIn"], causes);
        field::too_many(field::list(codes, "values").len(), 255, path.child("values"), causes);
    }
}

fn resize_policy(container: &Value, spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let mut seen = BTreeSet::new();
    let path_of = path.child("resizePolicy");
    for (at, policy) in field::list(container, "resizePolicy").iter().enumerate() {
        let resource = field::text(policy, "resourceName");
        let restart = field::text(policy, "restartPolicy");
        if !seen.insert(resource) {
            causes.duplicate(path_of.index(at), &Value::from(resource));
        }
        for (value, choices) in [(resource, ["cpu", "memory"]), (restart, ["NotRequired", "RestartContainer"])] {
            if value.is_empty() {
                causes.required(path_of, "");
            } else if !choices.contains(&value) {
                causes.not_supported(path_of, &Value::from(value), &choices);
            }
        }
        if field::text(spec, "restartPolicy") == "Never" && restart != "NotRequired" {
            let words = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            causes.invalid(path_of, &Value::from(restart), words);
        }
    }
}
