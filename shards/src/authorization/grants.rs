//! Who holds which roles in a cluster: a copy of its Roles, ClusterRoles and their bindings as an index ([`api::rbac::Index`])
//! that follows what happens. Gateways authorize by it, and shards see by it that nobody gives roles that they do not have.
//!
//! Invariant: nothing is decided before the whole copy is there, and no write by a copy that is older than [`STALE`]
//! (DESIGN D3).

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use api::rbac::{Change, Index};
use api::{Object, Registry, Status, Version};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::merge::Informer;
use crate::topology::Topology;

/// A copy that is older than this allows no write.
const STALE: Duration = Duration::from_secs(5);
/// How long a decision waits for a copy that is not there yet.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause before it is looked at again.
const AGAIN: Duration = Duration::from_millis(5);
/// How often it is looked at when nothing seems to happen.
const IDLE: Duration = Duration::from_secs(1);

const KINDS: [&str; 4] = [
    "clusterroles.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
];

/// See the module.
pub struct Grants {
    copies: Vec<Copy>,
    index: RwLock<Index>,
}

/// One of the kinds.
struct Copy {
    informer: Arc<Informer>,
    is_binding: bool,
    taken_in: Mutex<TakenIn>,
}

/// What the index has of a kind.
#[derive(Default)]
struct TakenIn {
    /// The informer's count of changes.
    changes: Option<u64>,
    versions: HashMap<(SmolStr, SmolStr), Version>,
}

impl Grants {
    /// `None` where roles are not served. They are followed once this is told to [`Grants::run`].
    pub fn new(
        topology: &Topology,
        registry: &Registry,
        cluster: &SmolStr,
        clock: &Arc<dyn Clock>,
    ) -> Option<Arc<Self>> {
        let copy = |id_name: &str| {
            let resource = registry.named(id_name)?.id;
            let informer = Informer::new(topology.clone(), cluster.clone(), resource, clock.clone());
            Some(Copy { informer, is_binding: id_name.contains("bindings"), taken_in: Mutex::default() })
        };
        let copies = KINDS.into_iter().map(copy).collect::<Option<_>>()?;
        Some(Arc::new(Self { copies, index: RwLock::default() }))
    }

    /// Follows them until it is told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let following = self.copies.iter().map(|copy| {
            let keeping = stop.run_until_cancelled(self.keep(copy));
            async { tokio::join!(copy.informer.clone().run(stop.clone()), keeping) }
        });
        futures_util::future::join_all(following).await;
    }

    /// Waits a little for the copy to be whole and, where something is to be written, fresh; 503 otherwise.
    pub async fn ready(&self, write: bool) -> Result<(), Status> {
        let is_enough = |copy: &Copy| copy.informer.age().is_some_and(|age| !write || age <= STALE);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.copies.iter().all(is_enough) {
            if tokio::time::Instant::now() >= deadline {
                let why = format!("roles and bindings are not synced yet, or not heard of for {} s", STALE.as_secs());
                return Err(Status::unavailable(why));
            }
            tokio::time::sleep(AGAIN).await;
        }
        // Whole as the copies are, the index may have seen less of them.
        self.copies.iter().for_each(|copy| self.take_in(copy));
        Ok(())
    }

    /// Waits until the index has all that was acknowledged before this was called; 503 where that takes too long.
    pub async fn catch_up(&self) -> Result<(), Status> {
        let catching_up = futures_util::future::join_all(self.copies.iter().map(|copy| copy.informer.catch_up()));
        if tokio::time::timeout(PATIENCE, catching_up).await.is_err() {
            return Err(Status::unavailable("not every shard tells its roles and bindings"));
        }
        self.ready(true).await
    }

    /// Asks the index, which must be ready.
    pub fn ask<R>(&self, question: impl FnOnce(&Index) -> R) -> R {
        question(&self.index.read())
    }

    async fn keep(&self, copy: &Copy) {
        let mut revision = copy.informer.revision();
        loop {
            self.take_in(copy);
            let _ = tokio::time::timeout(IDLE, revision.changed()).await;
        }
    }

    /// Tells the index what has changed in a copy.
    fn take_in(&self, copy: &Copy) {
        let changes = copy.informer.glance().map(|(changes, _)| changes);
        let mut taken_in = copy.taken_in.lock();
        if changes.is_none() || taken_in.changes == changes {
            return;
        }
        let all = copy.informer.all();
        let versions = &taken_in.versions;
        let is_new = |object: &&Arc<Object>| {
            versions.get(&(object.namespace.clone(), object.name.clone())) != Some(&object.version)
        };
        let changed: Vec<_> = all.iter().filter(is_new).map(|object| (object, object.document())).collect();
        let there: HashMap<_, _> =
            all.iter().map(|object| ((object.namespace.clone(), object.name.clone()), object.version)).collect();
        let gone =
            versions.keys().filter(|key| !there.contains_key(*key)).map(|(namespace, name)| (namespace, name, None));
        let came = changed.iter().map(|(object, document)| (&object.namespace, &object.name, Some(document)));
        self.index.write().apply(gone.chain(came).map(|(namespace, name, document)| match copy.is_binding {
            true => Change::Binding(namespace, name, document),
            false => Change::Role(namespace, name, document),
        }));
        *taken_in = TakenIn { changes, versions: there };
    }
}
