//! A store that fails when told to, and remembers what was ever committed.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Dice;
use crate::{Batch, Page, SharedStore, Store, StoreError, Write};

/// What happens to one call. A read has no outcome that could be unknown: there, both kinds of unknown are `Unavailable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// [`StoreError::Unavailable`], and nothing happens.
    Unavailable,
    /// [`StoreError::Unknown`], and the batch was committed, or refused if its fences did not hold.
    UnknownApplied,
    /// [`StoreError::Unknown`], and nothing happens.
    UnknownNotApplied,
    /// [`StoreError::Unknown`], and the batch is committed that much later, if its fences hold then.
    UnknownAppliedLater(Duration),
    /// The call waits before it does anything.
    DelayBefore(Duration),
    /// The call waits after it has done everything.
    DelayAfter(Duration),
    /// The call waits until [`FaultyStore::release`] before it does anything.
    HangBefore,
    /// The call waits until [`FaultyStore::release`] after it has done everything.
    HangAfter,
    /// [`StoreError::Broken`] for this call and all later ones, until [`FaultyStore::heal`].
    Broken,
}

/// How often what happens by chance: probabilities for each call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Of [`Fault::Unavailable`].
    pub unavailable: f64,
    /// Of [`Fault::UnknownApplied`], for a commit.
    pub unknown_applied: f64,
    /// Of [`Fault::UnknownNotApplied`], for a commit.
    pub unknown_not_applied: f64,
    /// Of [`Fault::UnknownAppliedLater`], for a commit, after up to `delay`.
    pub unknown_applied_later: f64,
    /// Of a delay before or after the call, of up to `delay`.
    pub delayed: f64,
    /// The longest delay.
    pub delay: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Commit,
}

struct State {
    calls: u64,
    commits: u64,
    /// By number of the call, and of the commit.
    planned: BTreeMap<u64, Fault>,
    planned_commits: BTreeMap<u64, Fault>,
    rates: Rates,
    dice: Dice,
    latency: Duration,
    broken: bool,
    committed: HashSet<(Bytes, Bytes)>,
}

struct Shared {
    store: SharedStore,
    state: Mutex<State>,
    releases: watch::Sender<u64>,
}

/// Stands before a store. Clones share everything. A fence is never reported broken that holds.
#[derive(Clone)]
pub struct FaultyStore(Arc<Shared>);

impl FaultyStore {
    /// Before that store; chance follows the seed. No faults until they are asked for.
    pub fn new(store: SharedStore, seed: u64) -> Self {
        let state = State {
            calls: 0,
            commits: 0,
            planned: BTreeMap::new(),
            planned_commits: BTreeMap::new(),
            rates: Rates::default(),
            dice: Dice::new(seed),
            latency: Duration::ZERO,
            broken: false,
            committed: HashSet::new(),
        };
        Self(Arc::new(Shared { store, state: Mutex::new(state), releases: watch::channel(0).0 }))
    }

    /// The store behind it, which does not fail.
    pub fn inner(&self) -> &SharedStore {
        &self.0.store
    }

    /// The call, of whatever kind, that comes `after` that many others from now on has the fault.
    pub fn inject(&self, after: u64, fault: Fault) {
        let mut state = self.0.state.lock();
        let at = state.calls + after;
        state.planned.insert(at, fault);
    }

    /// The commit that comes `after` that many other commits from now on has the fault.
    pub fn inject_commit(&self, after: u64, fault: Fault) {
        let mut state = self.0.state.lock();
        let at = state.commits + after;
        state.planned_commits.insert(at, fault);
    }

    /// From now on each call may fail by chance.
    pub fn set_rates(&self, rates: Rates) {
        self.0.state.lock().rates = rates;
    }

    /// How long each commit takes at least from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.0.state.lock().latency = latency;
    }

    /// No more faults from here on; what hangs goes on, what was broken works.
    pub fn heal(&self) {
        {
            let mut state = self.0.state.lock();
            state.planned.clear();
            state.planned_commits.clear();
            state.rates = Rates::default();
            state.broken = false;
        }
        self.release();
    }

    /// Lets the calls that hang go on.
    pub fn release(&self) {
        self.0.releases.send_modify(|count| *count += 1);
    }

    /// How many calls were made.
    pub fn calls(&self) -> u64 {
        self.0.state.lock().calls
    }

    /// How many commits were asked for.
    pub fn commits(&self) -> u64 {
        self.0.state.lock().commits
    }

    /// Whether that value of that key was ever committed through this store.
    pub fn has_committed(&self, key: &Bytes, value: &Bytes) -> bool {
        self.0.state.lock().committed.contains(&(key.clone(), value.clone()))
    }
}

impl Shared {
    /// Counts a call, and says what happens to it.
    fn next(&self, kind: Kind) -> (Option<Fault>, Duration) {
        let mut state = self.state.lock();
        let call = state.calls;
        state.calls += 1;
        let mut fault = state.planned.remove(&call);
        let mut latency = Duration::ZERO;
        if kind == Kind::Commit {
            let commit = state.commits;
            state.commits += 1;
            fault = fault.or(state.planned_commits.remove(&commit));
            latency = state.latency;
        }
        let fault = fault.or_else(|| state.by_chance(kind));
        if state.broken || fault == Some(Fault::Broken) {
            state.broken = true;
            return (Some(Fault::Broken), latency);
        }
        (fault, latency)
    }

    async fn released(&self) {
        let mut releases = self.releases.subscribe();
        // The sender is in `self`, so it is there.
        let _ = releases.changed().await;
    }

    async fn call<T>(
        &self,
        (fault, latency): (Option<Fault>, Duration),
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let told = || "told to".to_owned();
        match fault {
            None => call.await,
            Some(Fault::Unavailable) => Err(StoreError::Unavailable(told())),
            Some(Fault::Broken) => Err(StoreError::Broken(told())),
            Some(Fault::UnknownNotApplied | Fault::UnknownAppliedLater(_)) => Err(StoreError::Unknown(told())),
            Some(Fault::UnknownApplied) => match call.await {
                // What the caller would not see if the answer got lost.
                Ok(_) | Err(StoreError::Fenced { .. }) => Err(StoreError::Unknown(told())),
                Err(error) => Err(error),
            },
            Some(Fault::DelayBefore(time)) => {
                tokio::time::sleep(time).await;
                call.await
            }
            Some(Fault::DelayAfter(time)) => {
                let answer = call.await;
                tokio::time::sleep(time).await;
                answer
            }
            Some(Fault::HangBefore) => {
                self.released().await;
                call.await
            }
            Some(Fault::HangAfter) => {
                let answer = call.await;
                self.released().await;
                answer
            }
        }
    }

    async fn read<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let (fault, latency) = self.next(Kind::Read);
        let answer = self.call((fault, latency), read).await;
        answer.map_err(|error| match error {
            StoreError::Unknown(reason) => StoreError::Unavailable(reason),
            error => error,
        })
    }

    async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let puts = batch.writes.iter().filter_map(|write| match write {
            Write::Put(key, value) => Some((key.clone(), value.clone())),
            Write::Delete(_) | Write::DeleteRange(..) => None,
        });
        let puts: Vec<_> = puts.collect();
        self.store.commit(batch).await?;
        self.state.lock().committed.extend(puts);
        Ok(())
    }
}

impl State {
    fn by_chance(&mut self, kind: Kind) -> Option<Fault> {
        let rates = self.rates;
        let delay = Duration::from_micros(1 + self.dice.below(rates.delay.as_micros().max(1) as u64));
        let (before, commit) = (self.dice.happens(0.5), kind == Kind::Commit);
        let faults = [
            (rates.unavailable, true, Fault::Unavailable),
            (rates.unknown_applied, commit, Fault::UnknownApplied),
            (rates.unknown_not_applied, commit, Fault::UnknownNotApplied),
            (rates.unknown_applied_later, commit, Fault::UnknownAppliedLater(delay)),
            (rates.delayed, true, if before { Fault::DelayBefore(delay) } else { Fault::DelayAfter(delay) }),
        ];
        // Every coin is tossed, so that one rate does not move the others' luck.
        let tossed = faults.map(|(rate, fits, fault)| (self.dice.happens(rate) && fits).then_some(fault));
        tossed.into_iter().flatten().next()
    }
}

impl Store for FaultyStore {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        self.0.read(self.0.store.get(key)).boxed()
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.0.read(self.0.store.scan(from, to, limit)).boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let (fault, latency) = self.0.next(Kind::Commit);
            if let Some(Fault::UnknownAppliedLater(time)) = fault {
                let (shared, batch) = (self.0.clone(), batch.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(latency + time).await;
                    // Nobody waits for the answer: that is the fault.
                    let _ = shared.apply(batch).await;
                });
            }
            self.0.call((fault, latency), self.0.apply(batch)).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::batch;
    use crate::{Fence, MemoryStore};

    fn key(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn put(id: u128, value: &'static str) -> Batch {
        batch(id, vec![], vec![Write::Put(key("a"), key(value))])
    }

    fn faulty() -> FaultyStore {
        FaultyStore::new(Arc::new(MemoryStore::new()), 1)
    }

    #[tokio::test]
    async fn without_faults_it_keeps_the_contract() {
        crate::contract::run(|| Arc::new(faulty())).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_fault_does_what_it_says() {
        let second = Duration::from_secs(1);
        for (fault, known, applied) in [
            (Fault::Unavailable, "Err(Unavailable", false),
            (Fault::UnknownApplied, "Err(Unknown", true),
            (Fault::UnknownNotApplied, "Err(Unknown", false),
            (Fault::UnknownAppliedLater(second), "Err(Unknown", false),
            (Fault::DelayBefore(second), "Ok", true),
            (Fault::DelayAfter(second), "Ok", true),
            (Fault::Broken, "Err(Broken", false),
        ] {
            let store = faulty();
            store.inject(1, Fault::Unavailable);
            store.inject_commit(0, fault);
            let answer = format!("{:?}", store.commit(put(1, "1")).await);
            assert!(answer.starts_with(known), "{fault:?}: {answer}");
            assert_eq!(store.inner().get(key("a")).await.unwrap().is_some(), applied, "{fault:?}");
            assert_eq!(store.has_committed(&key("a"), &key("1")), applied, "{fault:?}");
            assert!(store.get(key("a")).await.is_err(), "{fault:?}: the call after it has one of its own");
            store.heal();
            tokio::time::sleep(2 * second).await;
            let later = applied || matches!(fault, Fault::UnknownAppliedLater(_));
            assert_eq!(store.get(key("a")).await.unwrap().is_some(), later, "{fault:?}");
            assert_eq!((store.calls(), store.commits()), (3, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_waits_to_be_released() {
        for (fault, applied) in [(Fault::HangBefore, false), (Fault::HangAfter, true)] {
            let store = faulty();
            store.inject(0, fault);
            let commit = tokio::spawn({
                let store = store.clone();
                async move { store.commit(put(1, "1")).await }
            });
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert!(!commit.is_finished());
            assert_eq!(store.inner().get(key("a")).await.unwrap().is_some(), applied);
            store.release();
            commit.await.unwrap().unwrap();
            assert!(store.get(key("a")).await.unwrap().is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn writers_count_exactly_through_all_of_it() {
        for seed in crate::contract::seeds(8) {
            let store = FaultyStore::new(Arc::new(MemoryStore::new()), seed);
            store.set_rates(rates());
            let counted = crate::contract::endurance::counts_exactly(Arc::new(store.clone()), seed, 6, 20).await;
            assert!(counted.unknown > 20 && counted.unavailable > 20, "seed {seed}: {counted:?}");
        }
    }

    fn rates() -> Rates {
        Rates {
            unavailable: 0.1,
            unknown_applied: 0.1,
            unknown_not_applied: 0.1,
            unknown_applied_later: 0.1,
            delayed: 0.3,
            delay: Duration::from_millis(10),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn chance_follows_the_seed_and_forges_no_fence() {
        let run = async |seed| {
            let store = FaultyStore::new(Arc::new(MemoryStore::new()), seed);
            store.set_rates(rates());
            let absent = Fence { key: key("never"), expected: None };
            let mut answers = Vec::new();
            for id in 0..200 {
                let answer = store.commit(batch(id, vec![absent.clone()], vec![Write::Delete(key("a"))])).await;
                assert!(!matches!(answer, Err(StoreError::Fenced { .. })));
                answers.push(format!("{answer:?}"));
            }
            answers
        };
        let (first, again, other) = (run(7).await, run(7).await, run(8).await);
        assert_eq!(first, again);
        assert_ne!(first, other);
        for kind in ["Ok", "Err(Unavailable", "Err(Unknown"] {
            assert!(first.iter().any(|answer| answer.starts_with(kind)), "{kind} never happened");
        }
    }
}
