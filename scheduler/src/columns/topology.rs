//! Where rows stand: what spreading looks at in a node.

use hashbrown::HashMap;
use smol_str::SmolStr;

use super::Row;
use crate::view::{HOST, NodeView, ZONE};

/// A node's place in the topologies that pods are spread over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    /// Number of its zone. (kube-scheduler takes nodes of no zone and of one with the empty name for one domain when it
    /// counts domains; here they are two.)
    pub(crate) zone: Option<u32>,
    /// Whether it has the label that makes a domain of its own of it.
    pub(crate) has_hostname: bool,
}

/// Spots by row. A zone keeps its number when its last node goes.
#[derive(Default)]
pub(crate) struct Topology {
    zones: HashMap<SmolStr, u32>,
    spots: Vec<Spot>,
}

impl Topology {
    pub(crate) fn spot(&self, row: Row) -> Spot {
        self.spots[row as usize]
    }

    pub(super) fn grow(&mut self) {
        self.spots.push(Spot::default());
    }

    pub(super) fn put(&mut self, row: Row, node: &NodeView) {
        let next = u32::try_from(self.zones.len()).expect("fewer than 2^32 zones");
        let zone = node.meta.labels.get(ZONE).map(|zone| *self.zones.entry_ref(zone).or_insert(next));
        self.spots[row as usize] = Spot { zone, has_hostname: node.meta.labels.contains_key(HOST) };
    }

    /// A zone's name, for the consistency check.
    pub(super) fn zone_name(&self, zone: u32) -> Option<&SmolStr> {
        self.zones.iter().find(|(_, number)| **number == zone).map(|(name, _)| name)
    }
}
