//! What every [`Store`] must do. Run it on each implementation: `contract::run(|| Arc::new(MyStore::new())).await`.
//!
//! Each call of the maker must give an empty store.

#![allow(clippy::unwrap_used, reason = "a suite of checks: an unexpected error is a failure")]

mod big;
pub mod endurance;
mod identity;
mod limits;
pub mod model;
mod order;
mod ranges;

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Batch, BatchId, Fence, Page, SharedStore, Store, StoreError, Write};

/// How many stores [`run`] asks for.
pub const STORES: usize = 17;

/// Runs the whole suite; panics at the first broken promise.
pub async fn run<S: Store>(make: impl Fn() -> Arc<S>) {
    puts_are_read_back(make()).await;
    later_writes_of_a_batch_win(make()).await;
    scans_are_ordered_and_paged(make()).await;
    fences_hold_all_or_nothing(make()).await;
    concurrent_fenced_increments_are_serialised(make()).await;
    ranges::are_deleted_in_order_with_other_writes(make()).await;
    ranges::end_where_they_say(make()).await;
    limits::are_the_same_everywhere(make()).await;
    limits::pages_end_by_bytes(make()).await;
    big::values_are_read_back(make()).await;
    big::fences_compare_all_of_them(make()).await;
    identity::the_same_batch_is_applied_once(make()).await;
    identity::an_id_that_is_used_again_is_noticed(make()).await;
    identity::one_of_many_retries_is_applied(make()).await;
    identity::a_commit_may_be_given_up(make()).await;
    order::reads_are_linearizable(make()).await;
    order::a_replaced_owner_writes_nothing(make()).await;
}

/// A batch of those writes.
pub fn batch(id: u128, fences: Vec<Fence>, writes: Vec<Write>) -> Batch {
    Batch { id: BatchId(id), fences, writes, adds: true }
}

/// All pairs of a store, page by page, each of at most `limit` pairs.
pub async fn everything(store: &dyn Store, limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let mut pairs: Vec<(Bytes, Bytes)> = Vec::new();
    let mut from = Bound::Unbounded;
    loop {
        let page = store.scan(from, Bytes::from_static(&[0xff; 16]), limit).await?;
        pairs.extend(page.pairs);
        match pairs.last() {
            Some((last, _)) if page.more => from = Bound::Excluded(last.clone()),
            _ => return Ok(pairs),
        }
    }
}

/// The seeds of a random test: that many, or the one of `SHARDPLANE_SEED`.
pub fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SHARDPLANE_SEED") {
        Ok(seed) => vec![seed.parse().expect("SHARDPLANE_SEED is a number")],
        Err(_) => (0..count).collect(),
    }
}

async fn names(store: &SharedStore) -> Vec<String> {
    let pairs = everything(&**store, 100).await.unwrap();
    pairs.into_iter().map(|(key, _)| crate::memory::printable(&key)).collect()
}

fn key(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(name: &str, value: &str) -> Write {
    Write::Put(key(name), key(value))
}

async fn puts_are_read_back(store: SharedStore) {
    assert_eq!(store.get(key("a")).await.unwrap(), None);
    store.commit(batch(1, vec![], vec![put("a", "1"), put("b", "")])).await.unwrap();
    assert_eq!(store.get(key("a")).await.unwrap(), Some(key("1")));
    assert_eq!(store.get(key("b")).await.unwrap(), Some(key("")), "an empty value is a value");
    store.commit(batch(2, vec![], vec![Write::Delete(key("a")), Write::Delete(key("absent"))])).await.unwrap();
    assert_eq!(store.get(key("a")).await.unwrap(), None);
}

async fn later_writes_of_a_batch_win(store: SharedStore) {
    let writes = vec![put("a", "1"), Write::Delete(key("a")), put("a", "2"), put("b", "1"), Write::Delete(key("b"))];
    store.commit(batch(1, vec![], writes)).await.unwrap();
    assert_eq!(store.get(key("a")).await.unwrap(), Some(key("2")));
    assert_eq!(store.get(key("b")).await.unwrap(), None);
}

async fn scans_are_ordered_and_paged(store: SharedStore) {
    // Inserted against the order; \x00 and \xff are where a comparison as text would go wrong.
    let names: [&[u8]; 6] = [b"b", b"a\xff", b"a\x00", b"a", b"c", b"\xff"];
    for (id, name) in names.iter().enumerate() {
        let write = Write::Put(Bytes::from_static(name), Bytes::from_static(name));
        store.commit(batch(id as u128, vec![], vec![write])).await.unwrap();
    }
    let all = store.scan(Bound::Unbounded, key("c"), 100).await.unwrap();
    let found: Vec<&[u8]> = all.pairs.iter().map(|(key, _)| &key[..]).collect();
    assert_eq!(found, [&b"a"[..], b"a\x00", b"a\xff", b"b"], "the end of a range is not in it");
    assert!(!all.more);

    let first = store.scan(Bound::Included(key("a")), key("c"), 2).await.unwrap();
    assert_eq!((first.pairs.len(), first.more), (2, true));
    let last = first.pairs[1].0.clone();
    let second = store.scan(Bound::Excluded(last), key("c"), 2).await.unwrap();
    assert_eq!(second.pairs[0].0, Bytes::from_static(b"a\xff"), "a page starts behind the last key of the page before");
    assert_eq!((second.pairs.len(), second.more), (2, false));

    let empty = store.scan(Bound::Included(key("c")), key("a"), 10).await.unwrap();
    assert!(empty.pairs.is_empty(), "an inverted range is empty, not an error");
}

async fn fences_hold_all_or_nothing(store: SharedStore) {
    let absent = Fence { key: key("epoch"), expected: None };
    store.commit(batch(1, vec![absent.clone()], vec![put("epoch", "1")])).await.unwrap();
    let refused = store.commit(batch(2, vec![absent], vec![put("x", "1")])).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    assert_eq!(store.get(key("x")).await.unwrap(), None, "a fenced batch leaves nothing behind");

    let right = Fence { key: key("epoch"), expected: Some(key("1")) };
    let wrong = Fence { key: key("other"), expected: Some(key("1")) };
    let refused = store.commit(batch(3, vec![right.clone(), wrong], vec![put("x", "1")])).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "every fence counts, not only the first");
    store.commit(batch(4, vec![right], vec![put("x", "1"), put("epoch", "2")])).await.unwrap();
    assert_eq!(store.get(key("epoch")).await.unwrap(), Some(key("2")));
}

/// Lost updates show here: 8 writers count to 25 each with compare-and-swap.
async fn concurrent_fenced_increments_are_serialised(store: SharedStore) {
    let writers = (0..8u128).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut id = writer << 64;
            for _ in 0..25 {
                loop {
                    id += 1;
                    let old = store.get(key("n")).await.unwrap();
                    let count: u64 = old.as_ref().map_or(0, |text| std::str::from_utf8(text).unwrap().parse().unwrap());
                    let fence = Fence { key: key("n"), expected: old };
                    match store.commit(batch(id, vec![fence], vec![put("n", &(count + 1).to_string())])).await {
                        Ok(()) => break,
                        Err(StoreError::Fenced { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(store.get(key("n")).await.unwrap(), Some(key("200")));
}
