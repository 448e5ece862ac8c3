//! Membership between processes: rosters to whoever routes by them, and the calls of an owner to its heir.
//!
//! [`Told`] is what a shard's process serves; [`RemotePeers`] is how members reach each other; [`follow()`] makes a
//! [`Topology`](crate::Topology) of whatever shard answers.

mod client;
mod convert;
mod server;

pub use client::{RemotePeers, Seeds, follow, of_member};
pub use server::Told;
