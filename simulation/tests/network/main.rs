//! The stack as it is between processes, in one thread: HTTPS, gateways, gRPC, shards and `shardplane store` on the network of
//! turmoil, under faults that a seed chooses (DESIGN D10).
//!
//! [`world::run`] is one seed. Real is everything that is between a client's call and the store: `client::https`, rustls, hyper,
//! the gateways' and shards' servers, `wire` and tonic, as the processes of the binary wire them up. Simulated are TCP, with
//! delays, cuts and losses, the crashes of hosts, the store's disk, and what hosts take for time and chance. Start reading at
//! `world`.
//!
//! A seed is one history. The bytes on the network are not the same in each run, since keys, signatures and hyper's Date are the
//! machine's, but how many pieces they go out in, and when, does not depend on that.
//!
//! turmoil can neither let a host stand still nor set its clock wrong while it runs: both are in the crate's own simulation,
//! where processes call each other without a wire, and a seed takes a fraction of the time. Here leases are as short as there,
//! and so are the patience and the pauses of connections.

#![allow(clippy::print_stdout, reason = "a test may say what it has seen")]

mod clients;
mod clock;
mod faults;
mod gateway;
mod net;
mod planted;
mod setup;
mod shard;
mod store;
mod world;

use simulation::{Outcome, seeds};

use planted::Bug;
use world::run;

fn show(seed: u64, outcome: &Outcome) -> String {
    format!(
        "{outcome}replay it: SHARDPLANE_SEED={seed} cargo test -p shardplane-simulation --test network promises_hold"
    )
}

#[test]
fn promises_hold_over_a_bad_network() {
    let (mut operations, mut acknowledged, mut events, mut failed) = (0, 0, 0, Vec::new());
    let all = seeds(24);
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
    for seed in seeds(2) {
        let (once, again) = (run(seed, Bug::None), run(seed, Bug::None));
        assert_eq!(once.story, again.story);
        assert_eq!(once.trace, again.trace, "SHARDPLANE_SEED={seed}");
    }
}

/// Some seed finds a planted bug.
fn found(bug: Bug) {
    for seed in 1..=60 {
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
fn a_request_that_changes_its_id_is_found() {
    found(Bug::RequestIdsChange);
}
