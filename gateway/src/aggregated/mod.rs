//! Aggregated APIs: groups and versions that another server serves, because an APIService says so. Clients do not notice: the
//! gateway passes their requests on ([`proxy`]), says who they are, and names those groups in discovery.
//!
//! The APIServices of a cluster are followed from the first question on that is about a group which is not built in, or about all
//! groups. Those that lead to a Service are looked at now and then ([`availability`]): whether the server answers is said in
//! their status, and what it serves is kept for discovery ([`discovered`]).
//!
//! Invariants: a built-in group is always served here; a server outside is called at an address that may be called (DESIGN D12),
//! and is shown nobody's credentials but the gateway's own.

mod availability;
mod discovered;
mod proxy;
mod service;

use std::sync::Arc;
use std::time::Duration;

use api::{Registry, ResourceId};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use shards::merge::Informer;
use smol_str::SmolStr;

use crate::Inner;
use crate::request::RequestInfo;
pub(crate) use proxy::{Passed, serve};
pub(crate) use service::ApiService;

/// How APIServices are stored.
const ID_NAME: &str = "apiservices.apiregistration.k8s.io";
/// How long somebody waits who asks for a group that is not known.
const PATIENCE: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Aggregated {
    built_in: HashSet<SmolStr>,
    /// `None` where APIServices are not served.
    resource: Option<ResourceId>,
    /// By the cluster's id.
    followed: Mutex<HashMap<SmolStr, Arc<Followed>>>,
}

/// The APIServices of one cluster.
pub(crate) struct Followed {
    cluster: SmolStr,
    informer: Arc<Informer>,
    /// How often the copy had changed, and what it came to.
    table: Mutex<(Option<u64>, Table)>,
}

/// Those that lead to a Service, in no order.
pub(crate) type Table = Arc<[Arc<ApiService>]>;

impl Aggregated {
    pub(crate) fn new(registry: &Registry) -> Self {
        let served = registry.iter().flat_map(|resource| &resource.served);
        Self {
            built_in: served.map(|served| served.group.clone()).collect(),
            resource: registry.named(ID_NAME).map(|resource| resource.id),
            followed: Mutex::default(),
        }
    }

    /// The server that a path leads to; `None`: this one.
    pub(crate) async fn server_of(&self, inner: &Arc<Inner>, info: &RequestInfo) -> Option<Arc<ApiService>> {
        let (group, version) = group_version(&info.path)?;
        if self.built_in.contains(group) {
            if group == "apiregistration.k8s.io" {
                self.follow(inner, &info.cluster).await;
            }
            return None;
        }
        let followed = self.follow(inner, &info.cluster).await?;
        let find = || followed.table().iter().find(|service| service.serves(group, version)).cloned();
        let found = find();
        let is_here = || inner.registry.resolve_in(&info.cluster, group, version, &info.resource).is_some();
        if found.is_some() || (info.is_resource && is_here()) {
            return found;
        }
        // Whoever was shown an APIService finds its server here, however fast.
        let _ = tokio::time::timeout(PATIENCE, followed.informer.catch_up()).await;
        find()
    }

    /// Those of a cluster that lead to a Service.
    pub(crate) async fn all(&self, inner: &Arc<Inner>, cluster: &SmolStr) -> Table {
        match self.follow(inner, cluster).await {
            Some(followed) => followed.table(),
            None => Arc::default(),
        }
    }

    /// The first time it is waited for what there is.
    async fn follow(&self, inner: &Arc<Inner>, cluster: &SmolStr) -> Option<Arc<Followed>> {
        let followed = {
            let mut all = self.followed.lock();
            match all.get(cluster) {
                Some(followed) => followed.clone(),
                None => {
                    let followed = Followed::start(inner, cluster, self.resource?);
                    all.insert(cluster.clone(), followed.clone());
                    followed
                }
            }
        };
        if followed.informer.glance().is_none() {
            let _ = tokio::time::timeout(PATIENCE, followed.informer.catch_up()).await;
        }
        Some(followed)
    }
}

impl Followed {
    fn start(inner: &Arc<Inner>, cluster: &SmolStr, resource: ResourceId) -> Arc<Self> {
        let clock = inner.ambient.clock.clone();
        let informer = Informer::new(inner.topology.clone(), cluster.clone(), resource, clock);
        tokio::spawn(informer.clone().run(inner.stopping.clone()));
        let followed = Arc::new(Self { cluster: cluster.clone(), informer, table: Mutex::default() });
        tokio::spawn(availability::keep(Arc::downgrade(inner), followed.clone(), inner.stopping.clone()));
        followed
    }

    fn table(&self) -> Table {
        let changes = self.informer.glance().map(|(changes, _)| changes);
        let mut table = self.table.lock();
        if table.0 != changes {
            let before = &table.1;
            let services = self.informer.all();
            let remote = services.iter().filter_map(|object| ApiService::read(object, before));
            *table = (changes, remote.collect());
        }
        table.1.clone()
    }
}

/// What `/apis/GROUP/VERSION` and what is below it are about.
fn group_version(path: &str) -> Option<(&str, &str)> {
    let (group, rest) = path.strip_prefix("/apis/")?.split_once('/')?;
    Some((group, rest.split('/').next().unwrap_or_default())).filter(|(_, version)| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_which_group_and_version_they_are_about() {
        assert_eq!(group_version("/apis/a.b/v1"), Some(("a.b", "v1")));
        assert_eq!(group_version("/apis/a.b/v1/namespaces/n/things"), Some(("a.b", "v1")));
        for path in ["/apis/a.b", "/apis/a.b/", "/apis", "/api/v1/pods", "/openapi/v3/apis/a.b/v1"] {
            assert_eq!(group_version(path), None, "{path}");
        }
    }
}
