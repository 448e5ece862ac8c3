//! The way on to another server, for a client's request that the gateway does not answer itself: kubelets, what runs in pods,
//! and whatever else speaks HTTP/1.1.
//!
//! A [`Backend`] is a place whose addresses were looked up and held against the rules (DESIGN D12). [`exchange()`] sends one
//! request there and hands the answer back as it comes; [`upgrade()`] does it for a request that wants another protocol, and then
//! carries bytes both ways ([`pump()`]). Neither holds more of a body than a few buffers, and both end when the client goes or the
//! gateway stops.
//!
//! Nothing is tried again: what a request may have done, only its sender knows.

mod backend;
mod exchange;
mod headers;
mod pump;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

pub(crate) use backend::{Backend, Link, Way, look_up};
pub(crate) use exchange::exchange;
pub(crate) use headers::{is_upgrade, prepare};
pub(crate) use pump::{Carried, Ends, pump};
pub(crate) use upgrade::{Begun, Passage, begin, upgrade};

/// Who is at the other end of the connection that a request came by; in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The connection's place among those that may be open. Who takes a connection over keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Place(#[allow(dead_code, reason = "it is held, not read")] pub(crate) Arc<OwnedSemaphorePermit>);
