//! A fleet of simulated kubelets (DESIGN D9): to an API server they are nodes, but nothing runs on them.
//!
//! Each kubelet registers its Node, renews its Lease, reports its status, follows the Pods that are bound to it and moves
//! them through their life as a kubelet would: Pending, Running, Succeeded or Failed, terminating with grace. Thousands of
//! them share the process' threads; each has an identity and a [`client::Client`] of its own. What is simulated says so:
//! runtime, image and container ids begin with `shardplane-sim://`. A [`Server`] answers for all of them what kubelets answer:
//! logs, exec, attach and port-forward, of containers in which nothing runs, and which say so.
//!
//! [`Fidelity::Wire`] speaks as a kubelet does, call for call. [`Fidelity::InProcess`] leaves calls out that change
//! nothing in the result (its documentation says which), so that 5,000 nodes are ready within seconds.
//!
//! Annotations of a Pod say what its containers do: `shardplane.dev/run-seconds` how long they run before they exit (for
//! ever without it), `shardplane.dev/exit-code` with what. The annotation `shardplane.dev/kubelet: stopped` on a Node stops
//! its kubelet, as if the machine had lost its network, until it is removed.
//!
//! Start reading at [`Fleet`], then `node/mod.rs` (the life of a kubelet) and `pod/machine.rs` (the life of a Pod).
//!
//! Invariants: a kubelet never sets `spec.podCIDR`; a Pod that already runs when a kubelet starts goes on without a
//! restart; every write to a Pod carries its uid, so that a namesake is never touched.

mod config;
mod container;
mod counters;
mod fleet;
mod follow;
mod logs;
mod node;
mod pod;
mod server;

pub use config::{Events, Fidelity, FleetConfig, Latency, Taint};
pub use counters::Counters;
pub use fleet::{Fleet, UnknownNode};
pub use logs::Logs;
pub use server::{Identity, Server, ServerError, ServerOptions};
