//! Readers beside writers: what was acknowledged is seen, and nothing that was seen goes away again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;

const WRITES: u64 = 150;

/// One counts up; readers check each value against what was acknowledged before they asked and what was begun before
/// they were answered, and that it never goes back.
pub(super) async fn reads_are_linearizable(store: SharedStore) {
    let begun = Arc::new(AtomicU64::new(0));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let readers = (0..4).map(|reader| {
        let (store, done) = (store.clone(), done.clone());
        let (begun, acknowledged) = (begun.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let mut seen = 0;
            while !done.load(Ordering::SeqCst) {
                let least = acknowledged.load(Ordering::SeqCst);
                let value = read(&store, reader % 2 == 0).await;
                let most = begun.load(Ordering::SeqCst);
                assert!(value >= least, "{least} was acknowledged, and then {value} read");
                assert!(value <= most, "{value} was read when {most} was the newest that had been asked for");
                assert!(value >= seen, "{seen} was read, and then {value}");
                seen = value;
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for count in 1..=WRITES {
        begun.store(count, Ordering::SeqCst);
        // Two keys in one batch: a page must show both of one moment.
        let writes = vec![put("count/a", &count.to_string()), put("count/b", &count.to_string())];
        store.commit(batch(u128::from(count), vec![], writes)).await.unwrap();
        acknowledged.store(count, Ordering::SeqCst);
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}

async fn read(store: &SharedStore, by_scan: bool) -> u64 {
    let number = |value: &Bytes| std::str::from_utf8(value).unwrap().parse::<u64>().unwrap();
    if !by_scan {
        return store.get(key("count/a")).await.unwrap().as_ref().map_or(0, number);
    }
    let page = store.scan(Bound::Included(key("count/")), key("count0"), 10).await.unwrap();
    let values: Vec<u64> = page.pairs.iter().map(|(_, value)| number(value)).collect();
    assert!(values.is_empty() || (values.len() == 2 && values[0] == values[1]), "a page of two moments: {values:?}");
    values.first().copied().unwrap_or(0)
}

/// Owners take each other's place while all of them write: whoever was replaced commits nothing any more.
pub(super) async fn a_replaced_owner_writes_nothing(store: SharedStore) {
    let owners = (0..4u64).map(|owner| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut id = u128::from(owner + 1) << 64;
            for _ in 0..5 {
                // Takes over, then writes as long as it is let.
                let old = store.get(key("owner")).await.unwrap();
                let epoch = Bytes::from(format!("{owner}-{id}"));
                id += 1;
                let fence = Fence { key: key("owner"), expected: old };
                let writes = vec![Write::Put(key("owner"), epoch.clone()), Write::Put(key("last"), epoch.clone())];
                if store.commit(batch(id, vec![fence], writes)).await.is_err() {
                    continue;
                }
                for _ in 0..10 {
                    id += 1;
                    let fence = Fence { key: key("owner"), expected: Some(epoch.clone()) };
                    match store.commit(batch(id, vec![fence], vec![Write::Put(key("last"), epoch.clone())])).await {
                        Ok(()) => {}
                        Err(StoreError::Fenced { .. }) => break,
                        Err(error) => panic!("{error}"),
                    }
                    let page = store.scan(Bound::Included(key("last")), key("owner\0"), 2).await.unwrap();
                    assert_eq!(page.pairs[0].1, page.pairs[1].1, "the last writer is not the owner");
                }
            }
        })
    });
    for owner in owners.collect::<Vec<_>>() {
        owner.await.unwrap();
    }
}
