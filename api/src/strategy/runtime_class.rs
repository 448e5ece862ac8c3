//! RuntimeClasses.

use super::path::Path;
use super::{Strategy, field, labels, pod_spec, resources};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// node.k8s.io/v1 RuntimeClass.
pub(super) struct RuntimeClass;

impl Strategy for RuntimeClass {
    fn validate(&self, object: &Value, causes: &mut Causes) {
        match field::text(object, "handler") {
            "" => causes.required("handler", ""),
            name => field::dns_label(name, Path::new("handler"), causes),
        }
        let overhead = field::get(object, "overhead");
        resources::limits(overhead, "podFixed", &Path::new("overhead"), causes);
        let scheduling = field::get(object, "scheduling");
        let path = Path::new("scheduling");
        labels::labels(scheduling, "nodeSelector", &path, causes);
        pod_spec::tolerations(scheduling, &path, causes);
        let list = path.child("tolerations");
        let tolerations = field::list(scheduling, "tolerations");
        let key = |of: &Value| ["key", "operator", "value", "effect"].map(|key| field::text(of, key).to_owned());
        for (at, toleration) in tolerations.iter().enumerate() {
            if tolerations[..at].iter().any(|other| key(other) == key(toleration)) {
                causes.duplicate(list.index(at), toleration);
            }
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        if field::text(object, "handler") != field::text(old, "handler") {
            causes.invalid("handler", field::get(object, "handler"), field::IMMUTABLE);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    #[test]
    fn rules() {
        let good = json!({"handler": "kata", "overhead": {"podFixed": {"cpu": "100m"}},
            "scheduling": {"tolerations": [{"key": "a", "operator": "Exists"}]}});
        assert_eq!(complaints(&RuntimeClass, &good), []);
        assert_eq!(complaints(&RuntimeClass, &json!({}))[0].0, "handler");
        let bad = json!({"handler": "kata", "overhead": {"podFixed": {"cpu": "-1"}}});
        assert_eq!(complaints(&RuntimeClass, &bad)[0].0, "overhead.limits[cpu]");
        assert_eq!(complaints_update(&RuntimeClass, &json!({"handler": "runc"}), &good)[0].0, "handler");
    }
}
