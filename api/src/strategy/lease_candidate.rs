//! LeaseCandidates.

use super::path::Path;
use super::{Strategy, field, lease};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// coordination.k8s.io LeaseCandidate.
pub(super) struct LeaseCandidate;

type Version = (u64, u64, u64);

impl Strategy for LeaseCandidate {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        field::required_text(spec, "leaseName", &path, causes);
        let emulated = version(spec, "emulationVersion", &path, causes);
        let required = field::required_text(spec, "binaryVersion", &path, causes);
        let binary = required.then(|| version(spec, "binaryVersion", &path, causes)).flatten();
        if let (Some(binary), Some(emulated)) = (binary, emulated)
            && binary < emulated
        {
            let words = "must be greater than or equal to `emulationVersion`";
            causes.invalid(path.child("binaryVersion"), field::get(spec, "binaryVersion"), words);
        }
        match field::text(spec, "strategy") {
            "" => causes.required(path.child("strategy"), ""),
            name => {
                if name == "OldestEmulationVersion" && field::text(spec, "emulationVersion").is_empty() {
                    let words = "must be specified when `strategy` is 'OldestEmulationVersion'";
                    causes.required(path.child("emulationVersion"), words);
                }
                lease::strategy(name, path.child("strategy").child("strategy"), causes);
            }
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "spec"), field::get(old, "spec"));
        field::immutable(new, old, "leaseName", &Path::new("spec"), causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_config_map_key(name)
    }
}

/// A semantic version's three numbers; what follows them is not compared.
fn version(spec: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) -> Option<Version> {
    let text = field::text(spec, key);
    if text.is_empty() {
        return None;
    }
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<u64> = numbers.split('.').map_while(|number| number.parse().ok()).collect();
    match numbers.as_slice() {
        [major, minor, patch] => Some((*major, *minor, *patch)),
        _ => {
            causes.invalid(path.child(key), &text.into(), "must be a valid semantic version");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::complaints;

    #[test]
    fn rules() {
        let candidate = |binary: &str| {
            json!({"spec": {"leaseName": "l", "binaryVersion": binary, "emulationVersion": "1.35.0",
                "strategy": "OldestEmulationVersion"}})
        };
        assert_eq!(complaints(&LeaseCandidate, &candidate("1.36.0")), []);
        assert_eq!(complaints(&LeaseCandidate, &candidate("1.34.0"))[0].0, "spec.binaryVersion");
        assert_eq!(
            complaints(&LeaseCandidate, &candidate("v1"))[0].1,
            "Invalid value: \"v1\": must be a valid semantic version"
        );
        assert_eq!(complaints(&LeaseCandidate, &json!({}))[0].0, "spec.leaseName");
    }
}
