//! Evicts Pods from Nodes with NoExecute taints that they do not tolerate, or not for longer.
//!
//! The key is a Pod, so the work is split by namespace although a Node's Pods are of many. What a Pod's taints demand is
//! decided anew each time; only since when it has been on notice is remembered, as in Kubernetes, and so starts again
//! with the process.

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use api::patch::PatchType;
use client::{Change, Client, ClientError, EventKind, Key, Recorder, Regarding, known};
use hashbrown::HashMap;
use parking_lot::Mutex;
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::informers::{Informers, cluster_key};
use crate::metrics::Metrics;
use crate::reconcile::{After, Controller, Queue};
use crate::share::Part;
use crate::views::{Node, Pod, Taint, Toleration};

const NO_EXECUTE: &str = "NoExecute";

/// The controller.
pub struct TaintEviction {
    client: Client,
    informers: Arc<Informers>,
    recorder: Recorder,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    /// Pods on notice: uid, and since when on the boot clock.
    notice: Mutex<HashMap<Key, (SmolStr, Duration)>>,
}

/// What taints demand of a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    /// Nothing: every taint is tolerated for ever, or there is none.
    Stay,
    /// To leave this long after it was put on notice.
    LeaveAfter(Duration),
}

fn no_execute(node: &Node) -> Vec<&Taint> {
    node.spec.taints.iter().filter(|taint| taint.effect == NO_EXECUTE).collect()
}

fn demand(taints: &[&Taint], tolerations: &[Toleration]) -> Demand {
    let mut shortest: Option<i64> = None;
    for taint in taints {
        let Some(used) = tolerations.iter().find(|toleration| tolerates(toleration, taint)) else {
            return Demand::LeaveAfter(Duration::ZERO);
        };
        if let Some(seconds) = used.toleration_seconds {
            shortest = Some(shortest.map_or(seconds, |shortest| shortest.min(seconds)));
        }
    }
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    shortest.map_or(Demand::Stay, |shortest| Demand::LeaveAfter(seconds(shortest)))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    if !toleration.effect.is_empty() && toleration.effect != taint.effect {
        return false;
    }
    if !toleration.key.is_empty() && toleration.key != taint.key {
        return false;
    }
    match toleration.operator.as_str() {
        "" | "Equal" => toleration.value == taint.value,
        "Exists" => true,
        // Comparison (Lt, Gt) is behind a feature gate that v1.36 leaves off by default.
        _ => false,
    }
}

impl TaintEviction {
    /// A controller over shared caches.
    pub fn new(client: Client, informers: Arc<Informers>, recorder: Recorder, metrics: Metrics) -> Arc<Self> {
        let clock = client.ambient().clock.clone();
        Arc::new(Self { client, informers, recorder, metrics, clock, notice: Mutex::default() })
    }

    fn node_of(&self, pod: &Pod) -> Option<Arc<Node>> {
        self.informers.nodes.get(&cluster_key(pod.spec.node_name.clone()))
    }

    /// Puts a Pod on notice, and says since when it is.
    fn notice(&self, key: &Key, pod: &Pod) -> Duration {
        let now = self.clock.boot();
        let mut notice = self.notice.lock();
        let (uid, since) = notice.entry(key.clone()).or_insert_with(|| (pod.metadata.uid.clone(), now));
        if *uid != pod.metadata.uid {
            (*uid, *since) = (pod.metadata.uid.clone(), now);
        }
        *since
    }

    fn cancel(&self, key: &Key, pod: Option<&Pod>) {
        if self.notice.lock().remove(key).is_some()
            && let Some(pod) = pod
        {
            let message = format!("Cancelling deletion of Pod {}/{}", key.namespace, key.name);
            let regarding = Regarding::object(known::PODS, &pod.metadata);
            self.recorder.event(&regarding, EventKind::Normal, "TaintManagerEviction", &message);
        }
    }

    async fn evict(&self, key: &Key, pod: &Pod) -> Result<After, ClientError> {
        let regarding = Regarding::object(known::PODS, &pod.metadata);
        let message = format!("Marking for deletion Pod {}/{}", key.namespace, key.name);
        self.recorder.event(&regarding, EventKind::Normal, "TaintManagerEviction", &message);
        let uid = &pod.metadata.uid;
        let now = api::time::format_seconds(self.clock.wall_micros());
        let patch = json!({ "metadata": { "uid": uid }, "status": { "conditions": [{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": now,
        }] } });
        let (api, kind) = (known::PODS, PatchType::Strategic);
        let marked = self.client.patch::<Value>(&api, &key.namespace, &key.name, "status", kind, &patch).await;
        let deleted = match marked {
            Ok(_) => {
                let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": { "uid": uid } });
                self.client.delete(&api, &key.namespace, &key.name, &options).await
            }
            Err(error) => Err(error),
        };
        match deleted {
            Err(error) if !error.is_not_found() => return Err(error),
            Err(_) => {}
            Ok(_) => {
                self.metrics.pod_deletions.inc();
            }
        }
        self.notice.lock().remove(key);
        Ok(After::Done)
    }

    fn queue_pod(&self, queue: &Queue<Key>, pod: &Pod) {
        let key = pod.metadata.key();
        let tainted = self.node_of(pod).is_some_and(|node| !no_execute(&node).is_empty());
        if tainted || self.notice.lock().contains_key(&key) {
            queue.add(key);
        }
    }
}

impl Controller for TaintEviction {
    type Key = Key;

    fn name(&self) -> &'static str {
        "noexec_taint_pod"
    }

    fn start(self: Arc<Self>, queue: Queue<Key>) {
        let (this, to) = (self.clone(), queue.clone());
        self.informers.pods.on_change(move |change| match change {
            Change::Deleted(pod) => this.cancel(&pod.metadata.key(), None),
            Change::Updated(old, pod)
                if old.spec.node_name == pod.spec.node_name && old.spec.tolerations == pod.spec.tolerations => {}
            Change::Added(pod) | Change::Updated(_, pod) => this.queue_pod(&to, pod),
        });
        let this = self.clone();
        self.informers.nodes.on_change(move |change| {
            let (old, new) = match change {
                Change::Added(new) => (Vec::new(), no_execute(new)),
                Change::Updated(old, new) => (no_execute(old), no_execute(new)),
                // Its Pods are the Pod garbage collector's.
                Change::Deleted(_) => return,
            };
            if old != new {
                for pod in this.informers.pods_by_node.group(change.object().metadata.name.as_str()) {
                    queue.add(pod.metadata.key());
                }
            }
        });
    }

    fn part(&self, key: &Key) -> Part {
        Part::Namespace(key.namespace.clone())
    }

    fn keys(&self) -> Vec<Key> {
        let tainted = |node: &&Arc<Node>| !no_execute(node).is_empty();
        let nodes = self.informers.nodes.list();
        let pods = nodes.iter().filter(tainted);
        let pods = pods.flat_map(|node| self.informers.pods_by_node.group(node.metadata.name.as_str()));
        pods.map(|pod| pod.metadata.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<After, ClientError> {
        let Some(pod) = self.informers.pods.get(key) else {
            self.cancel(key, None);
            return Ok(After::Done);
        };
        let Some(node) = self.node_of(&pod) else { return Ok(After::Done) };
        if pod.metadata.is_deleting() {
            self.cancel(key, None);
            return Ok(After::Done);
        }
        match demand(&no_execute(&node), &pod.spec.tolerations) {
            Demand::Stay => {
                self.cancel(key, Some(&pod));
                Ok(After::Done)
            }
            Demand::LeaveAfter(after) => {
                let due = self.notice(key, &pod) + after;
                match due.saturating_sub(self.clock.boot()) {
                    Duration::ZERO => self.evict(key, &pod).await,
                    left => Ok(After::In(left)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tolerations(value: Value) -> Vec<Toleration> {
        serde_json::from_value(value).unwrap()
    }

    fn taint(key: &str, value: &str) -> Taint {
        Taint { key: key.into(), value: value.into(), effect: NO_EXECUTE.into(), time_added: None }
    }

    #[test]
    fn the_shortest_toleration_counts_and_none_means_at_once() {
        let (unreachable, gpu) = (taint("node.kubernetes.io/unreachable", ""), taint("gpu", "broken"));
        let default = json!({ "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 300 });
        let after = |seconds| Demand::LeaveAfter(Duration::from_secs(seconds));
        let cases = [
            (json!([]), vec![], Demand::Stay),
            (json!([]), vec![&unreachable], after(0)),
            (json!([default]), vec![&unreachable], after(300)),
            (json!([default]), vec![&unreachable, &gpu], after(0)),
            (json!([{ "operator": "Exists" }]), vec![&unreachable, &gpu], Demand::Stay),
            (
                json!([default, { "key": "gpu", "value": "broken", "tolerationSeconds": 20 }]),
                vec![&unreachable, &gpu],
                after(20),
            ),
            (json!([{ "key": "gpu", "value": "fine" }]), vec![&gpu], after(0)),
            (json!([{ "key": "gpu", "operator": "Exists", "effect": "NoSchedule" }]), vec![&gpu], after(0)),
            (json!([{ "key": "gpu", "operator": "Exists", "tolerationSeconds": -1 }]), vec![&gpu], after(0)),
        ];
        for (given, taints, expected) in cases {
            assert_eq!(demand(&taints, &tolerations(given.clone())), expected, "{given} against {taints:?}");
        }
    }
}
