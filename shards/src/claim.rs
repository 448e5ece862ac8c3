//! Owning an ordinal and slots: the epochs that every batch is fenced by.
//!
//! An epoch stands under the ordinal and under every slot that its holder owns. Who takes an ordinal replaces its epoch, and
//! from then on the former owner's batches fail, so what is read afterwards is final: the ceiling of its clock, above which
//! the next owner starts, then its slots. A hand-over between the living writes a floor instead ([`hand_over`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use api::Version;
use api::ambient::Ambient;
use api::slot::{SLOTS, Slot, SlotSet};
use api::version::MAX_ORDINALS;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::try_join_all;
use store::{Batch, BatchId, Fence, SharedStore, StoreError, Write};

use crate::clock::AHEAD;
use crate::keys::{self, Epoch};
use crate::shard::OpenError;

/// Times that a change is decided again because somebody else was faster, or settled again because nobody knew.
const TRIES: usize = 8;
/// Records that are read one by one.
const FEW: usize = 64;

/// An ordinal and slots under one epoch, taken from whoever had them: what a fixed topology does at start.
pub(crate) struct Taken {
    pub(crate) epoch: Epoch,
    /// Above everything that former owners have released.
    pub(crate) floor: Version,
    /// See [`keys::first`].
    pub(crate) first: Version,
}

/// Takes the ordinal and the slots over, whoever has them.
pub(crate) async fn take(
    store: &SharedStore,
    ambient: &Ambient,
    ordinal: u16,
    slots: &SlotSet,
    now: Version,
) -> Result<Taken, OpenError> {
    // Two that open the same slots at once: one is fenced, looks again and wins, or is fenced later.
    for _ in 0..TRIES {
        let first = check_format(store).await?;
        let slot_owners = owners(store, slots).await?;
        let handed = floors(store, slots).await?;
        let own = store.get(keys::ordinal_owner(ordinal)).await?;
        let mut fences = vec![Fence { key: keys::ordinal_owner(ordinal), expected: own.clone() }];
        let mut former = BTreeSet::from([ordinal]);
        let mut count = own.as_deref().and_then(Epoch::decode).map_or(0, |own| own.count);
        let mut floor = first.unwrap_or(now).max(others(store).await?);
        for slot in slots.iter() {
            let owner = slot_owners.get(&slot);
            if let Some(owner) = owner {
                former.insert(owner.ordinal);
                count = count.max(owner.count);
            }
            fences.push(Fence { key: keys::slot_owner(slot), expected: owner.map(|owner| owner.encode()) });
            floor = floor.max(handed.get(&slot).copied().unwrap_or_default());
        }
        for ordinal in former {
            // Fenced as well: the former owner may be raising it.
            let key = keys::ceiling(ordinal);
            let expected = store.get(key.clone()).await?;
            floor = floor.max(version(&key, expected.as_deref())?);
            fences.push(Fence { key, expected });
        }
        let epoch = Epoch { count: count + 1, ordinal, incarnation: ambient.entropy.next_u128() };
        let mut writes = vec![
            Write::Put(keys::ordinal_owner(ordinal), epoch.encode()),
            // So that the floor outlives this process, should it die before it stores a ceiling of its own.
            Write::Put(keys::ceiling(ordinal), keys::encode_version(floor)),
        ];
        writes.extend(slots.iter().map(|slot| Write::Put(keys::slot_owner(slot), epoch.encode())));
        if first.is_none() {
            fences.push(Fence { key: keys::format(), expected: None });
            writes.push(Write::Put(keys::format(), Bytes::from(keys::FORMAT.to_string())));
            writes.push(Write::Put(keys::first(), keys::encode_version(now)));
        }
        match settle(store, Batch { id: BatchId(ambient.entropy.next_u128()), fences, writes, adds: false }).await {
            Ok(()) => return Ok(Taken { epoch, floor, first: first.unwrap_or(now) }),
            Err(StoreError::Fenced { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(OpenError::Contended)
}

/// Above everything that the ordinal has released before this epoch, for one whose ordinal was taken already.
pub(crate) async fn taken(
    store: &SharedStore,
    ambient: &Ambient,
    epoch: Epoch,
    now: Version,
) -> Result<Taken, OpenError> {
    for _ in 0..TRIES {
        let first = match check_format(store).await? {
            Some(first) => first,
            None => {
                let fences = vec![Fence { key: keys::format(), expected: None }];
                let writes = vec![
                    Write::Put(keys::format(), Bytes::from(keys::FORMAT.to_string())),
                    Write::Put(keys::first(), keys::encode_version(now)),
                ];
                match settle(store, Batch { id: BatchId(ambient.entropy.next_u128()), fences, writes, adds: false })
                    .await
                {
                    Ok(()) => now,
                    Err(StoreError::Fenced { .. }) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let key = keys::ceiling(epoch.ordinal);
        let floor = version(&key, store.get(key.clone()).await?.as_deref())?;
        return Ok(Taken { epoch, floor: floor.max(first).max(others(store).await?), first });
    }
    Err(OpenError::Contended)
}

/// How far the clocks of all ordinals have come at least. Who starts below that, because the machine's clock was set back, would
/// refuse what others have released as too far ahead, for as long as its clock has to catch up.
async fn others(store: &SharedStore) -> Result<Version, OpenError> {
    let (from, to) = (Bound::Included(keys::ceiling(0)), keys::ceiling(u16::MAX));
    let mut highest = Version::ZERO;
    for (key, value) in store.scan(from, to, usize::from(MAX_ORDINALS)).await?.pairs {
        highest = highest.max(version(&key, Some(&value))?);
    }
    // A ceiling lies ahead of its clock.
    Ok(Version::new(highest.micros().saturating_sub(AHEAD.as_micros() as u64), 0))
}

/// Stores the first ceiling of an epoch.
pub(crate) async fn store_ceiling(
    store: &SharedStore,
    ambient: &Ambient,
    epoch: Epoch,
    ceiling: Version,
) -> Result<(), StoreError> {
    let fences = vec![Fence { key: keys::ordinal_owner(epoch.ordinal), expected: Some(epoch.encode()) }];
    let writes = vec![Write::Put(keys::ceiling(epoch.ordinal), keys::encode_version(ceiling))];
    settle(store, Batch { id: BatchId(ambient.entropy.next_u128()), fences, writes, adds: false }).await
}

/// Makes sure that the slots are `epoch`'s: they were handed to it, or it takes them now, because they are nobody's or a
/// fenced member's. Answers a floor above everything that former owners have released. [`SecureError::Living`]: a slot is
/// owned by another member that is not fenced.
pub(crate) async fn secure(
    store: &SharedStore,
    ambient: &Ambient,
    epoch: Epoch,
    slots: &SlotSet,
) -> Result<Version, SecureError> {
    for _ in 0..TRIES {
        let slot_owners = owners(store, slots).await?;
        let handed = floors(store, slots).await?;
        let mut floor = Version::ZERO;
        let mut free = Vec::new();
        let mut former = BTreeSet::new();
        for slot in slots.iter() {
            floor = floor.max(handed.get(&slot).copied().unwrap_or_default());
            match slot_owners.get(&slot) {
                Some(owner) if *owner == epoch => {}
                Some(owner) => {
                    // One ordinal may have owned under several epochs: each must be over.
                    if former.insert((owner.ordinal, owner.incarnation)) {
                        floor = floor.max(fenced_ceiling(store, slot, *owner).await?);
                    }
                    free.push((slot, Some(*owner)));
                }
                None => free.push((slot, None)),
            }
        }
        if free.is_empty() {
            return Ok(floor);
        }
        let mut fences = vec![Fence { key: keys::ordinal_owner(epoch.ordinal), expected: Some(epoch.encode()) }];
        let mut writes = vec![Write::Put(keys::generation(), generation(ambient))];
        for (slot, owner) in free {
            fences.push(Fence { key: keys::slot_owner(slot), expected: owner.map(Epoch::encode) });
            writes.push(Write::Put(keys::slot_owner(slot), epoch.encode()));
            writes.push(Write::Put(keys::floor(slot), keys::encode_version(floor)));
        }
        match settle(store, Batch { id: BatchId(ambient.entropy.next_u128()), fences, writes, adds: false }).await {
            Ok(()) => return Ok(floor),
            Err(StoreError::Fenced { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(SecureError::Store(StoreError::Unavailable("others keep claiming the same slots".to_owned())))
}

/// Why slots are not ours.
#[derive(Debug)]
pub(crate) enum SecureError {
    Living(Slot),
    Store(StoreError),
}

impl From<StoreError> for SecureError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<OpenError> for SecureError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store(error) => Self::Store(error),
            other => Self::Store(StoreError::Broken(other.to_string())),
        }
    }
}

/// The ceiling of an owner, which is final because its ordinal has another epoch by now.
async fn fenced_ceiling(store: &SharedStore, slot: Slot, owner: Epoch) -> Result<Version, SecureError> {
    let now = store.get(keys::ordinal_owner(owner.ordinal)).await?;
    if now == Some(owner.encode()) {
        return Err(SecureError::Living(slot));
    }
    let key = keys::ceiling(owner.ordinal);
    Ok(version(&key, store.get(key.clone()).await?.as_deref())?)
}

/// Gives slots to another member, with a floor that it starts above. `Fenced`: this member or the heir is not what it was, or
/// a slot is not this member's. Does not answer before it is known whose they are: a batch that may still happen would take
/// the slots away from a member that serves them again.
pub(crate) async fn hand_over(
    store: &SharedStore,
    ambient: &Ambient,
    epoch: Epoch,
    slots: &SlotSet,
    heir: Epoch,
    floor: Version,
) -> Result<(), StoreError> {
    let mut fences = vec![
        Fence { key: keys::ordinal_owner(epoch.ordinal), expected: Some(epoch.encode()) },
        Fence { key: keys::ordinal_owner(heir.ordinal), expected: Some(heir.encode()) },
    ];
    let mut writes = vec![Write::Put(keys::generation(), generation(ambient))];
    for slot in slots.iter() {
        fences.push(Fence { key: keys::slot_owner(slot), expected: Some(epoch.encode()) });
        writes.push(Write::Put(keys::slot_owner(slot), heir.encode()));
        writes.push(Write::Put(keys::floor(slot), keys::encode_version(floor)));
    }
    let batch = Batch { id: BatchId(ambient.entropy.next_u128()), fences, writes, adds: false };
    let mut outcome = settle(store, batch.clone()).await;
    while let Err(StoreError::Unknown(_)) = outcome {
        outcome = settle(store, batch.clone()).await;
        if let Err(StoreError::Unavailable(reason)) = outcome {
            // This time.
            outcome = Err(StoreError::Unknown(reason));
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    outcome
}

/// A generation unlike any before: the moment, for people, and a random number.
fn generation(ambient: &Ambient) -> Bytes {
    let mut value = BytesMut::with_capacity(16);
    value.put_u64(u64::try_from(ambient.clock.wall_micros()).unwrap_or(0));
    value.put_u64(ambient.entropy.next_u64());
    value.freeze()
}

/// Commits a batch, and the very same again while nobody knows what became of it: it is applied at most once.
pub(crate) async fn settle(store: &SharedStore, batch: Batch) -> Result<(), StoreError> {
    let mut outcome = store.commit(batch.clone()).await;
    let mut unknown = None;
    for _ in 1..TRIES {
        match outcome {
            Err(StoreError::Unknown(reason)) => unknown = Some(reason),
            // Nothing happened this time: what became of the first try is as open as before.
            Err(StoreError::Unavailable(_)) if unknown.is_some() => {}
            settled => return settled,
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        outcome = store.commit(batch.clone()).await;
    }
    match (outcome, unknown) {
        (Err(StoreError::Unavailable(_)), Some(reason)) => Err(StoreError::Unknown(reason)),
        (outcome, _) => outcome,
    }
}

/// Refuses a store of another format; answers when it was made, if it was.
pub(crate) async fn check_format(store: &SharedStore) -> Result<Option<Version>, OpenError> {
    let Some(found) = store.get(keys::format()).await? else { return Ok(None) };
    if keys::is_restoring(&found) {
        return Err(OpenError::Restoring);
    }
    let text = String::from_utf8_lossy(&found).into_owned();
    match text.parse::<u32>() {
        Ok(keys::FORMAT) => {
            let first = store.get(keys::first()).await?;
            Ok(Some(version(&keys::first(), first.as_deref())?))
        }
        Ok(older) if older < keys::FORMAT => Err(OpenError::OldFormat { found: older, known: keys::FORMAT }),
        _ => Err(OpenError::Format { found: text, known: keys::FORMAT }),
    }
}

/// The owners of slots that have one.
async fn owners(store: &SharedStore, slots: &SlotSet) -> Result<BTreeMap<Slot, Epoch>, OpenError> {
    let decode = |key: &[u8], value: &[u8]| Some((keys::slot_of_owner(key)?, Epoch::decode(value)?));
    numbered(store, slots, keys::slot_owner, decode).await
}

/// The floors of slots that were handed over.
async fn floors(store: &SharedStore, slots: &SlotSet) -> Result<BTreeMap<Slot, Version>, OpenError> {
    let decode = |key: &[u8], value: &[u8]| Some((keys::slot_of_floor(key)?, keys::decode_version(value)?));
    numbered(store, slots, keys::floor, decode).await
}

/// The records of slots: one by one when they are few, and of others as well otherwise.
async fn numbered<T>(
    store: &SharedStore,
    slots: &SlotSet,
    key: fn(Slot) -> Bytes,
    decode: impl Fn(&[u8], &[u8]) -> Option<(Slot, T)>,
) -> Result<BTreeMap<Slot, T>, OpenError> {
    let decode = |key: &[u8], value: &[u8]| decode(key, value).ok_or_else(|| OpenError::Damaged(keys::printable(key)));
    if slots.len() <= FEW {
        let read = try_join_all(slots.iter().map(|slot| store.get(key(slot)))).await?;
        let found = slots.iter().zip(read).filter_map(|(slot, value)| Some((key(slot), value?)));
        return found.map(|(key, value)| decode(&key, &value)).collect();
    }
    let mut found = BTreeMap::new();
    let mut from = Bound::Included(key(Slot(0)));
    loop {
        let page = store.scan(from, key(Slot(SLOTS)), 4096).await?;
        for (key, value) in &page.pairs {
            let (slot, value) = decode(key, value)?;
            found.insert(slot, value);
        }
        match page.pairs.last() {
            Some((key, _)) if page.more => from = Bound::Excluded(key.clone()),
            _ => return Ok(found),
        }
    }
}

fn version(key: &[u8], value: Option<&[u8]>) -> Result<Version, OpenError> {
    let Some(value) = value else { return Ok(Version::ZERO) };
    keys::decode_version(value).ok_or_else(|| OpenError::Damaged(keys::printable(key)))
}
