//! Who shares the work: one Lease per worker, like everything else in Kubernetes (DESIGN D7).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Client, ClientError};

/// How a worker takes part.
#[derive(Clone, Debug)]
pub struct MembershipOptions {
    /// Which work: `shardplane-scheduler`, `shardplane-controllers`. Leases carry it as a label.
    pub group: String,
    /// This worker, unique in its group. The Lease is `<group>-<identity>` in kube-system.
    pub identity: String,
    /// A Lease that stayed unchanged for so long on the observer's boot clock is a dead worker's.
    pub ttl: Duration,
    /// The longest that an action of a dead worker may still take effect: a new owner waits TTL plus this.
    pub deadline: Duration,
}

/// The live workers, by identity, sorted. Everyone computes the same shares from it by rendezvous hashing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Identities.
    pub identities: Arc<[String]>,
    /// This worker's own; empty when its own Lease is lost, and then it must not act.
    pub own: String,
}

impl Members {
    /// Whether this worker owns what hashes to `key`.
    pub fn owns(&self, key: u64) -> bool {
        !self.own.is_empty() && api::slot::rendezvous(key, &self.identities).is_some_and(|owner| *owner == self.own)
    }
}

/// A worker's part in a group.
pub struct Membership {}

impl Membership {
    /// Creates this worker's Lease, keeps renewing it until `shutdown`, and follows the others. Released at the end, so
    /// that a clean stop hands over at once.
    pub async fn join(
        _client: Client, _options: MembershipOptions, _shutdown: CancellationToken,
    ) -> Result<watch::Receiver<Members>, ClientError> {
        todo!()
    }
}
