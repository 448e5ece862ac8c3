//! PodTopologySpread: nodes whose host and zone hold fewer pods of the same owner score better.
//!
//! kube-scheduler counts what a selector matches: that of the constraint, or, for its default constraints, that of the
//! Services and of the controller that a pod belongs to. Here the pods of the same controller stand in for them: for a
//! ReplicaSet, a StatefulSet or a ReplicationController these are what its selector matches. So pods without a
//! controller, which only a Service could hold together, are not spread; neither are pods by constraints over other
//! topologies than host and zone, nor by those that do not select the pod itself. A constraint that would also count the
//! pods of other controllers (those of the last ReplicaSet, in a rollout) does not. Inclusion policies are the default
//! ones: nodes that the pod's node affinity excludes do not count, tainted ones do.
//!
//! A scheduler counts on its own nodes. They are an even sample of every zone, so zones stand in the same relation.

use super::MAX_NODE_SCORE;
use crate::columns::Spot;
use crate::view::Spread;

pub(crate) const WEIGHT: i64 = 2;

/// How much one pod more or less counts, by topology: more where there are more domains.
pub(crate) struct Scale {
    spread: Spread,
    host: f64,
    zone: f64,
}

/// Whether nodes there are not scored, because they lack a label of the pod's own constraints.
pub(crate) fn is_ignored(spread: Spread, spot: Spot) -> bool {
    let lacks = (spread.host.is_some() && !spot.has_hostname) || (spread.zone.is_some() && spot.zone.is_none());
    spread.is_own && lacks
}

fn part(count: u32, max_skew: i32, weight: f64) -> f64 {
    f64::from(count) * weight + f64::from(max_skew - 1)
}

impl Scale {
    /// For so many feasible nodes in so many zones, those that are ignored left out.
    pub(crate) fn new(spread: Spread, nodes: usize, zones: usize) -> Self {
        let weight = |domains: usize| ((domains + 2) as f64).ln();
        Self { spread, host: weight(nodes), zone: weight(zones) }
    }

    /// How crowded a place is with pods of one owner: `None` where it is not scored.
    pub(crate) fn crowding(&self, spot: Spot, on_host: u32, in_zone: u32) -> Option<i64> {
        if is_ignored(self.spread, spot) {
            return None;
        }
        let host = self.spread.host.filter(|_| spot.has_hostname).map_or(0.0, |skew| part(on_host, skew, self.host));
        let zone = self.spread.zone.filter(|_| spot.zone.is_some()).map_or(0.0, |skew| part(in_zone, skew, self.zone));
        Some((host + zone).round() as i64)
    }
}

/// The score of a place among feasible ones, given the lowest and highest crowding of them.
pub(crate) fn score(crowding: Option<i64>, lowest: i64, highest: i64) -> i64 {
    match crowding {
        None => 0,
        Some(_) if highest == 0 => MAX_NODE_SCORE,
        Some(crowding) => MAX_NODE_SCORE * (highest + lowest - crowding) / highest,
    }
}
