//! A Pod's life on a simulated kubelet.
//!
//! [`view`] is what a kubelet reads of a Pod, [`machine`] decides what happens when (pure: times in, acts out), [`status`]
//! writes what an act looks like in the API (pure as well), [`addresses`] hands out Pod IPs, [`admission`] says
//! whether the node has room, and [`worker`] is the loop
//! that follows the server and carries the acts out.

pub(crate) mod addresses;
pub(crate) mod admission;
pub(crate) mod machine;
pub(crate) mod status;
mod telling;
pub(crate) mod view;
pub(crate) mod worker;
