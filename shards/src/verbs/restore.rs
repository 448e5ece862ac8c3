//! Putting an object of a backup in its place: as it was, at a new version.

use api::document::Document;
use api::object::Object;
use api::{Status, Version};
use bytes::Bytes;

use super::{Call, Decision, created, object_answer, write};
use crate::backup::is_far_ahead;
use crate::definitions::is_automatic;
use crate::service::{Answer, ShardError};

/// See [`crate::service::Verb::Restore`]. There is no admission and no validation: it was an object before.
pub(super) async fn restore(call: Call<'_>, tail: &Bytes, above: Version) -> Result<Answer, ShardError> {
    let sequencer = &call.shard.sequencer;
    if is_far_ahead(above, sequencer.now()) {
        return Err(Status::bad_request("the backup's cut is more than a day ahead of this shard's clock").into());
    }
    if let Some(ticket) = sequencer.raise(above) {
        ticket.wait().await?;
    }
    if tail.is_empty() {
        return Ok(created());
    }
    let object = Object::load(call.resource, tail).map_err(|error| Status::bad_request(error.to_string()))?;
    if (&object.namespace, &object.name) != (&call.request.namespace, &call.request.name) {
        return Err(Status::bad_request("the object is another one than the request names").into());
    }
    let uid = object.document().uid().to_owned();
    write(call, false, |view| match &view.object {
        None => Ok(Decision::Put { document: object.document(), code: 201 }),
        Some(same) if same.document().uid() == uid => Ok(Decision::Same(object_answer(200, same.clone()))),
        // It has been made for a definition that was restored before it.
        Some(made) if is_automatic(call.resource, &made.document()) => {
            Ok(Decision::Same(object_answer(200, made.clone())))
        }
        Some(_) => Err(Status::already_exists(&call.served.group, &call.resource.plural, &call.request.name)),
    })
    .await
}
