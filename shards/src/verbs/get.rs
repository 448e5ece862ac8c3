//! Reading one object.

use std::sync::Arc;

use api::resource::Durability;
use api::{Object, Status, Version};

use super::{Call, list, object_answer};
use crate::service::{Answer, Request, ShardError, Verb};
use crate::shard::Shard;
use crate::subresources;

/// A request that reads. See [`crate::service::ShardService::execute`].
pub(crate) async fn execute(shard: &Shard, request: &Request) -> Result<Answer, ShardError> {
    let row = shard.row(request)?;
    let call = Call::new(shard, request, &row)?;
    let hold = shard.sequencer.hold(call.slot)?;
    let Verb::Get { version } = request.verb else { return Err(call.method_not_allowed().into()) };
    let answer = match &*request.subresource {
        "" | "status" => get(call, version).await,
        "scale" => subresources::scale::read(call).await,
        _ => Err(call.method_not_allowed().into()),
    };
    // Whatever is not there may have left with its slot; and what is there may have changed at the next owner.
    shard.sequencer.check(hold)?;
    answer
}

async fn get(call: Call<'_>, version: Option<Version>) -> Result<Answer, ShardError> {
    if let Some(version) = version.filter(|version| !version.is_zero()) {
        // A client's version: it is waited for, and does not move the clock beyond now.
        list::wait_for(call.shard, call.table, version, 0).await?;
    }
    Ok(object_answer(200, latest(call)?))
}

/// The latest state that may be shown: what is published, and for relaxed kinds what is acknowledged.
pub(crate) fn latest(call: Call<'_>) -> Result<Arc<Object>, Status> {
    let object = match call.durability() {
        Durability::Strict => call.shard.table(call.table).get(&call.key()),
        Durability::Relaxed => call.shard.sequencer.newest(call.table, &call.key()).object,
    };
    object.ok_or_else(|| call.not_found())
}
