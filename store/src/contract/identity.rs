//! A batch and its id: applied once, whoever asks how often; and what a caller may do who does not know.

use std::time::Duration;

use futures_util::FutureExt;

use super::*;

pub(super) async fn the_same_batch_is_applied_once(store: SharedStore) {
    let count = |value: &str| vec![put("n", value)];
    store.commit(batch(1, vec![], count("1"))).await.unwrap();
    store.commit(batch(2, vec![], count("2"))).await.unwrap();
    store.commit(batch(1, vec![], count("1"))).await.unwrap();
    assert_eq!(store.get(key("n")).await.unwrap(), Some(key("2")), "a batch was applied twice");

    // Its own write breaks its fence: the answer is still that of the first time.
    let from_two = vec![Fence { key: key("n"), expected: Some(key("2")) }];
    store.commit(batch(3, from_two.clone(), count("3"))).await.unwrap();
    store.commit(batch(3, from_two.clone(), count("3"))).await.unwrap();

    // What was refused was not applied, so its id is free: a retry is judged anew.
    let refused = store.commit(batch(4, from_two.clone(), count("4"))).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    store.commit(batch(5, vec![], count("2"))).await.unwrap();
    store.commit(batch(4, from_two, count("4"))).await.unwrap();
    assert_eq!(store.get(key("n")).await.unwrap(), Some(key("4")));
}

/// Ids that are drawn from a generator with the same seed after each start, for one.
pub(super) async fn an_id_that_is_used_again_is_noticed(store: SharedStore) {
    store.commit(batch(1, vec![], vec![put("a", "1")])).await.unwrap();
    let reused = store.commit(batch(1, vec![], vec![put("a", "2")])).await;
    assert!(matches!(reused, Err(StoreError::Broken(_))), "a batch vanished under another's id: {reused:?}");
    assert_eq!(store.get(key("a")).await.unwrap(), Some(key("1")));
}

/// Many who do not know whether their batch went through ask at the same time.
pub(super) async fn one_of_many_retries_is_applied(store: SharedStore) {
    store.commit(batch(1, vec![], vec![put("n", "0")])).await.unwrap();
    for round in 0..10u32 {
        let fence = Fence { key: key("n"), expected: Some(key(&round.to_string())) };
        let same = batch(100 + u128::from(round), vec![fence], vec![put("n", &(round + 1).to_string())]);
        let attempts: Vec<_> = (0..8)
            .map(|_| {
                let (store, same) = (store.clone(), same.clone());
                tokio::spawn(async move { store.commit(same).await })
            })
            .collect();
        for attempt in attempts {
            attempt.await.unwrap().expect("it was applied, by one of them");
        }
        assert_eq!(store.get(key("n")).await.unwrap(), Some(key(&(round + 1).to_string())));
    }
}

/// A commit that is given up is whole or absent, and the same batch settles which.
pub(super) async fn a_commit_may_be_given_up(store: SharedStore) {
    for round in 0..60u32 {
        let name = format!("given-up/{round}");
        let writes = vec![put(&name, "1"), put(&format!("{name}/too"), "1")];
        let given_up = batch(u128::from(round) + 1, vec![], writes);
        {
            let commit = store.commit(given_up.clone());
            match round % 3 {
                0 => drop(commit),
                1 => drop(commit.now_or_never()),
                _ => drop(tokio::time::timeout(Duration::from_micros(u64::from(round) * 20), commit).await),
            }
        }
        let page = store.scan(Bound::Included(key(&name)), key(&format!("{name}0")), 10).await.unwrap();
        assert_ne!(page.pairs.len(), 1, "a batch is seen whole or not at all");
        store.commit(given_up.clone()).await.unwrap();
        store.commit(batch(u128::from(round) + 1000, vec![], vec![Write::Delete(key(&name))])).await.unwrap();
        store.commit(given_up).await.unwrap();
        assert_eq!(store.get(key(&name)).await.unwrap(), None, "the commit that was given up happened once more");
    }
}
