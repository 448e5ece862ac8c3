//! The controllers: loops that bring what is there in line with what is wanted, against any Kubernetes API.
//!
//! All of them run on one loop ([`reconcile`]) over caches that they share ([`Informers`]). Namespaced work is split over
//! members by slot, what looks across the cluster runs in one elected member ([`share`]; DESIGN D7). Every controller is a
//! file or folder of its own, named as in kube-controller-manager.
//!
//! Invariants: a reconcile decides on the state, never on the event; everything that it does is safe to do twice, so a
//! member that is paused and comes back corrects itself; no action that cannot be undone is taken on the word of a cache
//! alone.
//!
//! Start reading at [`Controllers::start`], then [`reconcile`], then a small controller such as [`service_account`].

mod claim;
pub mod cluster_role_aggregation;
mod config;
pub mod deployment;
mod discovery;
pub mod endpoint_slice;
pub mod garbage_collector;
mod index;
mod informers;
mod metrics;
pub mod namespace;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod pod_gc;
pub mod reconcile;
pub mod replica_set;
pub mod root_ca;
pub mod service_account;
pub mod share;
mod start;
pub mod taint_eviction;
#[cfg(test)]
mod test_world;
#[cfg(test)]
mod tests;
mod views;
mod written;

pub use config::{Concurrency, ControllersConfig, NodeIpamConfig, NodeLifecycleConfig, PodGcConfig};
pub use informers::Informers;
pub use metrics::Metrics;
pub use start::{Controllers, ControllersHandle};
