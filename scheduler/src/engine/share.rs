//! Which nodes are this scheduler's, and what it knows of them.

use std::sync::Arc;

use client::{Change, Members};
use hashbrown::{HashMap, HashSet};
use smol_str::SmolStr;

use super::Engine;
use crate::columns::{Placed, Row};
use crate::hash;
use crate::queue::Place;
use crate::view::{NodeView, PodView};

/// Pods on nodes of this share that are not there (yet, or any more).
#[derive(Default)]
pub(super) struct Orphans {
    pods: HashMap<SmolStr, (SmolStr, Placed)>,
    by_node: HashMap<SmolStr, HashSet<SmolStr>>,
}

impl Orphans {
    pub(super) fn contains(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    fn insert(&mut self, uid: &SmolStr, node: &SmolStr, placed: Placed) {
        self.remove(uid);
        self.pods.insert(uid.clone(), (node.clone(), placed));
        self.by_node.entry_ref(node).or_default().insert(uid.clone());
    }

    pub(super) fn remove(&mut self, uid: &str) {
        let Some((node, _)) = self.pods.remove(uid) else { return };
        if let Some(uids) = self.by_node.get_mut(&node) {
            uids.remove(uid);
            if uids.is_empty() {
                self.by_node.remove(&node);
            }
        }
    }

    /// Removes a pod whose binding has failed.
    pub(super) fn remove_assumed(&mut self, uid: &str) {
        if self.pods.get(uid).is_some_and(|(_, placed)| placed.is_assumed) {
            self.remove(uid);
        }
    }

    /// Takes the pods of a node.
    fn take(&mut self, node: &str) -> Vec<(SmolStr, Placed)> {
        let uids = self.by_node.remove(node).unwrap_or_default();
        uids.into_iter().filter_map(|uid| self.pods.remove(&uid).map(|(_, placed)| (uid, placed))).collect()
    }

    fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.by_node.retain(|node, _| keep(node));
        self.pods.retain(|_, (node, _)| keep(node));
    }
}

impl Engine {
    pub(super) fn owns(&self, node: &str) -> bool {
        self.members.owns(hash(node))
    }

    /// A node has changed.
    pub fn node_changed(&mut self, change: &Change<NodeView>) {
        let node = change.object();
        if !self.owns(node.name()) {
            return;
        }
        match change {
            Change::Added(_) | Change::Updated(..) => {
                self.add_node(node);
            }
            Change::Deleted(_) => {
                // It may come back before its pods are gone, and before bindings to it have ended.
                for (uid, placed) in self.columns.remove_node(node.name()) {
                    self.orphans.insert(&uid, node.name(), placed);
                }
            }
        }
    }

    fn add_node(&mut self, node: &Arc<NodeView>) -> Row {
        let row = self.columns.upsert_node(node);
        for (uid, placed) in self.orphans.take(node.name()) {
            self.columns.place(&uid, Placed { row, ..placed });
        }
        row
    }

    /// Counts a pod on its node, if that is one of this share.
    pub(super) fn apply_bound(&mut self, pod: &Arc<PodView>) {
        let row = self.columns.row(&pod.node_name);
        if let Some(row) = row {
            self.orphans.remove(pod.uid());
            self.columns.confirm(pod, row);
            return;
        }
        self.columns.release(pod.uid());
        self.orphans.remove(pod.uid());
        if self.owns(&pod.node_name) {
            self.orphans.insert(pod.uid(), &pod.node_name, Placed::new(pod, 0, false));
        }
    }

    /// The members have changed, and with them this scheduler's share of the nodes. `nodes` and `pods` are all that the
    /// cluster has; changes that led to them may still come in afterwards.
    pub fn members_changed(&mut self, members: &Members, nodes: &[Arc<NodeView>], pods: &[Arc<PodView>]) {
        self.members = members.clone();
        let lost: Vec<SmolStr> = self.columns.names().filter(|name| !self.owns(name)).cloned().collect();
        for name in lost {
            self.columns.remove_node(&name);
        }
        self.orphans.retain(|name| members.owns(hash(name)));
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
                // Its change may still be on its way here, and it must not be tried meanwhile.
                self.queue.remove(pod.uid());
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
                (Place::Parked(_), place) | (Place::Active(_), place @ Place::Parked(_)) => {
                    self.queue.put_at(&uid, place)
                }
                _ => (),
            }
        }
    }
}
