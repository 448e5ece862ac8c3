//! Why a pod fits nowhere: how many nodes each reason refuses, in kube-scheduler's words.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::columns::Columns;
use crate::plugins::{NODE_FILTERS, node_affinity, node_ports, node_resources_fit};
use crate::view::Needs;

const UNHELPFUL: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
/// There are pods of lower priority, and this scheduler leaves them alone.
const NO_PREEMPTION: &str = "Preemption is not implemented";

/// Numbers of nodes by reason.
pub(crate) type Histogram = BTreeMap<SmolStr, u32>;

/// Why none of one scheduler's nodes will do. This is also what it tells the others (see [`crate::refusal`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Diagnosis {
    /// How many nodes it has.
    pub nodes: u32,
    /// What is wrong with the pod itself, whatever the nodes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// What is wrong with how many nodes. One node may have several things wrong.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: Histogram,
    /// What preemption could do about it, by number of nodes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub preemption: Histogram,
    /// The plugins that refused nodes.
    #[serde(skip)]
    pub plugins: Vec<&'static str>,
}

fn count(histogram: &mut Histogram, reason: &str, nodes: u64) {
    if nodes > 0 {
        *histogram.entry(SmolStr::new(reason)).or_default() += u32::try_from(nodes).unwrap_or(u32::MAX);
    }
}

impl Diagnosis {
    /// Asks every filter about every node; none of them is feasible.
    pub(crate) fn make(needs: &Needs, columns: &Columns, priority: i32) -> Self {
        let mut made = Self { nodes: u32::try_from(columns.len()).unwrap_or(u32::MAX), ..Self::default() };
        made.pod = Self::of_pod(needs);
        if !made.pod.is_empty() {
            made.plugins.push("NodeAffinity");
            count(&mut made.preemption, UNHELPFUL, made.nodes.into());
            return made;
        }
        let mut left = columns.present.clone();
        node_affinity::keep_named(needs, columns, &mut left);
        made.refused("NodeAffinity", node_affinity::NOT_NAMED, columns.present.len() - left.len());
        for filter in NODE_FILTERS {
            let before = left.len();
            filter.keep(needs, columns, &mut left);
            made.refused(filter.name(), filter.reason(), before - left.len());
        }
        for row in &left {
            let is_hopeless = if node_ports::fits(needs, columns, row) {
                let (reasons, is_hopeless) = node_resources_fit::insufficient(needs, columns, row);
                made.note(node_resources_fit::NAME);
                for reason in reasons {
                    *made.reasons.entry(reason).or_default() += 1;
                }
                is_hopeless
            } else {
                made.note(node_ports::NAME);
                count(&mut made.reasons, node_ports::REASON, 1);
                false
            };
            let preemption = match (is_hopeless, columns.has_lower_priority(row, priority)) {
                (true, _) => UNHELPFUL,
                (false, true) => NO_PREEMPTION,
                (false, false) => NO_VICTIMS,
            };
            count(&mut made.preemption, preemption, 1);
        }
        made
    }

    fn of_pod(needs: &Needs) -> String {
        if let [first, rest @ ..] = needs.missing.as_slice() {
            let list = rest.iter().fold((*first).to_owned(), |list, one| list + ", " + one);
            return format!("the pod needs what this scheduler does not implement yet: {list}");
        }
        let is_conflict = needs.only_names.as_ref().is_some_and(Vec::is_empty);
        if is_conflict { node_affinity::CONFLICT.to_owned() } else { String::new() }
    }

    fn note(&mut self, plugin: &'static str) {
        if !self.plugins.contains(&plugin) {
            self.plugins.push(plugin);
        }
    }

    /// Nodes that are refused for good: no pod that goes would help.
    fn refused(&mut self, plugin: &'static str, reason: &str, nodes: u64) {
        if nodes > 0 {
            self.note(plugin);
            count(&mut self.reasons, reason, nodes);
            count(&mut self.preemption, UNHELPFUL, nodes);
        }
    }

    /// Adds what another scheduler says about its nodes.
    pub(crate) fn add(&mut self, other: &Self) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        if self.pod.is_empty() {
            self.pod.clone_from(&other.pod);
        }
        for (into, from) in [(&mut self.reasons, &other.reasons), (&mut self.preemption, &other.preemption)] {
            for (reason, nodes) in from {
                count(into, reason, (*nodes).into());
            }
        }
    }

    /// The message of the PodScheduled condition and of the FailedScheduling event.
    pub(crate) fn message(&self, never_preempts: bool) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut text = format!("0/{} nodes are available:", self.nodes);
        if self.pod.is_empty() {
            write_reasons(&mut text, &self.reasons);
        } else {
            let _ = write!(text, " {}.", self.pod);
        }
        if never_preempts {
            text.push_str(" preemption: not eligible due to preemptionPolicy=Never.");
        } else {
            let _ = write!(text, " preemption: 0/{} nodes are available:", self.nodes);
            write_reasons(&mut text, &self.preemption);
        }
        text
    }
}

/// ` 1 this, 2 that.`, in the order of the texts as kube-scheduler sorts them, number first.
fn write_reasons(text: &mut String, reasons: &Histogram) {
    let mut each: Vec<_> = reasons.iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect();
    each.sort_unstable();
    if !each.is_empty() {
        let _ = write!(text, " {}.", each.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nodes: u32, reasons: &[(&str, u32)], preemption: &[(&str, u32)]) -> Diagnosis {
        let map = |list: &[(&str, u32)]| list.iter().map(|(reason, nodes)| (SmolStr::new(reason), *nodes)).collect();
        Diagnosis { nodes, reasons: map(reasons), preemption: map(preemption), ..Diagnosis::default() }
    }

    #[test]
    fn sets_of_nodes_add_up_to_one_sentence() {
        let mut sum = of(3, &[("Insufficient cpu", 3)], &[(NO_VICTIMS, 3)]);
        sum.add(&of(2, &[("node(s) had untolerated taint(s)", 2)], &[(UNHELPFUL, 2)]));
        assert_eq!(
            sum.message(false),
            "0/5 nodes are available: 2 node(s) had untolerated taint(s), 3 Insufficient cpu. preemption: 0/5 nodes are \
             available: 2 Preemption is not helpful for scheduling, 3 No preemption victims found for incoming pod."
        );
        assert!(
            sum.message(true).ends_with("3 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.")
        );
    }

    #[test]
    fn numbers_sort_as_text() {
        let sum = of(12, &[("b", 2), ("a", 10)], &[]);
        assert!(sum.message(true).starts_with("0/12 nodes are available: 10 a, 2 b. "));
        assert_eq!(of(0, &[], &[]).message(false), "no nodes available to schedule pods");
    }

    #[test]
    fn what_travels_comes_back() {
        let sum = of(3, &[("Insufficient cpu", 3)], &[(NO_VICTIMS, 3)]);
        let text = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<Diagnosis>(&text).unwrap(), sum);
    }
}
