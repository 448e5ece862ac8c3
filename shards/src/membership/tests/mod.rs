//! Tests of the directory and of the loop over a store in memory. A random one prints its seed and takes one from
//! `SHARDPLANE_SEED`.
//!
//! [`world`] is what goes wrong: clocks that differ, links that fail, processes that stand still.

mod changes;
mod world;
