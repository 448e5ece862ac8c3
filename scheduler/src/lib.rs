//! The scheduler: gives every pod that has no node the best one that will do (DESIGN D7, D8).
//!
//! It runs against any Kubernetes API and is a drop-in for kube-scheduler's default profile: the same plugins by the same
//! names and weights, the same queues, events and conditions. Several schedulers share a cluster: each owns the nodes
//! that hash to it among the live [`client::Members`], binds to no other, and offers a pod that fits none of them to the
//! next scheduler (see [`refusal`]).
//!
//! How a pod gets its node: an informer parses it into a [`view::PodView`]; [`engine`] puts it into the [`queue`]; its
//! turn come, its [`class`] names the best row of the [`columns`], after all [`plugins`]; the pod is assumed there, and
//! [`writer`] binds it while the next pod is being decided. Start reading at [`engine`].
//!
//! Invariants: recomputed from scratch, the columns equal the cluster; a placement is one that kube-scheduler would have
//! allowed; a node is never overcommitted, whatever schedulers come, go or hang.
//!
//! Not here yet, and visibly so (such a pod is reported unschedulable and says why): required pod (anti)affinity,
//! DoNotSchedule topology spread, persistent volumes, resource claims. Also left out: preemption and nominated nodes, the
//! anti-affinity of pods that others have bound, preferred pod affinity and image locality in scores. Spreading
//! scores by owners instead of selectors: [`plugins`], PodTopologySpread.

mod class;
mod columns;
mod diagnosis;
pub mod engine;
mod metrics;
mod plugins;
mod queue;
mod ranking;
mod refusal;
mod scheduler;
#[cfg(test)]
mod tests;
pub mod view;
mod writer;

pub use metrics::Metrics;
pub use queue::Pending;
pub use scheduler::{Feeds, Scheduler, SchedulerConfig};

/// What schedulers agree on by: the same in every process.
fn hash(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}
