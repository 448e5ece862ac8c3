//! Tests of the directory and of the loop over a store in memory. A random one prints its seed and takes one from
//! `SHARDPLANE_SEED`.
//!
//! [`world`] is what goes wrong: clocks that differ, links that fail, processes that stand still. [`model`] is a shard with a
//! number in each slot, and the rules that an all-knowing observer checks; [`node`] is a process that runs it.

mod changes;
mod fuzz;
mod model;
mod node;
mod shards;
mod walks;
mod world;
