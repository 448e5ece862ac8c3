//! A store that forgets: for tests, and as the model that the others are compared with.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::batch::check_key;
use crate::page::{Filling, is_empty};
use crate::recent::Recent;
use crate::{Batch, Fence, Page, Store, StoreError, Write};

/// A map behind a mutex. Clones share it, so that a test can "restart" whoever uses it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    pairs: BTreeMap<Bytes, Bytes>,
    recent: Recent,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything in it, for comparisons.
    pub fn snapshot(&self) -> BTreeMap<Bytes, Bytes> {
        self.state.lock().pairs.clone()
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let mut state = self.state.lock();
        let now = Instant::now();
        state.recent.forget(now);
        let fingerprint = batch.fingerprint();
        if let Some(answer) = state.recent.answer(&batch, fingerprint) {
            return answer;
        }
        check_fences(&batch.fences, |key| Ok(state.pairs.get(key).cloned()))?;
        for write in batch.writes {
            apply(&mut state.pairs, write);
        }
        state.recent.add(now, [(batch.id, fingerprint)]);
        Ok(())
    }
}

/// A key as an error shows it.
pub(crate) fn printable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

pub(crate) fn check_fences(
    fences: &[Fence],
    mut read: impl FnMut(&[u8]) -> Result<Option<Bytes>, StoreError>,
) -> Result<(), StoreError> {
    for fence in fences {
        if read(&fence.key)? != fence.expected {
            return Err(StoreError::Fenced { key: printable(&fence.key) });
        }
    }
    Ok(())
}

/// What a write does to a map: what it means.
pub(crate) fn apply(pairs: &mut BTreeMap<Bytes, Bytes>, write: Write) {
    match write {
        Write::Put(key, value) => {
            pairs.insert(key, value);
        }
        Write::Delete(key) => {
            pairs.remove(&key);
        }
        Write::DeleteRange(from, to) => {
            let from = Bound::Included(from);
            if !is_empty(&from, &to) {
                let gone: Vec<Bytes> = pairs.range((from, Bound::Excluded(to))).map(|(key, _)| key.clone()).collect();
                for key in gone {
                    pairs.remove(&key);
                }
            }
        }
    }
}

impl Store for MemoryStore {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        ready(check_key(&key).map(|()| self.state.lock().pairs.get(&key).cloned())).boxed()
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        let mut page = Filling::new(limit);
        if !is_empty(&from, &to) {
            for (key, value) in self.state.lock().pairs.range((from, Bound::Excluded(to))) {
                if !page.takes(key.len() + value.len()) {
                    break;
                }
                page.push(key.clone(), value.clone());
            }
        }
        ready(Ok(page.done())).boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(self.apply(batch)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_contract() {
        crate::contract::run(|| Arc::new(MemoryStore::new())).await;
    }
}
