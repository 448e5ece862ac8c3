//! The break-glass of webhooks: `shardplane.dev/bypass-until` on a webhook configuration, a time until which its webhooks are
//! not asked. Who may say so has a verb of their own, `bypass`; whoever may change the configuration may take it back.

use std::time::Duration;

use api::document::Document;
use api::{Causes, Status, Value};
use expressions::Check;

use super::{Attributes, Operation};
use crate::verbs::Call;

/// The annotation.
const BYPASS: &str = "shardplane.dev/bypass-until";
/// How far away its end may be: nobody shall forget it.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Until when the webhooks of a configuration are not asked: microseconds since 1970.
pub(crate) fn until(configuration: &Value) -> Option<i64> {
    api::time::parse(text(configuration))
}

fn text(configuration: &Value) -> &str {
    configuration.at(&["metadata", "annotations", BYPASS]).as_str().unwrap_or_default()
}

pub(super) fn admit(attributes: &mut Attributes<'_, '_, '_>, document: &mut Value) -> Result<(), Status> {
    let call = attributes.call;
    let is_meant = call.is("mutatingwebhookconfigurations.admissionregistration.k8s.io")
        || call.is("validatingwebhookconfigurations.admissionregistration.k8s.io");
    if !is_meant || attributes.operation == Operation::Delete {
        return Ok(());
    }
    let said = text(document);
    if said.is_empty() || said == attributes.old.map_or("", text) {
        return Ok(());
    }
    check_time(call, said)?;
    let check = Check { verb: "bypass".to_owned(), ..call.check() };
    let (request, authority) = (call.request, &call.shard.options.authority);
    if authority.decide(&request.cluster, &request.user, &check).allowed {
        tracing::info!(name = %request.name, user = request.user.name, until = said, "webhooks are bypassed");
        return Ok(());
    }
    Err(call.forbidden(&format!(
        "User {:?} cannot bypass resource {:?} in API group {:?} at the cluster scope",
        request.user.name, call.resource.plural, call.served.group
    )))
}

fn check_time(call: Call<'_>, said: &str) -> Result<(), Status> {
    let words = match api::time::parse(said) {
        None => "must be a time as in 2026-01-02T15:04:05Z",
        Some(until) if until - call.now_micros() > LONGEST.as_micros() as i64 => "must not be more than 24 hours away",
        Some(_) => return Ok(()),
    };
    let mut causes = Causes::default();
    causes.invalid(format!("metadata.annotations[{BYPASS}]"), &said.into(), words);
    call.invalid_unless_empty(causes)
}
