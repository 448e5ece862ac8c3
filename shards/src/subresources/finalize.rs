//! `namespaces/finalize`: the namespace controller takes its entry out of spec.finalizers, and the last one out removes
//! the Namespace.

use api::Status;

use crate::service::{Answer, ShardError, Verb};
use crate::verbs::Call;
use crate::verbs::update::{self, Part};

/// PUT of `finalize`.
pub(crate) async fn finalize(call: Call<'_>) -> Result<Answer, ShardError> {
    if !call.is("namespaces") {
        return Err(Status::unknown_path().into());
    }
    let Verb::Update { body, format, options, .. } = &call.request.verb else {
        return Err(call.method_not_allowed().into());
    };
    let mut warnings = Vec::new();
    let decoded = call.decode(body, *format, options, &mut warnings)?;
    call.reviews.note(warnings);
    let mut replace = |_: &_, _: &_, _: &mut _| Ok(decoded.clone());
    update::replace(call, options.dry_run, Part::Finalizers, &mut replace).await
}
