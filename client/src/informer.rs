//! A reflector with a cache: lists, watches, resumes, relists, and tells what changed.

use std::marker::PhantomData;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{ApiRef, Client, Kept, Key};

/// What changed in the cache, in the order of the watch.
#[derive(Debug)]
pub enum Change<T> {
    /// New to the cache.
    Added(Arc<T>),
    /// Replaced: old, new.
    Updated(Arc<T>, Arc<T>),
    /// Gone: the last known state.
    Deleted(Arc<T>),
}

impl<T> Clone for Change<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Added(new) => Self::Added(new.clone()),
            Self::Updated(old, new) => Self::Updated(old.clone(), new.clone()),
            Self::Deleted(old) => Self::Deleted(old.clone()),
        }
    }
}

impl<T> Change<T> {
    /// The newest known state.
    pub fn object(&self) -> &Arc<T> {
        match self {
            Self::Added(object) | Self::Updated(_, object) | Self::Deleted(object) => object,
        }
    }
}

/// What to follow.
#[derive(Clone, Debug, Default)]
pub struct InformerOptions {
    /// Empty for all namespaces.
    pub namespace: String,
    /// labelSelector
    pub labels: String,
    /// fieldSelector
    pub fields: String,
}

/// A cache of one resource that follows the server. Shared by everyone in the process who needs that resource.
pub struct Informer<T> {
    marker: PhantomData<T>,
}

impl<T: Kept> Informer<T> {
    /// Starts following. The task ends with `shutdown`.
    pub fn start(_client: Client, _api: ApiRef, _options: InformerOptions, _shutdown: CancellationToken) -> Arc<Self> {
        todo!()
    }

    /// Waits until the first list is in the cache.
    pub async fn synced(&self) {
        todo!()
    }

    /// One object.
    pub fn get(&self, _key: &Key) -> Option<Arc<T>> {
        todo!()
    }

    /// Every object, in key order.
    pub fn list(&self) -> Vec<Arc<T>> {
        todo!()
    }

    /// The objects of one namespace, in key order.
    pub fn namespace(&self, _namespace: &str) -> Vec<Arc<T>> {
        todo!()
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `handler` for what is in the cache now (as Added) and then for every change, in order, from the informer's
    /// own task: it must be quick and must not block (put a key into a [`crate::WorkQueue`]).
    pub fn on_change(&self, _handler: impl Fn(&Change<T>) + Send + Sync + 'static) {
        todo!()
    }

    /// The same through a bounded channel: a subscriber that does not keep up slows the informer down, so drain it.
    pub fn subscribe(&self, _capacity: usize) -> mpsc::Receiver<Change<T>> {
        todo!()
    }
}
