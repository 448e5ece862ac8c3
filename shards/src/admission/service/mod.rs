//! ClusterIPs and node ports: reserved durably in their own slots first, committed with the Service, released on failure.
//!
//! An address is an IPAddress object named like it, a node port an object of the internal resource `nodeports`; whoever
//! creates it first has it, on whichever shard (DESIGN D3). A reservation whose Service never came, because this process
//! died in between, is freed by [`mod@repair`]. [`plan`] says what a Service needs,
//! [`mod@reserve`] gets it.

mod plan;
mod repair;
mod reserve;

use api::document::Document;
use api::status::Reason;
use api::{Status, Value};

pub(crate) use repair::repair;

use crate::service::{Answer, DeleteOptions, ShardError};
use crate::verbs::create::{NewObject, create_with};
use crate::verbs::update::{Part, Replace, replace_with};
use crate::verbs::{Call, delete as deletion, write};
use plan::{Granted, Needs};
use reserve::{release, reserve};

/// Creates a Service.
pub(crate) async fn create(call: Call<'_>) -> Result<Answer, ShardError> {
    let new = NewObject::of(call).ok_or_else(|| call.method_not_allowed())?;
    // First without a commit: a Service that is refused anyway reserves nothing.
    let mut needs = Needs::default();
    let dry = create_with(call, new, true, &mut |service, old| {
        needs = plan::settle(call, service, old)?;
        Granted::pretended(call, &needs).assign(service, &needs);
        Ok(())
    })
    .await?;
    if new.options.dry_run {
        return Ok(dry);
    }
    let granted = reserve(call, &needs, new.uid).await?;
    let result = create_with(call, new, false, &mut |service, old| assign(call, service, old, &needs, &granted)).await;
    if let Err(error) = &result
        && is_certain(error)
    {
        release(call, granted.ips.clone(), granted.ports()).await;
    }
    result
}

/// Replaces a Service, in any way that replaces the main resource.
pub(crate) async fn update(call: Call<'_>, dry_run: bool, replace: &mut Replace<'_>) -> Result<Answer, ShardError> {
    let mut needs = Needs::default();
    let mut uid = String::new();
    let dry = replace_with(call, true, Part::Main, replace, &mut |service, old| {
        needs = plan::settle(call, service, old)?;
        uid = service.uid().to_owned();
        Granted::pretended(call, &needs).assign(service, &needs);
        Ok(())
    })
    .await?;
    if dry_run {
        return Ok(dry);
    }
    let granted = reserve(call, &needs, &uid).await?;
    let mut before = Value::Null;
    let mut after = Value::Null;
    let result = replace_with(call, false, Part::Main, replace, &mut |service, old| {
        assign(call, service, old, &needs, &granted)?;
        before = old.cloned().unwrap_or_default();
        after = service.clone();
        Ok(())
    })
    .await;
    match result {
        Ok(answer) => {
            let gone = call.shard.sequencer.newest(call.table, &call.key()).object.is_none();
            let kept = if gone { &Value::Null } else { &after };
            let (ips, ports) = plan::no_longer_held(&before, kept);
            release(call, ips, ports).await;
            Ok(answer)
        }
        Err(error) => {
            if is_certain(&error) {
                release(call, granted.ips.clone(), granted.ports()).await;
            }
            Err(error)
        }
    }
}

/// Deletes a Service, and gives back what it held once it is gone.
pub(crate) async fn delete(call: Call<'_>, options: &DeleteOptions) -> Result<Answer, ShardError> {
    let mut last = Value::Null;
    let answer = write(call, options.dry_run, |view| {
        last = view.object.as_ref().map_or(Value::Null, |object| object.document());
        deletion::decide(call, view, options)
    });
    let answer = answer.await?;
    if !options.dry_run && call.shard.sequencer.newest(call.table, &call.key()).object.is_none() {
        let (ips, ports) = plan::no_longer_held(&last, &Value::Null);
        release(call, ips, ports).await;
    }
    Ok(answer)
}

/// Gives a Service what was reserved for it; a 409 if it needs something else by now.
fn assign(
    call: Call<'_>,
    service: &mut Value,
    old: Option<&Value>,
    needs: &Needs,
    granted: &Granted,
) -> Result<(), Status> {
    if plan::settle(call, service, old)? != *needs {
        return Err(call.stale());
    }
    granted.assign(service, needs);
    Ok(())
}

/// Whether a failed write certainly did not happen, so that what was reserved for it may be given back.
fn is_certain(error: &ShardError) -> bool {
    match error {
        ShardError::Status(status) => status.reason() != Reason::Timeout,
        other => other.is_unexecuted(),
    }
}
