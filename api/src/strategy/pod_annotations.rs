//! Annotations that mean something to Pods.

use super::field;
use super::path::Path;
use crate::document::Value;
use crate::status::Causes;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const MIRROR: &str = "kubernetes.io/config.mirror";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Values of the annotations that are not free text.
pub(super) fn validate(metadata: &Value, spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    for (key, value) in field::pairs(metadata, "annotations") {
        let text = value.as_str().unwrap_or_default();
        if key == MIRROR && field::text(spec, "nodeName").is_empty() {
            let words = "must set spec.nodeName if mirror pod annotation is set";
            causes.invalid(path.key(MIRROR), value, words);
        }
        if key == DELETION_COST && !is_cost(text) {
            causes.invalid(path.key(DELETION_COST), value, "must be a 32bit integer");
        }
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            app_armor(container, text, spec, path.key(key), causes);
        }
    }
}

/// A 32-bit number without plus and leading zeros.
fn is_cost(text: &str) -> bool {
    text.parse::<i32>().is_ok_and(|cost| cost.to_string() == text)
}

fn app_armor(container: &str, profile: &str, spec: &Value, path: Path<'_>, causes: &mut Causes) {
    let mut found = false;
    super::pod_spec::for_each_container(spec, &Path::new("spec"), |candidate, _| {
        found |= field::text(candidate, "name") == container;
    });
    if !found {
        causes.invalid(path, &Value::from(container), "container not found");
    }
    let known = matches!(profile, "" | "runtime/default" | "unconfined") || profile.starts_with("localhost/");
    if !known {
        let words = format!("invalid AppArmor profile name: {profile:?}");
        causes.invalid(path, &Value::from(profile), &words);
    }
}

/// What may not change once the Pod is there.
pub(super) fn validate_update(new: &Value, old: &Value, path: &Path<'_>, causes: &mut Causes) {
    let fixed = |key: &str| key == MIRROR || key.starts_with(APP_ARMOR);
    let what = |key: &str| if key == MIRROR { "mirror pod annotation" } else { "AppArmor annotations" };
    let (new_all, old_all) = (field::get(new, "annotations"), field::get(old, "annotations"));
    for (key, value) in field::pairs(old, "annotations").filter(|(key, _)| fixed(key)) {
        if new_all.get(key) != Some(value) {
            causes.forbidden(path.key(key), &format!("may not remove or update {}", what(key)));
        }
    }
    for (key, _) in field::pairs(new, "annotations").filter(|(key, _)| fixed(key)) {
        if old_all.get(key).is_none() {
            causes.forbidden(path.key(key), &format!("may not add {}", what(key)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deletion_cost() {
        for (cost, right) in [("10", true), ("-10", true), ("+10", false), ("010", false), ("a", false)] {
            let mut causes = Causes::default();
            let metadata = json!({"annotations": {DELETION_COST: cost}});
            validate(&metadata, &json!({}), &Path::new("metadata.annotations"), &mut causes);
            assert_eq!(causes.is_empty(), right, "{cost}");
        }
    }

    #[test]
    fn mirrors_stay_mirrors() {
        let mut causes = Causes::default();
        let mirror = json!({"annotations": {MIRROR: "x"}});
        validate_update(&mirror, &mirror, &Path::new("metadata.annotations"), &mut causes);
        assert!(causes.is_empty());
        validate_update(&json!({}), &mirror, &Path::new("metadata.annotations"), &mut causes);
        assert_eq!(causes.0[0].message, "Forbidden: may not remove or update mirror pod annotation");
    }
}
