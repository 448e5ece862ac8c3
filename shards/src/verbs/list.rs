//! Reading many objects at one version (DESIGN D5).

use api::resource::Spread;
use api::{Status, Version};

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
    check_slots(shard, &request.slots)?;
    let table = shard.table_id(&request.cluster, request.resource)?;
    let at = match request.at {
        Some(at) => {
            wait_for(shard, table, at, MAX_AHEAD_MICROS).await?;
            at
        }
        None => latest(shard, table).await?,
    };
    let page = shard.table(table).list(&ListRead {
        at,
        namespace: &request.namespace,
        selector: &request.selector,
        after: request.after.as_ref(),
        limit: request.limit,
    })?;
    // Whatever has left meanwhile may be missing from the page.
    check_slots(shard, &request.slots)?;
    shard.sequencer.check_serving()?;
    Ok(page)
}

/// Whether the shard owns what a list is about.
fn check_slots(shard: &Shard, slots: &ListSlots) -> Result<(), ShardError> {
    match slots {
        ListSlots::One(slot) => shard.check_owned(*slot),
        ListSlots::Exactly(slots) if **slots == *shard.owned() => Ok(()),
        ListSlots::Exactly(_) => Err(ShardError::NotOwner),
    }
}

/// Everything that was acknowledged before is at or below the version that this answers.
async fn latest(shard: &Shard, table: TableId) -> Result<Version, Status> {
    let resource = &shard.table(table).resource;
    if resource.relaxed || matches!(resource.spread, Spread::NameIn(_)) {
        // Relaxed writes are acknowledged early: they have to be durable before a list may show them.
        if let Some(ticket) = shard.sequencer.flush(table, Version::MAX) {
            ticket.wait().await?;
        }
    }
    Ok(shard.sequencer.released(table))
}

/// Raises the clock to `version`, and waits until nothing at or below it is pending in the table. A version that is
/// more than `ahead` microseconds in the future is waited for.
pub(crate) async fn wait_for(shard: &Shard, table: TableId, version: Version, ahead: u64) -> Result<(), Status> {
    let deadline = tokio::time::Instant::now() + VERSION_WAIT;
    while is_too_far(shard, version, ahead) {
        if tokio::time::Instant::now() >= deadline {
            return Err(Status::version_too_large(version, shard.sequencer.clock()));
        }
        tokio::time::sleep(AGAIN).await;
    }
    if let Some(ticket) = shard.sequencer.raise(version) {
        ticket.wait().await?;
    }
    if let Some(ticket) = shard.sequencer.flush(table, version) {
        ticket.wait().await?;
    }
    Ok(())
}
