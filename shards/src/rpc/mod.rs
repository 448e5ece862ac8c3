//! A shard between processes: the [`ShardService`](crate::service::ShardService) trait over `wire`.
//!
//! [`server`] offers any service to gateways and other shards, [`client::RemoteShard`] is one that another process offers.
//! Small calls share one long-lived stream for each pair of processes, on which whatever has queued goes out as one message;
//! lists, subscriptions and histories have streams of their own, with flow control. Where a connection breaks, what was sent
//! is [`Lost`](crate::service::ShardError::Lost), what was not is
//! [`Unreachable`](crate::service::ShardError::Unreachable).

pub mod client;
mod convert;
pub mod server;

/// Calls that wait for their replies, between two processes.
const WINDOW: usize = 4096;
/// Calls or replies in one message at most …
const BATCH_CALLS: usize = 512;
/// … and about so many bytes of bodies, unless a single one is larger.
const BATCH_BYTES: usize = 256 << 10;
/// Contexts that are remembered for one exchange: of some thousand kubelets each has its own.
const CONTEXTS: usize = 16 << 10;
