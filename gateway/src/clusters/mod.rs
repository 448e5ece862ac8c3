//! Many clusters, one service (DESIGN D11): which logical cluster a request is for, and which credentials count there.
//!
//! A path `/clusters/NAME/…` or a host name `NAME.<domain>` leads to cluster NAME; everything else to `default`. What a
//! cluster is, is an object of an internal kind in `default` ([`record`]); its *id* is new at every creation, so that a
//! cluster that takes a former one's name sees nothing of it.
//!
//! Invariant: nothing is read or written for a cluster before [`Clusters::resolve`] has said that it is there, and
//! credentials of one cluster are nobody's in another.

pub(crate) mod record;
pub(crate) mod restore;
pub(crate) mod route;

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use api::status::Reason;
use api::{Registry, Status, Version};
use hashbrown::HashMap;
use parking_lot::Mutex;
use shards::Topology;
use smol_str::SmolStr;

use crate::authn::Tokens;
use record::{Phase, Record};

/// The cluster that is always there.
pub(crate) const DEFAULT: &str = "default";
/// How long a gateway believes what it has read of a cluster.
const FRESH: Duration = Duration::from_secs(1);
/// Clusters that are remembered at most; beyond them all are read again.
const REMEMBERED: usize = 16_384;

/// A cluster as requests need it.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// As the path says it, and as logs and metrics show it.
    pub(crate) name: SmolStr,
    /// As keys and caches have it.
    pub(crate) id: SmolStr,
    /// The bearer tokens that count here.
    pub(crate) tokens: Tokens,
    /// Versions below it are of another cluster that had the name before, or of what a backup was made of.
    pub(crate) floor: Version,
}

impl Cluster {
    /// Whether credentials of the process itself (client certificates, in-process callers) count here.
    pub(crate) fn is_default(&self) -> bool {
        self.name == DEFAULT
    }
}

/// The clusters that a gateway has heard of.
pub(crate) struct Clusters {
    topology: Topology,
    registry: Arc<Registry>,
    ambient: Ambient,
    default: Arc<Cluster>,
    known: Mutex<HashMap<SmolStr, (Duration, Arc<Cluster>)>>,
}

impl Clusters {
    pub(crate) fn new(topology: Topology, registry: Arc<Registry>, ambient: Ambient, id: SmolStr, of: Tokens) -> Self {
        let default = Cluster { name: SmolStr::new_static(DEFAULT), id, tokens: of, floor: Version::ZERO };
        let default = Arc::new(default);
        Self { topology, registry, ambient, default, known: Mutex::default() }
    }

    /// The cluster of that name; 404 where there is none, 503 while it is being made.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Arc<Cluster>, Status> {
        if name == DEFAULT {
            return Ok(self.default.clone());
        }
        let now = self.ambient.clock.boot();
        if let Some((read, cluster)) = self.known.lock().get(name)
            && now.saturating_sub(*read) < FRESH
        {
            return Ok(cluster.clone());
        }
        let found = self.read(name).await;
        let mut known = self.known.lock();
        match found {
            Ok(cluster) => {
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(name.into(), (now, cluster.clone()));
                Ok(cluster)
            }
            Err(status) => {
                known.remove(name);
                Err(status)
            }
        }
    }

    async fn read(&self, name: &str) -> Result<Arc<Cluster>, Status> {
        let Some(Record { name, id, phase, token_digest, floor, .. }) = self.record(name).await? else {
            return Err(unknown(name));
        };
        match phase {
            Phase::Ready => Ok(Arc::new(Cluster { tokens: Tokens::administrator(token_digest), name, id, floor })),
            Phase::Restoring => Err(Status::unavailable(format!("the cluster {name:?} is being restored"))),
            Phase::Creating => Err(Status::unavailable(format!("the cluster {name:?} is being created"))),
        }
    }

    /// Forgets what was read of a cluster.
    pub(crate) fn forget(&self, name: &str) {
        self.known.lock().remove(name);
    }
}

/// 404 for a cluster.
pub(crate) fn unknown(name: &str) -> Status {
    Status::new(Reason::NotFound, format!("there is no cluster {name:?}"))
}
