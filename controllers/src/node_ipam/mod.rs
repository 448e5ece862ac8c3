//! Node IPAM: every Node gets a podCIDR of its own out of the cluster's range.
//!
//! Runs in one elected member, which rebuilds its bitmap from the Nodes when its term begins. Only this controller sets
//! podCIDRs; the server lets nobody change one.

mod cidr_set;

use std::sync::{Arc, Weak};

use api::patch::PatchType;
use client::{Change, Client, ClientError, EventKind, Key, Recorder, Regarding, known};
use hashbrown::HashMap;
use ipnet::{IpNet, Ipv4Net};
use parking_lot::Mutex;
use serde_json::json;
use smol_str::SmolStr;

use crate::config::NodeIpamConfig;
use crate::informers::{Informers, cluster_key};
use crate::metrics::Metrics;
use crate::reconcile::{After, Controller, Queue};
use crate::share::Part;
use crate::views::Node;

pub use cidr_set::{BadRange, CidrSet};

/// One term of the controller. Its key is the name of a Node.
pub struct NodeIpam {
    client: Client,
    informers: Arc<Informers>,
    recorder: Recorder,
    metrics: Metrics,
    state: Mutex<State>,
}

struct State {
    free: CidrSet,
    /// What each Node has, by uid: known before the cache shows it.
    given: HashMap<SmolStr, Ipv4Net>,
}

impl NodeIpam {
    /// The ranges that a configuration describes.
    pub fn ranges(config: &NodeIpamConfig) -> Result<CidrSet, BadRange> {
        let mut ranges = CidrSet::new(config.cluster_cidr, config.node_mask)?;
        if let Some(services) = &config.service_cidr {
            ranges.occupy(services);
        }
        Ok(ranges)
    }

    /// A term: `ranges` is what may be handed out, less what the Nodes have.
    pub fn new(
        client: Client,
        informers: Arc<Informers>,
        recorder: Recorder,
        metrics: Metrics,
        ranges: CidrSet,
    ) -> Arc<Self> {
        let mut state = State { free: ranges, given: HashMap::new() };
        for node in informers.nodes.list() {
            state.take_over(&node);
        }
        Arc::new(Self { client, informers, recorder, metrics, state: Mutex::new(state) })
    }

    fn reserve(&self, node: &Node) -> Option<Ipv4Net> {
        let mut state = self.state.lock();
        if let Some(range) = state.given.get(&node.metadata.uid) {
            return Some(*range);
        }
        let range = state.free.allocate()?;
        state.given.insert(node.metadata.uid.clone(), range);
        self.metrics.cidrs_allocated.inc();
        Some(range)
    }

    fn gone(&self, node: &Node) {
        let mut state = self.state.lock();
        if let Some(range) = state.given.remove(&node.metadata.uid) {
            state.free.release(&range);
            self.metrics.cidrs_released.inc();
        }
    }
}

fn range_of(node: &Node) -> Option<Ipv4Net> {
    let first = node.spec.pod_cidrs.first().unwrap_or(&node.spec.pod_cidr);
    match first.parse().ok()? {
        IpNet::V4(range) => Some(range),
        IpNet::V6(_) => None,
    }
}

impl State {
    /// Notes what a Node has.
    fn take_over(&mut self, node: &Node) {
        let Some(range) = range_of(node) else { return };
        if self.given.get(&node.metadata.uid) == Some(&range) {
            return;
        }
        let name = &node.metadata.name;
        match self.free.occupy(&range) {
            Some(true) => {}
            Some(false) => tracing::warn!(node = %name, %range, "another Node has this podCIDR, or part of it"),
            None => tracing::debug!(node = %name, %range, "the podCIDR is not of the cluster's range"),
        }
        if let Some(reserved) = self.given.insert(node.metadata.uid.clone(), range) {
            // Somebody else was faster; what we had reserved was never used.
            self.free.release(&reserved);
        }
    }
}

impl Controller for NodeIpam {
    type Key = SmolStr;

    fn name(&self) -> &'static str {
        "node_ipam"
    }

    fn start(self: Arc<Self>, queue: Queue<SmolStr>) {
        // A term must not outlive its end because of this handler.
        let term: Weak<Self> = Arc::downgrade(&self);
        self.informers.nodes.on_change(move |change| {
            let Some(term) = term.upgrade() else { return };
            if let Change::Deleted(node) = change {
                return term.gone(node);
            }
            if let Change::Updated(old, new) = change
                && old.metadata.uid != new.metadata.uid
            {
                term.gone(old);
            }
            let node = change.object();
            if range_of(node).is_some() {
                term.state.lock().take_over(node);
            } else {
                queue.add(node.metadata.name.clone());
            }
        });
    }

    fn part(&self, _node: &SmolStr) -> Part {
        Part::Term
    }

    fn keys(&self) -> Vec<SmolStr> {
        Vec::new()
    }

    async fn reconcile(&self, name: &SmolStr) -> Result<After, ClientError> {
        let key: Key = cluster_key(name.clone());
        let Some(node) = self.informers.nodes.get(&key) else { return Ok(After::Done) };
        if range_of(&node).is_some() || node.metadata.is_deleting() {
            return Ok(After::Done);
        }
        let Some(range) = self.reserve(&node) else {
            let message = format!("Node {name} status is now: CIDRNotAvailable");
            let regarding = Regarding::object(known::NODES, &node.metadata);
            self.recorder.event(&regarding, EventKind::Normal, "CIDRNotAvailable", &message);
            return Ok(After::Retry);
        };
        let range = range.to_string();
        let patch =
            json!({ "metadata": { "uid": node.metadata.uid }, "spec": { "podCIDR": range, "podCIDRs": [range] } });
        let patched = self.client.patch::<Node>(&known::NODES, "", name, "", PatchType::Merge, &patch).await;
        match patched {
            Ok(_) => Ok(After::Done),
            Err(error) if error.is_not_found() => Ok(After::Done),
            // It has another already, which the cache will show: podCIDRs do not change.
            Err(error) if error.reason() == "Invalid" || error.reason() == "Forbidden" => {
                tracing::debug!(node = %name, %error, "the podCIDR was not taken");
                Ok(After::Retry)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(uid: &str, range: &str) -> Node {
        let node =
            json!({ "metadata": { "name": uid, "uid": uid }, "spec": { "podCIDR": range, "podCIDRs": [range] } });
        serde_json::from_value(node).unwrap()
    }

    #[test]
    fn what_nodes_have_is_not_given_again() {
        let config = NodeIpamConfig {
            cluster_cidr: "10.8.0.0/22".parse().unwrap(),
            service_cidr: Some("10.8.3.0/24".parse().unwrap()),
            ..NodeIpamConfig::default()
        };
        let mut state = State { free: NodeIpam::ranges(&config).unwrap(), given: HashMap::new() };
        state.take_over(&node("a", "10.8.0.0/24"));
        state.take_over(&node("a", "10.8.0.0/24"));
        assert_eq!(state.free.taken(), 2);
        let reserved = state.free.allocate().unwrap();
        assert_eq!(reserved.to_string(), "10.8.1.0/24");
        state.given.insert("b".into(), reserved);
        // An earlier member gave b another range just before it lost the office.
        state.take_over(&node("b", "10.8.2.0/24"));
        assert_eq!(state.free.allocate().unwrap().to_string(), "10.8.1.0/24");
        assert_eq!(state.free.allocate(), None);
    }

    #[test]
    fn the_default_range_holds_what_is_promised() {
        assert_eq!(NodeIpam::ranges(&NodeIpamConfig::default()).unwrap().capacity(), 32_768);
    }
}
