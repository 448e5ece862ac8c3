//! PersistentVolumeClaims.

use std::cmp::Ordering;

use super::path::Path;
use super::{Strategy, claim_spec, field, fill, resources};
use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;

/// core/v1 PersistentVolumeClaim.
pub(super) struct PersistentVolumeClaim;

const REQUEST: &[&str] = &["spec", "resources", "requests", "storage"];
const CLASS: &str = "volumeAttributesClassName";

impl Strategy for PersistentVolumeClaim {
    fn default(&self, object: &mut Value) {
        fill::text(fill::map(object, "status"), "phase", "Pending");
        fill::text(fill::map(object, "spec"), "volumeMode", "Filesystem");
    }

    fn prepare_create(&self, object: &mut Value) {
        fill::set(object, "status", serde_json::json!({"phase": "Pending"}));
        let spec = fill::map(object, "spec");
        // What old clients could not name is dropped in silence, as ever; new ones use dataSourceRef.
        if !field::is_set(spec, "dataSourceRef") && !is_known_source(field::get(spec, "dataSource")) {
            fill::remove(spec, "dataSource");
        }
        data_sources(spec);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        data_sources(fill::map(object, "spec"));
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        claim_spec::validate(field::get(object, "spec"), &Path::new("spec"), causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let bound = object.text(&["status", "phase"]) == "Bound";
        let mut expected = field::get(old, "spec").clone();
        let new = field::get(object, "spec");
        let mut may_set = |key: &str, when: bool| {
            if when {
                match new.get(key) {
                    Some(value) => fill::set(&mut expected, key, value.clone()),
                    None => drop(fill::remove(&mut expected, key)),
                }
            }
        };
        may_set("volumeName", old.text(&["spec", "volumeName"]).is_empty());
        may_set("storageClassName", old.at(&["spec", "storageClassName"]).is_null());
        may_set(CLASS, bound);
        if bound {
            expected.set(&REQUEST[1..], object.at(REQUEST).clone());
        }
        if !field::same(new, &expected) {
            let words = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                         bound claims";
            causes.forbidden("spec", words);
        }
        shrinking(object, old, causes);
        if field::get(new, "volumeMode") != old.at(&["spec", "volumeMode"]) {
            causes.invalid("volumeMode", field::get(new, "volumeMode"), field::IMMUTABLE);
        }
        attributes_class(object, old, causes);
    }

    fn validate_status(&self, object: &Value, _old: &Value, causes: &mut Causes) {
        let status = field::get(object, "status");
        for key in ["capacity", "allocatedResources"] {
            let path = Path::new("status").child(key).to_string();
            let path = Path::new(&path);
            for (resource, value) in field::pairs(status, key) {
                resources::amount(resource, value, path.key(resource), causes);
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// `dataSource` and `dataSourceRef` follow each other, unless the latter names another namespace.
fn data_sources(spec: &mut Value) {
    let (source, reference) = (field::get(spec, "dataSource").clone(), field::get(spec, "dataSourceRef").clone());
    if !source.is_null() && reference.is_null() {
        fill::set(spec, "dataSourceRef", source);
    } else if source.is_null() && !reference.is_null() && field::text(&reference, "namespace").is_empty() {
        fill::set(spec, "dataSource", reference);
    }
}

fn is_known_source(source: &Value) -> bool {
    matches!(
        (field::text(source, "apiGroup"), field::text(source, "kind")),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    )
}

/// A request may come down again after an expansion that failed, but not below what is there.
fn shrinking(object: &Value, old: &Value, causes: &mut Causes) {
    let path = "spec.resources.requests.storage";
    let amount = |of: &Value, path: &[&str]| resources::parse(of.at(path)).unwrap_or_else(resources::zero);
    let (now, before) = (amount(object, REQUEST), amount(old, REQUEST));
    let there = amount(old, &["status", "capacity", "storage"]);
    if now.cmp(&before) == Ordering::Less && now.cmp(&there) != Ordering::Greater {
        causes.forbidden(path, "field can not be less than status.capacity");
    }
}

fn attributes_class(object: &Value, old: &Value, causes: &mut Causes) {
    let now = object.at(&["spec", CLASS]);
    let applied = !old.at(&["status", "currentVolumeAttributesClassName"]).is_null();
    if now == old.at(&["spec", CLASS]) || !applied {
        return;
    }
    let what = match now.as_str() {
        None => "nil",
        Some("") => "empty string",
        Some(_) => return,
    };
    let words = format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil");
    causes.forbidden("spec.volumeAttributesClassName", &words);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    fn claim(size: &str, phase: &str) -> Value {
        let mut object = json!({
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
            "status": {"phase": phase, "capacity": {"storage": "1Gi"}},
        });
        PersistentVolumeClaim.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let old = claim("1Gi", "Bound");
        assert_eq!(complaints(&PersistentVolumeClaim, &old), []);
        assert_eq!(complaints_update(&PersistentVolumeClaim, &claim("2Gi", "Bound"), &old), [], "expansion");
        let pending = claim("1Gi", "Pending");
        assert_eq!(complaints_update(&PersistentVolumeClaim, &claim("2Gi", "Pending"), &pending)[0].0, "spec");
        assert_eq!(complaints_update(&PersistentVolumeClaim, &claim("1Gi", "Bound"), &claim("2Gi", "Bound")).len(), 1);
        let mut bound = old.clone();
        bound["spec"]["volumeName"] = json!("v");
        assert_eq!(complaints_update(&PersistentVolumeClaim, &bound, &old), [], "binding");
        let mut moved = bound.clone();
        moved["spec"]["volumeName"] = json!("w");
        assert_eq!(complaints_update(&PersistentVolumeClaim, &moved, &bound)[0].0, "spec");
    }

    #[test]
    fn sources_follow_each_other() {
        let mut object = json!({"spec": {"dataSource": {"kind": "PersistentVolumeClaim", "name": "a"}}});
        PersistentVolumeClaim.prepare_create(&mut object);
        assert_eq!(object["spec"]["dataSourceRef"], object["spec"]["dataSource"]);
        let mut object = json!({"spec": {"dataSource": {"kind": "Unknown", "name": "a"}}});
        PersistentVolumeClaim.prepare_create(&mut object);
        assert_eq!(object["spec"], json!({}));
    }
}
