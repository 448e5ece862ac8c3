//! Which kinds a logical cluster has: the built-in ones, and those of its CustomResourceDefinitions, which are followed from
//! the first question on that is about anything else, and not any more when nobody has asked for a while: the cluster may be
//! gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::{Object, Registry, Resource};
use hashbrown::HashMap;
use parking_lot::Mutex;
use shards::Topology;
use shards::definitions::Definitions;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::request::RequestInfo;

/// For how long a cluster is followed about which nobody asks.
const IDLE: Duration = Duration::from_secs(600);

/// See the module.
pub(crate) struct Kinds {
    topology: Topology,
    registry: Arc<Registry>,
    clock: Arc<dyn api::ambient::Clock>,
    stopping: CancellationToken,
    idle: Duration,
    /// By the cluster's id.
    followed: Arc<Mutex<HashMap<SmolStr, Followed>>>,
}

/// A cluster that is followed.
#[derive(Clone)]
struct Followed {
    definitions: Arc<Definitions>,
    /// Before it is, the registry knows nothing, or what was there when the cluster was followed before.
    current: Arc<AtomicBool>,
    /// When somebody asked last, on the boot clock.
    asked: Duration,
}

impl Followed {
    fn is_current(&self) -> bool {
        self.current.load(Ordering::Acquire)
    }

    async fn catch_up(&self) {
        if self.definitions.catch_up().await {
            self.current.store(true, Ordering::Release);
        }
    }
}

impl Kinds {
    pub(crate) fn new(
        topology: Topology,
        registry: Arc<Registry>,
        clock: Arc<dyn api::ambient::Clock>,
        stopping: CancellationToken,
    ) -> Self {
        Self { topology, registry, clock, stopping, idle: IDLE, followed: Arc::default() }
    }

    /// The resource that a path leads to, and which of its versions. Whoever was shown that a definition is established finds
    /// it here, however fast: before a path is said to lead nowhere, nothing is left to be heard of.
    pub(crate) async fn resolve(&self, info: &RequestInfo) -> Option<(Arc<Resource>, usize)> {
        let find = || self.registry.resolve_in(&info.cluster, &info.group, &info.version, &info.resource);
        if let Some((resource, served)) = self.registry.resolve(&info.group, &info.version, &info.resource) {
            return Some((resource.clone(), served));
        }
        // Groups of custom kinds have a dot.
        if !info.group.contains('.') {
            return None;
        }
        let followed = self.of(&info.cluster)?;
        if followed.is_current()
            && let Some(found) = find()
        {
            return Some(found);
        }
        followed.catch_up().await;
        find()
    }

    /// Every kind of a cluster, the custom ones last. The first time it is waited for what there is.
    pub(crate) async fn all(&self, cluster: &SmolStr) -> Vec<Arc<Resource>> {
        if let Some(followed) = self.of(cluster)
            && !(followed.is_current() && self.registry.custom_rows(cluster).is_some())
        {
            followed.catch_up().await;
        }
        self.registry.all(cluster)
    }

    /// The definitions of a cluster's custom kinds. The first time it is waited for what there is.
    pub(crate) async fn definitions(&self, cluster: &SmolStr) -> Vec<Arc<Object>> {
        let Some(followed) = self.of(cluster) else { return Vec::new() };
        if !followed.is_current() {
            followed.catch_up().await;
        }
        followed.definitions.all()
    }

    /// A number that changes with a cluster's kinds.
    pub(crate) fn generation(&self, cluster: &str) -> u64 {
        self.registry.custom_rows(cluster).map_or(0, |rows| rows.generation())
    }

    fn of(&self, cluster: &SmolStr) -> Option<Followed> {
        let mut followed = self.followed.lock();
        let asked = self.clock.boot();
        if let Some(followed) = followed.get_mut(cluster) {
            followed.asked = asked;
            return Some(followed.clone());
        }
        let (registry, clock) = (self.registry.clone(), self.clock.clone());
        let definitions = Definitions::new(self.topology.clone(), registry, cluster.clone(), clock)?;
        let new = Followed { definitions: definitions.clone(), current: Arc::default(), asked };
        followed.insert(cluster.clone(), new.clone());
        let (stop, until_idle) = (self.stopping.child_token(), self.until_idle(cluster.clone()));
        tokio::spawn(async move {
            let idle = async {
                stop.run_until_cancelled(until_idle).await;
                stop.cancel();
            };
            tokio::join!(definitions.run(stop.clone()), idle);
        });
        Some(new)
    }

    /// Until nobody has asked about a cluster for a while. Then it is forgotten.
    fn until_idle(&self, cluster: SmolStr) -> impl Future<Output = ()> + Send + use<> {
        let (followed, clock, idle) = (self.followed.clone(), self.clock.clone(), self.idle);
        async move {
            loop {
                tokio::time::sleep(idle).await;
                let mut followed = followed.lock();
                let last = followed.get(&cluster).map(|followed| followed.asked);
                if last.is_none_or(|last| clock.boot().saturating_sub(last) >= idle) {
                    followed.remove(&cluster);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, ambient};

    #[tokio::test]
    async fn a_cluster_about_which_nobody_asks_is_not_followed_for_ever() {
        let cluster = Cluster::start(1).await;
        let (topology, registry) = (cluster.gateway.inner.topology.clone(), cluster.gateway.inner.registry.clone());
        let stopping = CancellationToken::new();
        let mut kinds = Kinds::new(topology, registry, ambient().clock, stopping.clone());
        kinds.idle = Duration::from_millis(50);
        let id = SmolStr::new_static("default");
        let all = kinds.all(&id).await.len();
        let first = Arc::downgrade(&kinds.of(&id).unwrap().definitions);
        // It lets go of the shards as well.
        while first.upgrade().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(kinds.followed.lock().is_empty());
        assert_eq!(kinds.all(&id).await.len(), all);
        assert!(kinds.of(&id).unwrap().is_current(), "it is followed again, from the beginning");
        stopping.cancel();
    }
}
