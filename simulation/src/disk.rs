//! The store: in memory, with a disk's manners, behind the network. A commit is answered when it is synced, and what is not
//! synced when the store's machine crashes is lost or not, by chance.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use store::testing::VolatileStore;
use store::{Batch, Page, Store, StoreError, Write};

use crate::Bug;
use crate::call::{Failed, call};
use crate::net::{Net, STORE};
use crate::process::Interrupt;

/// The store's machine.
pub(crate) struct Disk {
    store: VolatileStore,
    up: AtomicBool,
}

impl Disk {
    pub(crate) fn new(seed: u64, bug: Bug) -> Self {
        let store = VolatileStore::new(seed, None);
        if bug == Bug::AcknowledgedBeforeSync {
            store.acknowledge_early();
        }
        Self { store, up: AtomicBool::new(true) }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(crate) fn sync(&self) {
        self.store.sync();
    }

    pub(crate) fn crash(&self) -> (usize, usize) {
        self.up.store(false, Ordering::Relaxed);
        self.store.crash()
    }

    pub(crate) fn start(&self) {
        self.up.store(true, Ordering::Relaxed);
    }
}

/// How one process reaches the store.
pub(crate) struct StoreLink {
    pub(crate) net: Arc<Net>,
    pub(crate) from: usize,
    pub(crate) interrupt: Arc<Interrupt>,
}

fn unavailable(_: Failed) -> StoreError {
    StoreError::Unavailable("the network has lost it".to_owned())
}

impl Store for StoreLink {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        async move {
            let net = self.net.clone();
            let work = move |_| async move { net.disk.store.get(key).await }.boxed();
            call(&self.net, self.from, STORE, work).await.map_err(unavailable)?
        }
        .boxed()
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        async move {
            let net = self.net.clone();
            let work = move |_| async move { net.disk.store.scan(from, to, limit).await }.boxed();
            call(&self.net, self.from, STORE, work).await.map_err(unavailable)?
        }
        .boxed()
    }

    fn commit(&self, mut batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.interrupt.before_commit().await;
            match self.net.bug {
                Bug::NoFencing => batch.fences.clear(),
                Bug::NoCeilings => batch.writes.retain(|write| !is_ceiling(write)),
                _ => {}
            }
            let published_early = self.net.bug == Bug::PublishedBeforeCommit && writes_objects(&batch);
            let net = self.net.clone();
            let work = move |_| async move { net.disk.store.commit(batch).await }.boxed();
            if published_early {
                let (net, from) = (self.net.clone(), self.from);
                tokio::spawn(async move { call(&net, from, STORE, work).await });
                return Ok(());
            }
            let outcome = match call(&self.net, self.from, STORE, work).await {
                Ok(outcome) => outcome,
                Err(Failed::Unsent) => Err(unavailable(Failed::Unsent)),
                Err(Failed::Lost) => Err(StoreError::Unknown("the connection broke".to_owned())),
            };
            self.interrupt.after_commit().await;
            outcome
        }
        .boxed()
    }
}

/// Whether a write raises the ceiling of an ordinal's clock.
fn is_ceiling(write: &Write) -> bool {
    matches!(write, Write::Put(key, _) if key.starts_with(b"\0o"))
}

/// Whether a batch is one of a shard's commits.
fn writes_objects(batch: &Batch) -> bool {
    batch.writes.iter().any(|write| matches!(write, Write::Put(key, _) if key.first() == Some(&1)))
}
