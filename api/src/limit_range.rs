//! LimitRanges: what they give to containers that do not say what they need, and what they hold Pods and
//! PersistentVolumeClaims to (the admission plugin LimitRanger).

use smol_str::SmolStr;

use crate::document::{Document, Value};
use crate::pod_resources::{self, Amounts, List, parsed};
use crate::quantity::Quantity;

/// Says which defaults a Pod was given.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// The largest number that is compared by thousandths.
const MAX_MILLI_VALUE: i64 = i64::MAX / 1000;

/// Gives a Pod's containers what a LimitRange says for those that say nothing.
pub fn set_defaults(range: &Value, pod: &mut Value) {
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    for limit in of_type(range, "Container") {
        requests.extend(parsed(limit.at(&["defaultRequest"])));
        limits.extend(parsed(limit.at(&["default"])));
    }
    if requests.is_empty() && limits.is_empty() {
        return;
    }
    let mut said = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        if pod.list(&["spec", list]).is_empty() {
            continue;
        }
        for container in pod.at_mut(&["spec", list]).as_array_mut().into_iter().flatten() {
            let name = container.text(&["name"]).to_owned();
            for (key, kind, amounts) in [("requests", "request", &requests), ("limits", "limit", &limits)] {
                let set = fill(container, key, amounts);
                if !set.is_empty() {
                    said.push(format!("{} {kind} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if !said.is_empty() {
        pod.set(&["metadata", "annotations", ANNOTATION], format!("LimitRanger plugin set: {}", said.join("; ")));
    }
}

/// Sets what a container does not say; answers of which resources.
fn fill<'a>(container: &mut Value, key: &str, amounts: &'a Amounts) -> Vec<&'a str> {
    let mut set = Vec::new();
    for (resource, amount) in amounts {
        if container.at(&["resources", key, resource]).is_null() {
            container.set(&["resources", key, resource], amount.to_string());
            set.push(resource.as_str());
        }
    }
    set
}

/// What a LimitRange does not allow about a Pod, in the words of a refusal.
pub fn check_pod(range: &Value, pod: &Value) -> Option<String> {
    let mut wrong = Wrong::default();
    for limit in range.list(&["spec", "limits"]) {
        match limit.text(&["type"]) {
            "Container" => {
                for container in ["containers", "initContainers"].iter().flat_map(|list| pod.list(&["spec", list])) {
                    let list = |key| parsed(container.at(&["resources", key]));
                    wrong.check(limit, "Container", &list("requests"), &list("limits"));
                }
            }
            "Pod" => {
                let list = |list| pod_resources::of_spec(pod, list);
                wrong.check(limit, "Pod", &list(List::Requests), &list(List::Limits));
            }
            _ => {}
        }
    }
    wrong.said()
}

/// What a LimitRange does not allow about a PersistentVolumeClaim, which has no limits.
pub fn check_claim(range: &Value, claim: &Value) -> Option<String> {
    const KIND: &str = "PersistentVolumeClaim";
    let requests = parsed(claim.at(&["spec", "resources", "requests"]));
    let mut wrong = Wrong::default();
    for limit in of_type(range, KIND) {
        for (resource, least) in parsed(limit.at(&["min"])) {
            wrong.note(at_least(KIND, &resource, &least, &requests, &Amounts::new()));
        }
        for (resource, most) in parsed(limit.at(&["max"])) {
            wrong.note(request_at_most(KIND, &resource, &most, &requests));
        }
    }
    wrong.said()
}

fn of_type<'r>(range: &'r Value, kind: &'static str) -> impl Iterator<Item = &'r Value> {
    range.list(&["spec", "limits"]).iter().filter(move |limit| limit.text(&["type"]) == kind)
}

/// Complaints, each once (an aggregate of errors).
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn check(&mut self, limit: &Value, kind: &str, requests: &Amounts, limits: &Amounts) {
        for (resource, least) in parsed(limit.at(&["min"])) {
            self.note(at_least(kind, &resource, &least, requests, limits));
        }
        for (resource, most) in parsed(limit.at(&["max"])) {
            self.note(at_most(kind, &resource, &most, requests, limits));
        }
        for (resource, ratio) in parsed(limit.at(&["maxLimitRequestRatio"])) {
            self.note(ratio_at_most(kind, &resource, &ratio, requests, limits));
        }
    }

    fn note(&mut self, complaint: Option<String>) {
        self.0.extend(complaint);
    }

    fn said(self) -> Option<String> {
        let mut different: Vec<String> = Vec::new();
        for complaint in self.0 {
            if !different.contains(&complaint) {
                different.push(complaint);
            }
        }
        match different.len() {
            0 => None,
            1 => different.pop(),
            _ => Some(format!("[{}]", different.join(", "))),
        }
    }
}

/// Values at one precision: thousandths, unless one of them is too large for that.
fn compared<const N: usize>(amounts: [Option<&Quantity>; N]) -> [i64; N] {
    let whole = amounts.map(|amount| amount.map_or(0, Quantity::value));
    if whole.iter().any(|value| *value > MAX_MILLI_VALUE) {
        return whole;
    }
    amounts.map(|amount| amount.map_or(0, Quantity::milli))
}

fn at_least(kind: &str, resource: &SmolStr, least: &Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let (request, limit) = (requests.get(resource), limits.get(resource));
    let [request_value, limit_value, least_value] = compared([request, limit, Some(least)]);
    let rule = format!("minimum {resource} usage per {kind} is {least}");
    match (request, limit) {
        (None, _) => Some(format!("{rule}.  No request is specified")),
        (Some(request), _) if request_value < least_value => Some(format!("{rule}, but request is {request}")),
        (_, Some(limit)) if limit_value < least_value => Some(format!("{rule}, but limit is {limit}")),
        _ => None,
    }
}

fn at_most(kind: &str, resource: &SmolStr, most: &Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let (request, limit) = (requests.get(resource), limits.get(resource));
    let [request_value, limit_value, most_value] = compared([request, limit, Some(most)]);
    let rule = format!("maximum {resource} usage per {kind} is {most}");
    match (request, limit) {
        (_, None) => Some(format!("{rule}.  No limit is specified")),
        (_, Some(limit)) if limit_value > most_value => Some(format!("{rule}, but limit is {limit}")),
        (Some(request), _) if request_value > most_value => Some(format!("{rule}, but request is {request}")),
        _ => None,
    }
}

fn request_at_most(kind: &str, resource: &SmolStr, most: &Quantity, requests: &Amounts) -> Option<String> {
    let rule = format!("maximum {resource} usage per {kind} is {most}");
    let Some(request) = requests.get(resource) else { return Some(format!("{rule}.  No request is specified")) };
    let [request_value, most_value] = compared([Some(request), Some(most)]);
    (request_value > most_value).then(|| format!("{rule}, but request is {request}"))
}

fn ratio_at_most(
    kind: &str,
    resource: &SmolStr,
    most: &Quantity,
    requests: &Amounts,
    limits: &Amounts,
) -> Option<String> {
    let [request, limit, _] = compared([requests.get(resource), limits.get(resource), Some(most)]);
    let rule = format!("{resource} max limit to request ratio per {kind} is {most}");
    if request == 0 {
        return Some(format!("{rule}, but no request is specified or request is 0"));
    }
    if limit == 0 {
        return Some(format!("{rule}, but no limit is specified or limit is 0"));
    }
    let ratio = limit as f64 / request as f64;
    (ratio * 1000.0 > most.milli() as f64).then(|| format!("{rule}, but provided ratio is {ratio:.6}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn range(limit: Value) -> Value {
        json!({"spec": {"limits": [limit]}})
    }

    fn pod(requests: Value, limits: Value) -> Value {
        let resources = json!({"requests": requests, "limits": limits});
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}]}})
    }

    #[test]
    fn containers_get_what_they_do_not_say() {
        let limit =
            json!({"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}});
        let range = range(limit);
        let mut pod = pod(json!({"cpu": "50m"}), json!({"cpu": "2"}));
        pod["spec"]["initContainers"] = json!([{"name": "i"}]);
        set_defaults(&range, &mut pod);
        let resources = |list: &str| pod["spec"][list][0]["resources"].clone();
        assert_eq!(
            resources("containers"),
            json!({"requests": {"cpu": "50m"}, "limits": {"cpu": "2", "memory": "1Gi"}})
        );
        let given = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Gi"}});
        assert_eq!(resources("initContainers"), given);
        let said = "LimitRanger plugin set: memory limit for container c; cpu request for init container i; cpu, memory \
                    limit for init container i";
        assert_eq!(pod["metadata"]["annotations"][ANNOTATION], said);
        let before = pod.clone();
        set_defaults(&range, &mut pod);
        assert_eq!(pod, before, "there is nothing left to say");
    }

    #[test]
    fn pods_are_held_to_bounds() {
        let cpu = |least: &str, most: &str| json!({"type": "Container", "min": {"cpu": least}, "max": {"cpu": most}});
        let ratio = json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}});
        let whole = json!({"type": "Pod", "max": {"cpu": "1"}});
        let one = |resource: &str| json!({"cpu": resource});
        for (limit, requests, limits, expected) in [
            (cpu("1", "2"), one("1"), one("2"), None),
            (cpu("1", "2"), one("500m"), one("2"), Some("minimum cpu usage per Container is 1, but request is 500m")),
            (
                cpu("1", "2"),
                json!({}),
                json!({}),
                Some(
                    "[minimum cpu usage per Container is 1.  No request is specified, maximum cpu usage per Container is 2. \
                     \u{20}No limit is specified]",
                ),
            ),
            (cpu("1", "2"), one("1"), one("3"), Some("maximum cpu usage per Container is 2, but limit is 3")),
            (
                ratio.clone(),
                one("1"),
                one("3"),
                Some("cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"),
            ),
            (
                ratio,
                json!({}),
                one("3"),
                Some("cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"),
            ),
            (whole, one("1"), one("2"), Some("maximum cpu usage per Pod is 1, but limit is 2")),
        ] {
            assert_eq!(check_pod(&range(limit), &pod(requests, limits)).as_deref(), expected);
        }
    }

    #[test]
    fn claims_are_held_to_sizes() {
        let range =
            range(json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}));
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        assert_eq!(check_claim(&range, &claim("1536Mi")), None);
        let small = "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi";
        assert_eq!(check_claim(&range, &claim("1Mi")).as_deref(), Some(small));
        let large = "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi";
        assert_eq!(check_claim(&range, &claim("3Gi")).as_deref(), Some(large));
    }
}
