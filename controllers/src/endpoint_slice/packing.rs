//! Which endpoint goes into which slice: as few writes as possible, and no slice above its limit.
//!
//! Invariants, which the model test holds: afterwards the slices hold exactly the wanted endpoints, each once and in a
//! slice with its ports, and a slice whose endpoints did not change is not written unless it takes leftovers in.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use smol_str::SmolStr;

use crate::views::{Endpoint, EndpointPort, EndpointSlice};

/// Endpoints that share their ports.
pub type Wanted = BTreeMap<Vec<EndpointPort>, Vec<Endpoint>>;

/// What a slice should hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Ports.
    pub ports: Vec<EndpointPort>,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// What has to be written.
#[derive(Debug, Default)]
pub struct Plan {
    /// New slices.
    pub create: Vec<Content>,
    /// Slices whose content changes.
    pub update: Vec<(Arc<EndpointSlice>, Content)>,
    /// Slices that go.
    pub delete: Vec<Arc<EndpointSlice>>,
}

/// Identity of an endpoint across its changes: the Pod behind it.
fn identity(endpoint: &Endpoint) -> (SmolStr, SmolStr) {
    let uid = endpoint.target_ref.as_ref().map(|target| target.uid.clone()).unwrap_or_default();
    (uid, endpoint.addresses.first().cloned().unwrap_or_default())
}

/// Plans the way from `existing`, slices of one Service and address type, to `wanted`.
pub fn plan(existing: &[Arc<EndpointSlice>], wanted: Wanted, most: usize) -> Plan {
    let mut plan = Plan::default();
    let mut by_ports: BTreeMap<Vec<EndpointPort>, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in existing {
        let mut ports = slice.ports.clone();
        ports.sort();
        by_ports.entry(ports).or_default().push(slice.clone());
    }
    for (ports, endpoints) in wanted {
        let slices = by_ports.remove(&ports).unwrap_or_default();
        plan_ports(&mut plan, &ports, slices, endpoints, most);
    }
    plan.delete.extend(by_ports.into_values().flatten());
    let remain = existing.len() - plan.delete.len() + plan.create.len();
    if remain == 0 {
        // A Service without endpoints keeps one empty slice: it says that somebody looked.
        let empty = |slice: &Arc<EndpointSlice>| slice.endpoints.is_empty() && slice.ports.is_empty();
        match plan.delete.iter().position(empty) {
            Some(at) => drop(plan.delete.remove(at)),
            None => plan.create.push(Content { ports: Vec::new(), endpoints: Vec::new() }),
        }
    }
    reuse(&mut plan);
    plan
}

/// Turns pairs of a deletion and a creation into updates.
fn reuse(plan: &mut Plan) {
    while !plan.delete.is_empty()
        && let Some(content) = plan.create.pop()
    {
        let slice = plan.delete.remove(0);
        plan.update.push((slice, content));
    }
}

fn plan_ports(
    plan: &mut Plan,
    ports: &[EndpointPort],
    slices: Vec<Arc<EndpointSlice>>,
    endpoints: Vec<Endpoint>,
    most: usize,
) {
    let mut left: HashMap<(SmolStr, SmolStr), Endpoint> = HashMap::with_capacity(endpoints.len());
    let mut order = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let identity = identity(&endpoint);
        if left.insert(identity.clone(), endpoint).is_none() {
            order.push(identity);
        }
    }
    let mut changed: Vec<(Arc<EndpointSlice>, Vec<Endpoint>)> = Vec::new();
    let mut unchanged: Vec<Arc<EndpointSlice>> = Vec::new();
    for slice in slices {
        let kept: Vec<Endpoint> = slice.endpoints.iter().filter_map(|old| left.remove(&identity(old))).collect();
        if kept.is_empty() {
            plan.delete.push(slice);
        } else if kept == slice.endpoints {
            unchanged.push(slice);
        } else {
            changed.push((slice, kept));
        }
    }
    let mut rest: Vec<Endpoint> = order.into_iter().filter_map(|identity| left.remove(&identity)).collect();
    // Slices that are written anyway take what they can, the fullest first.
    changed.sort_by_key(|(_, endpoints)| std::cmp::Reverse(endpoints.len()));
    for (_, endpoints) in &mut changed {
        let room = most.saturating_sub(endpoints.len()).min(rest.len());
        endpoints.extend(rest.drain(..room));
    }
    while rest.len() >= most {
        let endpoints = rest.drain(..most).collect();
        plan.create.push(Content { ports: ports.to_vec(), endpoints });
    }
    if !rest.is_empty() {
        // What is left goes into one slice that it fits into best, or into a new one.
        let room = |slice: &Arc<EndpointSlice>| most.checked_sub(slice.endpoints.len() + rest.len());
        let best = (0..unchanged.len()).filter_map(|at| Some((room(&unchanged[at])?, at))).min();
        match best {
            Some((_, at)) => {
                let slice = unchanged.swap_remove(at);
                let mut endpoints = slice.endpoints.clone();
                endpoints.append(&mut rest);
                changed.push((slice, endpoints));
            }
            None => plan.create.push(Content { ports: ports.to_vec(), endpoints: rest }),
        }
    }
    let content = |(slice, endpoints)| (slice, Content { ports: ports.to_vec(), endpoints });
    plan.update.extend(changed.into_iter().map(content));
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use serde_json::json;

    use super::*;

    fn endpoint(pod: usize, ready: bool) -> Endpoint {
        serde_json::from_value(json!({
            "addresses": [format!("10.0.{}.{}", pod / 250, pod % 250)], "conditions": { "ready": ready },
            "targetRef": { "kind": "Pod", "uid": pod.to_string() },
        }))
        .unwrap()
    }

    fn ports(number: i32) -> Vec<EndpointPort> {
        vec![EndpointPort { name: "web".into(), protocol: "TCP".into(), port: number, app_protocol: None }]
    }

    fn slice(name: usize, content: Content) -> Arc<EndpointSlice> {
        let mut slice = EndpointSlice { endpoints: content.endpoints, ports: content.ports, ..Default::default() };
        slice.metadata.name = name.to_string().into();
        Arc::new(slice)
    }

    /// Makes a plan and applies it as the API server would.
    fn apply(slices: &mut Vec<Arc<EndpointSlice>>, wanted: Wanted, most: usize, next: &mut usize) -> usize {
        let plan = plan(slices, wanted, most);
        let writes = plan.create.len() + plan.update.len() + plan.delete.len();
        let gone: Vec<_> = plan.delete.iter().chain(plan.update.iter().map(|(slice, _)| slice)).collect();
        slices.retain(|slice| !gone.iter().any(|gone| gone.metadata.name == slice.metadata.name));
        for content in plan.update.into_iter().map(|(_, content)| content).chain(plan.create) {
            *next += 1;
            slices.push(slice(*next, content));
        }
        writes
    }

    #[test]
    fn slices_hold_exactly_what_is_wanted() {
        for seed in 0..150 {
            let mut random = StdRng::seed_from_u64(seed);
            let (mut slices, mut next) = (Vec::new(), 0);
            let most = random.random_range(1..12);
            let mut pods: BTreeMap<usize, (bool, i32)> = BTreeMap::new();
            for _ in 0..40 {
                for _ in 0..random.random_range(0..15) {
                    let pod = random.random_range(0..60);
                    match random.random_range(0..3) {
                        0 => drop(pods.remove(&pod)),
                        _ => drop(pods.insert(pod, (random.random_bool(0.7), random.random_range(80..82)))),
                    }
                }
                let mut wanted = Wanted::new();
                for (pod, (ready, port)) in &pods {
                    wanted.entry(ports(*port)).or_default().push(endpoint(*pod, *ready));
                }
                apply(&mut slices, wanted.clone(), most, &mut next);
                let mut have = Wanted::new();
                for slice in &slices {
                    assert!(slice.endpoints.len() <= most, "seed {seed}: a slice of {}", slice.endpoints.len());
                    if !slice.endpoints.is_empty() {
                        have.entry(slice.ports.clone()).or_default().extend(slice.endpoints.clone());
                    }
                }
                have.values_mut().for_each(|endpoints| endpoints.sort_by_key(|e| e.target_ref.clone().unwrap().uid));
                wanted.values_mut().for_each(|endpoints| endpoints.sort_by_key(|e| e.target_ref.clone().unwrap().uid));
                assert_eq!(have, wanted, "seed {seed}");
                assert!(!slices.is_empty(), "seed {seed}: at least the placeholder stays");
                assert_eq!(apply(&mut slices, wanted, most, &mut next), 0, "seed {seed}: not at rest");
            }
        }
    }

    #[test]
    fn one_more_pod_is_one_write() {
        let (mut slices, mut next) = (Vec::new(), 0);
        let wanted = |count: usize| Wanted::from([(ports(80), (0..count).map(|pod| endpoint(pod, true)).collect())]);
        assert_eq!(apply(&mut slices, wanted(250), 100, &mut next), 3);
        assert_eq!(apply(&mut slices, wanted(251), 100, &mut next), 1);
        assert_eq!(slices.len(), 3);
        assert_eq!(apply(&mut slices, Wanted::new(), 100, &mut next), 3, "one update, two deletions");
        assert_eq!((slices.len(), slices[0].endpoints.len(), slices[0].ports.len()), (1, 0, 0));
    }
}
