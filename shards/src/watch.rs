//! Streams of committed events, and the promises between them (DESIGN D5).
//!
//! A subscription lives in its [`crate::table::Table`]: the commit loop sends a delivery per batch, and a watermark goes
//! out without events when a gateway has seen a higher version elsewhere and asks for it by [`advance`].

use api::Version;
use api::resource::ResourceId;

use crate::service::{History, HistoryRequest, ShardError, SubscribeRequest, Subscription};
use crate::shard::Shard;

/// How far ahead of this shard's wall clock a version may be that it lets itself be raised to: more is no clock of a
/// peer.
pub(crate) const MAX_AHEAD_MICROS: u64 = 3_000_000;

/// See [`crate::service::ShardService::subscribe`].
pub(crate) fn subscribe(shard: &Shard, request: &SubscribeRequest) -> Result<Subscription, ShardError> {
    shard.sequencer.check_serving()?;
    let table = shard.table_id(&request.cluster, request.resource)?;
    // Read before the table is looked at: what is published in between is in the ring.
    let released = shard.sequencer.released(table);
    Ok(shard.table(table).subscribe(request.from, released, shard.owned())?)
}

/// See [`crate::service::ShardService::history`].
pub(crate) fn history(shard: &Shard, request: &HistoryRequest) -> Result<History, ShardError> {
    shard.sequencer.check_serving()?;
    if !request.slots.difference(&shard.owned()).is_empty() {
        return Err(ShardError::NotOwner);
    }
    let table = shard.table_id(&request.cluster, request.resource)?;
    let released = shard.sequencer.released(table);
    Ok(shard.table(table).history(&request.slots, request.from, released)?)
}

/// See [`crate::service::ShardService::advance`].
pub(crate) fn advance(shard: &Shard, cluster: &str, resource: ResourceId, version: Version) {
    let Ok(table) = shard.table_id(cluster, resource) else { return };
    if !shard.table(table).is_followed() || is_too_far(shard, version, MAX_AHEAD_MICROS) {
        return;
    }
    // Without a stored ceiling the promise would not survive this process: the commit loop keeps it, then.
    drop(shard.sequencer.raise(version));
    if let Some(watermark) = shard.sequencer.want(table, version) {
        shard.table(table).promise(watermark);
    }
}

/// Whether a version is more than `ahead` microseconds in the future.
pub(crate) fn is_too_far(shard: &Shard, version: Version, ahead: u64) -> bool {
    let now = shard.sequencer.now().max(shard.sequencer.clock());
    version.micros() > now.micros() + ahead
}
