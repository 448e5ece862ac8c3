//! How large things may be, and where a page ends.

use super::*;
use crate::{BATCH_BYTES, KEY_BYTES, PAGE_BYTES, VALUE_BYTES};

fn zeros(length: usize) -> Bytes {
    Bytes::from(vec![0; length])
}

async fn is_refused(store: &SharedStore, id: u128, writes: Vec<Write>) {
    let refused = store.commit(batch(id, vec![], writes)).await;
    assert!(matches!(refused, Err(StoreError::TooLarge(_))), "{refused:?}");
}

pub(super) async fn are_the_same_everywhere(store: SharedStore) {
    // The worst case for whoever must escape zeros.
    let longest = zeros(KEY_BYTES);
    store.commit(batch(1, vec![], vec![Write::Put(longest.clone(), zeros(VALUE_BYTES))])).await.unwrap();
    assert_eq!(store.get(longest.clone()).await.unwrap().map(|value| value.len()), Some(VALUE_BYTES));
    let page = store.scan(Bound::Unbounded, key("z"), 1).await.unwrap();
    assert_eq!((page.pairs.len(), page.more), (1, false));

    is_refused(&store, 2, vec![Write::Put(key("a"), zeros(VALUE_BYTES + 1))]).await;
    is_refused(&store, 3, vec![Write::Put(zeros(KEY_BYTES + 1), zeros(1))]).await;
    is_refused(&store, 4, vec![put("a", "1"), Write::Delete(zeros(KEY_BYTES + 1))]).await;
    is_refused(&store, 5, vec![put("a", "1"), Write::DeleteRange(key("b"), zeros(KEY_BYTES + 1))]).await;
    let refused = store.get(zeros(KEY_BYTES + 1)).await;
    assert!(matches!(refused, Err(StoreError::TooLarge(_))), "{refused:?}");

    let many = |count: usize| (0..count).map(|at| put(&format!("many/{at:06}"), "")).collect::<Vec<_>>();
    let fit = BATCH_BYTES / put("many/000000", "").size();
    is_refused(&store, 6, many(fit + 1)).await;
    assert_eq!(names(&store).await.len(), 1, "what is refused leaves nothing behind");
    store.commit(batch(7, vec![], many(fit))).await.expect("a batch that is as large as it may be, of small writes");
    let long = |at: usize| Write::Put([&zeros(KEY_BYTES - 8)[..], &at.to_be_bytes()].concat().into(), key("1"));
    let fit = BATCH_BYTES / long(0).size();
    store.commit(batch(8, vec![], (0..fit).map(long).collect())).await.expect("… and of long keys");
    assert!(matches!(store.get(key("many/000000")).await, Ok(Some(_))));
}

pub(super) async fn pages_end_by_bytes(store: SharedStore) {
    // Five of a third of a page, one of more than a page, one small.
    let mut sizes = vec![PAGE_BYTES / 3; 5];
    sizes.extend([3 << 20, 10]);
    for (at, size) in sizes.iter().enumerate() {
        let write = Write::Put(key(&format!("key-{at}")), zeros(*size));
        store.commit(batch(at as u128 + 1, vec![], vec![write])).await.unwrap();
    }
    let mut pages = Vec::new();
    let mut from = Bound::Unbounded;
    loop {
        let page = store.scan(from, key("z"), 100).await.unwrap();
        let last = page.pairs.last().expect("a page is never empty while there is something").0.clone();
        pages.push(page.pairs.len());
        if !page.more {
            break;
        }
        from = Bound::Excluded(last);
    }
    assert_eq!(pages, [2, 2, 1, 1, 1], "three thirds and their keys are more than a page; a large pair stands alone");
}
