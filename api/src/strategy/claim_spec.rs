//! The spec of a PersistentVolumeClaim, alone and inside of templates.

use super::path::Path;
use super::{field, labels, resources};
use crate::document::Value;
use crate::status::Causes;

pub(super) const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub(super) const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

/// Every rule of a claim's spec.
pub(super) fn validate(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    if field::list(spec, "accessModes").is_empty() {
        causes.required(path.child("accessModes"), "at least 1 access mode is required");
    }
    labels::selector(spec, "selector", path, causes);
    access_modes(spec, path, causes);
    let list = path.child("resources");
    storage(field::get(field::get(field::get(spec, "resources"), "requests"), "storage"), list.key("storage"), causes);
    for key in ["storageClassName", "volumeAttributesClassName"] {
        match field::text(spec, key) {
            "" => {}
            name => field::dns_subdomain(name, path.child(key), causes),
        }
    }
    field::optional_choice(spec, "volumeMode", path, VOLUME_MODES, causes);
    data_sources(spec, path, causes);
}

/// `accessModes`: known ones, and ReadWriteOncePod only alone.
pub(super) fn access_modes(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let modes = field::list(spec, "accessModes");
    for mode in modes.iter().filter(|mode| !ACCESS_MODES.contains(&mode.as_str().unwrap_or_default())) {
        causes.not_supported(path.child("accessModes"), mode, ACCESS_MODES);
    }
    let others = modes
        .iter()
        .any(|mode| mode != "ReadWriteOncePod" && ACCESS_MODES.contains(&mode.as_str().unwrap_or_default()));
    if others && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        causes.forbidden(path.child("accessModes"), "may not use ReadWriteOncePod with other access modes");
    }
}

/// An amount of storage: it must be there and be positive.
pub(super) fn storage(value: &Value, path: Path<'_>, causes: &mut Causes) {
    if value.is_null() {
        return causes.required(path, "");
    }
    let Some(amount) = field::quantity(value, path, causes) else { return };
    if amount <= resources::zero() {
        causes.invalid(path, value, "must be greater than zero");
    }
}

fn data_sources(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let (source, reference) = (field::get(spec, "dataSource"), field::get(spec, "dataSourceRef"));
    for key in ["dataSource", "dataSourceRef"].into_iter().filter(|key| field::is_set(spec, key)) {
        data_source(field::get(spec, key), &path.child(key), causes);
    }
    if source.is_null() || reference.is_null() {
        return;
    }
    let words = if !field::text(reference, "namespace").is_empty() {
        "may not be specified when dataSourceRef.namespace is specified"
    } else if ["apiGroup", "kind", "name"].into_iter().any(|key| field::get(source, key) != field::get(reference, key))
    {
        "must match dataSourceRef"
    } else {
        return;
    };
    causes.invalid(path, &Value::from(path.child("dataSource").to_string()), words);
}

fn data_source(source: &Value, path: &Path<'_>, causes: &mut Causes) {
    field::required_text(source, "name", path, causes);
    field::required_text(source, "kind", path, causes);
    match field::text(source, "apiGroup") {
        "" if field::text(source, "kind") != "PersistentVolumeClaim" => {
            let words = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            causes.invalid(path, &Value::from(field::text(source, "kind")), words);
        }
        "" => {}
        group => field::dns_subdomain(group, path.child("apiGroup"), causes),
    }
    match field::text(source, "namespace") {
        "" => {}
        namespace => field::dns_label(namespace, path.child("namespace"), causes),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(spec: Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        validate(&spec, &Path::new("spec"), &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    #[test]
    fn rules() {
        let storage = json!({"requests": {"storage": "1Gi"}});
        assert_eq!(complaints(json!({"accessModes": ["ReadWriteOnce"], "resources": storage})), []);
        for (spec, field, message) in [
            (json!({"resources": storage}), "spec.accessModes", "Required value: at least 1 access mode is required"),
            (
                json!({"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"], "resources": storage}),
                "spec.accessModes",
                "Forbidden: may not use ReadWriteOncePod with other access modes",
            ),
            (json!({"accessModes": ["ReadWriteOnce"]}), "spec.resources[storage]", "Required value"),
            (
                json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "0"}}}),
                "spec.resources[storage]",
                "Invalid value: \"0\": must be greater than zero",
            ),
            (
                json!({"accessModes": ["ReadWriteOnce"], "resources": storage,
                    "dataSource": {"kind": "Volume", "name": "v"}}),
                "spec.dataSource",
                "Invalid value: \"Volume\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            ),
        ] {
            assert_eq!(complaints(spec)[0], (field.to_owned(), message.to_owned()));
        }
    }
}
