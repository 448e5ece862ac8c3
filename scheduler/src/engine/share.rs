//! Which nodes are this scheduler's, and what it knows of them.

use std::sync::Arc;

use client::{Change, Members};
use hashbrown::HashSet;
use smol_str::SmolStr;

use super::Engine;
use crate::columns::{Placed, Row};
use crate::hash;
use crate::queue::Place;
use crate::view::{NodeView, PodView};

impl Engine {
    pub(super) fn owns(&self, node: &str) -> bool {
        self.members.owns(hash(node))
    }

    /// A node has changed.
    pub(crate) fn node_changed(&mut self, change: &Change<NodeView>) {
        let node = change.object();
        if !self.owns(node.name()) {
            return;
        }
        match change {
            Change::Added(_) | Change::Updated(..) => {
                self.add_node(node);
            }
            Change::Deleted(_) => {
                let pods = self.columns.remove_node(node.name());
                let bound = pods.into_iter().filter(|(_, placed)| !placed.is_assumed);
                self.orphans.entry_ref(node.name()).or_default().extend(bound);
            }
        }
    }

    fn add_node(&mut self, node: &Arc<NodeView>) -> Row {
        let row = self.columns.upsert_node(node);
        for (uid, placed) in self.orphans.remove(node.name()).unwrap_or_default() {
            self.columns.place(&uid, Placed { row, ..placed });
        }
        row
    }

    /// Counts a pod on its node, if that is one of this share.
    pub(super) fn apply_bound(&mut self, pod: &Arc<PodView>) {
        let row = self.columns.row(&pod.node_name);
        if let Some(row) = row {
            self.columns.confirm(pod, row);
            return;
        }
        self.columns.release(pod.uid());
        if self.owns(&pod.node_name) {
            let placed = Placed { row: 0, charge: pod.charge.clone(), priority: pod.priority, is_assumed: false };
            self.orphans.entry_ref(&pod.node_name).or_default().insert(pod.uid().clone(), placed);
        }
    }

    /// The members have changed, and with them this scheduler's share of the nodes. `nodes` and `pods` are all that the
    /// cluster has; changes that led to them may still come in afterwards.
    pub(crate) fn members_changed(&mut self, members: &Members, nodes: &[Arc<NodeView>], pods: &[Arc<PodView>]) {
        self.members = members.clone();
        let lost: Vec<SmolStr> = self.columns.names().filter(|name| !self.owns(name)).cloned().collect();
        for name in lost {
            self.columns.remove_node(&name);
        }
        self.orphans.retain(|name, _| members.owns(hash(name)));
        let mut gained = HashSet::new();
        for node in nodes.iter().filter(|node| members.owns(hash(node.name()))) {
            if self.columns.row(node.name()).is_none() {
                self.add_node(node);
                gained.insert(node.name().clone());
            }
        }
        for pod in pods.iter().filter(|pod| !pod.node_name.is_empty() && !pod.is_terminal) {
            let row = self.columns.row(&pod.node_name);
            if row.is_none() || gained.contains(&pod.node_name) {
                self.apply_bound(pod);
            }
        }
        self.try_all_again();
    }

    /// Other shares mean other chances and other turns: everything that waits for a node or a turn is looked at again.
    fn try_all_again(&mut self) {
        let now = self.now();
        let uids: Vec<SmolStr> = self.queue.iter().map(|(uid, _)| uid.clone()).collect();
        for uid in uids {
            let entry = self.queue.get_mut(&uid).expect("listed just above");
            entry.told = None;
            let (place, pod) = (entry.place, entry.pod.clone());
            match (place, self.place_of(&pod, now)) {
                (Place::Unschedulable(_), _) => self.queue.put_at(&uid, Place::Active(now)),
                (Place::Parked(_), place) | (Place::Active(_), place @ Place::Parked(_)) => self.queue.put_at(&uid, place),
                _ => (),
            }
        }
    }
}
