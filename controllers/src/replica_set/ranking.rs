//! Which Pods of a ReplicaSet go first when there are too many.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use hashbrown::HashMap;
use smol_str::SmolStr;

use crate::views::Pod;

/// Annotation: what it costs to delete a Pod, compared with others of its ReplicaSet.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A Pod and the number of active Pods of its Deployment on the same Node.
struct Ranked {
    pod: Arc<Pod>,
    crowd: usize,
}

/// Chooses `count` of `pods`. `related` are the Pods of every ReplicaSet with the same owner, so that what is doubled up on
/// a Node goes before what stands alone. `now` is in microseconds since 1970.
pub fn choose(pods: Vec<Arc<Pod>>, related: &[Arc<Pod>], count: usize, now: i64) -> Vec<Arc<Pod>> {
    if count >= pods.len() {
        return pods;
    }
    let mut on_node: HashMap<&SmolStr, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| pod.is_active()) {
        *on_node.entry(&pod.spec.node_name).or_default() += 1;
    }
    let rank = |pod: Arc<Pod>| Ranked { crowd: on_node.get(&pod.spec.node_name).copied().unwrap_or(0), pod };
    let mut ranked: Vec<Ranked> = pods.into_iter().map(rank).collect();
    ranked.sort_by(|a, b| compare(a, b, now));
    ranked.truncate(count);
    ranked.into_iter().map(|ranked| ranked.pod).collect()
}

/// `Less` goes first.
fn compare(a: &Ranked, b: &Ranked, now: i64) -> Ordering {
    let by = |key: fn(&Pod) -> i64| key(&a.pod).cmp(&key(&b.pod));
    by(|pod| i64::from(!pod.spec.node_name.is_empty()))
        .then_with(|| by(phase))
        .then_with(|| by(|pod| i64::from(pod.is_ready())))
        .then_with(|| by(deletion_cost))
        .then_with(|| Reverse(a.crowd).cmp(&Reverse(b.crowd)))
        .then_with(|| match (a.pod.is_ready(), b.pod.is_ready()) {
            (true, true) => by_age(a.pod.ready_since(), b.pod.ready_since(), a, b, now),
            _ => Ordering::Equal,
        })
        .then_with(|| by(|pod| -restarts(pod).0))
        .then_with(|| by(|pod| -restarts(pod).1))
        .then_with(|| by_age(created(&a.pod), created(&b.pod), a, b, now))
        .then_with(|| a.pod.metadata.uid.cmp(&b.pod.metadata.uid))
}

fn phase(pod: &Pod) -> i64 {
    match pod.status.phase.as_str() {
        "Unknown" => 1,
        "Running" => 2,
        _ => 0,
    }
}

fn deletion_cost(pod: &Pod) -> i64 {
    let cost = pod.metadata.annotations.get(DELETION_COST);
    cost.and_then(|text| text.parse::<i32>().ok()).map_or(0, i64::from)
}

/// The most restarts of a container, and of a sidecar.
fn restarts(pod: &Pod) -> (i64, i64) {
    let most = |counts: &mut dyn Iterator<Item = i32>| i64::from(counts.max().unwrap_or(0));
    let status = &pod.status;
    let sidecar =
        |name: &str| pod.spec.init_containers.iter().any(|init| init.name == name && init.restart_policy == "Always");
    let regular = most(&mut status.container_statuses.iter().map(|container| container.restart_count));
    let inits = status.init_container_statuses.iter().filter(|container| sidecar(&container.name));
    (regular, most(&mut inits.map(|container| container.restart_count)))
}

fn created(pod: &Pod) -> Option<i64> {
    api::time::parse(&pod.metadata.creation_timestamp)
}

/// The younger first, ages compared by their order of magnitude so that equals are spread by uid. Unknown times are the
/// youngest.
fn by_age(a: Option<i64>, b: Option<i64>, pod_a: &Ranked, pod_b: &Ranked, now: i64) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) if a == b => Ordering::Equal,
        (Some(a), Some(b)) => {
            let magnitude =
                |at: i64| u64::try_from(now - at).ok().and_then(|age| age.saturating_mul(1000).checked_ilog2());
            magnitude(a).cmp(&magnitude(b)).then_with(|| pod_a.pod.metadata.uid.cmp(&pod_b.pod.metadata.uid))
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000_000_000;

    fn pod(uid: &str, change: Value) -> Arc<Pod> {
        let mut pod = json!({
            "metadata": { "name": uid, "uid": uid, "creationTimestamp": api::time::format_seconds(NOW - 3_600_000_000) },
            "spec": { "nodeName": "n" },
            "status": { "phase": "Running" },
        });
        merge(&mut pod, change);
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
            }
            (into, from) => *into = from,
        }
    }

    fn ready(ago_seconds: i64) -> Value {
        let since = api::time::format_seconds(NOW - ago_seconds * 1_000_000);
        json!({ "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": since }] })
    }

    fn names(pods: &[Arc<Pod>]) -> Vec<String> {
        pods.iter().map(|pod| pod.metadata.uid.to_string()).collect()
    }

    #[test]
    fn the_order_of_the_documentation() {
        let restarted = json!({ "status": { "containerStatuses": [{ "name": "c", "restartCount": 4 }] } });
        let cheap = json!({ "metadata": { "annotations": { DELETION_COST: "-5" } }, "status": ready(100_000) });
        let expected = [
            pod("1-unassigned", json!({ "spec": { "nodeName": "" }, "status": { "phase": "Pending" } })),
            pod("2-pending", json!({ "status": { "phase": "Pending" } })),
            pod("3-unknown", json!({ "status": { "phase": "Unknown" } })),
            pod("4-restarted", restarted),
            pod("5-not-ready", json!({})),
            pod("6-cheap", cheap),
            pod("7-crowded", json!({ "spec": { "nodeName": "crowd" }, "status": ready(100_000) })),
            pod("8-fresh", json!({ "status": ready(10) })),
            pod("9-settled", json!({ "status": ready(100_000) })),
        ];
        let crowd: Vec<_> =
            (0..20).map(|at| pod(&at.to_string(), json!({ "spec": { "nodeName": "crowd" } }))).collect();
        let related: Vec<_> = expected.iter().cloned().chain(crowd).collect();
        for seed in 0..50 {
            let mut shuffled = expected.to_vec();
            shuffled.shuffle(&mut StdRng::seed_from_u64(seed));
            let chosen = choose(shuffled, &related, expected.len() - 1, NOW);
            assert_eq!(names(&chosen), names(&expected[..expected.len() - 1]), "seed {seed}");
        }
    }

    #[test]
    fn the_order_is_total_over_random_pods() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut pods: Vec<Arc<Pod>> = (0..30)
                .map(|at| {
                    let phase = ["Pending", "Running", "Unknown"][random.random_range(0..3)];
                    let node = ["", "a", "b"][random.random_range(0..3)];
                    let mut status = json!({ "phase": phase });
                    if random.random_bool(0.5) {
                        merge(&mut status, ready(random.random_range(0..5000)));
                    }
                    pod(&format!("{at:02}"), json!({ "spec": { "nodeName": node }, "status": status }))
                })
                .collect();
            let related = pods.clone();
            let first = names(&choose(pods.clone(), &related, 29, NOW));
            pods.shuffle(&mut random);
            assert_eq!(names(&choose(pods, &related, 29, NOW)), first, "seed {seed}");
        }
    }
}
