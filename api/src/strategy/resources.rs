//! Resource names, quantities and requirements (requests, limits, claims).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::field;
use super::path::Path;
use crate::document::Value;
use crate::names;
use crate::quantity::Quantity;
use crate::status::Causes;

const HUGE_PAGES: &str = "hugepages-";

/// Counted in whole numbers, whoever asks for them.
const COUNTED: &[&str] = &[
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

/// Measured, in quotas and elsewhere.
const MEASURED: &[&str] = &[
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
];

pub(super) fn is_huge_page(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

fn is_quota_huge_page(name: &str) -> bool {
    is_huge_page(name.strip_prefix("requests.").unwrap_or(name))
}

/// Kubernetes' own: without a domain, or of `kubernetes.io/`.
pub(super) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether more may be promised than there is.
pub(super) fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// `example.com/gpu`
pub(super) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::is_qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether a quota can limit it by that name.
pub(super) fn is_standard_for_quota(name: &str) -> bool {
    COUNTED.contains(&name) || MEASURED.contains(&name) || is_quota_huge_page(name)
}

/// A resource's name: qualified, and one of Kubernetes' where it has no domain. Whether it is well-formed.
pub(super) fn name(name: &str, path: Path<'_>, causes: &mut Causes) -> bool {
    let before = causes.0.len();
    field::qualified_name(name, path, causes);
    if causes.0.len() == before && !name.contains('/') && !is_standard_for_quota(name) && name != "storage" {
        let words = "must be a standard resource type or fully qualified";
        causes.invalid(path, &Value::from(name), words);
    }
    causes.0.len() == before
}

/// The name of a resource that a container may ask for.
pub(super) fn container_resource(resource: &str, path: Path<'_>, causes: &mut Causes) {
    name(resource, path, causes);
    let standard = matches!(resource, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(resource);
    if !resource.contains('/') && !standard {
        causes.invalid(path, &Value::from(resource), "must be a standard resource for containers");
    } else if !is_native(resource) && !is_extended(resource) {
        causes.invalid(path, &Value::from(resource), "doesn't follow extended resource name standard");
    }
}

/// What a Pod as a whole may ask for.
const POD_LEVEL: &[&str] = &["cpu", "hugepages-", "memory"];

fn pod_resource(resource: &str, path: Path<'_>, causes: &mut Causes) {
    if name(resource, path, causes) && !matches!(resource, "cpu" | "memory") && !is_huge_page(resource) {
        causes.not_supported(path, &Value::from(resource), POD_LEVEL);
    }
}

/// An amount of a resource: not negative, and whole where the resource is counted.
pub(super) fn amount(resource: &str, value: &Value, path: Path<'_>, causes: &mut Causes) -> Option<Quantity> {
    let quantity = field::quantity(value, path, causes)?;
    if quantity.cmp(&zero()) == Ordering::Less {
        causes.invalid(path, value, field::NEGATIVE);
    }
    if (COUNTED.contains(&resource) || is_extended(resource)) && quantity.milli() % 1000 != 0 {
        causes.invalid(path, value, "must be an integer");
    }
    Some(quantity)
}

/// Nothing of anything.
pub(super) fn zero() -> Quantity {
    Quantity::parse("0").expect("0 is a quantity")
}

/// A list of amounts whose names are not looked at: capacity of nodes.
pub(super) fn amounts(object: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    let path = path.child(key);
    for (resource, value) in field::pairs(object, key) {
        amount(resource, value, path.child(resource), causes);
    }
}

/// A container's `resources`. `claims` are the names in spec.resourceClaims.
pub(super) fn of_container(container: &Value, claims: &BTreeSet<&str>, path: &Path<'_>, causes: &mut Causes) {
    let resources = field::get(container, "resources");
    if !resources.is_null() {
        requirements(resources, container_resource, claims, &path.child("resources"), causes);
    }
}

/// Limits without requests, in a field of its own (`spec.overhead`); complaints call it `limits` all the same.
pub(super) fn limits(of: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    let limits = path.child("limits");
    for (resource, value) in field::pairs(of, key) {
        container_resource(resource, limits.key(resource), causes);
        amount(resource, value, limits.key(resource), causes);
    }
}

/// `spec.resources`: those of the Pod as a whole.
pub(super) fn of_pod(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let resources = field::get(spec, "resources");
    if resources.is_null() {
        return;
    }
    let path = path.child("resources");
    if field::text(field::get(spec, "os"), "name") == "windows" {
        return causes.forbidden(path, "may not be set for a windows pod");
    }
    if field::is_set(resources, "claims") {
        causes.forbidden(path.child("claims"), "claims may not be set for Resources at pod-level");
    }
    requirements(resources, pod_resource, &BTreeSet::new(), &path, causes);
    containers_fit_in_pod(spec, resources, &path, causes);
}

fn containers_fit_in_pod(spec: &Value, resources: &Value, path: &Path<'_>, causes: &mut Causes) {
    for (at, container) in field::list(spec, "containers").iter().enumerate() {
        for (resource, value) in field::pairs(field::get(container, "resources"), "limits") {
            let most = field::get(field::get(resources, "limits"), resource);
            if let (Some(limit), Some(most_allowed)) = (parse(value), parse(most))
                && limit.cmp(&most_allowed) == Ordering::Greater
            {
                let words = format!("must be less than or equal to pod limits of {}", plain(most));
                let containers = path.child("containers");
                let container = containers.index(at);
                causes.invalid(container.key(resource).child("limits"), value, &words);
            }
        }
    }
}

/// A quantity that validation elsewhere complains about if it does not parse.
pub(super) fn parse(value: &Value) -> Option<Quantity> {
    value.as_str().and_then(|text| Quantity::parse(text).ok())
}

/// The text of a quantity without its quotes.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

type NameCheck = fn(&str, Path<'_>, &mut Causes);

fn requirements(
    resources: &Value,
    check_name: NameCheck,
    claims: &BTreeSet<&str>,
    path: &Path<'_>,
    causes: &mut Causes,
) {
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    let mut compute = false;
    let mut huge_pages = false;
    for (key, list_path) in [("limits", &limits_path), ("requests", &requests_path)] {
        for (resource, value) in field::pairs(resources, key) {
            let path = list_path.key(resource);
            check_name(resource, path, causes);
            let quantity = amount(resource, value, path, causes);
            if key == "requests" {
                request_within_limit(resource, value, resources, (&limits_path, &requests_path), causes);
            }
            compute |= matches!(resource, "cpu" | "memory");
            huge_pages |= is_huge_page(resource);
            if let Some(quantity) = quantity.filter(|_| is_huge_page(resource)) {
                divides(resource, &quantity, value, path, causes);
            }
        }
    }
    if huge_pages && !compute {
        causes.forbidden(path, "HugePages require cpu or memory");
    }
    claim_names(resources, claims, &path.child("claims"), causes);
}

fn request_within_limit(
    resource: &str,
    value: &Value,
    resources: &Value,
    (limits_path, requests_path): (&Path<'_>, &Path<'_>),
    causes: &mut Causes,
) {
    let limit_value = field::get(field::get(resources, "limits"), resource);
    if limit_value.is_null() {
        if !is_overcommit_allowed(resource) {
            causes.required(limits_path, "Limit must be set for non overcommitable resources");
        }
        return;
    }
    let (Some(request), Some(limit)) = (parse(value), parse(limit_value)) else { return };
    let limit_text = plain(limit_value);
    let order = request.cmp(&limit);
    if order != Ordering::Equal && !is_overcommit_allowed(resource) {
        causes.invalid(requests_path, value, &format!("must be equal to {resource} limit of {limit_text}"));
    } else if order == Ordering::Greater {
        let words = format!("must be less than or equal to {resource} limit of {limit_text}");
        causes.invalid(requests_path, value, &words);
    }
}

fn divides(resource: &str, quantity: &Quantity, value: &Value, path: Path<'_>, causes: &mut Causes) {
    let page = Quantity::parse(&resource[HUGE_PAGES.len()..]).map_or(0, |page| page.value());
    let amount = quantity.value();
    if page <= 0 || amount < 0 || amount % page != 0 {
        let words = format!("{} is not positive integer multiple of {resource}", plain(value));
        causes.invalid(path, value, &words);
    }
}

fn claim_names(resources: &Value, known: &BTreeSet<&str>, path: &Path<'_>, causes: &mut Causes) {
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (at, claim) in field::list(resources, "claims").iter().enumerate() {
        let path = path.index(at);
        let (name, request) = (field::text(claim, "name"), field::text(claim, "request"));
        if name.is_empty() {
            causes.required(path, "");
            continue;
        }
        if !request.is_empty() {
            field::dns_label(request, path.child("request"), causes);
        }
        let whole_claim_seen = seen.contains(&(name, ""));
        let some_of_it_seen = seen.iter().any(|(seen, _)| *seen == name);
        if whole_claim_seen || !seen.insert((name, request)) || (request.is_empty() && some_of_it_seen) {
            causes.duplicate(path, &Value::from(name));
        }
        if !known.contains(name) {
            causes.not_found(path, &Value::from(name));
            let names: Vec<&str> = known.iter().copied().collect();
            let words = match names.as_slice() {
                [] => "must be one of the names in pod.spec.resourceClaims which is empty".to_owned(),
                names => format!("must be one of the names in pod.spec.resourceClaims: {}", names.join(", ")),
            };
            field::explain(&words, causes);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(resources: Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        let container = json!({ "resources": resources });
        of_container(&container, &BTreeSet::from(["gpu"]), &Path::new("c"), &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    #[test]
    fn what_passes() {
        for resources in [
            json!({}),
            json!({"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}),
            json!({"limits": {"example.com/gpu": "2"}, "requests": {"example.com/gpu": "2"}}),
            json!({"limits": {"hugepages-2Mi": "4Mi", "memory": "1Gi"}}),
            json!({"claims": [{"name": "gpu", "request": "a"}, {"name": "gpu", "request": "b"}]}),
        ] {
            assert_eq!(complaints(resources.clone()), [], "{resources}");
        }
    }

    #[test]
    fn what_does_not() {
        let cases = [
            (
                json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
                "c.resources.requests",
                "Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ),
            (
                json!({"requests": {"cpu": "-1"}}),
                "c.resources.requests[cpu]",
                "Invalid value: \"-1\": must be greater than or equal to 0",
            ),
            (
                json!({"limits": {"gpu": "1"}}),
                "c.resources.limits[gpu]",
                "Invalid value: \"gpu\": must be a standard resource type or fully qualified",
            ),
            (
                json!({"requests": {"example.com/gpu": "1"}}),
                "c.resources.limits",
                "Required value: Limit must be set for non overcommitable resources",
            ),
            (
                json!({"limits": {"example.com/gpu": "1500m"}}),
                "c.resources.limits[example.com/gpu]",
                "Invalid value: \"1500m\": must be an integer",
            ),
            (json!({"limits": {"hugepages-2Mi": "2Mi"}}), "c.resources", "Forbidden: HugePages require cpu or memory"),
            (
                json!({"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}}),
                "c.resources.limits[hugepages-2Mi]",
                "Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
            ),
            (
                json!({"claims": [{"name": "nic"}]}),
                "c.resources.claims[0]",
                "Not found: \"nic\": must be one of the names in pod.spec.resourceClaims: gpu",
            ),
        ];
        for (resources, field, message) in cases {
            assert_eq!(complaints(resources)[0], (field.to_owned(), message.to_owned()));
        }
    }
}
