//! Random operations against a map, with one fault at one call: for each kind of fault, at each call.
//!
//! The one who calls behaves as the contract allows: after `Unavailable` it tries again, after `Unknown` it either commits the
//! same batch again, or changes the batch's fence and looks whether it happened. Whatever it was told, store and map must be
//! equal in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::memory::apply;
use crate::testing::{Dice, Fault, FaultyStore};

/// How long a call may take before it is given up. Far more than a commit takes where nothing hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same where it is known that the call hangs.
const NO_PATIENCE: Duration = Duration::from_millis(20);
/// How much later a late batch happens.
const LATE: Duration = Duration::from_millis(3);

const FAULTS: [Fault; 9] = [
    Fault::Unavailable,
    Fault::UnknownApplied,
    Fault::UnknownNotApplied,
    Fault::UnknownAppliedLater(LATE),
    Fault::DelayBefore(LATE),
    Fault::DelayAfter(LATE),
    Fault::HangBefore,
    Fault::HangAfter,
    Fault::Broken,
];

/// Runs all faults at all calls of a run of about that many calls, from one seed. The store is emptied before each run.
pub async fn survives_every_fault(store: SharedStore, seed: u64, calls: u64) {
    let mut ids = u128::from(seed) << 64;
    for fault in FAULTS {
        for at in 0..calls {
            let _named = Named { seed, fault, at };
            let faulty = FaultyStore::new(store.clone(), seed);
            let dice = Dice::new(seed ^ (at << 32));
            let mut run = Run { store: faulty, dice, model: BTreeMap::new(), epoch: 0, ids, fault };
            run.empty().await;
            run.store.inject(at, fault);
            while run.store.calls() < calls {
                run.step().await;
            }
            run.compare().await;
            ids = run.ids;
        }
    }
}

/// Says which run it was that failed.
struct Named {
    seed: u64,
    fault: Fault,
    at: u64,
}

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SHARDPLANE_SEED={}: {:?} at call {}", self.seed, self.fault, self.at);
        }
    }
}

struct Run {
    store: FaultyStore,
    dice: Dice,
    model: BTreeMap<Bytes, Bytes>,
    /// What stands at the key that batches are fenced by. Never the same again.
    epoch: u64,
    ids: u128,
    fault: Fault,
}

fn epoch_key() -> Bytes {
    key("epoch")
}

impl Run {
    fn id(&mut self) -> BatchId {
        self.ids += 1;
        BatchId(self.ids)
    }

    async fn empty(&mut self) {
        let all = Write::DeleteRange(Bytes::new(), Bytes::from_static(&[0xff; 16]));
        let batch = Batch { id: self.id(), fences: Vec::new(), writes: vec![all], adds: false };
        self.store.inner().commit(batch).await.unwrap();
    }

    async fn step(&mut self) {
        match self.dice.below(8) {
            0 => {
                let name = self.name();
                let found = self.get(&name).await;
                assert!(found.as_ref() == self.model.get(&name), "get {}", name.escape_ascii());
            }
            1 => {
                let limit = 1 + self.dice.below(5) as usize;
                let (from, to) = (self.name(), self.name());
                let page = self.scan(Bound::Included(from.clone()), to.clone(), limit).await;
                let expected: Vec<_> =
                    self.model.iter().filter(|(key, _)| **key >= from && **key < to).take(limit + 1).collect();
                // A page may end early, by bytes.
                let found: Vec<_> = page.pairs.iter().map(|(key, value)| (key, value)).collect();
                assert!(expected.starts_with(&found) && found.len() <= limit, "a page differs");
                assert_eq!(page.more, expected.len() > found.len());
            }
            _ => self.commit().await,
        }
    }

    fn name(&mut self) -> Bytes {
        let last: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"\xff", b"x", b"\0\x01"];
        let mut name = vec![b'a' + self.dice.below(4) as u8];
        name.extend_from_slice(last[self.dice.below(6) as usize]);
        name.into()
    }

    fn value(&mut self) -> Bytes {
        let length = match self.dice.below(12) {
            0 => 89_998 + self.dice.below(5),
            1 => 179_999 + self.dice.below(4),
            _ => self.dice.below(40),
        };
        vec![self.dice.roll() as u8; length as usize].into()
    }

    fn writes(&mut self) -> Vec<Write> {
        let count = 1 + self.dice.below(5);
        let write = |run: &mut Self| match run.dice.below(6) {
            0 => Write::DeleteRange(run.name(), run.name()),
            1 | 2 => Write::Delete(run.name()),
            _ => Write::Put(run.name(), run.value()),
        };
        (0..count).map(|_| write(self)).collect()
    }

    async fn commit(&mut self) {
        let fenced_by_epoch = self.dice.happens(0.5);
        let mut fences = Vec::new();
        if fenced_by_epoch {
            fences.push(Fence { key: epoch_key(), expected: self.model.get(&epoch_key()).cloned() });
        }
        if self.dice.happens(0.5) {
            let name = self.name();
            fences.push(Fence { expected: self.model.get(&name).cloned(), key: name });
        }
        let wrong = self.dice.happens(0.2);
        if wrong {
            // A value that is never put.
            fences.push(Fence {
                key: self.name(),
                expected: Some(key("a value that nobody puts: 0123456789 0123456789")),
            });
        }
        let batch = Batch { id: self.id(), fences, writes: self.writes(), adds: true };
        loop {
            let answer = match tokio::time::timeout(self.patience(), self.store.commit(batch.clone())).await {
                Ok(answer) => answer,
                Err(_) => Err(StoreError::Unknown("given up".to_owned())),
            };
            match answer {
                Ok(()) => {
                    assert!(!wrong, "a fence that does not hold let a batch through");
                    return self.happened(batch);
                }
                Err(StoreError::Fenced { .. }) => return assert!(wrong, "a fence that holds kept a batch back"),
                Err(StoreError::Unavailable(_)) => {}
                Err(StoreError::Broken(_)) => self.store.heal(),
                Err(StoreError::TooLarge(reason) | StoreError::Full(reason)) => panic!("{reason}"),
                Err(StoreError::Unknown(_)) if fenced_by_epoch && self.dice.happens(0.5) => {
                    return self.settle_by_fence(batch, wrong).await;
                }
                // The same batch again, under the same id.
                Err(StoreError::Unknown(_)) => {}
            }
        }
    }

    /// Changes the fence, after which the batch is there or never will be, and looks.
    async fn settle_by_fence(&mut self, batch: Batch, wrong: bool) {
        self.epoch += 1;
        let change = vec![Write::Put(epoch_key(), Bytes::from(self.epoch.to_string()))];
        let change = Batch { id: self.id(), fences: Vec::new(), writes: change, adds: true };
        self.store.inner().commit(change.clone()).await.unwrap();
        let found: BTreeMap<_, _> = everything(&**self.store.inner(), 100).await.unwrap().into_iter().collect();
        let before = self.model.clone();
        self.happened(change.clone());
        if found != self.model {
            assert!(!wrong, "a fence that does not hold let a batch through");
            self.model = before;
            self.happened(batch);
            self.happened(change);
        }
        assert!(found == self.model, "neither with the batch nor without it is this what should be there");
    }

    fn happened(&mut self, batch: Batch) {
        for write in batch.writes {
            apply(&mut self.model, write);
        }
    }

    async fn get(&mut self, name: &Bytes) -> Option<Bytes> {
        loop {
            match tokio::time::timeout(self.patience(), self.store.get(name.clone())).await {
                Ok(Ok(value)) => return value,
                Ok(Err(error)) => self.may_be_tried_again(&error),
                Err(_) => {}
            }
        }
    }

    async fn scan(&mut self, from: Bound<Bytes>, to: Bytes, limit: usize) -> Page {
        loop {
            match tokio::time::timeout(self.patience(), self.store.scan(from.clone(), to.clone(), limit)).await {
                Ok(Ok(page)) => return page,
                Ok(Err(error)) => self.may_be_tried_again(&error),
                Err(_) => {}
            }
        }
    }

    fn may_be_tried_again(&self, error: &StoreError) {
        match error {
            StoreError::Broken(_) => self.store.heal(),
            error => assert!(error.is_retryable(), "{error}"),
        }
    }

    fn patience(&self) -> Duration {
        match self.fault {
            Fault::HangBefore | Fault::HangAfter => NO_PATIENCE,
            _ => PATIENCE,
        }
    }

    async fn compare(&mut self) {
        self.store.heal();
        if matches!(self.fault, Fault::UnknownAppliedLater(_)) {
            tokio::time::sleep(LATE * 3).await;
        }
        for limit in [3, 1000] {
            let found = everything(&self.store, limit).await.unwrap();
            let equal = found.iter().map(|(key, value)| (key, value)).eq(self.model.iter());
            assert!(equal, "{} keys expected, {} found", self.model.len(), found.len());
        }
    }
}
