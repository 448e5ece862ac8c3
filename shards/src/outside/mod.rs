//! Calls that are made on a tenant's behalf: webhooks of every kind, and whatever else a cluster's own objects send this program
//! to. A shard makes them, and so does a gateway.
//!
//! Invariants: no call reaches an address inside the control plane that the operator did not name ([`address`], DESIGN D12);
//! redirects are not followed; who keeps failing is not waited for ([`breaker`]).

mod address;
mod breaker;
mod client;
mod tls;

use api::Registry;
use api::ambient::Ambient;
use smol_str::SmolStr;

use crate::topology::Topology;

pub use address::Place;
pub use breaker::{Breaker, Permit};
pub use client::Client;

/// Who calls, and for which logical cluster.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Where Services and their endpoints are read; `None` while that is not known.
    pub topology: Option<&'a Topology>,
    /// The kinds.
    pub registry: &'a Registry,
    /// Time and randomness.
    pub ambient: &'a Ambient,
    /// Internal addresses, networks and hosts that may be called all the same.
    pub allowed: &'a [String],
    /// Whose Services are meant.
    pub cluster: &'a SmolStr,
}
