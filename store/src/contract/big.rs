//! Values that some stores must keep in pieces, which nobody may notice.

use super::*;

/// Around the pieces that FoundationDB's values are cut into, and a large object.
const SIZES: [usize; 7] = [0, 89_999, 90_000, 90_001, 180_000, 180_001, 3 << 20];

fn filled(size: usize, seed: u8) -> Bytes {
    (0..size).map(|at| (at / 7) as u8 ^ (at >> 16) as u8 ^ seed).collect::<Vec<u8>>().into()
}

pub(super) async fn values_are_read_back(store: SharedStore) {
    let mut id = 0;
    let mut commit = async |writes: Vec<Write>, fences: Vec<Fence>| {
        id += 1;
        store.commit(batch(id, fences, writes)).await
    };
    for (at, size) in SIZES.into_iter().enumerate() {
        // Each size over each other, so that shorter values follow longer ones and the other way round.
        let (name, seed) = (key("value"), at as u8);
        commit(vec![Write::Put(name.clone(), filled(size, seed))], vec![]).await.unwrap();
        assert!(store.get(name.clone()).await.unwrap() == Some(filled(size, seed)), "{size} bytes differ");
        let page = store.scan(Bound::Unbounded, key("z"), 100).await.unwrap();
        assert_eq!((page.pairs.len(), page.more), (1, false), "{size} bytes: something else shows in a scan");
        assert!(page.pairs[0] == (name, filled(size, seed)), "{size} bytes differ in a scan");
        commit(vec![Write::Put(key(&format!("kept/{size}")), filled(size, 9))], vec![]).await.unwrap();
        if at % 2 == 1 {
            commit(vec![Write::Delete(key("value"))], vec![]).await.unwrap();
            assert_eq!(store.get(key("value")).await.unwrap(), None);
        }
        commit(vec![Write::DeleteRange(key("kept/"), key("kept0"))], vec![]).await.unwrap();
    }
    // The longest key and the keys right behind one that has pieces.
    let names: [&[u8]; 5] = [b"k", b"k\0", b"k\0\0", b"k\0\xff", b"k\xff"];
    for (seed, name) in names.into_iter().enumerate() {
        let value = filled(90_001 + seed * 90_000, seed as u8);
        commit(vec![Write::Put(Bytes::from_static(name), value)], vec![]).await.unwrap();
    }
    commit(vec![Write::DeleteRange(key("k\0"), Bytes::from_static(b"k\0\xff"))], vec![]).await.unwrap();
    for (seed, name) in names.into_iter().enumerate() {
        let found = store.get(Bytes::from_static(name)).await.unwrap();
        let expected = (!matches!(seed, 1 | 2)).then(|| filled(90_001 + seed * 90_000, seed as u8));
        assert!(found == expected, "{} after its neighbours were deleted", name.escape_ascii());
    }
}

pub(super) async fn fences_compare_all_of_them(store: SharedStore) {
    let name = key("guarded");
    let value = filled(180_001, 1);
    store.commit(batch(1, vec![], vec![Write::Put(name.clone(), value.clone())])).await.unwrap();
    // Alike but for the last byte, in the last piece; and alike but shorter.
    let mut last = value.to_vec();
    *last.last_mut().unwrap() ^= 1;
    for (id, expected) in [(2, last.into()), (3, value.slice(..180_000)), (4, value.slice(..90_000)), (5, Bytes::new())]
    {
        let fence = Fence { key: name.clone(), expected: Some(expected) };
        let refused = store.commit(batch(id, vec![fence], vec![put("x", "1")])).await;
        assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    }
    let right = Fence { key: name.clone(), expected: Some(value) };
    // Replaced by a small one, and again by a large one, in one batch.
    let writes = vec![put("guarded", "small"), Write::Put(name.clone(), filled(100_000, 2))];
    store.commit(batch(6, vec![right.clone()], writes)).await.unwrap();
    assert!(store.get(name.clone()).await.unwrap() == Some(filled(100_000, 2)));
    let refused = store.commit(batch(7, vec![right], vec![put("x", "1")])).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    assert_eq!(store.get(key("x")).await.unwrap(), None);
    let absent = Fence { key: name, expected: None };
    let refused = store.commit(batch(8, vec![absent], vec![put("x", "1")])).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
}
