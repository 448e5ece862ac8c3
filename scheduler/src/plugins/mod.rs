//! Filters and scores, by the names and weights of the default kube-scheduler. One file each.
//!
//! Filters come in two kinds. [`NodeFilter`]s look at what a Node object says, which seldom changes: they work on whole
//! bitmaps, and a class keeps what they leave. [`node_ports`] and [`node_resources_fit`] look at what pods have taken:
//! they are asked row by row, for the rows that changed. Scores are split the same way: least-allocated and balanced
//! are functions of one row's amounts ([`local_score`]); TaintToleration and NodeAffinity count something on the Node
//! object and are normalised over all feasible nodes, which [`crate::class`] does with one offset per [`Counts`].
//! [`pod_topology_spread`] counts pods of the same owner and is normalised likewise, with one offset per place and count.
//!
//! Rooms: InterPodAffinity, PodTopologySpread's filter, VolumeBinding and its kin, DynamicResources. A pod that one of
//! these would have to filter for is not placed, and its condition says which one is missing
//! ([`crate::view::Needs::missing`]). What these would only score (preferred pod affinity, image locality) is ignored.

pub(crate) mod node_affinity;
pub(crate) mod node_name;
pub(crate) mod node_ports;
pub(crate) mod node_resources_balanced_allocation;
pub(crate) mod node_resources_fit;
pub(crate) mod node_unschedulable;
pub(crate) mod pod_topology_spread;
pub(crate) mod taint_toleration;

use roaring::RoaringBitmap;

use crate::columns::{Columns, Row};
use crate::view::{Needs, NodeView};

/// The score of the best node, before weights.
pub(crate) const MAX_NODE_SCORE: i64 = 100;

/// A filter that looks only at what a Node object says. Both methods say the same, about all rows and about one node.
pub(crate) trait NodeFilter: Sync {
    /// Its name in metrics.
    fn name(&self) -> &'static str;
    /// Why it refuses a node, as kube-scheduler words it.
    fn reason(&self) -> &'static str;
    /// Keeps of `rows` those that it allows.
    fn keep(&self, needs: &Needs, columns: &Columns, rows: &mut RoaringBitmap);
    /// Whether it allows the node.
    fn allows(&self, needs: &Needs, node: &NodeView) -> bool;
}

/// In the order in which they are asked; the first that refuses a node names the reason.
pub(crate) static NODE_FILTERS: [&dyn NodeFilter; 4] = [
    &node_unschedulable::NodeUnschedulable,
    &node_name::NodeName,
    &taint_toleration::TaintToleration,
    &node_affinity::NodeAffinity,
];

/// Whether every filter that looks at the Node object allows it.
pub(crate) fn node_allows(needs: &Needs, node: &NodeView) -> bool {
    needs.missing.is_empty() && NODE_FILTERS.iter().all(|filter| filter.allows(needs, node))
}

/// The rows that every filter that looks at the Node object allows.
pub(crate) fn allowed_rows(needs: &Needs, columns: &Columns) -> RoaringBitmap {
    if !needs.missing.is_empty() {
        return RoaringBitmap::new();
    }
    NODE_FILTERS.iter().fold(columns.present.clone(), |mut rows, filter| {
        filter.keep(needs, columns, &mut rows);
        rows
    })
}

/// Whether what pods have left of the row is enough.
pub(crate) fn row_has_room(needs: &Needs, columns: &Columns, row: Row) -> bool {
    node_resources_fit::fits(needs, columns, row) && node_ports::fits(needs, columns, row)
}

/// Whether every filter allows the row.
pub(crate) fn is_feasible(needs: &Needs, columns: &Columns, row: Row) -> bool {
    row_has_room(needs, columns, row) && columns.node(row).is_some_and(|node| node_allows(needs, node))
}

/// The weighted sum of the scores that depend on one row's amounts only: 200 at most.
pub(crate) fn local_score(needs: &Needs, columns: &Columns, row: Row) -> u8 {
    let score = node_resources_fit::WEIGHT * node_resources_fit::score(needs, columns, row)
        + node_resources_balanced_allocation::WEIGHT * node_resources_balanced_allocation::score(needs, columns, row);
    u8::try_from(score).expect("each score is between 0 and 100")
}

/// What the normalised scores count on a Node object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Counts {
    /// PreferNoSchedule taints that the pod does not tolerate.
    pub(crate) taints: i64,
    /// Weights of the preferred node affinity terms that match.
    pub(crate) affinity: i64,
}

impl Counts {
    /// The counts of one node.
    pub(crate) fn of(needs: &Needs, node: &NodeView) -> Self {
        Self { taints: taint_toleration::count(needs, node), affinity: node_affinity::count(needs, node) }
    }

    /// The larger of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self { taints: self.taints.max(other.taints), affinity: self.affinity.max(other.affinity) }
    }

    /// The weighted sum of the normalised scores, given the highest counts of all feasible nodes.
    pub(crate) fn score(self, needs: &Needs, highest: Self) -> i64 {
        let taints = MAX_NODE_SCORE - normalised(self.taints, highest.taints);
        let affinity = if needs.preferred.is_empty() { 0 } else { normalised(self.affinity, highest.affinity) };
        taint_toleration::WEIGHT * taints + node_affinity::WEIGHT * affinity
    }
}

/// A count on the scale of scores: the highest becomes the best score, none stays 0.
fn normalised(count: i64, highest: i64) -> i64 {
    if highest == 0 { 0 } else { MAX_NODE_SCORE * count / highest }
}
