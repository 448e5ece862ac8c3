//! Where a container sees its volumes.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::Value;
use crate::status::Causes;
use crate::strategy::field;
use crate::strategy::path::Path;

/// The volumes of a PodSpec by name; those in error are missing.
pub(super) type Volumes<'v> = BTreeMap<&'v str, &'v Value>;

/// `volumeMounts` and `volumeDevices` of a container.
pub(super) fn of_container(container: &Value, volumes: &Volumes<'_>, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("volumeMounts");
    let mut places = BTreeSet::new();
    for (at, mount) in field::list(container, "volumeMounts").iter().enumerate() {
        let path = list.index(at);
        let (name, place) = (field::text(mount, "name"), field::text(mount, "mountPath"));
        field::required_text(mount, "name", &path, causes);
        if !volumes.contains_key(name) {
            causes.not_found(path.child("name"), &Value::from(name));
        }
        field::required_text(mount, "mountPath", &path, causes);
        if !places.insert(place) {
            causes.invalid(path.child("mountPath"), &Value::from(place), "must be unique");
        }
        for device in field::list(container, "volumeDevices") {
            if field::text(device, "name") == name {
                let words = "must not already exist in volumeDevices";
                causes.invalid(path.child("name"), &Value::from(name), words);
            }
            if field::text(device, "devicePath") == place {
                let words = "must not already exist as a path in volumeDevices";
                causes.invalid(path.child("mountPath"), &Value::from(place), words);
            }
        }
        sub_path(mount, &list, &path, causes);
        propagation(mount, container, &list, causes);
        recursive_read_only(mount, list.child("recursiveReadOnly"), &list, causes);
    }
    devices(container, volumes, path, causes);
}

/// The reference names the list and not the element in some of these complaints, and so do we.
fn sub_path(mount: &Value, list: &Path<'_>, path: &Path<'_>, causes: &mut Causes) {
    let (plain, expression) = (field::text(mount, "subPath"), field::text(mount, "subPathExpr"));
    if !plain.is_empty() {
        field::descending_path(plain, list.child("subPath"), causes);
    }
    if !expression.is_empty() {
        if !plain.is_empty() {
            let words = "subPathExpr and subPath are mutually exclusive";
            causes.invalid(path.child("subPathExpr"), &Value::from(expression), words);
        }
        field::descending_path(expression, list.child("subPathExpr"), causes);
    }
}

fn propagation(mount: &Value, container: &Value, list: &Path<'_>, causes: &mut Causes) {
    const MODES: &[&str] = &["Bidirectional", "HostToContainer", "None"];
    field::optional_choice(mount, "mountPropagation", list, MODES, causes);
    let privileged = field::is_true(field::get(container, "securityContext"), "privileged");
    if field::text(mount, "mountPropagation") == "Bidirectional" && !privileged {
        let words = "Bidirectional mount propagation is available only to privileged containers";
        causes.forbidden(list.child("mountPropagation"), words);
    }
}

fn recursive_read_only(mount: &Value, path: Path<'_>, list: &Path<'_>, causes: &mut Causes) {
    const MODES: &[&str] = &["Disabled", "Enabled", "IfPossible"];
    match field::text(mount, "recursiveReadOnly") {
        "Enabled" | "IfPossible" => {
            if !field::is_true(mount, "readOnly") {
                causes.forbidden(path, "may only be specified when readOnly is true");
            }
            if !matches!(field::text(mount, "mountPropagation"), "" | "None") {
                causes.forbidden(path, "may only be specified when mountPropagation is None or not specified");
            }
        }
        _ => field::optional_choice(mount, "recursiveReadOnly", list, MODES, causes),
    }
}

fn devices(container: &Value, volumes: &Volumes<'_>, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("volumeDevices");
    let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
    for (at, device) in field::list(container, "volumeDevices").iter().enumerate() {
        let path = list.index(at);
        let (name, place) = (field::text(device, "name"), field::text(device, "devicePath"));
        let (name_value, place_value) = (Value::from(name), Value::from(place));
        if field::required_text(device, "name", &path, causes) && !names.insert(name) {
            causes.invalid(path.child("name"), &name_value, "must be unique");
        }
        match volumes.get(name) {
            None => causes.not_found(path.child("name"), &name_value),
            Some(volume) if field::is_set(volume, "persistentVolumeClaim") || field::is_set(volume, "ephemeral") => {}
            Some(_) => {
                let words = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                causes.invalid(path.child("name"), &name_value, words);
            }
        }
        field::required_text(device, "devicePath", &path, causes);
        if places.contains(place) {
            causes.invalid(path.child("devicePath"), &place_value, "must be unique");
        }
        if place.split('/').any(|step| step == "..") {
            causes.invalid(path.child("devicePath"), &place_value, "can not contain backsteps ('..')");
        } else {
            places.insert(place);
        }
        for mount in field::list(container, "volumeMounts") {
            if field::text(mount, "name") == name {
                causes.invalid(path.child("name"), &name_value, "must not already exist in volumeMounts");
            }
            if field::text(mount, "mountPath") == place {
                let words = "must not already exist as a path in volumeMounts";
                causes.invalid(path.child("devicePath"), &place_value, words);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(container: Value) -> Vec<(String, String)> {
        let (files, claim) = (json!({"emptyDir": {}}), json!({"persistentVolumeClaim": {"claimName": "c"}}));
        let volumes = Volumes::from([("files", &files), ("claim", &claim)]);
        let mut causes = Causes::default();
        of_container(&container, &volumes, &Path::new("c"), &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    #[test]
    fn what_passes() {
        let container = json!({
            "volumeMounts": [
                {"name": "files", "mountPath": "/a"},
                {"name": "files", "mountPath": "/b", "subPath": "c/d", "readOnly": true, "recursiveReadOnly": "Enabled"},
            ],
            "volumeDevices": [{"name": "claim", "devicePath": "/dev/x"}],
        });
        assert_eq!(complaints(container), []);
    }

    #[test]
    fn what_does_not() {
        let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
        for (container, field, message) in [
            (json!({"volumeMounts": [mount("nothing", "/a")]}), "c.volumeMounts[0].name", "Not found: \"nothing\""),
            (
                json!({"volumeMounts": [mount("files", "/a"), mount("files", "/a")]}),
                "c.volumeMounts[1].mountPath",
                "Invalid value: \"/a\": must be unique",
            ),
            (json!({"volumeMounts": [mount("files", "")]}), "c.volumeMounts[0].mountPath", "Required value"),
            (
                json!({"volumeMounts": [{"name": "files", "mountPath": "/a", "subPath": "../b"}]}),
                "c.volumeMounts.subPath",
                "Invalid value: \"../b\": must not contain '..'",
            ),
            (
                json!({"volumeMounts": [{"name": "files", "mountPath": "/a", "mountPropagation": "Bidirectional"}]}),
                "c.volumeMounts.mountPropagation",
                "Forbidden: Bidirectional mount propagation is available only to privileged containers",
            ),
            (
                json!({"volumeDevices": [{"name": "files", "devicePath": "/dev/x"}]}),
                "c.volumeDevices[0].name",
                "Invalid value: \"files\": can only use volume source type of PersistentVolumeClaim or Ephemeral for \
                 block mode",
            ),
        ] {
            assert_eq!(complaints(container)[0], (field.to_owned(), message.to_owned()));
        }
    }
}
