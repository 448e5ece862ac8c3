//! The columns, recomputed from scratch and compared (DESIGN D8).

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use smol_str::SmolStr;

use super::{Columns, Placed, Row, Scalar};
use crate::view::{HostPort, NodeView, Owner, PodView};

/// Everything that the columns say about one node, in an order of its own.
#[derive(Debug, PartialEq)]
struct Facts {
    amounts: [(i64, i64); 4],
    scored: (i64, i64),
    scalars: Vec<Scalar>,
    ports: Vec<HostPort>,
    pods: Vec<SmolStr>,
    is_unschedulable: bool,
    is_present: bool,
    labels: Vec<(SmolStr, Option<SmolStr>)>,
    taints: Vec<(SmolStr, SmolStr, SmolStr)>,
    zone: Option<SmolStr>,
    has_hostname: bool,
    owned: Vec<(Owner, u32)>,
}

/// What is indexed about a row.
#[derive(Default)]
struct Indexed {
    labels: Vec<(SmolStr, Option<SmolStr>)>,
    owned: Vec<(Owner, u32)>,
}

impl Columns {
    /// Compares the columns with what the cluster's nodes and pods (those of other nodes are passed over) make of them,
    /// pods that are assumed here included. The error names the first node that differs.
    pub fn consistency_check<'a>(
        &self,
        nodes: impl IntoIterator<Item = &'a Arc<NodeView>>,
        pods: impl IntoIterator<Item = &'a Arc<PodView>>,
    ) -> Result<(), String> {
        let mut fresh = Self::default();
        for node in nodes {
            fresh.upsert_node(node);
        }
        for pod in pods.into_iter().filter(|pod| !pod.is_terminal) {
            if let Some(row) = fresh.row(&pod.node_name) {
                fresh.confirm(pod, row);
            }
        }
        for (uid, placed) in self.pods.iter().filter(|(_, placed)| placed.is_assumed) {
            let name = self.node(placed.row).ok_or_else(|| format!("assumed pod {uid} is on no node"))?.name();
            let row = fresh.row(name).ok_or_else(|| format!("assumed pod {uid} is on {name}, which is gone"))?;
            fresh.place(uid, Placed { row, ..placed.clone() });
        }
        let (own, fresh) = (self.facts(), fresh.facts());
        for name in own.keys().chain(fresh.keys()) {
            if own.get(name) != fresh.get(name) {
                return Err(format!("node {name}: columns say {:?}, the cluster {:?}", own.get(name), fresh.get(name)));
            }
        }
        if let Some((owner, row, count)) = self.owned.content().find(|(_, row, _)| !self.present.contains(*row)) {
            return Err(format!("row {row} has no node and {count} pods of {owner:?}"));
        }
        let indexed = self.labels.content().map(|(_, _, rows)| rows).chain(self.taints.values());
        match indexed.chain([&self.unschedulable]).find_map(|rows| (rows - &self.present).min()) {
            Some(row) => Err(format!("row {row} is indexed and has no node")),
            None => Ok(()),
        }
    }

    fn facts(&self) -> BTreeMap<SmolStr, Facts> {
        let mut indexed: HashMap<Row, Indexed> = HashMap::new();
        for (key, value, rows) in self.labels.content() {
            for row in rows {
                indexed.entry(row).or_default().labels.push((key.clone(), value.cloned()));
            }
        }
        for (owner, row, count) in self.owned.content() {
            indexed.entry(row).or_default().owned.push((owner, count));
        }
        let mut of = |row: Row| self.facts_of(row, indexed.remove(&row).unwrap_or_default());
        self.rows.iter().map(|(name, row)| (name.clone(), of(*row))).collect()
    }

    fn facts_of(&self, row: Row, Indexed { labels, owned }: Indexed) -> Facts {
        let at = row as usize;
        let amounts = [&self.cpu, &self.memory, &self.ephemeral, &self.count];
        let taints = self.taints.iter().filter(|(_, rows)| rows.contains(row));
        let mut facts = Facts {
            amounts: amounts.map(|amount| (amount.allocatable[at], amount.requested[at])),
            scored: (self.scored_cpu[at], self.scored_memory[at]),
            scalars: self.scalars[at]
                .iter()
                .filter(|one| one.allocatable != 0 || one.requested != 0)
                .cloned()
                .collect(),
            ports: self.ports[at].clone(),
            pods: self.on[at].clone(),
            is_unschedulable: self.unschedulable.contains(row),
            is_present: self.present.contains(row),
            labels,
            taints: taints.map(|(one, _)| (one.key.clone(), one.value.clone(), one.effect.clone())).collect(),
            zone: self.topology.spot(row).zone.and_then(|zone| self.topology.zone_name(zone)).cloned(),
            has_hostname: self.topology.spot(row).has_hostname,
            owned,
        };
        facts.scalars.sort_by(|a, b| a.name.cmp(&b.name));
        facts.ports.sort_unstable();
        facts.pods.sort_unstable();
        facts.labels.sort_unstable();
        facts.taints.sort_unstable();
        facts.owned.sort_unstable();
        facts
    }
}
