//! The directory at one moment: who holds which ordinal and which slot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use api::slot::{self, Slot, SlotSet};
use bytes::Bytes;
use store::{Page, Store, StoreError};

use super::records::{self, Generation, Lease, Pin};
use crate::keys::{self, Epoch};

/// More pairs than the directory of a large cluster has: one page, one moment.
const PAGE: usize = 16_384;
/// How often a directory that changes under its reader is read again.
const TRIES: usize = 64;

/// A lease and the bytes that it was read from: what fences compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLease {
    /// What it says.
    pub lease: Lease,
    pub(crate) raw: Bytes,
}

/// The generation and the leases of one moment: what is read several times a second.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// Changes with everything but renewals.
    pub generation: Generation,
    /// By ordinal.
    pub leases: BTreeMap<u16, HeldLease>,
}

impl Pulse {
    /// Reads it: one small range.
    pub async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let mut pulse = Self::default();
        let mut from = Bound::Included(keys::generation());
        loop {
            let page = store.scan(from, records::pulse_end(), PAGE).await?;
            page.pairs.iter().try_for_each(|(key, value)| pulse.add(key, value))?;
            match page.pairs.last() {
                Some((key, _)) if page.more => from = Bound::Excluded(key.clone()),
                _ => return Ok(pulse),
            }
        }
    }

    fn add(&mut self, key: &Bytes, value: &Bytes) -> Result<(), StoreError> {
        if let Some(ordinal) = records::ordinal_of_lease(key) {
            let lease = Lease::decode(value).ok_or_else(|| damaged(key))?;
            self.leases.insert(ordinal, HeldLease { lease, raw: value.clone() });
        } else if *key == keys::generation() {
            self.generation = Generation::decode(value).ok_or_else(|| damaged(key))?;
        }
        Ok(())
    }
}

/// See the module. Read as of one moment.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The generation and the leases.
    pub pulse: Pulse,
    /// Where slots have to be.
    pub pins: BTreeMap<Slot, Pin>,
    pub(crate) ordinals: BTreeMap<u16, Epoch>,
    /// By slot; `None`: nobody has ever owned it.
    pub(crate) owners: Vec<Option<Epoch>>,
}

impl Directory {
    /// Reads it all.
    pub async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        Self::read_of(store, slot::in_use()).await
    }

    /// Reads it as if there were only that many slots.
    pub(crate) async fn read_of(store: &dyn Store, slots: u16) -> Result<Self, StoreError> {
        for _ in 0..TRIES {
            let mut directory = Self::empty(slots);
            let from = keys::slot_owner(Slot(0));
            let mut page = directory.add_page(store, Bound::Included(from)).await?;
            if !page.more {
                return Ok(directory);
            }
            // Several pages are of several moments. They are as good as one if nothing has changed meanwhile.
            while let Some((last, _)) = page.pairs.last().filter(|_| page.more) {
                page = directory.add_page(store, Bound::Excluded(last.clone())).await?;
            }
            let generation = store.get(keys::generation()).await?;
            if generation.as_deref().and_then(Generation::decode).unwrap_or_default() == directory.pulse.generation {
                return Ok(directory);
            }
        }
        Err(StoreError::Unavailable("the directory of members changes faster than it can be read".to_owned()))
    }

    pub(crate) fn empty(slots: u16) -> Self {
        let owners = vec![None; usize::from(slots)];
        Self { pulse: Pulse::default(), pins: BTreeMap::new(), ordinals: BTreeMap::new(), owners }
    }

    async fn add_page(&mut self, store: &dyn Store, from: Bound<Bytes>) -> Result<Page, StoreError> {
        // Up to and including the pins; what lies between is little.
        let page = store.scan(from, Bytes::from_static(b"\0q"), PAGE).await?;
        for (key, value) in &page.pairs {
            let epoch = || Epoch::decode(value).ok_or_else(|| damaged(key));
            if let Some(slot) = keys::slot_of_owner(key) {
                if let Some(owner) = self.owners.get_mut(usize::from(slot.0)) {
                    *owner = Some(epoch()?);
                }
            } else if let Some(ordinal) = records::ordinal_of_owner(key) {
                self.ordinals.insert(ordinal, epoch()?);
            } else if let Some(slot) = records::slot_of_pin(key) {
                self.pins.insert(slot, Pin::decode(value).ok_or_else(|| damaged(key))?);
            } else {
                self.pulse.add(key, value)?;
            }
        }
        Ok(page)
    }

    /// The member whose epoch stands in the slot's record, if it has not been fenced since.
    pub fn owner(&self, slot: Slot) -> Option<u16> {
        let owner = self.record(slot)?;
        (self.ordinals.get(&owner.ordinal) == Some(&owner) && self.pulse.leases.contains_key(&owner.ordinal))
            .then_some(owner.ordinal)
    }

    /// Whether nobody can write to the slot any more, or ever could: whoever stands in its record has been fenced since.
    pub fn is_orphan(&self, slot: Slot) -> bool {
        self.record(slot).is_none_or(|owner| self.ordinals.get(&owner.ordinal) != Some(&owner))
    }

    /// Ordinals that own slots without holding a lease: of a process that knew none. They are fenced before their slots are
    /// taken, like the dead.
    pub fn unleased(&self) -> BTreeSet<u16> {
        let owners = self.owners.iter().flatten().filter(|owner| self.ordinals.get(&owner.ordinal) == Some(owner));
        owners.map(|owner| owner.ordinal).filter(|ordinal| !self.pulse.leases.contains_key(ordinal)).collect()
    }

    pub(crate) fn record(&self, slot: Slot) -> Option<Epoch> {
        self.owners.get(usize::from(slot.0)).copied().flatten()
    }

    /// What a member owns by the records.
    pub fn owned_by(&self, ordinal: u16) -> SlotSet {
        self.slots().filter(|slot| self.owner(*slot) == Some(ordinal)).collect()
    }

    /// All of them.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.owners.len() as u16).map(Slot)
    }

    /// Members that may be given slots.
    pub fn eligible(&self) -> BTreeSet<u16> {
        let serving = self.pulse.leases.iter().filter(|(_, held)| held.lease.standing == records::Standing::Serving);
        serving.map(|(ordinal, _)| *ordinal).collect()
    }
}

pub(super) fn damaged(key: &[u8]) -> StoreError {
    StoreError::Broken(format!("the record at {} makes no sense", keys::printable(key)))
}
