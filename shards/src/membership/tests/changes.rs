//! Each change of the directory by itself, and two that meet.

use std::sync::Arc;
use std::time::Duration;

use api::Version;
use api::slot::{Slot, SlotSet};
use store::memory::MemoryStore;
use store::{Batch, BatchId, SharedStore, Store, StoreError, Write};

use super::world::{Link, process};
use crate::OpenError;
use crate::claim::{SecureError, secure};
use crate::keys;
use crate::membership::directory::{Directory, HeldLease, Pulse};
use crate::membership::fence::fence;
use crate::membership::pins::pin;
use crate::membership::renew::Holding;
use crate::membership::{Identity, JoinError, Pin, Registration, Standing, Timing, register};

fn identity(ordinal: impl Into<Option<u16>>) -> Identity {
    Identity { ordinal: ordinal.into(), addresses: vec!["10.0.0.7:7443".into()], ..Identity::default() }
}

fn shared(store: &MemoryStore) -> SharedStore {
    Arc::new(store.clone())
}

async fn join(store: &MemoryStore, ordinal: impl Into<Option<u16>>) -> Registration {
    register(&shared(store), &process(), &Timing::default(), &identity(ordinal)).await.unwrap()
}

async fn lease(store: &MemoryStore, ordinal: u16) -> HeldLease {
    Pulse::read(store).await.unwrap().leases.remove(&ordinal).expect("it is held")
}

fn slots(range: std::ops::Range<u16>) -> SlotSet {
    range.map(Slot).collect()
}

async fn put(store: &MemoryStore, id: u128, key: bytes::Bytes, value: bytes::Bytes) {
    store
        .commit(Batch { id: BatchId(id), fences: Vec::new(), writes: vec![Write::Put(key, value)], adds: false })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_number_one_gets_the_lowest_that_is_free() {
    let store = MemoryStore::new();
    for expected in 0..3 {
        assert_eq!(join(&store, None).await.ordinal, expected);
    }
    join(&store, 7).await;
    fence(&store, &process(), 7, Some(&lease(&store, 7).await)).await.unwrap();
    fence(&store, &process(), 1, Some(&lease(&store, 1).await)).await.unwrap();
    assert_eq!(join(&store, None).await.ordinal, 1);
    assert_eq!(join(&store, None).await.ordinal, 3);
    let refused = register(&shared(&store), &process(), &Timing::default(), &identity(4096)).await.unwrap_err();
    assert_eq!(refused.to_string(), "there is no ordinal 4096: the highest is 4095");
}

#[tokio::test(start_paused = true)]
async fn two_with_one_identity_are_refused_and_a_dead_one_is_replaced() {
    let store = MemoryStore::new();
    let (first, timing) = (process(), Timing::default());
    let mut holding = Holding::new(&join(&store, 3).await);
    let renewing = async {
        for _ in 0..10 {
            holding.renew(&store, &first, &Timing::default(), Standing::Serving).await.unwrap();
            tokio::time::sleep(timing.renew).await;
        }
    };
    let (second, same) = (process(), identity(3));
    let all = shared(&store);
    let (refused, ()) = tokio::join!(register(&all, &second, &timing, &same), renewing);
    let refused = refused.unwrap_err();
    assert!(matches!(refused, JoinError::Taken { ordinal: 3, .. }));
    let text = refused.to_string();
    assert!(text.starts_with("ordinal 3 is taken: a shard at 10.0.0.7:7443 holds it and renews its lease"), "{text}");

    // It stands still from here on.
    let began = tokio::time::Instant::now();
    let replaced = register(&shared(&store), &second, &timing, &same).await.unwrap();
    assert!(began.elapsed() >= timing.ttl && began.elapsed() < timing.ttl * 2, "{:?}", began.elapsed());
    let outcome = holding.renew(&store, &first, &Timing::default(), Standing::Serving).await;
    assert!(matches!(outcome, Err(StoreError::Fenced { .. })), "{outcome:?}");
    Holding::new(&replaced).renew(&store, &second, &Timing::default(), Standing::Serving).await.unwrap();

    // Where nobody else can have the store open, a lease that is found says nothing.
    let began = tokio::time::Instant::now();
    let only = Identity { only_process: true, ..same };
    register(&shared(&store), &second, &timing, &only).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_newer_format_is_refused_before_anything_is_written() {
    let store = MemoryStore::new();
    put(&store, 1, keys::format(), "99".into()).await;
    let refused = register(&shared(&store), &process(), &Timing::default(), &identity(None)).await.unwrap_err();
    assert!(matches!(refused, JoinError::Open(OpenError::Format { .. })));
    assert_eq!(store.snapshot().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_beats_a_fence() {
    let (store, first) = (MemoryStore::new(), process());
    let mut holding = Holding::new(&join(&store, 0).await);
    let seen = lease(&store, 0).await;
    holding.renew(&store, &first, &Timing::default(), Standing::Serving).await.unwrap();
    let outcome = fence(&store, &process(), 0, Some(&seen)).await;
    assert!(matches!(outcome, Err(StoreError::Fenced { .. })), "{outcome:?}");
    holding.renew(&store, &first, &Timing::default(), Standing::Serving).await.unwrap();

    let seen = lease(&store, 0).await;
    let before = Directory::read(&store).await.unwrap();
    fence(&store, &process(), 0, Some(&seen)).await.unwrap();
    let again = fence(&store, &process(), 0, Some(&seen)).await;
    assert!(matches!(again, Err(StoreError::Fenced { .. })), "two who see it dead fence it once: {again:?}");
    let late = holding.renew(&store, &first, &Timing::default(), Standing::Serving).await;
    assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
    let after = Directory::read(&store).await.unwrap();
    assert!(after.ordinals[&0].count > before.ordinals[&0].count && after.pulse.leases.is_empty());
    assert_ne!(after.pulse.generation, before.pulse.generation);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_unknown_outcome_counts_from_its_start() {
    let (store, ambient, timing) = (MemoryStore::new(), process(), Timing::default());
    let link = Link::new(&store, 5);
    let mut holding = Holding::new(&join(&store, 0).await);
    link.unknown.store(1, std::sync::atomic::Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let first_try = ambient.clock.boot();
    let before = holding.valid_until(&timing);
    for _ in 0..4 {
        let outcome = holding.renew(&*link, &ambient, &Timing::default(), Standing::Serving).await;
        assert!(matches!(outcome, Err(StoreError::Unknown(_))), "{outcome:?}");
        assert_eq!(holding.valid_until(&timing), before);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Whatever of it happens later has happened by now.
    tokio::time::sleep(Duration::from_secs(3)).await;
    link.unknown.store(0, std::sync::atomic::Ordering::Relaxed);
    holding.renew(&*link, &ambient, &Timing::default(), Standing::Serving).await.unwrap();
    let counted = holding.valid_until(&timing) - (timing.ttl - timing.margin);
    assert!(counted == first_try || counted == ambient.clock.boot());
    assert_eq!(holding.lease(), &lease(&store, 0).await.lease);
    holding.renew(&*link, &ambient, &Timing::default(), Standing::Serving).await.unwrap();
    assert_eq!(holding.valid_until(&timing), ambient.clock.boot() + timing.ttl - timing.margin);
}

#[tokio::test(start_paused = true)]
async fn renewals_are_silent_and_everything_else_is_not() {
    let (store, ambient) = (MemoryStore::new(), process());
    let mut generations = vec![Pulse::read(&store).await.unwrap().generation];
    let registration = join(&store, 0).await;
    let mut holding = Holding::new(&registration);
    generations.push(Pulse::read(&store).await.unwrap().generation);
    holding.renew(&store, &ambient, &Timing::default(), Standing::Serving).await.unwrap();
    generations.push(Pulse::read(&store).await.unwrap().generation);
    holding.renew(&store, &ambient, &Timing::default(), Standing::Serving).await.unwrap();
    assert_eq!(Pulse::read(&store).await.unwrap().generation, generations[2]);
    secure(&shared(&store), &ambient, registration.epoch, &slots(0..8)).await.unwrap();
    generations.push(Pulse::read(&store).await.unwrap().generation);
    let pinned = Pin { to: 0, namespace: "default/hot".into(), alone: false };
    pin(&store, &ambient, &slots(3..4), Some(&pinned)).await.unwrap();
    generations.push(Pulse::read(&store).await.unwrap().generation);
    pin(&store, &ambient, &slots(3..4), None).await.unwrap();
    generations.push(Pulse::read(&store).await.unwrap().generation);
    fence(&store, &ambient, 0, Some(&lease(&store, 0).await)).await.unwrap();
    generations.push(Pulse::read(&store).await.unwrap().generation);
    let different: std::collections::HashSet<_> = generations.iter().collect();
    assert_eq!(different.len(), generations.len());
}

#[tokio::test(start_paused = true)]
async fn slots_of_the_fenced_are_claimed_once_above_their_ceiling() {
    let store = MemoryStore::new();
    let first = join(&store, 0).await;
    let claim = |epoch, range| {
        let (store, slots) = (shared(&store), slots(range));
        async move { secure(&store, &process(), epoch, &slots).await }
    };
    let directory = Directory::read(&store).await.unwrap();
    assert!(directory.is_orphan(Slot(0)) && directory.owner(Slot(0)).is_none());
    assert_eq!(claim(first.epoch, 0..100).await.unwrap(), Version::ZERO, "nobody has written there");
    put(&store, 1, keys::ceiling(0), keys::encode_version(Version::new(5_000, 0))).await;
    let second = join(&store, 1).await;

    // While it lives, its slots are its.
    let directory = Directory::read(&store).await.unwrap();
    assert_eq!((directory.owner(Slot(7)), directory.owned_by(0).len()), (Some(0), 100));
    assert!(matches!(claim(second.epoch, 0..100).await, Err(SecureError::Living(Slot(0)))));

    fence(&store, &process(), 0, Some(&lease(&store, 0).await)).await.unwrap();
    let directory = Directory::read(&store).await.unwrap();
    assert!(directory.is_orphan(Slot(7)) && directory.owned_by(0).is_empty());
    let third = join(&store, 2).await;
    assert_eq!(claim(second.epoch, 0..60).await.unwrap(), Version::new(5_000, 0));
    assert!(matches!(claim(third.epoch, 50..70).await, Err(SecureError::Living(Slot(50)))));
    let after = Directory::read(&store).await.unwrap();
    assert_eq!((after.owner(Slot(59)), after.owner(Slot(60))), (Some(1), None));

    // The second has written nothing and its ceiling is low: the floor of the first still holds.
    put(&store, 2, keys::ceiling(1), keys::encode_version(Version::new(10, 1))).await;
    fence(&store, &process(), 1, Some(&lease(&store, 1).await)).await.unwrap();
    assert_eq!(claim(third.epoch, 0..1).await.unwrap(), Version::new(5_000, 0));
    fence(&store, &process(), 2, Some(&lease(&store, 2).await)).await.unwrap();
    let dead = claim(third.epoch, 1..2).await;
    assert!(matches!(dead, Err(SecureError::Store(_))), "the fenced claim nothing: {dead:?}");
}
