//! LimitRanges.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::path::Path;
use super::{Strategy, field, fill, resources};
use crate::document::Value;
use crate::names;
use crate::quantity::Quantity;
use crate::status::Causes;

/// core/v1 LimitRange.
pub(super) struct LimitRange;

const LISTS: &[&str] = &["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

impl Strategy for LimitRange {
    fn default(&self, object: &mut Value) {
        let Some(spec) = fill::field(object, "spec") else { return };
        for limit in fill::each(spec, "limits").filter(|limit| field::text(limit, "type") == "Container") {
            inherit(limit, "max", "default");
            inherit(limit, "default", "defaultRequest");
            inherit(limit, "min", "defaultRequest");
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let list = Path::new("spec.limits");
        let mut types = BTreeSet::new();
        for (at, limit) in field::list(field::get(object, "spec"), "limits").iter().enumerate() {
            let path = list.index(at);
            let kind = field::text(limit, "type");
            let wrong = names::is_qualified_name(kind);
            let standard = matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim");
            if wrong.is_empty() && !kind.contains('/') && !standard {
                let words = "must be a standard limit type or fully qualified";
                causes.invalid(path.child("type"), &kind.into(), words);
            }
            field::complain(wrong, kind, path.child("type"), causes);
            if !types.insert(kind) {
                causes.duplicate(path.child("type"), &kind.into());
            }
            self::limit(limit, kind, &path, causes);
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}

/// What `to` does not say is what `from` says.
fn inherit(limit: &mut Value, from: &str, to: &str) {
    let Some(given) = limit.get(from).and_then(Value::as_object).cloned() else { return };
    let to = fill::map(limit, to);
    for (resource, value) in given {
        fill::value(to, &resource, || value);
    }
}

fn limit(limit: &Value, kind: &str, path: &Path<'_>, causes: &mut Causes) {
    if kind == "Pod" {
        for key in ["default", "defaultRequest"] {
            if field::pairs(limit, key).next().is_some() {
                causes.forbidden(path.child(key), "may not be specified when `type` is 'Pod'");
            }
        }
    }
    let storage = |key: &str| field::get(limit, key).get("storage").is_some();
    if kind == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
        let words = "either minimum or maximum storage value is required, but neither was provided";
        causes.required(path.child("limits"), words);
    }
    let mut by_resource: BTreeMap<&str, BTreeMap<&str, Quantity>> = BTreeMap::new();
    for key in LISTS.iter().copied().filter(|key| kind != "Pod" || !key.starts_with("default")) {
        let list = path.child(key);
        for (resource, value) in field::pairs(limit, key) {
            if matches!(kind, "Pod" | "Container") {
                resources::container_resource(resource, list.key(resource), causes);
            } else {
                resources::name(resource, list.key(resource), causes);
            }
            if let Some(amount) = field::quantity(value, list.key(resource), causes) {
                by_resource.entry(resource).or_default().insert(key, amount);
            }
        }
    }
    for (resource, amounts) in &by_resource {
        order(resource, amounts, path, causes);
    }
}

/// No smaller bound above a greater one.
fn order(resource: &str, amounts: &BTreeMap<&str, Quantity>, path: &Path<'_>, causes: &mut Causes) {
    // The lesser, the greater, what they are called, and where the complaint goes.
    const PAIRS: &[(&str, &str, &str, &str, &str)] = &[
        ("min", "max", "min", "max", "min"),
        ("min", "defaultRequest", "min", "default request", "defaultRequest"),
        ("defaultRequest", "max", "default request", "max", "defaultRequest"),
        ("defaultRequest", "default", "default request", "default limit", "defaultRequest"),
        ("min", "default", "min", "default", "default"),
        ("default", "max", "default", "max", "default"),
    ];
    for (lesser, greater, lesser_name, greater_name, place) in PAIRS {
        let (Some(low), Some(high)) = (amounts.get(lesser), amounts.get(greater)) else { continue };
        if low.cmp(high) == Ordering::Greater {
            let shown = amounts.get(if *place == "default" && *lesser == "default" { greater } else { place });
            let shown = if *place == "default" && *lesser == "min" { Some(low) } else { shown };
            let value = Value::from(shown.unwrap_or(low).to_string());
            let words = format!("{lesser_name} value {low} is greater than {greater_name} value {high}");
            causes.invalid(path.child(place).key(resource), &value, &words);
        }
    }
    ratio(resource, amounts, path, causes);
    let (default, request) = (amounts.get("default"), amounts.get("defaultRequest"));
    if let (Some(default), Some(request)) = (default, request)
        && !resources::is_overcommit_allowed(resource)
        && default != request
    {
        let words = format!("default value {default} must equal to defaultRequest value {request} in {resource}");
        causes.invalid(path.child("defaultRequest").key(resource), &request.to_string().into(), &words);
    }
}

fn ratio(resource: &str, amounts: &BTreeMap<&str, Quantity>, path: &Path<'_>, causes: &mut Causes) {
    let Some(ratio) = amounts.get("maxLimitRequestRatio") else { return };
    let path = path.child("maxLimitRequestRatio");
    let value = Value::from(ratio.to_string());
    if ratio.milli() < 1000 {
        causes.invalid(path.key(resource), &value, &format!("ratio {ratio} is less than 1"));
    }
    if let (Some(min), Some(max)) = (amounts.get("min"), amounts.get("max")) {
        let most = max.as_f64() / min.as_f64();
        if ratio.as_f64() > most {
            let words = format!("ratio {ratio} is greater than max/min = {most:.6}");
            causes.invalid(path.key(resource), &value, &words);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::tests::complaints;

    fn range(limit: Value) -> Value {
        let mut object = json!({"spec": {"limits": [limit]}});
        LimitRange.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let good = range(json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m"}}));
        assert_eq!(good["spec"]["limits"][0]["default"], json!({"cpu": "2"}));
        assert_eq!(good["spec"]["limits"][0]["defaultRequest"], json!({"cpu": "2"}));
        assert_eq!(complaints(&LimitRange, &good), []);
        for (limit, field, message) in [
            (
                json!({"type": "Pod", "max": {"cpu": "1"}, "min": {"cpu": "2"}}),
                "spec.limits[0].min[cpu]",
                "Invalid value: \"2\": min value 2 is greater than max value 1",
            ),
            (
                json!({"type": "Pod", "default": {"cpu": "1"}}),
                "spec.limits[0].default",
                "Forbidden: may not be specified when `type` is 'Pod'",
            ),
            (
                json!({"type": "Thing"}),
                "spec.limits[0].type",
                "Invalid value: \"Thing\": must be a standard limit type or fully qualified",
            ),
            (
                json!({"type": "PersistentVolumeClaim"}),
                "spec.limits[0].limits",
                "Required value: either minimum or maximum storage value is required, but neither was provided",
            ),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}),
                "spec.limits[0].maxLimitRequestRatio[cpu]",
                "Invalid value: \"500m\": ratio 500m is less than 1",
            ),
        ] {
            assert_eq!(complaints(&LimitRange, &range(limit)), [(field.to_owned(), message.to_owned())]);
        }
    }
}
