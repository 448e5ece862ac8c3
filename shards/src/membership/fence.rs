//! Fencing a member that is dead: from then on no batch of it happens.

use api::ambient::Ambient;
use store::{Store, StoreError};

use super::batch::Change;
use super::directory::HeldLease;
use super::records;
use crate::keys::{self, Epoch};

/// Replaces the epoch of an ordinal by one that nobody has, and takes its lease away, if that has not changed since it was
/// seen (`None`: there was none). `Fenced`: it has; the member lives, or somebody was faster.
///
/// From then on the ceiling of its clock is final, and its slots are anybody's (see [`crate::claim::secure`]).
pub async fn fence(
    store: &dyn Store,
    ambient: &Ambient,
    ordinal: u16,
    seen: Option<&HeldLease>,
) -> Result<(), StoreError> {
    let owner = store.get(keys::ordinal_owner(ordinal)).await?;
    let mut change = Change::new(ambient);
    change.fence(records::lease(ordinal), seen.map(|seen| seen.raw.clone()));
    change.fence(keys::ordinal_owner(ordinal), owner.clone());
    change.put(keys::ordinal_owner(ordinal), successor(owner.as_deref(), ordinal, ambient).encode());
    change.delete(records::lease(ordinal));
    change.commit(store).await
}

/// The next epoch of an ordinal, unlike any before.
pub(super) fn successor(owner: Option<&[u8]>, ordinal: u16, ambient: &Ambient) -> Epoch {
    let count = owner.and_then(Epoch::decode).map_or(0, |owner| owner.count) + 1;
    Epoch { count, ordinal, incarnation: ambient.entropy.next_u128() }
}
