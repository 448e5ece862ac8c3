//! A store that fails when told to, and remembers what was ever committed.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use store::memory::MemoryStore;
use store::{Batch, Page, Store, StoreError, Write};

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unavailable,
    UnknownApplied,
    UnknownNotApplied,
    Broken,
}

#[derive(Default)]
struct State {
    commits: u64,
    faults: Vec<(u64, Fault)>,
    committed: BTreeSet<(Bytes, Bytes)>,
    latency: Duration,
}

/// Clones share everything.
#[derive(Clone, Default)]
pub(super) struct FaultyStore {
    pub(super) inner: MemoryStore,
    state: Arc<Mutex<State>>,
}

impl FaultyStore {
    /// The commit that comes `after` that many others from now on fails.
    pub(super) fn inject(&self, after: u64, fault: Fault) {
        let mut state = self.state.lock();
        let at = state.commits + after;
        state.faults.push((at, fault));
    }

    /// No more faults from here on.
    pub(super) fn heal(&self) {
        self.state.lock().faults.clear();
    }

    /// Whether an object with these bytes was ever committed.
    pub(super) fn has_committed(&self, key: &Bytes, value: &Bytes) -> bool {
        self.state.lock().committed.contains(&(key.clone(), value.clone()))
    }

    /// How many commits were asked for.
    pub(super) fn commits(&self) -> u64 {
        self.state.lock().commits
    }

    /// How long a commit takes from now on.
    pub(super) fn set_latency(&self, latency: Duration) {
        self.state.lock().latency = latency;
    }

    async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let puts: Vec<(Bytes, Bytes)> = batch
            .writes
            .iter()
            .filter_map(|write| match write {
                Write::Put(key, value) => Some((key.clone(), value.clone())),
                Write::Delete(_) | Write::DeleteRange(..) => None,
            })
            .collect();
        self.inner.commit(batch).await?;
        self.state.lock().committed.extend(puts);
        Ok(())
    }
}

impl Store for FaultyStore {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        self.inner.get(key)
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.inner.scan(from, to, limit)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let (fault, latency) = {
                let mut state = self.state.lock();
                let at = state.commits;
                state.commits += 1;
                let found = state.faults.iter().position(|(when, _)| *when == at);
                (found.map(|found| state.faults.swap_remove(found).1), state.latency)
            };
            tokio::time::sleep(latency).await;
            match fault {
                None => self.apply(batch).await,
                Some(Fault::Unavailable) => Err(StoreError::Unavailable("told to".to_owned())),
                Some(Fault::Broken) => Err(StoreError::Broken("told to".to_owned())),
                Some(Fault::UnknownNotApplied) => Err(StoreError::Unknown("told to".to_owned())),
                Some(Fault::UnknownApplied) => {
                    self.apply(batch).await?;
                    Err(StoreError::Unknown("told to".to_owned()))
                }
            }
        }
        .boxed()
    }
}
