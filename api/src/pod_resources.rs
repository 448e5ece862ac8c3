//! What a Pod as a whole asks for, by resource: its containers' sum, or what its init containers need at their highest, or
//! what the Pod itself says (KEP-753 for sidecars, KEP-1287 for resizes, KEP-2837 for Pods that speak for their containers).

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::document::{Document, Value};
use crate::quantity::Quantity;

/// Amounts by the name of the resource.
pub type Amounts = BTreeMap<SmolStr, Quantity>;

/// Which of a container's two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// What it is promised.
    Requests,
    /// What it may not pass.
    Limits,
}

impl List {
    fn key(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// What the spec alone says, without overhead: what a LimitRange looks at.
pub fn of_spec(pod: &Value, list: List) -> Amounts {
    let mut sum = of_containers(pod, list, false);
    for (resource, amount) in parsed(pod.at(&["spec", "resources", list.key()])) {
        if matches!(resource.as_str(), "cpu" | "memory") {
            sum.insert(resource, amount);
        }
    }
    sum
}

/// What the Pod really holds: a resize counts as soon as it is asked for and until it is done, and a runtime's overhead is
/// the Pod's.
pub fn effective(pod: &Value, list: List) -> Amounts {
    let mut sum = of_containers(pod, list, true);
    for (resource, amount) in parsed(pod.at(&["spec", "resources", list.key()])) {
        if is_pod_level(&resource) {
            sum.insert(resource, amount);
        }
    }
    let overhead = parsed(pod.at(&["spec", "overhead"]));
    match list {
        List::Requests => add(&mut sum, &overhead),
        // No limit stays none.
        List::Limits => {
            let limited =
                overhead.into_iter().filter(|(resource, _)| sum.get(resource).is_some_and(|it| !it.is_zero()));
            let limited: Amounts = limited.collect();
            add(&mut sum, &limited);
        }
    }
    sum
}

/// Whether the Pod says for all of its containers what it needs.
pub fn speaks_for_containers(pod: &Value) -> bool {
    let said = |list: List| pod.at(&["spec", "resources", list.key()]).as_object();
    let names = [List::Requests, List::Limits].into_iter().filter_map(said).flatten().map(|(name, _)| name);
    names.into_iter().any(|name| is_pod_level(name))
}

/// The amounts of a list; what does not parse is complained about elsewhere.
pub fn parsed(list: &Value) -> Amounts {
    let pairs = list.as_object().into_iter().flatten();
    let parse = |(name, value): (&String, &Value)| Some((name.into(), Quantity::parse(value.as_str()?).ok()?));
    pairs.filter_map(parse).collect()
}

fn is_pod_level(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

fn of_containers(pod: &Value, list: List, with_status: bool) -> Amounts {
    let own = |container: &Value, with_status: bool| {
        let wanted = parsed(container.at(&["resources", list.key()]));
        if with_status { in_use(pod, container, list, wanted) } else { wanted }
    };
    let mut sum = Amounts::new();
    for container in pod.list(&["spec", "containers"]) {
        add(&mut sum, &own(container, with_status));
    }
    // A sidecar runs beside everything that is started after it, and goes on.
    let (mut sidecars, mut highest) = (Amounts::new(), Amounts::new());
    for container in pod.list(&["spec", "initContainers"]) {
        if container.text(&["restartPolicy"]) == "Always" {
            let own = own(container, with_status);
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut highest, &sidecars);
        } else {
            let mut beside = own(container, false);
            add(&mut beside, &sidecars);
            raise(&mut highest, &beside);
        }
    }
    raise(&mut sum, &highest);
    sum
}

/// What a container holds while a resize of it is on its way.
fn in_use(pod: &Value, container: &Value, list: List, wanted: Amounts) -> Amounts {
    let name = container.text(&["name"]);
    let mut statuses = ["containerStatuses", "initContainerStatuses"].iter().flat_map(|it| pod.list(&["status", it]));
    let status = statuses.find(|status| status.text(&["name"]) == name);
    let Some(status) = status.filter(|status| !status.at(&["resources"]).is_null()) else { return wanted };
    let actuated = parsed(status.at(&["resources", list.key()]));
    // What cannot be done is not held.
    let mut held = if is_infeasible(pod) { actuated.clone() } else { wanted };
    raise(&mut held, &actuated);
    if list == List::Requests {
        raise(&mut held, &parsed(status.at(&["allocatedResources"])));
    }
    held
}

fn is_infeasible(pod: &Value) -> bool {
    let mut conditions = pod.list(&["status", "conditions"]).iter();
    let pending = conditions.find(|condition| condition.text(&["type"]) == "PodResizePending");
    pending.is_some_and(|condition| condition.text(&["reason"]) == "Infeasible")
}

fn add(sum: &mut Amounts, other: &Amounts) {
    for (resource, amount) in other {
        sum.entry(resource.clone()).and_modify(|have| *have = have.add(amount)).or_insert(*amount);
    }
}

fn raise(highest: &mut Amounts, other: &Amounts) {
    for (resource, amount) in other {
        let have = highest.entry(resource.clone()).or_insert(*amount);
        if amount > have {
            *have = *amount;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(amounts: &Amounts) -> String {
        let parts: Vec<String> = amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
        parts.join(",")
    }

    fn container(cpu: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}})
    }

    #[test]
    fn containers_add_up_and_init_containers_raise() {
        let mut sidecar = container("1");
        sidecar["restartPolicy"] = json!("Always");
        let pod = json!({"spec": {
            "containers": [container("200m"), container("300m")],
            "initContainers": [container("2"), sidecar, container("1")],
        }});
        // 200m + 300m + the sidecar's 1, against 2 alone and 1 beside the sidecar.
        assert_eq!(shown(&of_spec(&pod, List::Requests)), "cpu=2");
        let mut larger = pod.clone();
        larger["spec"]["initContainers"][2] = container("1500m");
        assert_eq!(shown(&of_spec(&larger, List::Requests)), "cpu=2500m");
        assert_eq!(shown(&effective(&larger, List::Limits)), "cpu=2500m");
    }

    #[test]
    fn a_pod_may_speak_for_its_containers() {
        let said = json!({"requests": {"cpu": "5", "hugepages-2Mi": "4Mi"}});
        let pod = json!({"spec": {"containers": [container("1")], "resources": said}});
        assert!(speaks_for_containers(&pod));
        assert_eq!(shown(&of_spec(&pod, List::Requests)), "cpu=5");
        assert_eq!(shown(&effective(&pod, List::Requests)), "cpu=5,hugepages-2Mi=4Mi");
        assert_eq!(shown(&effective(&pod, List::Limits)), "cpu=1");
        assert!(!speaks_for_containers(&json!({"spec": {"resources": {"requests": {"example.com/gpu": "1"}}}})));
    }

    #[test]
    fn overhead_is_the_pods_where_it_counts() {
        let overhead = json!({"cpu": "100m", "memory": "8Mi"});
        let pod = json!({"spec": {"containers": [container("1")], "overhead": overhead}});
        assert_eq!(shown(&effective(&pod, List::Requests)), "cpu=1100m,memory=8Mi");
        assert_eq!(shown(&effective(&pod, List::Limits)), "cpu=1100m", "memory has no limit");
        assert_eq!(shown(&of_spec(&pod, List::Requests)), "cpu=1");
    }

    #[test]
    fn a_resize_counts_from_both_sides() {
        let status = |cpu: &str| json!([{"name": "c", "resources": {"requests": {"cpu": cpu}}}]);
        let mut pod = json!({"spec": {"containers": [container("3")]}, "status": {"containerStatuses": status("1")}});
        assert_eq!(shown(&effective(&pod, List::Requests)), "cpu=3", "as soon as it is asked for");
        pod["status"]["containerStatuses"] = status("4");
        assert_eq!(shown(&effective(&pod, List::Requests)), "cpu=4", "until it is done");
        pod["status"]["conditions"] = json!([{"type": "PodResizePending", "reason": "Infeasible"}]);
        pod["status"]["containerStatuses"] = status("1");
        assert_eq!(shown(&effective(&pod, List::Requests)), "cpu=1", "what cannot be is not held");
        assert_eq!(shown(&of_spec(&pod, List::Requests)), "cpu=3");
    }
}
