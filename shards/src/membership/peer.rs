//! What members ask of each other while slots move. The owner leads: it tells the heir to read ahead, releases, and tells it
//! to go on. Nothing depends on the second call: an heir that misses it finds its epoch in the records.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::slot::SlotSet;
use futures_util::future::BoxFuture;
use parking_lot::RwLock;

use super::records::Lease;

/// The other member did not do it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct PeerError(pub String);

/// Another member. Within a process a call, between processes gRPC.
pub trait Peer: Send + Sync + 'static {
    /// Slots are about to come: read what is in them. Returns when that is done.
    fn prefetch(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>>;

    /// Slots have come: read the rest and serve them. Returns when that is done.
    fn adopt(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>>;
}

/// How members are reached.
pub trait Peers: Send + Sync + 'static {
    /// The way to a member, by what its lease says; `None` where there is none.
    fn peer(&self, ordinal: u16, lease: &Lease) -> Option<Arc<dyn Peer>>;
}

/// Members of one process.
#[derive(Clone, Default)]
pub struct LocalPeers(Arc<RwLock<BTreeMap<u16, Arc<dyn Peer>>>>);

impl LocalPeers {
    /// Introduces one, or its successor.
    pub fn insert(&self, ordinal: u16, peer: Arc<dyn Peer>) {
        self.0.write().insert(ordinal, peer);
    }

    /// Forgets one.
    pub fn remove(&self, ordinal: u16) {
        self.0.write().remove(&ordinal);
    }
}

impl Peers for LocalPeers {
    fn peer(&self, ordinal: u16, _lease: &Lease) -> Option<Arc<dyn Peer>> {
        self.0.read().get(&ordinal).cloned()
    }
}
