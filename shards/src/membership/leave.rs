//! Giving an ordinal back.

use api::ambient::Ambient;
use store::{Store, StoreError};

use super::fence::fence;
use super::renew::Holding;

/// Gives the lease back, and fences the ordinal, so that what the member still owned is anybody's at once, without a wait for
/// the TTL. `Fenced`: it was not this member's any more.
///
/// A member that does this has stopped serving before.
pub async fn leave(store: &dyn Store, ambient: &Ambient, ordinal: u16, holding: &Holding) -> Result<(), StoreError> {
    fence(store, ambient, ordinal, Some(holding.held())).await
}
