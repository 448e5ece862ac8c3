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

use crate::keys::{self, Place};
use crate::log::Entry;

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unavailable,
    UnknownApplied,
    UnknownNotApplied,
    Refused,
    Broken,
}

#[derive(Default)]
struct State {
    commits: u64,
    faults: Vec<(u64, Fault)>,
    committed: BTreeSet<Bytes>,
    /// Rows written, by the beginning of their kind.
    rows: Vec<String>,
    /// Batches that took something out of a log.
    trims: usize,
    latency: Duration,
    read_latency: Duration,
    /// The commit from which on none is answered, and whether that one still happens.
    dies: Option<(u64, bool)>,
    full: bool,
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

    /// The commit that comes `after` that many others is not answered, nor is any later one: the process is about to die.
    /// That commit happens or not, the later ones do not.
    pub(super) fn die(&self, after: u64, applied: bool) {
        let mut state = self.state.lock();
        state.dies = Some((state.commits + after, applied));
    }

    /// The same data as another process finds it.
    pub(super) fn reborn(&self) -> Self {
        let commits = self.commits();
        let state = State { commits, ..State::default() };
        Self { inner: self.inner.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// Whether batches that add something are refused from now on.
    pub(super) fn set_full(&self, full: bool) {
        self.state.lock().full = full;
    }

    /// No more faults from here on.
    pub(super) fn heal(&self) {
        self.state.lock().faults.clear();
    }

    /// Whether an object with these bytes was ever committed to a log.
    pub(super) fn has_committed(&self, tail: &Bytes) -> bool {
        self.state.lock().committed.contains(tail)
    }

    /// How often a row was written of kinds that begin so.
    pub(super) fn rows_written(&self, kind: &str) -> usize {
        self.state.lock().rows.iter().filter(|written| written.starts_with(kind)).count()
    }

    /// How many batches took something out of a log.
    pub(super) fn trims(&self) -> usize {
        self.state.lock().trims
    }

    /// How many commits were asked for.
    pub(super) fn commits(&self) -> u64 {
        self.state.lock().commits
    }

    /// How long a commit takes from now on.
    pub(super) fn set_latency(&self, latency: Duration) {
        self.state.lock().latency = latency;
    }

    /// How long a read takes from now on.
    pub(super) fn set_read_latency(&self, latency: Duration) {
        self.state.lock().read_latency = latency;
    }

    async fn wait_to_read(&self) {
        let latency = self.state.lock().read_latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }

    async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let object = |write: &Write| match write {
            Write::Put(key, value) if matches!(keys::parse(key), Some((.., Place::Entry(..)))) => {
                let (_, at) = Entry::decode(value).expect("entries can be read");
                Some(value.slice(at..))
            }
            _ => None,
        };
        let puts: Vec<Bytes> = batch.writes.iter().filter_map(object).collect();
        let row = |write: &Write| match write {
            Write::Put(key, _) => match keys::parse(key) {
                Some((.., Place::Row { id_name, .. })) => Some(id_name.to_owned()),
                _ => None,
            },
            _ => None,
        };
        let trims = batch.writes.iter().any(|write| matches!(write, Write::DeleteRange(..)));
        let rows: Vec<String> = batch.writes.iter().filter_map(row).collect();
        self.inner.commit(batch).await?;
        let mut state = self.state.lock();
        state.committed.extend(puts);
        state.rows.extend(rows);
        state.trims += usize::from(trims);
        Ok(())
    }
}

impl Store for FaultyStore {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        async move {
            self.wait_to_read().await;
            self.inner.get(key).await
        }
        .boxed()
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        async move {
            self.wait_to_read().await;
            self.inner.scan(from, to, limit).await
        }
        .boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let (fault, latency, dies) = {
                let mut state = self.state.lock();
                let at = state.commits;
                state.commits += 1;
                let found = state.faults.iter().position(|(when, _)| *when == at);
                let dies = state.dies.filter(|(when, _)| at >= *when).map(|(when, applied)| applied && at == when);
                (found.map(|found| state.faults.swap_remove(found).1), state.latency, dies)
            };
            tokio::time::sleep(latency).await;
            if let Some(applied) = dies {
                if applied {
                    let _ = self.apply(batch).await;
                }
                return std::future::pending().await;
            }
            match fault {
                None if batch.adds && self.state.lock().full => Err(StoreError::Full("told to".to_owned())),
                None => self.apply(batch).await,
                Some(Fault::Unavailable) => Err(StoreError::Unavailable("told to".to_owned())),
                Some(Fault::Refused) => Err(StoreError::TooLarge("told to".to_owned())),
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
