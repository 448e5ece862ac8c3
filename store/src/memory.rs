//! A store that forgets: for tests, and as the model that the others are compared with.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use crate::{Batch, Fence, Page, Store, StoreError, Write};

/// A map behind a mutex. Clones share it, so that a test can "restart" whoever uses it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    pairs: Arc<Mutex<BTreeMap<Bytes, Bytes>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything in it, for comparisons.
    pub fn snapshot(&self) -> BTreeMap<Bytes, Bytes> {
        self.pairs.lock().clone()
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

impl Store for MemoryStore {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        ready(Ok(self.pairs.lock().get(&key).cloned())).boxed()
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        let pairs = self.pairs.lock();
        let behind = match &from {
            Bound::Included(key) => *key >= to,
            Bound::Excluded(key) => *key >= to,
            Bound::Unbounded => false,
        };
        if behind {
            return ready(Ok(Page::default())).boxed();
        }
        let mut range = pairs.range((from, Bound::Excluded(to)));
        let page = range.by_ref().take(limit).map(|(key, value)| (key.clone(), value.clone())).collect();
        let page = Page { pairs: page, more: range.next().is_some() };
        ready(Ok(page)).boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut pairs = self.pairs.lock();
        let fenced = check_fences(&batch.fences, |key| Ok(pairs.get(key).cloned()));
        if fenced.is_ok() {
            for write in batch.writes {
                match write {
                    Write::Put(key, value) => pairs.insert(key, value),
                    Write::Delete(key) => pairs.remove(&key),
                };
            }
        }
        ready(fenced).boxed()
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
