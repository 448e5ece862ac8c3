//! NodeResourcesFit: requests must fit into what is left; the least allocated node scores best.

use smol_str::{SmolStr, format_smolstr};

use super::MAX_NODE_SCORE;
use crate::columns::{Columns, Row};
use crate::view::Needs;

pub(crate) const NAME: &str = "NodeResourcesFit";
pub(crate) const WEIGHT: i64 = 1;

/// Whether the row has room for the pod.
pub(crate) fn fits(needs: &Needs, columns: &Columns, row: Row) -> bool {
    let at = row as usize;
    let requests = &needs.charge.requests;
    let enough = |wanted: i64, free: i64| wanted <= 0 || wanted <= free;
    columns.count.free(at) >= 1
        && enough(requests.cpu, columns.cpu.free(at))
        && enough(requests.memory, columns.memory.free(at))
        && enough(requests.ephemeral, columns.ephemeral.free(at))
        && requests.scalars.iter().all(|(name, wanted)| {
            columns.scalar(row, name).is_some_and(|one| *wanted <= one.allocatable.saturating_sub(one.requested))
        })
}

/// What the row has too little of, as kube-scheduler words it, and whether it would be too little on the empty node as
/// well.
pub(crate) fn insufficient(needs: &Needs, columns: &Columns, row: Row) -> (Vec<SmolStr>, bool) {
    let at = row as usize;
    let requests = &needs.charge.requests;
    let mut reasons = Vec::new();
    let mut is_hopeless = false;
    if columns.count.free(at) < 1 {
        reasons.push(SmolStr::new_static("Too many pods"));
    }
    let amounts = [
        (requests.cpu, &columns.cpu, "Insufficient cpu"),
        (requests.memory, &columns.memory, "Insufficient memory"),
        (requests.ephemeral, &columns.ephemeral, "Insufficient ephemeral-storage"),
    ];
    for (wanted, amount, reason) in amounts {
        if wanted > 0 && wanted > amount.free(at) {
            reasons.push(SmolStr::new_static(reason));
            is_hopeless |= wanted > amount.allocatable[at];
        }
    }
    for (name, wanted) in &requests.scalars {
        let (has, taken) = columns.scalar(row, name).map_or((0, 0), |one| (one.allocatable, one.requested));
        if *wanted > has.saturating_sub(taken) {
            reasons.push(format_smolstr!("Insufficient {name}"));
            is_hopeless |= *wanted > has;
        }
    }
    (reasons, is_hopeless)
}

/// LeastAllocated over cpu and memory, with what containers without requests are assumed to take.
pub(crate) fn score(needs: &Needs, columns: &Columns, row: Row) -> i64 {
    let at = row as usize;
    let resources = [
        (columns.cpu.allocatable[at], columns.scored_cpu[at].saturating_add(needs.charge.scored_cpu)),
        (columns.memory.allocatable[at], columns.scored_memory[at].saturating_add(needs.charge.scored_memory)),
    ];
    let (mut sum, mut weights) = (0, 0);
    for (has, requested) in resources.into_iter().filter(|(has, _)| *has != 0) {
        weights += 1;
        if requested <= has {
            sum += ((has - requested).saturating_mul(MAX_NODE_SCORE) / has).clamp(0, MAX_NODE_SCORE);
        }
    }
    if weights == 0 { 0 } else { sum / weights }
}
