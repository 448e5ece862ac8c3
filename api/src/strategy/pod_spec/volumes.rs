//! Volumes of a PodSpec: one source each, and what that source needs.

use std::collections::BTreeSet;

use super::env;
use super::mounts::Volumes;
use crate::document::Value;
use crate::names;
use crate::status::Causes;
use crate::strategy::path::Path;
use crate::strategy::{claim_spec, field, labels, resources};

/// Every source, in the order in which a second one is noticed.
const SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// Fields that must not be empty, of sources that need nothing else; PersistentVolumes have most of them too.
const REQUIRED: &[(&str, &[&str])] = &[
    ("gitRepo", &["repository"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("nfs", &["server", "path"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("glusterfs", &["endpoints", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("rbd", &["image"]),
    ("cinder", &["volumeID"]),
    ("quobyte", &["registry", "volume"]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("local", &["path"]),
];

/// All volumes. What is well-formed is returned, for mounts to be checked against. `pod` is the Pod's name, if known.
pub(super) fn validate<'v>(
    spec: &'v Value,
    pod: &str,
    is_pod: bool,
    path: &Path<'_>,
    causes: &mut Causes,
) -> Volumes<'v> {
    let list = path.child("volumes");
    let mut volumes = Volumes::new();
    let made: BTreeSet<String> = field::list(spec, "volumes")
        .iter()
        .filter(|volume| !pod.is_empty() && field::is_set(volume, "ephemeral"))
        .map(|volume| format!("{pod}-{}", field::text(volume, "name")))
        .collect();
    for (at, volume) in field::list(spec, "volumes").iter().enumerate() {
        let path = list.index(at);
        let name = field::text(volume, "name");
        let before = causes.0.len();
        source(volume, is_pod, &path, causes);
        if field::required_text(volume, "name", &path, causes) {
            field::dns_label(name, path.child("name"), causes);
        }
        if volumes.contains_key(name) {
            causes.duplicate(path.child("name"), &Value::from(name));
        }
        if causes.0.len() == before {
            volumes.insert(name, volume);
        }
        let claim = field::text(field::get(volume, "persistentVolumeClaim"), "claimName");
        if made.contains(claim) {
            let words = "must not reference a PVC that gets created for an ephemeral volume";
            causes.invalid(path.child("persistentVolumeClaim.claimName"), &Value::from(claim), words);
        }
    }
    volumes
}

fn source(volume: &Value, is_pod: bool, path: &Path<'_>, causes: &mut Causes) {
    let mut found = false;
    for kind in SOURCES.iter().copied().filter(|kind| field::is_set(volume, kind)) {
        let source = field::get(volume, kind);
        if found {
            causes.forbidden(path.child(kind), "may not specify more than 1 volume type");
            continue;
        }
        found = true;
        let path = path.child(kind);
        match kind {
            "emptyDir" => empty_dir(source, &path, causes),
            "hostPath" => host_path(source, &path, causes),
            "secret" => files(source, "secretName", &path, causes),
            "configMap" => files(source, "name", &path, causes),
            "downwardAPI" => downward(source, &path, causes),
            "projected" => projected(source, &path, causes),
            "csi" => csi(source, &path, causes),
            "ephemeral" => ephemeral(source, &path, causes),
            "image" => image(source, is_pod, &path, causes),
            _ => of_provider(kind, source, &path, causes),
        }
    }
    if !found {
        causes.required(path, "must specify a volume type");
    }
}

/// A source that a driver reads, in a Pod or in a PersistentVolume.
pub(in crate::strategy) fn of_provider(kind: &str, source: &Value, path: &Path<'_>, causes: &mut Causes) {
    let required = REQUIRED.iter().find(|(of, _)| *of == kind).map_or(&[][..], |(_, fields)| fields);
    for key in required {
        field::required_text(source, key, path, causes);
    }
    match kind {
        "nfs" if !field::text(source, "path").starts_with('/') => {
            let value = field::get(source, "path");
            causes.invalid(path.child("path"), value, "must be an absolute path");
        }
        "gitRepo" => field::descending_path(field::text(source, "directory"), path.child("directory"), causes),
        "rbd" | "cephfs" if field::list(source, "monitors").is_empty() => {
            causes.required(path.child("monitors"), "");
        }
        "iscsi" => field::between(source, "lun", (0, 255), path, causes),
        "gcePersistentDisk" | "awsElasticBlockStore" => field::between(source, "partition", (0, 255), path, causes),
        "fc" => fibre_channel(source, path, causes),
        "local" => field::no_backsteps(field::text(source, "path"), path.child("path"), causes),
        _ => {}
    }
}

fn fibre_channel(source: &Value, path: &Path<'_>, causes: &mut Causes) {
    let (targets, ids) = (field::list(source, "targetWWNs"), field::list(source, "wwids"));
    if targets.is_empty() && ids.is_empty() {
        causes.required(path.child("targetWWNs"), "must specify either targetWWNs or wwids, but not both");
    }
    if !targets.is_empty() && !ids.is_empty() {
        let value = field::get(source, "targetWWNs");
        causes.invalid(path.child("targetWWNs"), value, "targetWWNs and wwids can not be specified simultaneously");
    }
    if !targets.is_empty() && ids.is_empty() {
        match field::int(source, "lun") {
            None => causes.required(path.child("lun"), "lun is required if targetWWNs is specified"),
            Some(_) => field::between(source, "lun", (0, 255), path, causes),
        }
    }
}

fn empty_dir(source: &Value, path: &Path<'_>, causes: &mut Causes) {
    if resources::parse(field::get(source, "sizeLimit")).is_some_and(|limit| limit.is_negative()) {
        causes.forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
    }
}

pub(in crate::strategy) fn host_path(source: &Value, path: &Path<'_>, causes: &mut Causes) {
    const TYPES: &[&str] =
        &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    if field::required_text(source, "path", path, causes) {
        field::no_backsteps(field::text(source, "path"), path.child("path"), causes);
        field::optional_choice(source, "type", path, TYPES, causes);
    }
}

/// A Secret or a ConfigMap whose keys are files.
fn files(source: &Value, name: &str, path: &Path<'_>, causes: &mut Causes) {
    field::required_text(source, name, path, causes);
    field::file_mode(source, "defaultMode", path, causes);
    let items = path.child("items");
    for (at, item) in field::list(source, "items").iter().enumerate() {
        key_to_path(item, &items.index(at), causes);
    }
}

fn key_to_path(item: &Value, path: &Path<'_>, causes: &mut Causes) {
    field::required_text(item, "key", path, causes);
    field::required_text(item, "path", path, causes);
    field::unreserved_path(field::text(item, "path"), path.child("path"), causes);
    field::file_mode(item, "mode", path, causes);
}

fn downward(source: &Value, path: &Path<'_>, causes: &mut Causes) {
    field::file_mode(source, "defaultMode", path, causes);
    for item in field::list(source, "items") {
        downward_file(item, path, causes);
    }
}

fn downward_file(file: &Value, path: &Path<'_>, causes: &mut Causes) {
    field::required_text(file, "path", path, causes);
    field::unreserved_path(field::text(file, "path"), path.child("path"), causes);
    if field::is_set(file, "fieldRef") {
        let reference = field::get(file, "fieldRef");
        env::field_ref(reference, env::VOLUME_FIELDS, &path.child("fieldRef"), causes);
        if field::is_set(file, "resourceFieldRef") {
            let words = "fieldRef and resourceFieldRef can not be specified simultaneously";
            causes.invalid(path, &Value::from("resource"), words);
        }
    } else if field::is_set(file, "resourceFieldRef") {
        let reference = field::get(file, "resourceFieldRef");
        env::resource_field_ref(reference, true, &path.child("resourceFieldRef"), causes);
    } else {
        causes.required(path, "one of fieldRef and resourceFieldRef is required");
    }
    field::file_mode(file, "mode", path, causes);
}

fn projected<'v>(source: &'v Value, path: &Path<'_>, causes: &mut Causes) {
    field::file_mode(source, "defaultMode", path, causes);
    let list = path.child("sources");
    let mut paths: BTreeSet<&'v str> = BTreeSet::new();
    for (at, source) in field::list(source, "sources").iter().enumerate() {
        let source_path = list.index(at);
        let kinds =
            ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
        let mut found = 0;
        for kind in kinds.into_iter().filter(|kind| field::is_set(source, kind)) {
            found += 1;
            projection(kind, field::get(source, kind), (path, &source_path.child(kind)), &mut paths, causes);
        }
        if found > 1 {
            causes.forbidden(source_path, "may not specify more than 1 volume type per source");
        }
    }
}

fn projection<'v>(
    kind: &str,
    source: &'v Value,
    (volume, path): (&Path<'_>, &Path<'_>),
    paths: &mut BTreeSet<&'v str>,
    causes: &mut Causes,
) {
    let mut claim = |target: &'v str, named: &str, causes: &mut Causes| {
        if !target.is_empty() && !paths.insert(target) {
            causes.invalid(volume, &Value::from(named), "conflicting duplicate paths");
        }
    };
    match kind {
        "secret" | "configMap" => {
            field::required_text(source, "name", path, causes);
            let items = path.child("items");
            for (at, item) in field::list(source, "items").iter().enumerate() {
                key_to_path(item, &items.index(at), causes);
                claim(field::text(item, "path"), field::text(source, "name"), causes);
            }
        }
        "downwardAPI" => {
            for item in field::list(source, "items") {
                downward_file(item, path, causes);
                claim(field::text(item, "path"), field::text(item, "path"), causes);
            }
        }
        "serviceAccountToken" => token(source, volume, path, causes),
        "clusterTrustBundle" => {
            trust_bundle(source, path, causes);
            claim(field::text(source, "path"), field::text(source, "path"), causes);
        }
        _ => {
            field::required_text(source, "signerName", path, causes);
            const KEYS: &[&str] = &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
            field::choice(source, "keyType", path, KEYS, causes);
            let words = "if provided, maxExpirationSeconds must be >= 3600";
            field::at_least(source, "maxExpirationSeconds", 3600, words, path, causes);
            let files = ["credentialBundlePath", "keyPath", "certificateChainPath"];
            for key in files.into_iter().filter(|key| !field::text(source, key).is_empty()) {
                field::unreserved_path(field::text(source, key), path.child(key), causes);
                claim(field::text(source, key), field::text(source, key), causes);
            }
            if files.into_iter().all(|key| field::text(source, key).is_empty()) {
                let words = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
                causes.required(path, words);
            }
        }
    }
}

fn token(source: &Value, volume: &Path<'_>, path: &Path<'_>, causes: &mut Causes) {
    let seconds = field::int(source, "expirationSeconds").unwrap_or_default();
    if seconds < 600 {
        let words = "may not specify a duration less than 10 minutes";
        causes.invalid(path.child("expirationSeconds"), &Value::from(seconds), words);
    }
    if seconds > 1 << 32 {
        let words = "may not specify a duration larger than 2^32 seconds";
        causes.invalid(path.child("expirationSeconds"), &Value::from(seconds), words);
    }
    if field::required_text(source, "path", volume, causes) {
        field::unreserved_path(field::text(source, "path"), volume.child("path"), causes);
    }
}

fn trust_bundle(source: &Value, path: &Path<'_>, causes: &mut Causes) {
    match (field::is_set(source, "name"), field::is_set(source, "signerName")) {
        (true, true) => causes.invalid(path, source, "only one of name and signerName may be used"),
        (true, false) => {
            if field::text(source, "name").is_empty() {
                causes.required(path.child("name"), "must be a valid object name");
            }
        }
        (false, true) => {
            field::required_text(source, "signerName", path, causes);
            labels::selector(source, "labelSelector", path, causes);
        }
        (false, false) => causes.required(path, "either name or signerName must be specified"),
    }
    field::required_text(source, "path", path, causes);
    field::unreserved_path(field::text(source, "path"), path.child("path"), causes);
}

fn csi(source: &Value, path: &Path<'_>, causes: &mut Causes) {
    csi_driver_name(source, "driver", path, causes);
    let secret = field::get(source, "nodePublishSecretRef");
    if !secret.is_null() {
        field::required_name(secret, "name", &path.child("nodePublishSecretRef"), causes);
    }
}

/// The name of a CSI driver: a DNS subdomain in any case, of at most 63 characters.
pub(in crate::strategy) fn csi_driver_name(source: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    let name = field::text(source, key);
    if field::required_text(source, key, path, causes) {
        if name.len() > 63 {
            causes.too_long(path.child(key), 63);
        }
        field::complain(names::is_dns1123_subdomain(&name.to_lowercase()), name, path.child(key), causes);
    }
}

fn ephemeral(source: &Value, path: &Path<'_>, causes: &mut Causes) {
    let template = field::get(source, "volumeClaimTemplate");
    let path = path.child("volumeClaimTemplate");
    if template.is_null() {
        return causes.required(path, "");
    }
    let metadata = field::get(template, "metadata");
    labels::annotations(metadata, "annotations", &path.child("metadata"), causes);
    labels::labels(metadata, "labels", &path.child("metadata"), causes);
    let extra = metadata.as_object().into_iter().flatten();
    for (key, value) in extra.filter(|(key, _)| !matches!(key.as_str(), "annotations" | "labels")) {
        if !value.is_null() {
            causes.forbidden(path.child("metadata").child(key), "cannot be set");
        }
    }
    claim_spec::validate(field::get(template, "spec"), &path.child("spec"), causes);
}

fn image(source: &Value, is_pod: bool, path: &Path<'_>, causes: &mut Causes) {
    if is_pod {
        field::required_text(source, "reference", path, causes);
    }
    field::required_choice(source, "pullPolicy", path, &["Always", "IfNotPresent", "Never"], causes);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(volumes: Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        validate(&json!({ "volumes": volumes }), "p", true, &Path::new("spec"), &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    #[test]
    fn what_passes() {
        let volumes = json!([
            {"name": "a", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "b", "hostPath": {"path": "/var", "type": "Directory"}},
            {"name": "c", "secret": {"secretName": "s", "defaultMode": 420, "items": [{"key": "k", "path": "a/b"}]}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "c"}},
            {"name": "e", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {
                    "apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
            ]}},
            {"name": "f", "csi": {"driver": "csi.example.com"}},
            {"name": "g", "nfs": {"server": "s", "path": "/p"}},
        ]);
        assert_eq!(complaints(volumes), []);
    }

    #[test]
    fn what_does_not() {
        for (volumes, field, message) in [
            (json!([{"name": "a"}]), "spec.volumes[0]", "Required value: must specify a volume type"),
            (
                json!([{"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}]),
                "spec.volumes[0].hostPath",
                "Forbidden: may not specify more than 1 volume type",
            ),
            (
                json!([{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]),
                "spec.volumes[1].name",
                "Duplicate value: \"a\"",
            ),
            (json!([{"emptyDir": {}}]), "spec.volumes[0].name", "Required value"),
            (json!([{"name": "a", "secret": {}}]), "spec.volumes[0].secret.secretName", "Required value"),
            (
                json!([{"name": "a", "configMap": {"name": "c", "defaultMode": 512}}]),
                "spec.volumes[0].configMap.defaultMode",
                "Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            ),
            (
                json!([{"name": "a", "nfs": {"server": "s", "path": "p"}}]),
                "spec.volumes[0].nfs.path",
                "Invalid value: \"p\": must be an absolute path",
            ),
            (
                json!([{"name": "a", "projected": {"sources": [
                    {"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
                    {"secret": {"name": "t", "items": [{"key": "k", "path": "p"}]}}]}}]),
                "spec.volumes[0].projected",
                "Invalid value: \"t\": conflicting duplicate paths",
            ),
            (json!([{"name": "a", "csi": {}}]), "spec.volumes[0].csi.driver", "Required value"),
            (
                json!([{"name": "a", "ephemeral": {}}]),
                "spec.volumes[0].ephemeral.volumeClaimTemplate",
                "Required value",
            ),
        ] {
            assert_eq!(complaints(volumes)[0], (field.to_owned(), message.to_owned()));
        }
    }
}
