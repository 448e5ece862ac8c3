//! What CSI drivers say about themselves, and what is attached where.

use std::collections::BTreeSet;

use serde_json::json;

use super::path::Path;
use super::{Strategy, field, fill, labels, pod_spec};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// storage.k8s.io/v1 CSIDriver.
pub(super) struct CsiDriver;

impl Strategy for CsiDriver {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        for (key, value) in [
            ("attachRequired", json!(true)),
            ("podInfoOnMount", json!(false)),
            ("storageCapacity", json!(false)),
            ("fsGroupPolicy", json!("ReadWriteOnceWithFSType")),
            ("requiresRepublish", json!(false)),
            ("seLinuxMount", json!(false)),
        ] {
            fill::value(spec, key, || value);
        }
        if field::list(spec, "volumeLifecycleModes").is_empty() {
            fill::set(spec, "volumeLifecycleModes", json!(["Persistent"]));
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        const POLICIES: &[&str] = &["File", "None", "ReadWriteOnceWithFSType"];
        field::optional_choice(spec, "fsGroupPolicy", &path, POLICIES, causes);
        token_requests(spec, &path.child("tokenRequests"), causes);
        for mode in field::list(spec, "volumeLifecycleModes") {
            if !matches!(mode.as_str(), Some("Persistent" | "Ephemeral")) {
                causes.not_supported(path.child("volumeLifecycleModes"), mode, &["Persistent", "Ephemeral"]);
            }
        }
        let words = "must be greater than or equal to 10 seconds";
        field::at_least(spec, "nodeAllocatableUpdatePeriodSeconds", 10, words, &path, causes);
        let in_secrets = field::get(spec, "serviceAccountTokenInSecrets");
        if !in_secrets.is_null() && field::list(spec, "tokenRequests").is_empty() {
            let words = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
            causes.invalid(path.child("serviceAccountTokenInSecrets"), in_secrets, words);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "spec"), field::get(old, "spec"));
        // The first path is misspelt in the reference, too.
        for (key, path) in
            [("attachRequired", "spec.attachedRequired"), ("volumeLifecycleModes", "spec.volumeLifecycleModes")]
        {
            if field::get(new, key) != field::get(old, key) {
                causes.invalid(path, field::get(new, key), field::IMMUTABLE);
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

fn token_requests(spec: &Value, list: &Path<'_>, causes: &mut Causes) {
    let mut audiences = BTreeSet::new();
    for (at, request) in field::list(spec, "tokenRequests").iter().enumerate() {
        let path = list.index(at);
        let audience = field::text(request, "audience");
        if !audiences.insert(audience) {
            causes.duplicate(path.child("audience"), &Value::from(audience));
            continue;
        }
        let Some(seconds) = field::int(request, "expirationSeconds") else { continue };
        let words = match seconds {
            ..600 => "may not specify a duration less than 10 minutes",
            4_294_967_297.. => "may not specify a duration larger than 2^32 seconds",
            _ => continue,
        };
        causes.invalid(path.child("expirationSeconds"), &seconds.into(), words);
    }
}

/// storage.k8s.io/v1 CSINode.
pub(super) struct CsiNode;

impl Strategy for CsiNode {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let list = Path::new("spec.drivers");
        let mut names = BTreeSet::new();
        for (at, driver) in field::list(field::get(object, "spec"), "drivers").iter().enumerate() {
            let path = list.index(at);
            pod_spec::csi_driver_name(driver, "name", &path, causes);
            if field::required_text(driver, "nodeID", &path, causes) && field::text(driver, "nodeID").len() > 256 {
                let value = field::get(driver, "nodeID");
                causes.invalid(path.child("nodeID"), value, "must be 256 characters or less");
            }
            field::nonnegative(field::get(driver, "allocatable"), "count", &path.child("allocatable"), causes);
            if !names.insert(field::text(driver, "name")) {
                causes.duplicate(path.child("name"), field::get(driver, "name"));
            }
            let keys = field::list(driver, "topologyKeys");
            for (at, key) in keys.iter().enumerate() {
                if keys[..at].contains(key) {
                    causes.duplicate(path, key);
                }
                field::qualified_name(key.as_str().unwrap_or_default(), path, causes);
            }
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let drivers = |of| field::list(field::get(of, "spec"), "drivers");
        let fixed = |driver: &Value| {
            let mut driver = driver.clone();
            fill::remove(&mut driver, "allocatable");
            driver
        };
        for before in drivers(old) {
            let name = field::text(before, "name");
            for now in drivers(object).iter().filter(|now| field::text(now, "name") == name) {
                if !field::same(&fixed(now), &fixed(before)) {
                    causes.invalid("spec.drivers", &fixed(now), field::IMMUTABLE);
                }
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// storage.k8s.io/v1 CSIStorageCapacity.
pub(super) struct CsiStorageCapacity;

impl Strategy for CsiStorageCapacity {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        labels::selector_itself(field::get(object, "nodeTopology"), &Path::new("nodeTopology"), causes);
        field::dns_subdomain(field::text(object, "storageClassName"), Path::new("storageClassName"), causes);
        let capacity = field::get(object, "capacity");
        if !capacity.is_null() {
            super::resources::amount("storage", capacity, Path::new("capacity"), causes);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        for key in ["nodeTopology", "storageClassName"] {
            if !field::same(field::get(object, key), field::get(old, key)) {
                causes.invalid(key, field::get(object, key), field::IMMUTABLE);
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// storage.k8s.io/v1 VolumeAttachment.
pub(super) struct VolumeAttachment;

impl Strategy for VolumeAttachment {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        pod_spec::csi_driver_name(spec, "attacher", &path, causes);
        let source = field::get(spec, "source");
        let volume = field::get(source, "persistentVolumeName").as_str();
        let words = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        match (field::is_set(source, "inlineVolumeSpec"), volume) {
            (false, None) => causes.required(path.child("source"), words),
            (true, Some(_)) => causes.forbidden(path.child("source"), words),
            (false, Some("")) => {
                let words = "must specify non empty persistentVolumeName";
                causes.required(path.child("source.persistentVolumeName"), words);
            }
            (false, Some(name)) => field::dns_subdomain(name, path.child("source.persistentVolumeName"), causes),
            (true, None) => {}
        }
        field::dns_subdomain(field::text(spec, "nodeName"), path.child("nodeName"), causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        if !field::same(field::get(object, "spec"), field::get(old, "spec")) {
            causes.invalid("spec", field::get(object, "spec"), field::IMMUTABLE);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    #[test]
    fn drivers() {
        let mut driver = json!({});
        CsiDriver.default(&mut driver);
        assert_eq!(driver["spec"]["fsGroupPolicy"], "ReadWriteOnceWithFSType");
        assert_eq!(complaints(&CsiDriver, &driver), []);
        let mut other = driver.clone();
        other["spec"]["attachRequired"] = json!(false);
        assert_eq!(complaints_update(&CsiDriver, &other, &driver)[0].0, "spec.attachedRequired");
        other["spec"]["tokenRequests"] = json!([{"audience": "a", "expirationSeconds": 1}, {"audience": "a"}]);
        assert_eq!(complaints(&CsiDriver, &other).len(), 2);
    }

    #[test]
    fn nodes() {
        let node = json!({"spec": {"drivers": [{"name": "a.b", "nodeID": "n", "topologyKeys": ["zone"]}]}});
        assert_eq!(complaints(&CsiNode, &node), []);
        let mut counted = node.clone();
        counted["spec"]["drivers"][0]["allocatable"] = json!({"count": 5});
        assert_eq!(complaints_update(&CsiNode, &counted, &node), []);
        counted["spec"]["drivers"][0]["nodeID"] = json!("m");
        assert_eq!(complaints_update(&CsiNode, &counted, &node)[0].0, "spec.drivers");
        assert_eq!(
            complaints(&CsiNode, &json!({"spec": {"drivers": [{"name": "a.b"}]}}))[0].0,
            "spec.drivers[0].nodeID"
        );
    }

    #[test]
    fn attachments() {
        let good = json!({"spec": {"attacher": "a.b", "nodeName": "n", "source": {"persistentVolumeName": "v"}}});
        assert_eq!(complaints(&VolumeAttachment, &good), []);
        let bad = json!({"spec": {"attacher": "a.b", "nodeName": "n"}});
        assert_eq!(complaints(&VolumeAttachment, &bad)[0].0, "spec.source");
        assert_eq!(complaints_update(&VolumeAttachment, &bad, &good)[0].0, "spec");
    }
}
