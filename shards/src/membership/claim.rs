//! Taking slots that nobody owns: those of fenced members, and those of a new cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use api::Version;
use api::ambient::Ambient;
use api::slot::{SLOTS, Slot, SlotSet};
use store::{Store, StoreError};

use super::batch::Change;
use super::directory::{Directory, damaged};
use super::records;
use crate::keys::{self, Epoch};

/// Writes the claimant's epoch into the records of slots that have no owner in `directory`, and a floor above everything that
/// a former owner may have released. Answers the highest floor. `Fenced`: somebody was faster, or the claimant itself is
/// fenced: read again.
///
/// The ceilings of former owners are final, because their ordinals were fenced before the directory was read.
pub async fn claim(
    store: &dyn Store,
    ambient: &Ambient,
    directory: &Directory,
    claimant: Epoch,
    slots: &SlotSet,
) -> Result<Version, StoreError> {
    let slots: Vec<Slot> = slots.iter().filter(|slot| directory.is_orphan(*slot)).collect();
    let former: BTreeSet<u16> =
        slots.iter().filter_map(|slot| directory.record(*slot)).map(|was| was.ordinal).collect();
    let mut ceilings = BTreeMap::new();
    for ordinal in former {
        ceilings.insert(ordinal, version(store, keys::ceiling(ordinal)).await?);
    }
    let floors = floors(store).await?;
    let mut change = Change::new(ambient);
    let mut highest = Version::ZERO;
    change.fence(keys::ordinal_owner(claimant.ordinal), Some(claimant.encode()));
    for slot in slots {
        let record = directory.record(slot);
        change.fence(keys::slot_owner(slot), record.map(Epoch::encode));
        change.put(keys::slot_owner(slot), claimant.encode());
        // The last owner may have got it from another and written nothing since.
        let floor = floors.get(&slot).copied().unwrap_or(Version::ZERO);
        let ceiling = record.and_then(|was| ceilings.get(&was.ordinal)).copied().unwrap_or(Version::ZERO);
        highest = highest.max(ceiling).max(floor);
        if ceiling > floor {
            change.put(records::floor(slot), records::encode_version(ceiling));
        }
    }
    change.commit(store).await?;
    Ok(highest)
}

async fn floors(store: &dyn Store) -> Result<BTreeMap<Slot, Version>, StoreError> {
    let mut floors = BTreeMap::new();
    let mut from = Bound::Included(records::floor(Slot(0)));
    loop {
        let page = store.scan(from, records::floors_end(), usize::from(SLOTS)).await?;
        for (key, value) in &page.pairs {
            let slot = records::slot_of_floor(key).ok_or_else(|| damaged(key))?;
            floors.insert(slot, records::decode_version(value).ok_or_else(|| damaged(key))?);
        }
        match page.pairs.last() {
            Some((key, _)) if page.more => from = Bound::Excluded(key.clone()),
            _ => return Ok(floors),
        }
    }
}

async fn version(store: &dyn Store, key: bytes::Bytes) -> Result<Version, StoreError> {
    match store.get(key.clone()).await? {
        Some(value) => records::decode_version(&value).ok_or_else(|| damaged(&key)),
        None => Ok(Version::ZERO),
    }
}
