//! What CustomResourceDefinitions do to the rest of the system. A registry follows the definitions of a cluster ([`follow`], in
//! every process that has one); and the shard that owns a definition accepts its names, establishes it, and removes its objects
//! when it is deleted ([`controller`]), as the reference's API server does itself.
//!
//! In the reference a definition is established once every server has had time to hear of it. Here whoever does not know a kind
//! makes sure that its copy misses nothing before it says so ([`Definitions::catch_up`]), so that a definition that anybody was
//! shown as established is served by everybody, however late they hear of it.
//!
//! Invariant: of two definitions of one group that ask for the same name, the one that was created first gets it, whichever
//! shards own them.

pub(crate) mod api_services;
mod controller;
mod finalizer;
mod follow;
mod naming;

pub(crate) use api_services::is_automatic;
pub(crate) use controller::run;
pub(crate) use finalizer::mark;
pub use follow::Definitions;

/// How definitions are stored.
pub(crate) const ID_NAME: &str = "customresourcedefinitions.apiextensions.k8s.io";
/// What keeps a definition until its objects are gone.
pub(crate) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
