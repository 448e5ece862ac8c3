//! NodeResourcesBalancedAllocation: nodes whose cpu and memory the pod makes more evenly used score better.

use super::MAX_NODE_SCORE;
use crate::columns::{Amount, Columns, Row};
use crate::view::Needs;

pub(crate) const WEIGHT: i64 = 1;

/// How even two shares are, 50 to 100; with fewer than two there is nothing to be uneven.
fn evenness(requested: [i64; 2], allocatable: [i64; 2]) -> i64 {
    let share = |at: usize| (requested[at] as f64 / allocatable[at] as f64).min(1.0);
    let deviation = match allocatable {
        [0, _] | [_, 0] => 0.0,
        _ => ((share(0) - share(1)) / 2.0).abs(),
    };
    ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
}

/// The score; 0 for pods without requests, which would otherwise pile up on one node.
pub(crate) fn score(needs: &Needs, columns: &Columns, row: Row) -> i64 {
    let requests = &needs.charge.requests;
    if requests.cpu == 0 && requests.memory == 0 {
        return 0;
    }
    let at = row as usize;
    let both = |of: fn(&Amount) -> &Vec<i64>| [of(&columns.cpu)[at], of(&columns.memory)[at]];
    let allocatable = both(|amount| &amount.allocatable);
    let before = both(|amount| &amount.requested);
    let after = [before[0].saturating_add(requests.cpu), before[1].saturating_add(requests.memory)];
    let gain = evenness(after, allocatable) - evenness(before, allocatable);
    MAX_NODE_SCORE / 2 + (MAX_NODE_SCORE / 2 + gain) / 2
}
