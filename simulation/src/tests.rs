//! Thousands of worlds, and whether each bug that is planted is found by some.

use crate::{Bug, Outcome, run, seeds};

fn show(seed: u64, outcome: &Outcome) -> String {
    format!("{outcome}replay it: SHARDPLANE_SEED={seed} cargo test -p shardplane-simulation --lib promises_hold")
}

#[test]
fn promises_hold_whatever_happens() {
    let (mut operations, mut acknowledged, mut events, mut failed) = (0, 0, 0, Vec::new());
    let all = seeds(300);
    for seed in &all {
        let outcome = run(*seed, Bug::None);
        operations += outcome.operations;
        acknowledged += outcome.acknowledged;
        events += outcome.events;
        if !outcome.violations.is_empty() {
            println!("{}", show(*seed, &outcome));
            failed.push(*seed);
        }
    }
    println!("{} seeds: {operations} operations, {acknowledged} writes acknowledged, {events} events", all.len());
    assert!(failed.is_empty(), "seeds {failed:?}");
}

#[test]
fn a_seed_is_one_history() {
    for seed in seeds(3) {
        let (once, again) = (run(seed, Bug::None), run(seed, Bug::None));
        assert_eq!(once.story, again.story);
        assert_eq!(once.trace, again.trace, "SHARDPLANE_SEED={seed}");
    }
}

/// Some seed finds a planted bug.
fn found(bug: Bug) {
    for seed in 1..=200 {
        let outcome = run(seed, bug);
        if let Some(violation) = outcome.violations.first() {
            let first: Vec<&str> = violation.lines().take(4).collect();
            println!("{bug:?} is found by seed {seed}: {}", first.join("\n"));
            return;
        }
    }
    panic!("no seed finds {bug:?}");
}

#[test]
fn a_store_without_fences_is_found() {
    found(Bug::NoFencing);
}

#[test]
fn a_store_that_acknowledges_before_it_syncs_is_found() {
    found(Bug::AcknowledgedBeforeSync);
}

#[test]
fn a_shard_that_publishes_before_the_commit_is_found() {
    found(Bug::PublishedBeforeCommit);
}

#[test]
fn an_event_that_is_left_out_is_found() {
    found(Bug::EventDropped);
}

#[test]
fn a_clock_without_ceilings_is_found() {
    found(Bug::NoCeilings);
}

#[test]
fn a_shard_that_ignores_its_lease_is_found() {
    found(Bug::LeaseIgnored);
}

#[test]
fn a_request_that_changes_its_id_is_found() {
    found(Bug::RequestIdsChange);
}
