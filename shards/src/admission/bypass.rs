//! The break-glass of webhooks: `shardplane.dev/bypass-until` on a webhook configuration, a time until which its webhooks are
//! not asked. Who may say so has a verb of their own, `bypass`; whoever may change the configuration may take it back.

use std::time::Duration;

use api::document::Document;
use api::rbac::Action;
use api::{Causes, Status, Value};

use super::{Attributes, Operation};
use crate::authorization::is_master;
use crate::verbs::Call;

/// Of what says who reviews writes.
pub(super) const GROUP: &str = "admissionregistration.k8s.io";
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

/// Whether a request is about what may be bypassed.
fn is_meant(call: Call<'_>) -> bool {
    call.resource.group == GROUP && call.resource.plural.ends_with("webhookconfigurations")
}

pub(super) fn validate(attributes: &mut Attributes<'_, '_, '_>, document: &Value) -> Result<(), Status> {
    let call = attributes.call;
    if !is_meant(call) || attributes.operation == Operation::Delete {
        return Ok(());
    }
    let said = text(document);
    if said.is_empty() || said == attributes.old.map_or("", text) {
        return Ok(());
    }
    check_time(call, said)?;
    let user = &call.request.user;
    if !is_master(user) {
        let authority = attributes.looked_up.authority.as_ref();
        let authority = authority.ok_or_else(|| Status::unavailable("it is not known who may what"))?;
        let (group, resource, name) = (&call.served.group, &call.resource.plural, &call.request.name);
        authority.require(user, &Action { verb: "bypass", group, resource, name, ..Action::default() })?;
    }
    tracing::info!(name = %call.request.name, user = user.name, until = said, "webhooks are bypassed");
    Ok(())
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
