//! A registry that follows the definitions of one cluster.

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use api::crd::Deadline;
use api::{Object, Registry, crd};
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use super::ID_NAME;
use crate::merge::Informer;
use crate::topology::Topology;

/// How often it is looked whether what is not there any more was deleted.
const AGAIN: Duration = Duration::from_secs(1);
/// How long somebody waits who does not know a kind.
const PATIENCE: Duration = Duration::from_secs(2);

/// The definitions of one cluster, and the registry that they go to.
pub struct Definitions {
    cluster: SmolStr,
    registry: Arc<Registry>,
    informer: Arc<Informer>,
    deadline: Deadline,
}

impl Definitions {
    /// `None` where definitions are not served. They are followed once this is told to [`Definitions::run`].
    pub fn new(
        topology: Topology,
        registry: Arc<Registry>,
        cluster: SmolStr,
        clock: Arc<dyn Clock>,
    ) -> Option<Arc<Self>> {
        let resource = registry.named(ID_NAME)?.id;
        let deadline = Deadline(Some(clock.clone()));
        let informer = Informer::new(topology, cluster.clone(), resource, clock);
        Some(Arc::new(Self { cluster, registry, informer, deadline }))
    }

    /// Follows them until it is told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let keeping = stop.run_until_cancelled(self.keep());
        tokio::join!(self.informer.clone().run(stop.clone()), keeping);
    }

    /// Every definition that is known here.
    pub fn all(&self) -> Vec<Arc<Object>> {
        self.informer.all()
    }

    /// The copy of the definitions.
    pub(crate) fn informer(&self) -> &Arc<Informer> {
        &self.informer
    }

    /// Makes sure that the registry knows every definition that was acknowledged before this was called. Answers whether it
    /// does: not, when a shard is away for too long.
    pub async fn catch_up(&self) -> bool {
        let done = tokio::time::timeout(PATIENCE, self.informer.catch_up()).await.is_ok();
        self.take_in();
        done
    }

    async fn keep(&self) {
        let mut revision = self.informer.revision();
        loop {
            self.take_in();
            let _ = tokio::time::timeout(AGAIN, revision.changed()).await;
        }
    }

    /// Tells the registry what the copy says.
    fn take_in(&self) {
        let Some(mark) = self.informer.mark() else { return };
        let all = self.informer.all();
        let seen = self.registry.seen(&self.cluster);
        for definition in &all {
            if seen.get(&definition.name).is_none_or(|seen| *seen < definition.version) {
                self.define(definition);
            }
        }
        // What is known and not there was deleted, if the copy goes as far as what is known.
        for (name, version) in seen {
            let is_there = all.iter().any(|definition| definition.name == name);
            if !is_there && version <= mark && self.registry.named_in(&self.cluster, &name).is_some() {
                self.registry.define(&self.cluster, &name, mark, None);
            }
        }
    }

    fn define(&self, definition: &Object) {
        let resource = crd::definition::resource_by(&definition.document(), &self.deadline);
        let served = resource.is_some();
        if self.registry.define(&self.cluster, &definition.name, definition.version, resource) {
            tracing::debug!(cluster = %self.cluster, name = %definition.name, served, "a definition was taken in");
        }
    }
}
