//! The contract over real connections, whole ones and cut ones.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use ::store::{Batch, BatchId, Fence, MemoryStore, Page, SharedStore, Store, StoreError, Write, contract};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tempfile::TempDir;

use super::{RemoteOptions, RemoteStore, StoreService, routes};
use crate::testing::{Cutting, Served, identity, link, listen, seed, seeded};
use crate::{Identity, Role};

struct Inside {
    directory: TempDir,
    shard: Identity,
}

impl Inside {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shard = identity(directory.path(), Role::Shard);
        Self { directory, shard }
    }

    fn serve(&self, store: SharedStore) -> Served {
        Served::new(&identity(self.directory.path(), Role::Store), routes(StoreService::new(store)))
    }

    fn remote(&self, address: &str) -> RemoteStore {
        RemoteStore::new(link(address, Role::Store, &self.shard), RemoteOptions::default())
    }
}

/// Calls pass through; what is dropped with it is its server.
struct Whole {
    remote: RemoteStore,
    _served: Served,
    _cutting: Option<Cutting>,
}

impl Store for Whole {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        self.remote.get(key)
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.remote.scan(from, to, limit)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.remote.commit(batch)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let inside = Inside::new();
    contract::run(|| {
        let served = inside.serve(Arc::new(MemoryStore::new()));
        Arc::new(Whole { remote: inside.remote(&served.address), _served: served, _cutting: None })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_over_cut_connections() {
    let (inside, ambient) = (Inside::new(), seeded(seed()));
    contract::run(|| {
        let served = inside.serve(Arc::new(MemoryStore::new()));
        // As much as the largest call of the suite needs, at least now and then.
        let cutting = Cutting::new(&served.address, ambient.clone(), 40 << 20);
        Arc::new(Whole { remote: inside.remote(&cutting.address), _served: served, _cutting: Some(cutting) })
    })
    .await;
}

/// Hides some outcomes, and goes on when nobody waits any more, as a disk does.
#[derive(Clone)]
struct Doubtful {
    inner: MemoryStore,
    entropy: Arc<dyn api::ambient::Entropy>,
}

impl Doubtful {
    async fn commit_doubtfully(self, batch: Batch) -> Result<(), StoreError> {
        let unknown = || Err(StoreError::Unknown("planted".to_owned()));
        let draw = self.entropy.next_u64() % 10;
        if draw == 0 {
            return unknown();
        }
        tokio::time::sleep(Duration::from_millis(draw * draw / 2)).await;
        self.inner.commit(batch).await?;
        if draw == 1 { unknown() } else { Ok(()) }
    }
}

impl Store for Doubtful {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        self.inner.get(key)
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.inner.scan(from, to, limit)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        let committed = tokio::spawn(self.clone().commit_doubtfully(batch));
        async move { committed.await.unwrap() }.boxed()
    }
}

/// Connections are cut in the middle, the store hides outcomes, and the server is replaced again and again, while writers
/// count one number up: whatever they are told is true, and no batch happens twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_happens_once_and_its_outcome_is_told() {
    let (inside, ambient) = (Inside::new(), seeded(seed()));
    let store = Arc::new(Doubtful { inner: MemoryStore::new(), entropy: ambient.entropy.clone() });
    let mut served = inside.serve(store.clone());
    let cutting = Cutting::new(&served.address, ambient.clone(), 12_000);
    let remote = Arc::new(inside.remote(&cutting.address));
    let number = Bytes::from_static(b"number");
    let writers: Vec<_> = (0..4u128)
        .map(|writer| {
            let (remote, number) = (remote.clone(), number.clone());
            tokio::spawn(async move {
                let (mut done, mut refused) = (Vec::new(), Vec::new());
                for at in 0.. {
                    if done.len() == 60 {
                        break;
                    }
                    let old = remote.get(number.clone()).await.unwrap();
                    let count = old.as_ref().map_or(0, |old| u64::from_be_bytes(old[..].try_into().unwrap()));
                    let mark = Bytes::from(format!("mark/{writer}/{at}"));
                    let next = Bytes::copy_from_slice(&(count + 1).to_be_bytes());
                    let mut batch = Batch {
                        id: BatchId(writer << 64 | at),
                        fences: Vec::new(),
                        writes: vec![Write::Put(mark.clone(), Bytes::new())],
                        adds: true,
                    };
                    // Half of them could happen twice, if nothing but their own fences kept them from it.
                    if writer % 2 == 0 {
                        batch.fences.push(Fence { key: number.clone(), expected: old });
                        batch.writes.push(Write::Put(number.clone(), next));
                    }
                    match remote.commit(batch).await {
                        Ok(()) => done.push(mark),
                        Err(StoreError::Fenced { .. }) => refused.push(mark),
                        Err(error) => panic!("{error}"),
                    }
                }
                (done, refused)
            })
        })
        .collect();
    let all = futures_util::future::join_all(writers);
    let mut all = std::pin::pin!(all);
    let outcomes = loop {
        tokio::select! {
            outcomes = &mut all => break outcomes,
            () = tokio::time::sleep(Duration::from_millis(300)) => {
                // Another server over the same store, which remembers nothing.
                served = inside.serve(store.clone());
                cutting.leads_to(&served.address);
            }
        }
    };
    drop(served);
    let pairs = store.inner.snapshot();
    let mut count = 0;
    for (writer, outcome) in outcomes.into_iter().enumerate() {
        let (done, refused) = outcome.unwrap();
        count += if writer % 2 == 0 { done.len() as u64 } else { 0 };
        for mark in done {
            assert!(pairs.contains_key(&mark), "{mark:?} was acknowledged");
        }
        for mark in refused {
            assert!(!pairs.contains_key(&mark), "{mark:?} was refused");
        }
    }
    let number = store.inner.get(number).await.unwrap().unwrap();
    assert_eq!(u64::from_be_bytes(number[..].try_into().unwrap()), count);
    assert!(cutting.cuts.load(std::sync::atomic::Ordering::Relaxed) > 10, "connections were cut");
}

#[tokio::test]
async fn without_a_server_patience_ends() {
    let inside = Inside::new();
    let (listener, address) = listen();
    drop(listener);
    let options = RemoteOptions { patience: Duration::from_millis(200), in_flight: 1 };
    let remote = RemoteStore::new(link(&address, Role::Store, &inside.shard), options);
    let batch = Batch { id: BatchId(1), fences: Vec::new(), writes: Vec::new(), adds: true };
    assert!(matches!(remote.commit(batch).await, Err(StoreError::Unavailable(_))), "nothing was sent");
    assert!(matches!(remote.get("a".into()).await, Err(StoreError::Unavailable(_))));
}

/// A store that never answers.
struct Stuck;

impl Store for Stuck {
    fn get(&self, _: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        futures_util::future::pending().boxed()
    }

    fn scan(&self, _: Bound<Bytes>, _: Bytes, _: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        futures_util::future::pending().boxed()
    }

    fn commit(&self, _: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        futures_util::future::pending().boxed()
    }
}

#[tokio::test]
async fn what_was_sent_and_never_answered_is_unknown() {
    let inside = Inside::new();
    let served = inside.serve(Arc::new(Stuck));
    let options = RemoteOptions { patience: Duration::from_millis(300), in_flight: 1 };
    let remote = RemoteStore::new(link(&served.address, Role::Store, &inside.shard), options);
    let batch = Batch { id: BatchId(1), fences: Vec::new(), writes: Vec::new(), adds: true };
    assert!(matches!(remote.commit(batch.clone()).await, Err(StoreError::Unknown(_))));
    let first = remote.commit(batch.clone());
    let second = remote.get("a".into());
    let (first, second) = tokio::join!(first, second);
    assert!(matches!(first, Err(StoreError::Unknown(_))), "{first:?}");
    assert!(matches!(second, Err(StoreError::Unavailable(_))), "it waited for its turn: {second:?}");
}
