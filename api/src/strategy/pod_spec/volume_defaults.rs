//! Defaults of volumes.

use super::defaults::pull_policy;
use crate::document::Value;
use crate::strategy::fill;

/// One volume of a PodSpec. Without a source it is an `emptyDir`.
pub(super) fn volume(volume: &mut Value) {
    let has_source = volume.as_object().is_some_and(|map| map.iter().any(|(k, v)| k != "name" && !v.is_null()));
    if !has_source {
        fill::map(volume, "emptyDir");
    }
    if let Some(source) = fill::field(volume, "hostPath") {
        fill::value(source, "type", || "".into());
    }
    for kind in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = fill::field(volume, kind) {
            fill::int(source, "defaultMode", 0o644);
        }
    }
    if let Some(source) = fill::field(volume, "downwardAPI") {
        downward_items(source);
    }
    if let Some(source) = fill::field(volume, "projected") {
        for source in fill::each(source, "sources") {
            if let Some(source) = fill::field(source, "downwardAPI") {
                downward_items(source);
            }
            if let Some(source) = fill::field(source, "serviceAccountToken") {
                fill::int(source, "expirationSeconds", 3600);
            }
        }
    }
    if let Some(source) = fill::field(volume, "image") {
        let policy = pull_policy(source.get("reference").and_then(Value::as_str).unwrap_or_default());
        fill::text(source, "pullPolicy", policy);
    }
    if let Some(template) = fill::field(volume, "ephemeral").and_then(|it| fill::field(it, "volumeClaimTemplate")) {
        fill::text(fill::map(template, "spec"), "volumeMode", "Filesystem");
    }
    of_providers(volume);
}

fn downward_items(source: &mut Value) {
    for item in fill::each(source, "items") {
        if let Some(reference) = fill::field(item, "fieldRef") {
            fill::text(reference, "apiVersion", "v1");
        }
    }
}

/// Sources that a vendor's driver reads; PersistentVolumes have them too.
pub(in crate::strategy) fn of_providers(volume: &mut Value) {
    const TEXTS: &[(&str, &str, &str)] = &[
        ("iscsi", "iscsiInterface", "default"),
        ("rbd", "pool", "rbd"),
        ("rbd", "user", "admin"),
        ("rbd", "keyring", "/etc/ceph/keyring"),
        ("azureDisk", "cachingMode", "ReadWrite"),
        ("azureDisk", "fsType", "ext4"),
        ("azureDisk", "kind", "Shared"),
        ("scaleIO", "storageMode", "ThinProvisioned"),
        ("scaleIO", "fsType", "xfs"),
    ];
    for (kind, key, default) in TEXTS {
        if let Some(source) = fill::field(volume, kind) {
            fill::text(source, key, default);
        }
    }
    if let Some(source) = fill::field(volume, "azureDisk") {
        fill::value(source, "readOnly", || false.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sources() {
        for (written, filled) in [
            (json!({"name": "a"}), json!({"name": "a", "emptyDir": {}})),
            (json!({"secret": {"secretName": "s"}}), json!({"secret": {"secretName": "s", "defaultMode": 420}})),
            (json!({"hostPath": {"path": "/"}}), json!({"hostPath": {"path": "/", "type": ""}})),
            (
                json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
                json!({"projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}}),
            ),
        ] {
            let mut document = written;
            volume(&mut document);
            assert_eq!(document, filled);
        }
    }
}
