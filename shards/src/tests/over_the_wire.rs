//! The same tests, with every call between them and the shards, and among the shards, on a connection.

#![allow(clippy::duplicate_mod, reason = "that is the point")]

use super::faulty;

mod cluster {
    #[allow(unused_imports, reason = "each of the tests takes what it needs")]
    pub(super) use crate::tests::cluster::*;

    /// Shards that are called over the wire.
    pub(super) type Cluster = Wired<true>;
}

#[path = "definitions.rs"]
mod definitions;
#[path = "lists.rs"]
mod lists;
#[path = "pods.rs"]
mod pods;
#[path = "services.rs"]
mod services;
#[path = "verbs.rs"]
mod verbs;
#[path = "watches.rs"]
mod watches;
