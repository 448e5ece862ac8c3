//! Which kinds a logical cluster has: the built-in ones, and those of its CustomResourceDefinitions, which are followed from
//! the first question on that is about anything else.

use std::sync::Arc;

use api::{Object, Registry, Resource};
use hashbrown::HashMap;
use parking_lot::Mutex;
use shards::Topology;
use shards::definitions::Definitions;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::request::RequestInfo;

/// See the module.
pub(crate) struct Kinds {
    topology: Topology,
    registry: Arc<Registry>,
    clock: Arc<dyn api::ambient::Clock>,
    stopping: CancellationToken,
    /// By the cluster's id.
    followed: Mutex<HashMap<SmolStr, Arc<Definitions>>>,
}

impl Kinds {
    pub(crate) fn new(
        topology: Topology,
        registry: Arc<Registry>,
        clock: Arc<dyn api::ambient::Clock>,
        stopping: CancellationToken,
    ) -> Self {
        Self { topology, registry, clock, stopping, followed: Mutex::default() }
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
        let definitions = self.of(&info.cluster)?;
        if let Some(found) = find() {
            return Some(found);
        }
        definitions.catch_up().await;
        find()
    }

    /// Every kind of a cluster, the custom ones last. The first time it is waited for what there is.
    pub(crate) async fn all(&self, cluster: &SmolStr) -> Vec<Arc<Resource>> {
        if let Some(definitions) = self.of(cluster)
            && self.registry.custom_rows(cluster).is_none()
        {
            definitions.catch_up().await;
        }
        self.registry.all(cluster)
    }

    /// The definitions of a cluster's custom kinds. The first time it is waited for what there is.
    pub(crate) async fn definitions(&self, cluster: &SmolStr) -> Vec<Arc<Object>> {
        let Some(definitions) = self.of(cluster) else { return Vec::new() };
        if self.registry.custom_rows(cluster).is_none() {
            definitions.catch_up().await;
        }
        definitions.all()
    }

    /// A number that changes with a cluster's kinds.
    pub(crate) fn generation(&self, cluster: &str) -> u64 {
        self.registry.custom_rows(cluster).map_or(0, |rows| rows.generation())
    }

    fn of(&self, cluster: &SmolStr) -> Option<Arc<Definitions>> {
        let mut followed = self.followed.lock();
        if let Some(definitions) = followed.get(cluster) {
            return Some(definitions.clone());
        }
        let (registry, clock) = (self.registry.clone(), self.clock.clone());
        let definitions = Definitions::new(self.topology.clone(), registry, cluster.clone(), clock)?;
        tokio::spawn(definitions.clone().run(self.stopping.clone()));
        followed.insert(cluster.clone(), definitions.clone());
        Some(definitions)
    }
}
