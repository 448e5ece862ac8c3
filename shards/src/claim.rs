//! Owning an ordinal and slots: the epochs that every batch is fenced by.
//!
//! A claim writes one new epoch under the ordinal and every slot, fenced by what was there. From then on the former
//! owner's batches fail, so what is read afterwards is final: first the ceilings of the former owners, above which the
//! clock starts, then the objects.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use api::Version;
use api::ambient::Ambient;
use api::slot::{SLOTS, Slot};
use bytes::Bytes;
use store::{Batch, BatchId, Fence, SharedStore, StoreError, Write};

use crate::keys::{self, Epoch};
use crate::shard::OpenError;

/// Slots and an ordinal under one epoch.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    ordinal: u16,
    slots: Arc<[Slot]>,
    epoch: Epoch,
}

impl Claim {
    /// Takes the ordinal and the slots over; answers the claim and the highest ceiling of whoever owned them before.
    pub(crate) async fn take(
        store: &SharedStore,
        ambient: &Ambient,
        ordinal: u16,
        slots: Arc<[Slot]>,
    ) -> Result<(Self, Version), OpenError> {
        check_format(store).await?;
        // Two that open the same slots at once: one is fenced, looks again and wins, or is fenced later.
        for _ in 0..8 {
            let before = read_owners(store, ordinal, &slots).await?;
            let owners: Vec<Epoch> = before.iter().filter_map(|(_, value)| Epoch::decode(value.as_deref()?)).collect();
            let count = owners.iter().map(|owner| owner.count).max().unwrap_or(0) + 1;
            let epoch = Epoch { count, ordinal, incarnation: ambient.entropy.next_u128() };
            let claim = Self { ordinal, slots: slots.clone(), epoch };
            let fences = before.into_iter().map(|(key, expected)| Fence { key, expected }).collect();
            let mut writes = claim.writes();
            writes.push(Write::Put(keys::format(), Bytes::from(keys::FORMAT.to_string())));
            match store.commit(Batch { id: BatchId(epoch.incarnation), fences, writes }).await {
                Ok(()) => {
                    let former = owners.iter().map(|owner| owner.ordinal).chain([ordinal]).collect();
                    let floor = highest_ceiling(store, former).await?;
                    return Ok((claim, floor));
                }
                Err(StoreError::Fenced { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(OpenError::Contended)
    }

    /// The fence value of this claim.
    pub(crate) fn epoch(&self) -> Bytes {
        self.epoch.encode()
    }

    /// Claims again under a new epoch, so that no batch of the present one can happen any more. `Fenced`: somebody else
    /// has taken over. May be tried again with the same claim after any other error.
    pub(crate) async fn renew(&mut self, store: &SharedStore, ambient: &Ambient) -> Result<(), StoreError> {
        let old = self.epoch();
        let new = Epoch {
            count: self.epoch.count + 1,
            ordinal: self.ordinal,
            // The same at every try, so that one that happened late is recognised.
            incarnation: self.epoch.incarnation.rotate_left(1) ^ 1,
        };
        let next = Self { epoch: new, ..self.clone() };
        let mut fences = vec![Fence { key: keys::ordinal_owner(self.ordinal), expected: Some(old.clone()) }];
        let slots = self.slots.iter();
        fences.extend(slots.map(|slot| Fence { key: keys::slot_owner(*slot), expected: Some(old.clone()) }));
        let batch = Batch { id: BatchId(ambient.entropy.next_u128()), fences, writes: next.writes() };
        match store.commit(batch).await {
            Ok(()) => {}
            Err(error @ (StoreError::Unknown(_) | StoreError::Fenced { .. })) => {
                let owner = store.get(keys::ordinal_owner(self.ordinal)).await?;
                if owner.as_ref() == Some(&old) {
                    // Ours, but a slot is not; or it did not happen.
                    return match error {
                        StoreError::Unknown(reason) => Err(StoreError::Unavailable(reason)),
                        fenced => Err(fenced),
                    };
                }
                if owner != Some(next.epoch()) {
                    return Err(StoreError::Fenced { key: keys::printable(&keys::ordinal_owner(self.ordinal)) });
                }
            }
            Err(error) => return Err(error),
        }
        *self = next;
        Ok(())
    }

    /// Stores the first ceiling of this claim.
    pub(crate) async fn store_ceiling(
        &self,
        store: &SharedStore,
        ambient: &Ambient,
        ceiling: Version,
    ) -> Result<(), StoreError> {
        let fences = vec![Fence { key: keys::ordinal_owner(self.ordinal), expected: Some(self.epoch()) }];
        let value = Bytes::copy_from_slice(&ceiling.0.to_be_bytes());
        let writes = vec![Write::Put(keys::ceiling(self.ordinal), value)];
        store.commit(Batch { id: BatchId(ambient.entropy.next_u128()), fences, writes }).await
    }

    fn writes(&self) -> Vec<Write> {
        let value = self.epoch();
        let mut writes = vec![Write::Put(keys::ordinal_owner(self.ordinal), value.clone())];
        writes.extend(self.slots.iter().map(|slot| Write::Put(keys::slot_owner(*slot), value.clone())));
        writes
    }
}

async fn check_format(store: &SharedStore) -> Result<(), OpenError> {
    let Some(found) = store.get(keys::format()).await? else { return Ok(()) };
    let text = String::from_utf8_lossy(&found).into_owned();
    match text.parse::<u32>() {
        Ok(version) if version <= keys::FORMAT => Ok(()),
        _ => Err(OpenError::Format { found: text, known: keys::FORMAT }),
    }
}

/// The present owners of the ordinal and the slots: keys and values, absent ones included.
async fn read_owners(
    store: &SharedStore,
    ordinal: u16,
    slots: &[Slot],
) -> Result<Vec<(Bytes, Option<Bytes>)>, StoreError> {
    let mut of_slot = vec![None; usize::from(SLOTS)];
    let mut from = Bound::Included(keys::slot_owner(Slot(0)));
    loop {
        let page = store.scan(from, Bytes::from_static(b"\0f"), 4096).await?;
        for (key, value) in &page.pairs {
            if let Some(slot) = keys::slot_of_owner(key) {
                of_slot[usize::from(slot.0)] = Some(value.clone());
            }
        }
        match page.pairs.last() {
            Some((key, _)) if page.more => from = Bound::Excluded(key.clone()),
            _ => break,
        }
    }
    let key = keys::ordinal_owner(ordinal);
    let mut owners = vec![(key.clone(), store.get(key).await?)];
    owners.extend(slots.iter().map(|slot| (keys::slot_owner(*slot), of_slot[usize::from(slot.0)].clone())));
    Ok(owners)
}

async fn highest_ceiling(store: &SharedStore, ordinals: BTreeSet<u16>) -> Result<Version, OpenError> {
    let mut highest = Version::ZERO;
    for ordinal in ordinals {
        if let Some(value) = store.get(keys::ceiling(ordinal)).await? {
            let bytes = <[u8; 8]>::try_from(&value[..]);
            let bytes = bytes.map_err(|_| OpenError::Damaged(format!("the ceiling of ordinal {ordinal}")))?;
            highest = highest.max(Version(u64::from_be_bytes(bytes)));
        }
    }
    Ok(highest)
}
