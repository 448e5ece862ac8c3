//! The documented rules of filters and scores, written down once more as plainly as possible: over documents, one node
//! after another, no state.

use std::collections::BTreeMap;

use api::document::Document;
use api::quantity::Quantity;
use serde_json::Value;

type Amounts = BTreeMap<String, f64>;

fn amounts(list: &Value) -> Amounts {
    let list = list.as_object().into_iter().flatten();
    list.map(|(name, text)| {
        let quantity = Quantity::parse(text.as_str().unwrap()).unwrap();
        (name.clone(), if name == "cpu" { quantity.milli() } else { quantity.value() } as f64)
    })
    .collect()
}

fn plus(a: &Amounts, b: &Amounts) -> Amounts {
    let mut sum = a.clone();
    for (name, value) in b {
        *sum.entry(name.clone()).or_default() += value;
    }
    sum
}

fn highest(a: &Amounts, b: &Amounts) -> Amounts {
    let mut max = a.clone();
    for (name, value) in b {
        let entry = max.entry(name.clone()).or_default();
        *entry = entry.max(*value);
    }
    max
}

/// max(containers + sidecars, the highest moment of initialisation) + overhead; pod-level requests replace sums.
pub(super) fn requests(pod: &Value, with_defaults: bool) -> Amounts {
    let of = |container: &Value| {
        let mut own = amounts(container.at(&["resources", "requests"]));
        if with_defaults {
            own.entry("cpu".into()).or_insert(100.0);
            own.entry("memory".into()).or_insert(200.0 * 1024.0 * 1024.0);
        }
        own
    };
    let is_sidecar = |container: &Value| container.text(&["restartPolicy"]) == "Always";
    let init = pod.list(&["spec", "initContainers"]);
    let running = pod.list(&["spec", "containers"]).iter().chain(init.iter().filter(|one| is_sidecar(one)));
    let mut total = running.fold(Amounts::new(), |sum, one| plus(&sum, &of(one)));
    for (at, container) in init.iter().enumerate() {
        let before = init[..at].iter().filter(|one| is_sidecar(one));
        total = highest(&total, &before.fold(of(container), |sum, one| plus(&sum, &of(one))));
    }
    total.extend(amounts(pod.at(&["spec", "resources", "requests"])));
    plus(&total, &amounts(pod.at(&["spec", "overhead"])))
}

fn get(amounts: &Amounts, name: &str) -> f64 {
    amounts.get(name).copied().unwrap_or_default()
}

fn tolerates(pod: &Value, key: &str, value: &str, effect: &str) -> bool {
    pod.list(&["spec", "tolerations"]).iter().any(|one| {
        let same = |field: &str, wanted: &str| one.text(&[field]).is_empty() || one.text(&[field]) == wanted;
        same("effect", effect)
            && same("key", key)
            && (one.text(&["operator"]) == "Exists" || one.text(&["value"]) == value)
    })
}

fn untolerated(pod: &Value, node: &Value, effects: &[&str]) -> usize {
    let bad = |taint: &&Value| {
        let [key, value, effect] = ["key", "value", "effect"].map(|field| taint.text(&[field]));
        effects.contains(&effect) && !tolerates(pod, key, value, effect)
    };
    node.list(&["spec", "taints"]).iter().filter(bad).count()
}

fn expression(node: &Value, one: &Value) -> bool {
    let value = node.at(&["metadata", "labels", one.text(&["key"])]).as_str();
    let values: Vec<_> = one.list(&["values"]).iter().map(|value| value.as_str().unwrap()).collect();
    let number = value.and_then(|value| value.parse::<i64>().ok());
    match one.text(&["operator"]) {
        "In" => value.is_some_and(|value| values.contains(&value)),
        "NotIn" => !value.is_some_and(|value| values.contains(&value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number.is_some_and(|number| number > values[0].parse().unwrap()),
        "Lt" => number.is_some_and(|number| number < values[0].parse().unwrap()),
        other => panic!("{other}"),
    }
}

fn term(node: &Value, term: &Value) -> bool {
    let expressions = term.list(&["matchExpressions"]);
    let fields = term.list(&["matchFields"]);
    // An empty term matches nothing, and neither does one with In or NotIn of nothing.
    let is_broken = |one: &Value| one.text(&["operator"]).ends_with("In") && one.list(&["values"]).is_empty();
    if (expressions.is_empty() && fields.is_empty()) || expressions.iter().any(is_broken) {
        return false;
    }
    let field = |one: &Value| (one.list(&["values"])[0] == node.name()) == (one.text(&["operator"]) == "In");
    expressions.iter().all(|one| expression(node, one)) && fields.iter().all(field)
}

const AFFINITY: [&str; 3] = ["spec", "affinity", "nodeAffinity"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn affinity_matches(pod: &Value, node: &Value) -> bool {
    let selector = pod.at(&["spec", "nodeSelector"]).as_object().into_iter().flatten();
    let required = pod.at(&AFFINITY).at(&[REQUIRED]);
    selector.into_iter().all(|(key, value)| node.at(&["metadata", "labels", key]) == value)
        && (required.is_null() || required.list(&["nodeSelectorTerms"]).iter().any(|one| term(node, one)))
}

/// The nodes that the required affinity names, where each of its terms does.
fn named(pod: &Value) -> Option<Vec<String>> {
    let terms = pod.at(&AFFINITY).list(&[REQUIRED, "nodeSelectorTerms"]);
    let of = |term: &Value| {
        let one = term.list(&["matchFields"]).iter().find(|one| one.text(&["operator"]) == "In")?;
        one.list(&["values"])[0].as_str().map(str::to_owned)
    };
    if terms.is_empty() { None } else { terms.iter().map(of).collect() }
}

fn ports(pod: &Value) -> Vec<(String, String, i64)> {
    let sidecar = |one: &&Value| one.text(&["restartPolicy"]) == "Always";
    let init = pod.list(&["spec", "initContainers"]).iter().filter(sidecar);
    let all = init.chain(pod.list(&["spec", "containers"])).flat_map(|one| one.list(&["ports"]));
    let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
    all.filter_map(|port| {
        let number = port.int(&["hostPort"]).filter(|number| *number > 0)?;
        Some((or(port.text(&["hostIP"]), "0.0.0.0"), or(port.text(&["protocol"]), "TCP"), number))
    })
    .collect()
}

fn ports_clash(pod: &Value, others: &[&Value]) -> bool {
    let all = "0.0.0.0";
    let taken: Vec<_> = others.iter().flat_map(|other| ports(other)).collect();
    ports(pod).iter().any(|(ip, protocol, port)| {
        taken.iter().any(|one| one.2 == *port && one.1 == *protocol && (one.0 == *ip || one.0 == all || ip == all))
    })
}

/// Why the node will not do for the pod, in kube-scheduler's words; nothing if it will.
pub(super) fn refusals(pod: &Value, node: &Value, others: &[&Value]) -> Vec<String> {
    if named(pod).is_some_and(|names| !names.iter().any(|name| name == node.name())) {
        return vec!["node(s) didn't satisfy plugin(s) [NodeAffinity]".into()];
    }
    let is_cordoned = node.at(&["spec", "unschedulable"]) == true;
    if is_cordoned && !tolerates(pod, "node.kubernetes.io/unschedulable", "", "NoSchedule") {
        return vec!["node(s) were unschedulable".into()];
    }
    if untolerated(pod, node, &["NoSchedule", "NoExecute"]) > 0 {
        return vec!["node(s) had untolerated taint(s)".into()];
    }
    if !affinity_matches(pod, node) {
        return vec!["node(s) didn't match Pod's node affinity/selector".into()];
    }
    if ports_clash(pod, others) {
        return vec!["node(s) didn't have free ports for the requested pod ports".into()];
    }
    let has = amounts(node.at(&["status", "allocatable"]));
    let taken = others.iter().fold(Amounts::new(), |sum, other| plus(&sum, &requests(other, false)));
    let mut reasons = Vec::new();
    if others.len() as f64 + 1.0 > get(&has, "pods") {
        reasons.push("Too many pods".to_owned());
    }
    for (name, wanted) in requests(pod, false) {
        if wanted > 0.0 && wanted > get(&has, &name) - get(&taken, &name) {
            reasons.push(format!("Insufficient {name}"));
        }
    }
    reasons
}

fn least_allocated(pod: &Value, node: &Value, others: &[&Value]) -> i64 {
    let has = amounts(node.at(&["status", "allocatable"]));
    let taken = others.iter().fold(requests(pod, true), |sum, other| plus(&sum, &requests(other, true)));
    let scores: Vec<i64> = ["cpu", "memory"]
        .into_iter()
        .filter(|name| get(&has, name) > 0.0)
        .map(|name| {
            let left = get(&has, name) as i64 - get(&taken, name) as i64;
            if left < 0 { 0 } else { left * 100 / get(&has, name) as i64 }
        })
        .collect();
    if scores.is_empty() { 0 } else { scores.iter().sum::<i64>() / scores.len() as i64 }
}

fn evenness(taken: &Amounts, has: &Amounts) -> i64 {
    let shares: Vec<f64> = ["cpu", "memory"]
        .into_iter()
        .filter(|name| get(has, name) > 0.0)
        .map(|name| (get(taken, name) / get(has, name)).min(1.0))
        .collect();
    let deviation = if shares.len() == 2 { ((shares[0] - shares[1]) / 2.0).abs() } else { 0.0 };
    ((1.0 - deviation) * 100.0) as i64
}

fn balanced(pod: &Value, node: &Value, others: &[&Value]) -> i64 {
    let own = requests(pod, false);
    if get(&own, "cpu") == 0.0 && get(&own, "memory") == 0.0 {
        return 0;
    }
    let has = amounts(node.at(&["status", "allocatable"]));
    let before = others.iter().fold(Amounts::new(), |sum, other| plus(&sum, &requests(other, false)));
    50 + (50 + evenness(&plus(&before, &own), &has) - evenness(&before, &has)) / 2
}

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

fn label<'a>(node: &'a Value, key: &str) -> Option<&'a str> {
    node.at(&["metadata", "labels", key]).as_str()
}

fn controller(pod: &Value) -> &Value {
    let owners = pod.list(&["metadata", "ownerReferences"]);
    owners.iter().find(|owner| owner.at(&["controller"]) == true).unwrap_or(&Value::Null)
}

/// Topology and maxSkew of what the pod is spread by, and whether that is of its own.
fn spread_constraints(pod: &Value) -> (Vec<(&str, f64)>, bool) {
    let (owner, own) = (controller(pod), pod.list(&["spec", "topologySpreadConstraints"]));
    let kind = (owner.text(&["apiVersion"]), owner.text(&["kind"]));
    let known = [("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet"), ("v1", "ReplicationController")];
    if own.is_empty() {
        return (if known.contains(&kind) { vec![(HOST, 3.0), (ZONE, 5.0)] } else { vec![] }, false);
    }
    let selects = |one: &&Value| {
        let wanted = one.at(&["labelSelector", "matchLabels"]).as_object().unwrap();
        wanted.iter().all(|(key, value)| pod.at(&["metadata", "labels", key]) == value)
    };
    let those =
        own.iter().filter(selects).map(|one| (one.text(&["topologyKey"]), one.int(&["maxSkew"]).unwrap() as f64));
    let those = those.filter(|(key, _)| !owner.is_null() && [HOST, ZONE].contains(key));
    (those.collect(), true)
}

/// How many pods on the node have the same controller and stay.
fn siblings(pod: &Value, others: &[&Value]) -> usize {
    let uid = controller(pod).text(&["uid"]);
    let stays = |other: &&&Value| other.at(&["metadata", "deletionTimestamp"]).is_null();
    others.iter().filter(stays).filter(|other| controller(other).text(&["uid"]) == uid).count()
}

/// PodTopologySpread's scores of the feasible nodes.
fn spreading(pod: &Value, nodes: &[(&Value, Vec<&Value>)], feasible: &[&(&Value, Vec<&Value>)]) -> Vec<i64> {
    let (constraints, is_own) = spread_constraints(pod);
    if constraints.is_empty() {
        return vec![0; feasible.len()];
    }
    let is_scored = |node: &Value| !is_own || constraints.iter().all(|(key, _)| label(node, key).is_some());
    let scored = || feasible.iter().filter(|(node, _)| is_scored(node));
    let zones: std::collections::BTreeSet<_> = scored().map(|(node, _)| label(node, ZONE)).collect();
    let in_zone = |zone: &str| -> usize {
        let there = nodes.iter().filter(|(node, _)| label(node, ZONE) == Some(zone) && affinity_matches(pod, node));
        there.filter(|(node, _)| is_scored(node)).map(|(_, others)| siblings(pod, others)).sum()
    };
    let crowding = |(node, others): &(&Value, Vec<&Value>)| {
        let each = constraints.iter().filter_map(|(key, skew)| {
            let value = label(node, key)?;
            let (count, domains) = match *key {
                HOST => (siblings(pod, others), scored().count()),
                _ => (in_zone(value), zones.len()),
            };
            Some(count as f64 * (domains as f64 + 2.0).ln() + skew - 1.0)
        });
        is_scored(node).then(|| each.sum::<f64>().round() as i64)
    };
    let all: Vec<Option<i64>> = feasible.iter().map(|one| crowding(one)).collect();
    let (min, max) = (all.iter().flatten().min(), all.iter().flatten().max());
    let score = |crowding: &Option<i64>| match (crowding, min, max) {
        (Some(_), _, Some(0)) => 100,
        (Some(crowding), Some(min), Some(max)) => 100 * (max + min - crowding) / max,
        _ => 0,
    };
    all.iter().map(score).collect()
}

/// The total score of every node that will do.
pub(super) fn scores<'a>(pod: &Value, nodes: &[(&'a Value, Vec<&Value>)]) -> BTreeMap<&'a str, i64> {
    let feasible: Vec<_> = nodes.iter().filter(|(node, others)| refusals(pod, node, others).is_empty()).collect();
    let taints: Vec<i64> =
        feasible.iter().map(|(node, _)| untolerated(pod, node, &["PreferNoSchedule"]) as i64).collect();
    let preferred = pod.at(&AFFINITY).list(&[PREFERRED]);
    let weight = |node: &Value| -> i64 {
        let matching = preferred.iter().filter(|one| term(node, one.at(&["preference"])));
        matching.map(|one| one.int(&["weight"]).unwrap()).sum()
    };
    let spread = spreading(pod, nodes, &feasible);
    let affinity: Vec<i64> = feasible.iter().map(|(node, _)| weight(node)).collect();
    let share = |count: i64, counts: &[i64]| match counts.iter().max() {
        Some(max) if *max > 0 => 100 * count / max,
        _ => 0,
    };
    let total = feasible.iter().enumerate().map(|(at, (node, others))| {
        let score = 3 * (100 - share(taints[at], &taints))
            + 2 * share(affinity[at], &affinity)
            + 2 * spread[at]
            + least_allocated(pod, node, others)
            + balanced(pod, node, others);
        (node.name(), score)
    });
    total.collect()
}
