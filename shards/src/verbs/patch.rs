//! Changing an object by a patch: applied again to whatever is there when somebody else was faster. Only a patch that
//! names a version or a uid itself can conflict.

use std::sync::Arc;

use api::{Object, Status, Value, patch};

use super::Call;
use super::update::{self, Part};
use crate::service::{Answer, PatchType, Verb, WriteOptions};

/// PATCH of the object itself.
pub(super) async fn patch(call: Call<'_>) -> Result<Answer, Status> {
    patched(call, Part::Main).await
}

/// PATCH of a part of an object.
pub(crate) async fn patched(call: Call<'_>, part: Part) -> Result<Answer, Status> {
    let Verb::Patch { body, patch, options } = &call.request.verb else { return Err(call.method_not_allowed()) };
    let mut apply = |object: &Arc<Object>, _: &Value, warnings: &mut Vec<String>| {
        apply(call, object, body, *patch, options, warnings)
    };
    update::replace(call, options.dry_run, part, &mut apply).await
}

fn apply(
    call: Call<'_>,
    object: &Object,
    body: &[u8],
    kind: PatchType,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Value, Status> {
    let document = call.served_document(object);
    let patched = patch::apply(kind, body, &document, call.resource.shape(call.served))?;
    call.conform(patched, options, warnings)
}
