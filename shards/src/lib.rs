//! Hash slots, the sequencer, the commit log, admission, the registry, watches: who decides, remembers and publishes.
//!
//! [`service::ShardService`] is what a gateway sees of a shard; one process calls it as a function, several speak it over
//! gRPC. Start reading there, then at [`shard::Shard`], and follow one request: `verbs` (decide) -> `sequencer` (order) ->
//! `commit` (make durable) -> `table` (publish). Slots come and go in `moves`.
//!
//! Invariants: an acknowledged write is durable (relaxed kinds: soon); nobody reads what was never committed; versions
//! strictly increase; every commit is fenced by the epochs of the slots that it writes to.

pub mod authorization;
pub mod backup;
pub mod bootstrap;
pub mod commit;
pub mod conversion;
pub mod definitions;
pub mod kept;
pub mod membership;
pub mod merge;
pub mod metrics;
pub mod outside;
pub mod rpc;
pub mod service;
pub mod shard;
pub mod topology;

mod admission;
mod checkpoint;
mod claim;
mod clock;
mod contents;
mod follow;
mod housekeeping;
mod keys;
mod layout;
mod lease;
mod log;
mod moves;
mod quota;
mod recent;
mod sequencer;
mod subresources;
mod table;
#[cfg(test)]
mod tests;
mod verbs;
mod watch;
mod webhooks;

pub use bootstrap::{Bootstrap, bootstrap};
pub use commit::Health;
pub use keys::Epoch;
pub use lease::Lease;
pub use metrics::ShardMetrics;
pub use moves::{Handed, MoveError};
pub use shard::{OpenError, Shard, ShardConfig, ShardOptions};
pub use topology::{Member, SlotMap, Topology};
pub use wire::latest;
