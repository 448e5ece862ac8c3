//! PersistentVolumes.

use super::path::Path;
use super::{Strategy, claim_spec, field, fill, pod_spec};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// core/v1 PersistentVolume.
pub(super) struct PersistentVolume;

const SOURCES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];
const RECLAIM: &[&str] = &["Delete", "Recycle", "Retain"];

impl Strategy for PersistentVolume {
    fn default(&self, object: &mut Value) {
        fill::text(fill::map(object, "status"), "phase", "Pending");
        let spec = fill::map(object, "spec");
        fill::text(spec, "persistentVolumeReclaimPolicy", "Retain");
        fill::text(spec, "volumeMode", "Filesystem");
        if let Some(source) = fill::field(spec, "hostPath") {
            fill::value(source, "type", || "".into());
        }
        pod_spec::default_providers(spec);
    }

    fn prepare_create(&self, object: &mut Value) {
        fill::set(object, "status", serde_json::json!({"phase": "Pending"}));
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        if field::list(spec, "accessModes").is_empty() {
            causes.required(path.child("accessModes"), "");
        }
        claim_spec::access_modes(spec, &path, causes);
        capacity(spec, &path, causes);
        if !field::text(spec, "persistentVolumeReclaimPolicy").is_empty() {
            field::choice(spec, "persistentVolumeReclaimPolicy", &path, RECLAIM, causes);
        }
        let affinity = field::get(spec, "nodeAffinity");
        if !affinity.is_null() {
            let path = path.child("nodeAffinity");
            match field::get(affinity, "required") {
                Value::Null => causes.required(path.child("required"), "must specify required node constraints"),
                required => pod_spec::node_selector(required, true, &path.child("required"), causes),
            }
        }
        sources(spec, &path, causes);
        match field::text(spec, "storageClassName") {
            "" => {}
            name => field::dns_subdomain(name, path.child("storageClassName"), causes),
        }
        field::optional_choice(spec, "volumeMode", &path, claim_spec::VOLUME_MODES, causes);
        attributes_class(spec, &path, causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "spec"), field::get(old, "spec"));
        let source = |spec: &Value, keep_expand: bool| {
            let kind = SOURCES.iter().find(|kind| field::is_set(spec, kind));
            let mut source = kind.map_or(Value::Null, |kind| serde_json::json!({ *kind: spec.get(kind) }));
            if let Some(csi) = fill::field(&mut source, "csi").filter(|_| !keep_expand) {
                fill::remove(csi, "controllerExpandSecretRef");
            }
            source
        };
        // The secret for expansion may be added later, once.
        let expand = field::is_set(field::get(old, "csi"), "controllerExpandSecretRef");
        if !field::same(&source(new, expand), &source(old, expand)) {
            let words = "spec.persistentvolumesource is immutable after creation";
            causes.forbidden("spec.persistentvolumesource", words);
        }
        if field::get(new, "volumeMode") != field::get(old, "volumeMode") {
            causes.invalid("volumeMode", field::get(new, "volumeMode"), field::IMMUTABLE);
        }
        let (affinity, before) = (field::get(new, "nodeAffinity"), field::get(old, "nodeAffinity"));
        if !before.is_null() && !field::same(affinity, before) {
            let words = "field is immutable, except for updating from beta label to GA";
            causes.invalid("nodeAffinity", affinity, words);
        }
        let class = "volumeAttributesClassName";
        if field::is_set(old, class) && !field::is_set(new, class) {
            causes.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden");
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn capacity(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let capacity = field::get(spec, "capacity");
    let path = path.child("capacity");
    let count = field::pairs(spec, "capacity").count();
    if count == 0 {
        causes.required(path, "");
    }
    if count > 1 || capacity.get("storage").is_none() {
        causes.not_supported(path, capacity, &["storage"]);
    }
    for (resource, value) in field::pairs(spec, "capacity") {
        claim_spec::storage(value, path.key(resource), causes);
    }
}

fn sources(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let mut found = false;
    for kind in SOURCES.iter().copied().filter(|kind| field::is_set(spec, kind)) {
        let path = path.child(kind);
        if found {
            causes.forbidden(path, "may not specify more than 1 volume type");
            continue;
        }
        found = true;
        let source = field::get(spec, kind);
        match kind {
            "hostPath" => pod_spec::host_path(source, &path, causes),
            "csi" => {
                pod_spec::csi_driver_name(source, "driver", &path, causes);
                field::required_text(source, "volumeHandle", &path, causes);
            }
            _ => pod_spec::of_provider(kind, source, &path, causes),
        }
    }
    if !found {
        causes.required(path, "must specify a volume type");
    }
    if field::is_set(spec, "local") && !field::is_set(spec, "nodeAffinity") {
        causes.required(path.child("nodeAffinity"), "Local volume requires node affinity");
    }
    let host = field::text(field::get(spec, "hostPath"), "path");
    let is_root = host.starts_with('/') && host.split('/').all(|step| matches!(step, "" | "."));
    if is_root && field::text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
        let words = "may not be 'recycle' for a hostPath mount of '/'";
        causes.forbidden(path.child("persistentVolumeReclaimPolicy"), words);
    }
}

fn attributes_class(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let Some(class) = field::get(spec, "volumeAttributesClassName").as_str() else { return };
    match class {
        "" => causes.required(path.child("volumeAttributesClassName"), "an empty string is disallowed"),
        name => field::dns_subdomain(name, path.child("volumeAttributesClassName"), causes),
    }
    if !field::is_set(spec, "csi") {
        causes.required(path.child("csi"), "has to be specified when using volumeAttributesClassName");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    fn volume(change: Value) -> Value {
        let mut object = json!({"spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "csi.example.com", "volumeHandle": "v"},
        }});
        for (key, value) in change.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        PersistentVolume.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let good = volume(json!({}));
        assert_eq!(complaints(&PersistentVolume, &good), []);
        for (change, field, message) in [
            (json!({"accessModes": []}), "spec.accessModes", "Required value"),
            (json!({"capacity": {}}), "spec.capacity", "Required value"),
            (json!({"csi": null}), "spec", "Required value: must specify a volume type"),
            (
                json!({"nfs": {"server": "s", "path": "/"}}),
                "spec.csi",
                "Forbidden: may not specify more than 1 volume type",
            ),
            (
                json!({"csi": null, "local": {"path": "/mnt"}}),
                "spec.nodeAffinity",
                "Required value: Local volume requires node affinity",
            ),
            (
                json!({"csi": null, "hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"}),
                "spec.persistentVolumeReclaimPolicy",
                "Forbidden: may not be 'recycle' for a hostPath mount of '/'",
            ),
        ] {
            let found = complaints(&PersistentVolume, &volume(change));
            assert_eq!(found[0], (field.to_owned(), message.to_owned()));
        }
    }

    #[test]
    fn the_source_stays() {
        let old = volume(json!({}));
        let csi = |handle: &str| json!({"driver": "csi.example.com", "volumeHandle": handle});
        let found = complaints_update(&PersistentVolume, &volume(json!({"csi": csi("w")})), &old);
        assert_eq!(found[0].0, "spec.persistentvolumesource");
        let mut expandable = csi("v");
        expandable["controllerExpandSecretRef"] = json!({"name": "s"});
        assert_eq!(complaints_update(&PersistentVolume, &volume(json!({"csi": expandable})), &old), []);
    }
}
