//! Reading many objects at one version (DESIGN D5).

use std::sync::Arc;

use api::slot::SlotSet;
use api::{Status, Version};

use crate::keys::Class;
use crate::sequencer::TableId;
use crate::service::{ListPage, ListRequest, ListSlots, ShardError, VERSION_WAIT};
use crate::shard::Shard;
use crate::table::ListRead;
use crate::watch::{MAX_AHEAD_MICROS, is_too_far};

/// How often a version of the future is looked at again.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(20);

/// See [`crate::service::ShardService::list`].
pub(crate) async fn list(shard: &Shard, request: ListRequest) -> Result<ListPage, ShardError> {
    shard.sequencer.check_serving()?;
    let table = shard.table_id(&request.cluster, request.resource)?;
    loop {
        let owned = check_slots(shard, &request.slots)?;
        let at = match request.at {
            Some(at) => {
                wait_for(shard, table, at, MAX_AHEAD_MICROS).await?;
                at
            }
            None => latest(shard, table).await?,
        };
        let page = shard.table(table).list(&ListRead {
            slots: &request.slots,
            at,
            namespace: &request.namespace,
            selector: &request.selector,
            after: request.after.as_ref(),
            limit: request.limit,
        })?;
        shard.sequencer.check_serving()?;
        // What has left meanwhile may be missing from the page, and have changed elsewhere.
        let same = Arc::ptr_eq(&owned, &check_slots(shard, &request.slots)?);
        if let Some(page) = page.filter(|_| same) {
            return Ok(page);
        }
        tokio::task::yield_now().await;
    }
}

/// Whether the shard owns what a list is about; answers all that it owns.
fn check_slots(shard: &Shard, slots: &ListSlots) -> Result<Arc<SlotSet>, ShardError> {
    let owned = shard.owned();
    let owns = match slots {
        ListSlots::One(slot) => owned.contains(*slot),
        ListSlots::Exactly(slots) => **slots == *owned,
    };
    if owns { Ok(owned) } else { Err(ShardError::NotOwner) }
}

/// Everything that was acknowledged before is at or below the version that this answers.
async fn latest(shard: &Shard, table: TableId) -> Result<Version, ShardError> {
    if shard.table(table).class == Class::Relaxed {
        // Relaxed writes are acknowledged early: they have to be durable before a list may show them.
        shard.sequencer.quiet(table, Version::MAX).await?;
    }
    Ok(shard.sequencer.released(table))
}

/// Raises the clock to `version`, and waits until nothing at or below it is pending in the table. A version that is
/// more than `ahead` microseconds in the future is waited for.
pub(crate) async fn wait_for(shard: &Shard, table: TableId, version: Version, ahead: u64) -> Result<(), ShardError> {
    let deadline = tokio::time::Instant::now() + VERSION_WAIT;
    while is_too_far(shard, version, ahead) {
        if tokio::time::Instant::now() >= deadline {
            return Err(Status::version_too_large(version, shard.sequencer.clock()).into());
        }
        tokio::time::sleep(AGAIN).await;
    }
    shard.sequencer.reach(version).await?;
    shard.sequencer.quiet(table, version).await
}
