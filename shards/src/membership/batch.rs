//! One change of the directory: writes, what they were decided from, and how its outcome is settled.

use api::ambient::Ambient;
use bytes::Bytes;
use store::{Batch, BatchId, Fence, Store, StoreError, Write};

use super::records::Generation;
use crate::keys;

/// How often one batch is committed again while nobody can say whether it happened.
const TRIES: usize = 5;

/// A change as it is put together.
pub(super) struct Change {
    batch: Batch,
}

impl Change {
    /// One that others notice: it writes the generation.
    pub(super) fn new(ambient: &Ambient) -> Self {
        let generation = Generation::new(ambient.clock.wall_micros(), ambient.entropy.next_u64());
        let mut change = Self::silent(ambient);
        change.put(keys::generation(), generation.encode());
        change
    }

    /// One that is nobody's business: a renewal.
    pub(super) fn silent(ambient: &Ambient) -> Self {
        let id = BatchId(ambient.entropy.next_u128());
        Self { batch: Batch { id, fences: Vec::new(), writes: Vec::new(), adds: false } }
    }

    /// Nothing happens unless the key has this value.
    pub(super) fn fence(&mut self, key: Bytes, expected: Option<Bytes>) {
        self.batch.fences.push(Fence { key, expected });
    }

    pub(super) fn put(&mut self, key: Bytes, value: Bytes) {
        self.batch.writes.push(Write::Put(key, value));
    }

    pub(super) fn delete(&mut self, key: Bytes) {
        self.batch.writes.push(Write::Delete(key));
    }

    /// Commits it. `Ok`: it happened, once. `Fenced`: it did not and will not, somebody was faster: read again. An unknown
    /// outcome is asked for by committing the same batch again, and stays unknown only when that did not help either.
    pub(super) async fn commit(self, store: &dyn Store) -> Result<(), StoreError> {
        let mut outcome = store.commit(self.batch.clone()).await;
        for _ in 1..TRIES {
            match outcome {
                Err(StoreError::Unknown(_)) => outcome = store.commit(self.batch.clone()).await,
                settled => return settled,
            }
        }
        outcome
    }
}
