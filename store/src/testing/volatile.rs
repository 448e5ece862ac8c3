//! A store in memory with a disk's manners: a commit is acknowledged when it is synced, and a crash takes what is not.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Dice;
use crate::{Batch, MemoryStore, Page, Store, StoreError};

struct Waiting {
    batch: Batch,
    done: oneshot::Sender<Result<(), StoreError>>,
}

struct Disk {
    waiting: Vec<Waiting>,
    dice: Dice,
    /// The planted bug: commits are acknowledged before they are synced.
    acknowledges_early: bool,
}

/// A [`MemoryStore`] that makes commits wait for a sync, and loses them in [`VolatileStore::crash`]. Clones share everything,
/// so that what was synced is there for whoever starts again.
///
/// A batch that waits is not visible. Its fences are looked at when it is synced. Those that wait have no order that
/// anybody could know, so a crash applies each or does not, in any order, as far as their fences hold: everything that a
/// caller who got no answer must be ready for.
#[derive(Clone)]
pub struct VolatileStore {
    durable: MemoryStore,
    disk: Arc<Mutex<Disk>>,
    sync: Option<Duration>,
}

impl VolatileStore {
    /// An empty store in which a sync begins with the first commit that waits, and takes that long; without a time, only
    /// [`VolatileStore::sync`] does it.
    pub fn new(seed: u64, sync: Option<Duration>) -> Self {
        let disk = Disk { waiting: Vec::new(), dice: Dice::new(seed), acknowledges_early: false };
        Self { durable: MemoryStore::new(), disk: Arc::new(Mutex::new(disk)), sync }
    }

    /// The planted bug, for a test of the tests: commits are acknowledged before they are synced.
    pub fn acknowledge_early(&self) {
        self.disk.lock().acknowledges_early = true;
    }

    /// What would be there after a crash that takes everything that waits.
    pub fn durable(&self) -> BTreeMap<Bytes, Bytes> {
        self.durable.snapshot()
    }

    /// How many commits wait for a sync.
    pub fn waiting(&self) -> usize {
        self.disk.lock().waiting.len()
    }

    /// Makes durable what waits, in the order in which it came, and acknowledges it.
    pub fn sync(&self) {
        let waiting = std::mem::take(&mut self.disk.lock().waiting);
        for Waiting { batch, done } in waiting {
            // Whoever has given up does not hear it.
            let _ = done.send(self.durable.apply(batch));
        }
    }

    /// The machine crashes: of what waits, some happened, by chance. Callers that are still there get
    /// [`StoreError::Unknown`]. Returns how many batches waited, and how many of them happened.
    pub fn crash(&self) -> (usize, usize) {
        let (mut waiting, mut dice) = {
            let mut disk = self.disk.lock();
            let seed = disk.dice.roll();
            (std::mem::take(&mut disk.waiting), Dice::new(seed))
        };
        let (count, mut happened) = (waiting.len(), 0);
        while !waiting.is_empty() {
            let Waiting { batch, done } = waiting.swap_remove(dice.below(waiting.len() as u64) as usize);
            if dice.happens(0.5) {
                happened += usize::from(self.durable.apply(batch).is_ok());
            }
            let _ = done.send(Err(StoreError::Unknown("the machine crashed".to_owned())));
        }
        (count, happened)
    }
}

impl Store for VolatileStore {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        self.durable.get(key)
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.durable.scan(from, to, limit)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            batch.check()?;
            let (done, outcome) = oneshot::channel();
            let (first, early) = {
                let mut disk = self.disk.lock();
                disk.waiting.push(Waiting { batch, done });
                (disk.waiting.len() == 1, disk.acknowledges_early)
            };
            if let Some(time) = self.sync
                && first
            {
                let store = self.clone();
                // The disk works on when the caller gives up.
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    store.sync();
                });
            }
            if early {
                return Ok(());
            }
            outcome.await.unwrap_or_else(|_| Err(StoreError::Unknown("the store is gone".to_owned())))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Write;
    use crate::contract::batch;

    const SYNC: Duration = Duration::from_millis(2);

    #[tokio::test(start_paused = true)]
    async fn keeps_the_contract() {
        crate::contract::run(|| Arc::new(VolatileStore::new(1, Some(SYNC)))).await;
    }

    fn put(id: u128) -> Batch {
        batch(id, vec![], vec![Write::Put(Bytes::from(id.to_string()), Bytes::new())])
    }

    /// Commits at once, crashes before the sync, and says what was acknowledged and is gone.
    async fn lost(seed: u64, early: bool) -> usize {
        let store = VolatileStore::new(seed, None);
        if early {
            store.acknowledge_early();
        }
        let commits: Vec<_> = (0..20)
            .map(|id| {
                let store = store.clone();
                tokio::spawn(async move { store.commit(put(id)).await })
            })
            .collect();
        tokio::time::sleep(SYNC).await;
        assert_eq!(store.waiting(), 20);
        let (waited, happened) = store.crash();
        assert_eq!(waited, 20);
        assert!((1..20).contains(&happened), "seed {seed}: chance spares some and takes some: {happened}");
        let mut lost = 0;
        for (id, commit) in commits.into_iter().enumerate() {
            let acknowledged = commit.await.unwrap().is_ok();
            lost += usize::from(acknowledged && !store.durable().contains_key(id.to_string().as_bytes()));
        }
        assert_eq!(store.durable().len(), happened);
        lost
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_takes_only_what_was_not_acknowledged() {
        for seed in 0..16 {
            assert_eq!(lost(seed, false).await, 0, "seed {seed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn early_acknowledgements_are_noticed() {
        assert!(lost(1, true).await > 0);
    }

    #[tokio::test]
    async fn nothing_is_seen_before_it_is_synced() {
        let store = VolatileStore::new(1, None);
        let mut commit = store.commit(put(1));
        assert!((&mut commit).now_or_never().is_none());
        assert_eq!(store.get(Bytes::from_static(b"1")).await.unwrap(), None);
        store.sync();
        commit.await.unwrap();
        assert!(store.get(Bytes::from_static(b"1")).await.unwrap().is_some());
    }
}
