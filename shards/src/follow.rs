//! Configuration that admission reads, followed over all shards (DESIGN D3): each shard keeps a copy of it for each cluster
//! that it has tables of, and knows how old that is.
//!
//! Invariant: [`Followed::ready`] passes only while the copy misses nothing that is older than [`STALE`]; what depends on the
//! configuration answers 503 otherwise. Later kinds (policies) are rows of [`Kind`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, Status};
use parking_lot::RwLock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::authorization::Authorizer;
use crate::merge::Informer;
use crate::shard::Shard;
use crate::verbs::Call;

/// A copy that is older than this answers nothing.
const STALE: Duration = Duration::from_secs(5);
/// How long a write waits for a copy that is not there yet.
const READY_WAIT: Duration = Duration::from_secs(2);
/// Pause before it is looked at again.
const AGAIN: Duration = Duration::from_millis(5);

/// What is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Namespaces,
    PriorityClasses,
    MutatingWebhooks,
    ValidatingWebhooks,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Namespaces, Self::PriorityClasses, Self::MutatingWebhooks, Self::ValidatingWebhooks];

    pub(crate) fn id_name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::PriorityClasses => "priorityclasses.scheduling.k8s.io",
            Self::MutatingWebhooks => "mutatingwebhookconfigurations.admissionregistration.k8s.io",
            Self::ValidatingWebhooks => "validatingwebhookconfigurations.admissionregistration.k8s.io",
        }
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Followed {
    /// By the cluster's position and the kind.
    informers: RwLock<BTreeMap<(usize, Kind), Arc<Informer>>>,
}

impl Followed {
    /// `None` where the kind is not served, or the cluster is not known.
    pub(crate) fn of(&self, call: Call<'_>, kind: Kind) -> Option<Arc<Informer>> {
        let at = call.shard.layout.cluster_at(&call.request.cluster)?;
        self.informers.read().get(&(at, kind)).cloned()
    }

    /// The newest known state of one object.
    pub(crate) fn get(&self, call: Call<'_>, kind: Kind, name: &str) -> Option<Arc<Object>> {
        self.of(call, kind)?.get("", name)
    }

    /// The newest known state of all of them.
    pub(crate) fn all(&self, call: Call<'_>, kind: Kind) -> Vec<Arc<Object>> {
        self.of(call, kind).map(|informer| informer.all()).unwrap_or_default()
    }

    /// Waits a little for the copy to be whole and fresh; 503 otherwise.
    pub(crate) async fn ready(&self, call: Call<'_>, kind: Kind) -> Result<(), Status> {
        self.ready_when(call, kind, |informer| informer.age().is_some_and(|age| age <= STALE)).await
    }

    /// The same for what most clusters have none of: a copy that was empty when it was last heard of will do, however old.
    pub(crate) async fn ready_or_none(&self, call: Call<'_>, kind: Kind) -> Result<(), Status> {
        let is_enough = |informer: &Informer| match informer.glance() {
            Some((_, 0)) => true,
            _ => informer.age().is_some_and(|age| age <= STALE),
        };
        self.ready_when(call, kind, is_enough).await
    }

    async fn ready_when(
        &self,
        call: Call<'_>,
        kind: Kind,
        is_enough: impl Fn(&Informer) -> bool,
    ) -> Result<(), Status> {
        if call.shard.registry.named(kind.id_name()).is_none() {
            return Ok(());
        }
        let deadline = tokio::time::Instant::now() + READY_WAIT;
        loop {
            if self.of(call, kind).is_some_and(|informer| is_enough(&informer)) {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                let why = format!("{} are not synced yet, or not heard of for {} s", kind.id_name(), STALE.as_secs());
                return Err(Status::unavailable(why));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Follows every kind of every cluster that the shard has tables of, until it is told to stop. Informers know all shards, this
/// one too, so none of them may outlive that.
pub(crate) async fn run(shard: &Shard, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    stop.run_until_cancelled(begin(shard, &stop, &mut tasks)).await;
    while tasks.join_next().await.is_some() {}
    shard.followed.informers.write().clear();
    let authorizer = shard.authorizer.write().take();
    if let Some(authorizer) = authorizer {
        authorizer.ended().await;
    }
}

/// Starts to follow what there is, and what comes.
async fn begin(shard: &Shard, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let topology = shard.connected().await;
    let authorizer = Authorizer::new(
        shard.options.authorization.clone(),
        (*topology).clone(),
        shard.registry.clone(),
        shard.ambient.clock.clone(),
        stop.clone(),
    );
    *shard.authorizer.write() = Some(Arc::new(authorizer));
    let mut growth = shard.layout.growth();
    let mut known = 0;
    loop {
        let clusters = *growth.borrow_and_update();
        for (at, kind) in (known..clusters).flat_map(|at| Kind::ALL.map(|kind| (at, kind))) {
            let Some(resource) = shard.registry.named(kind.id_name()) else { continue };
            let (cluster, clock) = (shard.layout.cluster(at), shard.ambient.clock.clone());
            let informer = Informer::new((*topology).clone(), cluster, resource.id, clock);
            tasks.spawn(informer.clone().run(stop.clone()));
            shard.followed.informers.write().insert((at, kind), informer);
        }
        known = clusters;
        if growth.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
