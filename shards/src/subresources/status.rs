//! `status`: what controllers and kubelets say about an object.

use api::Status;

use crate::service::{Answer, ShardError, Verb};
use crate::verbs::update::{self, Part};
use crate::verbs::{Call, patch};

/// PUT and PATCH of `status`.
pub(crate) async fn write(call: Call<'_>) -> Result<Answer, ShardError> {
    if !call.has_status() {
        return Err(Status::unknown_path().into());
    }
    let Verb::Update { body, format, options, .. } = &call.request.verb else {
        return patch::patched(call, Part::Status).await;
    };
    let mut warnings = Vec::new();
    let decoded = call.decode(body, *format, options, &mut warnings)?;
    let mut replace = |_: &_, _: &_, _: &mut _| Ok(decoded.clone());
    let mut answer = update::replace(call, options.dry_run, Part::Status, &mut replace).await?;
    answer.warnings.append(&mut warnings);
    Ok(answer)
}
