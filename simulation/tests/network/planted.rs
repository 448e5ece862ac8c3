//! Bugs that are planted, to see whether they are found.

use std::ops::Bound;
use std::sync::Arc;

use ::shards::membership::{RosterMember, Services};
use ::shards::service::{
    Answer, History, HistoryRequest, ListPage, ListRequest, Request, ShardError, ShardService, SubscribeRequest,
    Subscription,
};
use ::store::{Batch, Page, SharedStore, Store, StoreError};
use api::ResourceId;
use api::Version;
use api::ambient::Ambient;
use bytes::Bytes;
use futures_util::future::BoxFuture;

/// A bug that is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// None is.
    None,
    /// The store takes batches whatever the fences say.
    NoFencing,
    /// A request that is sent again gets another id.
    RequestIdsChange,
}

/// A store without fences.
pub(crate) struct Unfenced(pub(crate) SharedStore);

impl Store for Unfenced {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        self.0.get(key)
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.0.scan(from, to, limit)
    }

    fn commit(&self, mut batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        batch.fences.clear();
        self.0.commit(batch)
    }
}

/// Ways to shards on which each request gets an id of its own.
pub(crate) struct Renaming<S> {
    pub(crate) ways: Arc<S>,
    pub(crate) ambient: Ambient,
}

impl<S: Services> Services for Renaming<S> {
    fn service(&self, member: &RosterMember) -> Option<Arc<dyn ShardService>> {
        let shard = self.ways.service(member)?;
        Some(Arc::new(RenamingShard { shard, ambient: self.ambient.clone() }))
    }
}

struct RenamingShard {
    shard: Arc<dyn ShardService>,
    ambient: Ambient,
}

impl ShardService for RenamingShard {
    fn execute(&self, mut request: Request) -> BoxFuture<'_, Result<Answer, ShardError>> {
        request.id = self.ambient.entropy.next_u128();
        self.shard.execute(request)
    }

    fn clock(&self) -> BoxFuture<'_, Result<Version, ShardError>> {
        self.shard.clock()
    }

    fn abandon(&self) {
        self.shard.abandon();
    }

    fn list(&self, request: ListRequest) -> BoxFuture<'_, Result<ListPage, ShardError>> {
        self.shard.list(request)
    }

    fn subscribe(&self, request: SubscribeRequest) -> BoxFuture<'_, Result<Subscription, ShardError>> {
        self.shard.subscribe(request)
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<History, ShardError>> {
        self.shard.history(request)
    }

    fn advance(&self, cluster: &str, resource: ResourceId, version: Version) {
        self.shard.advance(cluster, resource, version);
    }
}
