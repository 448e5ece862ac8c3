//! A whole Shardplane in one thread: two gateways, four shards and a store in memory, under a seeded world that drops, delays
//! and cuts what they say to each other, stops and kills them in the middle of anything, sets their clocks wrong, loses what
//! the store has not synced, and moves slots (DESIGN D10).
//!
//! [`run`] is one seed: it starts everything, lets the clients of [`robustness`] work while faults happen, ends all faults,
//! and holds what the clients have seen against what is promised. Real are the shards, their membership, the gateways, the
//! clients and the checker. Simulated are the network (`call`), the store's disk (`disk`), clocks and randomness (`clock`).
//! Start reading at `world`.
//!
//! Each process has a runtime of its own whose clock goes only while the world steps it (`process`), so a process can stand
//! still for longer than its lease between any two turns of its tasks, and then go on with what it believed before. The world
//! steps them one after the other, 2 ms at a time, in an order that the seed chooses. No message takes less than a step.
//!
//! Invariant: one seed is one history, to the last bit. So nothing here, and nothing in what is simulated, may ask the
//! machine for time or randomness, follow the order of a hash map, or use `select!` without `biased`; and
//! `tokio::sync::watch` wakes its receivers in random order, which is why there is [`shards::latest`].
//!
//! The same over the real wire, a few times slower, is `tests/network`.
//!
//! To make thousands of seeds affordable, a cluster has 24 slots here instead of 4096 ([`api::slot::use_few`]), and leases
//! last a fifth of what is usual.

mod call;
mod clock;
mod disk;
mod faults;
mod gateway;
mod net;
mod outcome;
mod process;
mod shard;
#[cfg(test)]
mod tests;
mod world;

pub use clock::{Seeded, WALL};
pub use outcome::{Outcome, seeds};
pub use shard::TIMING;
pub use world::{LOAD, SLOTS, count_panics, load};

/// A bug that is planted, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// None is.
    None,
    /// The store takes batches whatever the fences say.
    NoFencing,
    /// The store says that a batch is durable before it is.
    AcknowledgedBeforeSync,
    /// A shard takes its batches for committed when they have been sent.
    PublishedBeforeCommit,
    /// A stream of a shard leaves out an event now and then.
    EventDropped,
    /// Ceilings of clocks are not stored, so that whoever comes next may issue a version again.
    NoCeilings,
    /// Shard 1 answers whatever its lease says.
    LeaseIgnored,
    /// A request that is sent again gets another id.
    RequestIdsChange,
}

/// Simulates one seed. It must be the only thing that this thread does, and the process must not have used more slots.
pub fn run(seed: u64, bug: Bug) -> Outcome {
    world::World::new(seed, bug).run()
}
