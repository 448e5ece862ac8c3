//! Counting while the store is in trouble: whatever fails meanwhile, no increment is lost and none happens twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;

/// How often a writer tries again before it finds that the store does not come back.
const TRIES: u32 = 3000;
const PAUSE: Duration = Duration::from_millis(20);

/// What happened while they counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Increments that were acknowledged: what stands in the store.
    pub increments: u64,
    /// Calls that found the store out of reach.
    pub unavailable: u64,
    /// Commits whose outcome was unknown at first.
    pub unknown: u64,
    /// The longest that a writer waited until it knew what became of a batch.
    pub longest: Duration,
}

struct Writer {
    store: SharedStore,
    number: u64,
    ids: u128,
    unavailable: Arc<AtomicU64>,
    unknown: Arc<AtomicU64>,
    longest: Duration,
}

/// Writers count: each on a key of its own, guarded by a fence and not, and all on one. Panics when the store says something
/// else than they counted. `run` sets the ids of this run apart from those of others on the same store.
pub async fn counts_exactly(store: SharedStore, run: u64, writers: u64, increments: u64) -> Counted {
    let (unavailable, unknown) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks = (0..writers).map(|number| {
        let (unavailable, unknown) = (unavailable.clone(), unknown.clone());
        let ids = (u128::from(run) << 96) | (u128::from(number + 1) << 64);
        let mut writer = Writer { store: store.clone(), number, ids, unavailable, unknown, longest: Duration::ZERO };
        tokio::spawn(async move {
            for count in 1..=increments {
                writer.count(count).await;
            }
            writer.longest
        })
    });
    let mut longest = Duration::ZERO;
    for task in tasks.collect::<Vec<_>>() {
        longest = longest.max(task.await.unwrap());
    }
    let mut reader = Writer { store, number: writers, ids: 0, unavailable, unknown, longest };
    assert_eq!(reader.read("count/all").await, writers * increments, "increments of all were lost or doubled");
    for number in 0..writers {
        assert_eq!(reader.read(&format!("count/own/{number}")).await, increments, "writer {number}");
    }
    let (unavailable, unknown) = (reader.unavailable.load(Ordering::Relaxed), reader.unknown.load(Ordering::Relaxed));
    Counted { increments: writers * increments, unavailable, unknown, longest }
}

fn number(value: Option<Bytes>) -> u64 {
    value.map_or(0, |value| std::str::from_utf8(&value).unwrap().parse().unwrap())
}

impl Writer {
    async fn count(&mut self, count: u64) {
        // Guarded: a second application breaks the fence.
        let own = format!("count/own/{}", self.number);
        let old = (count > 1).then(|| key(&(count - 1).to_string()));
        let fence = Fence { key: key(&own), expected: old };
        self.commit(vec![fence], vec![put(&own, &count.to_string())]).await.expect("nobody else counts here");
        // Not guarded: a second application, behind the next count, would turn it back.
        let free = format!("count/free/{}", self.number);
        assert_eq!(self.read(&free).await, count - 1, "writer {}: a batch happened twice, or too late", self.number);
        self.commit(vec![], vec![put(&free, &count.to_string())]).await.expect("there is no fence");
        // Together.
        loop {
            let old = self.try_read("count/all").await;
            let next = number(old.clone()) + 1;
            let fence = Fence { key: key("count/all"), expected: old };
            if self.commit(vec![fence], vec![put("count/all", &next.to_string())]).await.is_ok() {
                return;
            }
        }
    }

    /// Commits the batch, again and again under its id, until it is known what became of it: `Err` for fenced.
    async fn commit(&mut self, fences: Vec<Fence>, writes: Vec<Write>) -> Result<(), ()> {
        let began = tokio::time::Instant::now();
        let outcome = self.settle(fences, writes).await;
        self.longest = self.longest.max(began.elapsed());
        outcome
    }

    async fn settle(&mut self, fences: Vec<Fence>, writes: Vec<Write>) -> Result<(), ()> {
        self.ids += 1;
        let batch = batch(self.ids, fences, writes);
        for _ in 0..TRIES {
            match self.store.commit(batch.clone()).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Fenced { .. }) => return Err(()),
                Err(StoreError::Unavailable(_)) => self.unavailable.fetch_add(1, Ordering::Relaxed),
                Err(StoreError::Unknown(_)) => self.unknown.fetch_add(1, Ordering::Relaxed),
                Err(error) => panic!("{error}"),
            };
            tokio::time::sleep(PAUSE).await;
        }
        panic!("the store does not come back")
    }

    async fn read(&mut self, name: &str) -> u64 {
        number(self.try_read(name).await)
    }

    async fn try_read(&mut self, name: &str) -> Option<Bytes> {
        for _ in 0..TRIES {
            match self.store.get(key(name)).await {
                Ok(value) => return value,
                Err(error) if error.is_retryable() => self.unavailable.fetch_add(1, Ordering::Relaxed),
                Err(error) => panic!("{error}"),
            };
            tokio::time::sleep(PAUSE).await;
        }
        panic!("the store does not come back")
    }
}
