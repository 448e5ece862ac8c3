//! Deleting ranges.

use super::*;

fn delete(from: &str, to: &str) -> Write {
    Write::DeleteRange(key(from), key(to))
}

pub(super) async fn are_deleted_in_order_with_other_writes(store: SharedStore) {
    let first = ["a", "b", "b1", "c", "d"].map(|name| put(name, "old"));
    store.commit(batch(1, vec![], first.to_vec())).await.unwrap();
    let writes = vec![put("b2", "gone"), delete("b", "d"), put("b1", "new"), put("c1", "new"), delete("c1", "c2")];
    store.commit(batch(2, vec![], writes)).await.unwrap();
    assert_eq!(names(&store).await, ["a", "b1", "d"], "a range takes what was written before it, not what comes after");
    assert_eq!(store.get(key("b1")).await.unwrap(), Some(key("new")));

    let wrong = Fence { key: key("a"), expected: None };
    let refused = store.commit(batch(3, vec![wrong], vec![delete("a", "z")])).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    assert_eq!(names(&store).await.len(), 3, "a fenced range deletes nothing");

    // The fence looks at what was there before the batch.
    let right = Fence { key: key("b1"), expected: Some(key("new")) };
    store.commit(batch(4, vec![right], vec![delete("a", "z"), put("e", "1")])).await.unwrap();
    assert_eq!(names(&store).await, ["e"]);
}

pub(super) async fn end_where_they_say(store: SharedStore) {
    // What follows a key directly is that key and a zero byte: where an encoding of keys would go wrong.
    let all: [&[u8]; 8] = [b"a", b"a\0", b"a\0\0", b"a\0\xff", b"a\x01", b"a\xff", b"a\xff\xff", b"b"];
    let writes = all.map(|name| Write::Put(Bytes::from_static(name), key("x")));
    for (id, (from, to, left)) in [
        (&b"a"[..], &b"a\0"[..], 7),
        (b"a\0", b"a\0\xff", 6),
        (b"a\0", b"a\x01", 5),
        (b"a\xff", b"b", 6),
        (b"a", b"a", 8),
        (b"b", b"a", 8),
        (b"", b"a", 8),
        (b"", b"b", 1),
        (b"a", b"a\xff\xff\0", 1),
    ]
    .into_iter()
    .enumerate()
    {
        let mut these = writes.to_vec();
        these.push(Write::DeleteRange(Bytes::from_static(from), Bytes::from_static(to)));
        store.commit(batch(id as u128, vec![], these)).await.unwrap();
        let found = names(&store).await;
        assert_eq!(found.len(), left, "[{}, {}) left {found:?}", from.escape_ascii(), to.escape_ascii());
    }
}
