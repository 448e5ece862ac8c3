//! Security contexts of Pods and containers.

use std::collections::BTreeSet;

use crate::document::Value;
use crate::status::Causes;
use crate::strategy::field;
use crate::strategy::path::Path;

const MAX_ID: i64 = i32::MAX as i64;
const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

/// A container's.
pub(super) fn of_container(container: &Value, spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let context = field::get(container, "securityContext");
    if context.is_null() {
        return;
    }
    let path = path.child("securityContext");
    field::between(context, "runAsUser", (0, MAX_ID), &path, causes);
    field::between(context, "runAsGroup", (0, MAX_ID), &path, causes);
    if field::is_set(context, "procMount") {
        field::choice(context, "procMount", &path, &["Default", "Unmasked"], causes);
        let own_users = field::get(spec, "hostUsers") == &Value::Bool(false);
        if !own_users && field::text(context, "procMount") == "Unmasked" {
            let words = "`hostUsers` must be false to use `Unmasked`";
            causes.invalid(path.child("procMount"), field::get(context, "procMount"), words);
        }
    }
    seccomp(context, &path, causes);
    if field::get(context, "allowPrivilegeEscalation") == &Value::Bool(false) {
        if field::is_true(context, "privileged") {
            let words = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            causes.invalid(path, context, words);
        }
        let added = field::list(field::get(context, "capabilities"), "add");
        if added.iter().any(|capability| capability == "CAP_SYS_ADMIN") {
            let words = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            causes.invalid(path, context, words);
        }
    }
    app_armor(context, &path, causes);
}

/// A Pod's.
pub(super) fn of_pod(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let context = field::get(spec, "securityContext");
    if context.is_null() {
        return;
    }
    let path = path.child("securityContext");
    for key in ["fsGroup", "runAsUser", "runAsGroup"] {
        field::between(context, key, (0, MAX_ID), &path, causes);
    }
    let groups = path.child("supplementalGroups");
    for (at, group) in field::list(context, "supplementalGroups").iter().enumerate() {
        if !(0..=MAX_ID).contains(&group.as_i64().unwrap_or_default()) {
            causes.invalid(groups.index(at), group, "must be between 0 and 2147483647, inclusive");
        }
    }
    if field::is_true(spec, "shareProcessNamespace") && field::is_true(spec, "hostPID") {
        let words = "ShareProcessNamespace and HostPID cannot both be enabled";
        causes.invalid(path.child("shareProcessNamespace"), &Value::from(true), words);
    }
    sysctls(context, spec, &path.child("sysctls"), causes);
    field::optional_choice(context, "fsGroupChangePolicy", &path, &["Always", "OnRootMismatch"], causes);
    seccomp(context, &path, causes);
    app_armor(context, &path, causes);
    field::optional_choice(context, "supplementalGroupsPolicy", &path, &["Merge", "Strict"], causes);
    field::optional_choice(context, "seLinuxChangePolicy", &path, &["MountOption", "Recursive"], causes);
}

fn seccomp(context: &Value, path: &Path<'_>, causes: &mut Causes) {
    let profile = field::get(context, "seccompProfile");
    if profile.is_null() {
        return;
    }
    let path = path.child("seccompProfile");
    match field::text(profile, "type") {
        "" => causes.required(path.child("type"), "type is required when seccompProfile is set"),
        _ => field::choice(profile, "type", &path, PROFILES, causes),
    }
    match (field::text(profile, "type"), field::get(profile, "localhostProfile").as_str()) {
        ("Localhost", None) => {
            causes.required(path.child("localhostProfile"), "must be set when seccomp type is Localhost");
        }
        ("Localhost", Some(file)) => field::descending_path(file, path.child("localhostProfile"), causes),
        (_, Some(_)) => {
            let words = "can only be set when seccomp type is Localhost";
            causes.invalid(path.child("localhostProfile"), profile, words);
        }
        (_, None) => {}
    }
}

fn app_armor(context: &Value, path: &Path<'_>, causes: &mut Causes) {
    let profile = field::get(context, "appArmorProfile");
    if profile.is_null() {
        return;
    }
    let path = path.child("appArmorProfile");
    let file = field::get(profile, "localhostProfile").as_str();
    match field::text(profile, "type") {
        "" => causes.required(path.child("type"), "type is required when appArmorProfile is set"),
        "Localhost" => match file {
            None => causes.required(path.child("localhostProfile"), "must be set when AppArmor type is Localhost"),
            Some(file) if file.trim() != file => {
                let words = "must not be padded with whitespace";
                causes.invalid(path.child("localhostProfile"), &Value::from(file), words);
            }
            Some("") => causes.required(path.child("localhostProfile"), "must be set when AppArmor type is Localhost"),
            Some(file) if file.len() > 4095 => causes.too_long(path.child("localhostProfile"), 4095),
            Some(_) => {}
        },
        "RuntimeDefault" | "Unconfined" => {
            if let Some(file) = file {
                let words = "can only be set when AppArmor type is Localhost";
                causes.invalid(path.child("localhostProfile"), &Value::from(file), words);
            }
        }
        _ => field::choice(profile, "type", &path, PROFILES, causes),
    }
}

fn sysctls(context: &Value, spec: &Value, list: &Path<'_>, causes: &mut Causes) {
    let mut names = BTreeSet::new();
    for (at, sysctl) in field::list(context, "sysctls").iter().enumerate() {
        let path = list.index(at);
        let name = field::text(sysctl, "name");
        let value = Value::from(name);
        if name.is_empty() {
            causes.required(path.child("name"), "");
        } else if !is_sysctl(name) {
            let words = "must have at most 253 characters and match regex \
                         ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            causes.invalid(path.child("name"), &value, words);
        } else if names.contains(name) {
            causes.duplicate(path.child("name"), &value);
        }
        names.insert(name);
        let dotted = name.replace('/', ".");
        let of_ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| dotted.starts_with(prefix))
            || dotted == "kernel.sem";
        if field::is_true(spec, "hostNetwork") && dotted.starts_with("net.") {
            causes.invalid(path.child("name"), &value, "may not be specified when 'hostNetwork' is true");
        } else if field::is_true(spec, "hostIPC") && of_ipc {
            causes.invalid(path.child("name"), &value, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part = |part: &str| {
        part.starts_with(alphanumeric)
            && part.ends_with(alphanumeric)
            && part.chars().all(|c| alphanumeric(c) || c == '-' || c == '_')
    };
    name.len() <= 253 && name.split(['.', '/']).all(is_part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(spec: Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        of_pod(&spec, &Path::new("spec"), &mut causes);
        of_container(&spec["container"], &spec, &Path::new("c"), &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    #[test]
    fn what_passes() {
        for spec in [
            json!({}),
            json!({"securityContext": {
                "runAsUser": 1000, "fsGroup": 0, "supplementalGroups": [1], "seccompProfile": {"type": "RuntimeDefault"},
                "sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}}),
            json!({"container": {"securityContext": {"privileged": true, "procMount": "Default"}}}),
        ] {
            assert_eq!(complaints(spec.clone()), [], "{spec}");
        }
    }

    #[test]
    fn what_does_not() {
        for (spec, field, message) in [
            (
                json!({"securityContext": {"runAsUser": -1}}),
                "spec.securityContext.runAsUser",
                "Invalid value: -1: must be between 0 and 2147483647, inclusive",
            ),
            (
                json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}}),
                "spec.securityContext.seccompProfile.localhostProfile",
                "Required value: must be set when seccomp type is Localhost",
            ),
            (
                json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.core.somaxconn"}]}}),
                "spec.securityContext.sysctls[0].name",
                "Invalid value: \"net.core.somaxconn\": may not be specified when 'hostNetwork' is true",
            ),
            (
                json!({"container": {"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}}}),
                "c.securityContext",
                "Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true}: cannot set \
                 `allowPrivilegeEscalation` to false and `privileged` to true",
            ),
        ] {
            assert_eq!(complaints(spec)[0], (field.to_owned(), message.to_owned()));
        }
    }
}
