//! The nodes of one scheduler, as columns.
//!
//! A node is a row: its free amounts stand in arrays, its labels and taints in bitmaps over rows, so that a filter is a
//! few operations on bitmaps and a score a few reads side by side. A row that is left by its node is given to the next
//! one. Every change is written to a [log](ChangeLog), from which classes of pods bring their rankings up to date.
//!
//! Invariant (tests end with it): recomputed from scratch, the columns equal the cluster. See
//! [`Columns::consistency_check`].

mod change_log;
mod check;
mod index;
mod owned;
mod topology;

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use roaring::RoaringBitmap;
use smol_str::SmolStr;

use crate::view::{Charge, HostPort, NodeView, Owner, PodView, Taint};
pub(crate) use change_log::ChangeLog;
pub(crate) use index::LabelIndex;
pub(crate) use owned::Owned;
pub(crate) use topology::{Spot, Topology};

/// A node's place in the columns.
pub type Row = u32;

/// Amounts of one resource, by row.
#[derive(Default)]
pub(crate) struct Amount {
    pub(crate) allocatable: Vec<i64>,
    pub(crate) requested: Vec<i64>,
}

impl Amount {
    /// What is left; negative where more is requested than there is.
    pub(crate) fn free(&self, row: usize) -> i64 {
        self.allocatable[row].saturating_sub(self.requested[row])
    }

    fn grow(&mut self) {
        self.allocatable.push(0);
        self.requested.push(0);
    }

    fn charge(&mut self, row: usize, amount: i64) {
        self.requested[row] = self.requested[row].saturating_add(amount);
    }
}

/// A resource that is counted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) name: SmolStr,
    pub(crate) allocatable: i64,
    pub(crate) requested: i64,
}

/// A pod that takes its share of a node.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The node.
    pub row: Row,
    /// What it takes.
    pub charge: Arc<Charge>,
    /// Its priority.
    pub priority: i32,
    /// The controller that owns it; none once it is being deleted, when it counts for its room only.
    pub owner: Option<Owner>,
    /// Decided here, and not yet seen in the API.
    pub is_assumed: bool,
}

impl Placed {
    /// A pod on a node.
    pub fn new(pod: &PodView, row: Row, is_assumed: bool) -> Self {
        let owner = pod.owner.filter(|_| !pod.meta.is_deleting());
        Self { row, charge: pod.charge.clone(), priority: pod.priority, owner, is_assumed }
    }
}

/// The nodes of one scheduler and the pods on them.
#[derive(Default)]
pub struct Columns {
    nodes: Vec<Option<Arc<NodeView>>>,
    rows: HashMap<SmolStr, Row>,
    free: Vec<Row>,
    pub(crate) present: RoaringBitmap,
    pub(crate) unschedulable: RoaringBitmap,
    pub(crate) labels: LabelIndex,
    pub(crate) taints: HashMap<Taint, RoaringBitmap>,
    pub(crate) topology: Topology,
    pub(crate) owned: Owned,
    pub(crate) cpu: Amount,
    pub(crate) memory: Amount,
    pub(crate) ephemeral: Amount,
    /// Numbers of pods.
    pub(crate) count: Amount,
    /// Requested cpu as scoring counts it.
    pub(crate) scored_cpu: Vec<i64>,
    /// Requested memory as scoring counts it.
    pub(crate) scored_memory: Vec<i64>,
    scalars: Vec<Vec<Scalar>>,
    ports: Vec<Vec<HostPort>>,
    on: Vec<Vec<SmolStr>>,
    pods: HashMap<SmolStr, Placed>,
    priorities: BTreeMap<i32, usize>,
    pub(crate) changes: ChangeLog,
    improved: RoaringBitmap,
}

impl Columns {
    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Number of rows, free ones included.
    pub(crate) fn capacity(&self) -> usize {
        self.nodes.len()
    }

    /// The row of a node.
    pub fn row(&self, name: &str) -> Option<Row> {
        self.rows.get(name).copied()
    }

    /// The node of a row.
    pub fn node(&self, row: Row) -> Option<&Arc<NodeView>> {
        self.nodes.get(row as usize)?.as_ref()
    }

    /// Names of all nodes, in no order.
    pub fn names(&self) -> impl Iterator<Item = &SmolStr> {
        self.rows.keys()
    }

    /// A pod that takes its share of one of these nodes.
    pub fn pod(&self, uid: &str) -> Option<&Placed> {
        self.pods.get(uid)
    }

    /// Number of pods on these nodes, and how many of them are assumed.
    pub fn pods(&self) -> (usize, usize) {
        (self.pods.len(), self.pods.values().filter(|pod| pod.is_assumed).count())
    }

    /// Whether any pod on the row has less than this priority.
    pub(crate) fn has_lower_priority(&self, row: Row, priority: i32) -> bool {
        self.priorities.range(..priority).next().is_some()
            && self.on[row as usize].iter().any(|uid| self.pods[uid].priority < priority)
    }

    pub(crate) fn scalar(&self, row: Row, name: &str) -> Option<&Scalar> {
        self.scalars[row as usize].iter().find(|scalar| scalar.name == name)
    }

    pub(crate) fn ports(&self, row: Row) -> &[HostPort] {
        &self.ports[row as usize]
    }

    /// The rows on which something has got better since the last call: more room, other labels or taints.
    pub(crate) fn take_improved(&mut self) -> RoaringBitmap {
        std::mem::take(&mut self.improved)
    }

    /// Adds a node, or takes over what has changed of it.
    pub fn upsert_node(&mut self, node: &Arc<NodeView>) -> Row {
        let Some(row) = self.row(node.name()) else { return self.add_node(node) };
        let old = self.nodes[row as usize].replace(node.clone()).expect("a named row has a node");
        if *old == **node {
            return row;
        }
        self.unindex(row, &old);
        self.index(row, node);
        self.changes.push(row, true);
        self.improved.insert(row);
        row
    }

    fn add_node(&mut self, node: &Arc<NodeView>) -> Row {
        let row = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            for amount in [&mut self.cpu, &mut self.memory, &mut self.ephemeral, &mut self.count] {
                amount.grow();
            }
            self.topology.grow();
            self.scored_cpu.push(0);
            self.scored_memory.push(0);
            self.scalars.push(Vec::new());
            self.ports.push(Vec::new());
            self.on.push(Vec::new());
            Row::try_from(self.nodes.len() - 1).expect("fewer than 2^32 nodes")
        });
        self.nodes[row as usize] = Some(node.clone());
        self.rows.insert(node.name().clone(), row);
        self.present.insert(row);
        self.index(row, node);
        self.changes.resize(self.nodes.len());
        self.changes.push(row, true);
        self.improved.insert(row);
        row
    }

    fn index(&mut self, row: Row, node: &NodeView) {
        let at = row as usize;
        if node.unschedulable {
            self.unschedulable.insert(row);
        }
        self.labels.insert(row, node);
        self.topology.put(row, node);
        for taint in &node.taints {
            self.taints.entry_ref(taint).or_default().insert(row);
        }
        let has = &node.allocatable;
        self.cpu.allocatable[at] = has.cpu;
        self.memory.allocatable[at] = has.memory;
        self.ephemeral.allocatable[at] = has.ephemeral;
        self.count.allocatable[at] = has.pods;
        for (name, value) in &has.scalars {
            self.scalar_mut(row, name).allocatable = *value;
        }
    }

    fn unindex(&mut self, row: Row, node: &NodeView) {
        self.unschedulable.remove(row);
        self.labels.remove(row, node);
        for taint in &node.taints {
            if let Some(rows) = self.taints.get_mut(taint) {
                rows.remove(row);
                if rows.is_empty() {
                    self.taints.remove(taint);
                }
            }
        }
        for scalar in &mut self.scalars[row as usize] {
            scalar.allocatable = 0;
        }
        self.scalars[row as usize].retain(|scalar| scalar.requested != 0);
    }

    fn scalar_mut(&mut self, row: Row, name: &SmolStr) -> &mut Scalar {
        let scalars = &mut self.scalars[row as usize];
        let at = scalars.iter().position(|scalar| scalar.name == *name).unwrap_or_else(|| {
            scalars.push(Scalar { name: name.clone(), allocatable: 0, requested: 0 });
            scalars.len() - 1
        });
        &mut scalars[at]
    }

    /// Removes a node. Its pods are no longer counted and are handed back.
    pub fn remove_node(&mut self, name: &str) -> Vec<(SmolStr, Placed)> {
        let Some(row) = self.row(name) else { return Vec::new() };
        let uids = self.on[row as usize].clone();
        let pods = uids.into_iter().filter_map(|uid| self.release(&uid).map(|placed| (uid, placed))).collect();
        let node = self.nodes[row as usize].take().expect("a named row has a node");
        self.unindex(row, &node);
        self.rows.remove(name);
        self.present.remove(row);
        self.improved.remove(row);
        self.free.push(row);
        self.changes.push(row, true);
        pods
    }

    /// Counts a pod on a node, instead of where it was counted before.
    pub fn place(&mut self, uid: &SmolStr, placed: Placed) {
        if let Some(old) = self.pods.get_mut(uid) {
            if old.row == placed.row && old.priority == placed.priority && old.charge == placed.charge {
                old.is_assumed = placed.is_assumed;
                let before = std::mem::replace(&mut old.owner, placed.owner);
                if before != placed.owner {
                    self.owned.remove(before, placed.row);
                    self.owned.add(placed.owner, placed.row);
                    self.changes.push(placed.row, false);
                }
                return;
            }
            self.release(uid);
        }
        self.charge(placed.row, &placed.charge, 1);
        self.owned.add(placed.owner, placed.row);
        self.on[placed.row as usize].push(uid.clone());
        *self.priorities.entry(placed.priority).or_default() += 1;
        self.changes.push(placed.row, false);
        self.pods.insert(uid.clone(), placed);
    }

    /// Counts a pod of the API on one of these nodes.
    pub fn confirm(&mut self, pod: &PodView, row: Row) {
        self.place(pod.uid(), Placed::new(pod, row, false));
    }

    /// No longer counts a pod.
    pub fn release(&mut self, uid: &str) -> Option<Placed> {
        let (uid, placed) = self.pods.remove_entry(uid)?;
        self.charge(placed.row, &placed.charge, -1);
        self.owned.remove(placed.owner, placed.row);
        self.on[placed.row as usize].retain(|one| *one != uid);
        if let Some(count) = self.priorities.get_mut(&placed.priority) {
            *count -= 1;
            if *count == 0 {
                self.priorities.remove(&placed.priority);
            }
        }
        self.changes.push(placed.row, false);
        self.improved.insert(placed.row);
        Some(placed)
    }

    fn charge(&mut self, row: Row, charge: &Charge, sign: i64) {
        let at = row as usize;
        self.cpu.charge(at, sign.saturating_mul(charge.requests.cpu));
        self.memory.charge(at, sign.saturating_mul(charge.requests.memory));
        self.ephemeral.charge(at, sign.saturating_mul(charge.requests.ephemeral));
        self.count.charge(at, sign);
        self.scored_cpu[at] = self.scored_cpu[at].saturating_add(sign.saturating_mul(charge.scored_cpu));
        self.scored_memory[at] = self.scored_memory[at].saturating_add(sign.saturating_mul(charge.scored_memory));
        for (name, value) in &charge.requests.scalars {
            let scalar = self.scalar_mut(row, name);
            scalar.requested = scalar.requested.saturating_add(sign.saturating_mul(*value));
        }
        let ports = &mut self.ports[at];
        if sign > 0 {
            ports.extend(charge.ports.iter().cloned());
            return;
        }
        for port in &charge.ports {
            if let Some(at) = ports.iter().position(|one| one == port) {
                ports.swap_remove(at);
            }
        }
        self.scalars[at].retain(|scalar| scalar.requested != 0 || scalar.allocatable != 0);
    }
}
