//! What became of batches, written beside what they wrote.
//!
//! A record's key is the batch's id under [`SERVER_KEYS`]. Whoever writes it first decides: the batch itself, in its own
//! transaction, or a server that says "refused" to one who asked again, so that a first attempt that still lingers somewhere
//! cannot happen after that. Clients name the batches that they will not ask for again; what a client that died left is
//! dropped when it is older than anybody's patience.

use std::ops::Bound;
use std::time::Duration;

use ::store::{Batch, BatchId, Fence, SERVER_KEYS, SharedStore, StoreError, Write};
use api::ambient::Ambient;
use bytes::{BufMut, Bytes, BytesMut};

/// Far beyond the time in which a client asks again.
const KEPT: Duration = Duration::from_secs(3600);
const PAGE: usize = 1000;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Applied,
    Refused,
}

const APPLIED: u8 = 1;
const REFUSED: u8 = 2;

pub(super) fn key(id: BatchId) -> Bytes {
    let mut key = BytesMut::from(SERVER_KEYS);
    key.put_u8(b'b');
    key.put_u128(id.0);
    key.freeze()
}

fn end() -> Bytes {
    Bytes::from([SERVER_KEYS, b"c"].concat())
}

fn value(outcome: Outcome, micros: i64) -> Bytes {
    let mut value = BytesMut::with_capacity(9);
    value.put_u8(match outcome {
        Outcome::Applied => APPLIED,
        Outcome::Refused => REFUSED,
    });
    value.put_i64(micros);
    value.freeze()
}

/// Lets the batch say that it happened, and happen only if nothing was said of it yet.
pub(super) fn record(batch: &mut Batch, forget: impl Iterator<Item = BatchId>, ambient: &Ambient) {
    let own = key(batch.id);
    batch.fences.insert(0, Fence { key: own.clone(), expected: None });
    batch.writes.push(Write::Put(own, value(Outcome::Applied, ambient.clock.wall_micros())));
    batch.writes.extend(forget.map(|id| Write::Delete(key(id))));
}

/// What is known of a batch.
pub(super) async fn of(store: &SharedStore, id: BatchId) -> Result<Option<Outcome>, StoreError> {
    let value = store.get(key(id)).await?;
    Ok(value.map(|value| if value.first() == Some(&APPLIED) { Outcome::Applied } else { Outcome::Refused }))
}

/// Makes sure that the batch will not happen, unless it has: what became of it.
pub(super) async fn refuse(store: &SharedStore, id: BatchId, ambient: &Ambient) -> Result<Outcome, StoreError> {
    let own = key(id);
    let refused = Batch {
        id: BatchId(ambient.entropy.next_u128()),
        fences: vec![Fence { key: own.clone(), expected: None }],
        writes: vec![Write::Put(own, value(Outcome::Refused, ambient.clock.wall_micros()))],
    };
    match store.commit(refused).await {
        Ok(()) => Ok(Outcome::Refused),
        Err(StoreError::Fenced { .. }) => {
            let gone = || StoreError::Unknown("what became of the batch was forgotten".to_owned());
            of(store, id).await?.ok_or_else(gone)
        }
        Err(error) => Err(error),
    }
}

/// Drops records that nobody will ask for.
pub(super) async fn sweep(store: &SharedStore, ambient: &Ambient) -> Result<usize, StoreError> {
    let oldest = ambient.clock.wall_micros() - i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    let mut from = Bound::Included(Bytes::from_static(SERVER_KEYS));
    let mut dropped = 0;
    loop {
        let page = store.scan(from, end(), PAGE).await?;
        let Some((last, _)) = page.pairs.last() else { return Ok(dropped) };
        from = Bound::Excluded(last.clone());
        let old = |value: &[u8]| {
            let micros = value.get(1..).and_then(|micros| micros.try_into().ok()).map(i64::from_be_bytes);
            micros.is_none_or(|micros| micros < oldest)
        };
        let writes: Vec<Write> =
            page.pairs.into_iter().filter(|(_, value)| old(value)).map(|(key, _)| Write::Delete(key)).collect();
        if !writes.is_empty() {
            dropped += writes.len();
            let id = BatchId(ambient.entropy.next_u128());
            store.commit(Batch { id, fences: Vec::new(), writes }).await?;
        }
        if !page.more {
            return Ok(dropped);
        }
    }
}
