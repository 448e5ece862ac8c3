//! Removing an object, or starting to (rest.BeforeDelete and the generic store's Delete).

use std::sync::Arc;

use api::document::Document;
use api::{Causes, Object, Status, Value};

use super::{Call, Decision, Removal, View, object_answer, write};
use crate::admission::{self, Attributes, LookedUp, Operation};
use crate::definitions;
use crate::service::{Answer, DeleteOptions, Propagation, ShardError};
use crate::webhooks::{self, Phase};

/// The garbage collector's finalizers.
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What the reference tells those who delete a Job and do not say what becomes of its Pods.
const PODS_ARE_LEFT: &str = "child pods are preserved by default when jobs are deleted; set \
     propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

/// DELETE of one object.
pub(super) async fn delete(call: Call<'_>, options: &DeleteOptions) -> Result<Answer, ShardError> {
    check_options(options)?;
    if call.is("services") {
        return admission::service::delete(call, options).await;
    }
    let mut answer = write(call, options.dry_run, |view| decide(call, view, options)).await?;
    if call.is("jobs.batch") && options.propagation.is_none() {
        answer.warnings.push(PODS_ARE_LEFT.to_owned());
    }
    Ok(answer)
}

fn check_options(options: &DeleteOptions) -> Result<(), Status> {
    let mut causes = Causes::default();
    // Negative grace is one second, as in the reference; nothing else in here can be wrong by itself.
    if options.uid.as_deref() == Some("") {
        causes.required("preconditions.uid", "");
    }
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", causes)) }
}

/// What a deletion comes to, given the newest state.
pub(crate) fn decide(call: Call<'_>, view: &mut View<'_>, options: &DeleteOptions) -> Result<Decision, Status> {
    let object = view.existing(call)?;
    let old = object.working_copy();
    check_preconditions(call, &object, &old, options)?;
    let looked_up = LookedUp::default();
    let mut attributes =
        Attributes { call, operation: Operation::Delete, view, old: Some(&old), looked_up: &looked_up };
    admission::admit(&mut attributes, &mut Value::Null)?;
    // Who evicts was asked about the Eviction.
    if call.request.subresource.is_empty() && webhooks::are_there(call) {
        let old = call.working_copy(&object)?;
        for phase in [Phase::Mutating, Phase::Validating] {
            webhooks::review(call, view, phase, Operation::Delete, Some(&old), &mut Value::Null)?;
        }
    }
    if call.is("namespaces")
        && let Some(decision) = delete_namespace(call, &object, &old, options)
    {
        return Ok(decision);
    }
    if call.is(definitions::ID_NAME) && !old.is_deleting() {
        let mut document = old.clone();
        definitions::mark(&mut document, &call.now());
        set_finalizers(call, &mut document, options);
        return Ok(put(call, document, &old, &object));
    }
    let mut document = old.clone();
    let grace = graceful(call, &mut document, options);
    match grace {
        Grace::Pending => return Ok(Decision::Same(object_answer(200, object))),
        Grace::Started if document.int(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) > 0 => {
            set_finalizers(call, &mut document, options);
            return Ok(put(call, document, &old, &object));
        }
        Grace::Started | Grace::None => {}
    }
    set_finalizers(call, &mut document, options);
    if document.list(&["metadata", "finalizers"]).is_empty() {
        let last = call.resource.answers_last_state();
        return Ok(Decision::Remove(match grace {
            // Told what the deletion made of it, as if it had been written in between.
            Grace::Started if last => Removal::Document(document),
            _ if last => Removal::LastState,
            _ => Removal::Status,
        }));
    }
    mark_deleting(call, &mut document);
    Ok(put(call, document, &old, &object))
}

fn put(call: Call<'_>, document: Value, old: &Value, object: &Arc<Object>) -> Decision {
    debug_assert_eq!(document.name(), call.request.name);
    if document == *old {
        return Decision::Same(object_answer(200, object.clone()));
    }
    Decision::Put { document, code: 200 }
}

pub(crate) fn check_preconditions(
    call: Call<'_>,
    object: &Object,
    old: &Value,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let refuse = |why: String| Err(Status::conflict(&call.served.group, &call.resource.kind, &call.request.name, &why));
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != old.uid()) {
        return refuse(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            old.uid()
        ));
    }
    if let Some(version) = options.version.filter(|version| *version != object.version) {
        return refuse(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). \
             The object might have been modified",
            object.version
        ));
    }
    Ok(())
}

/// What a grace period makes of a deletion.
enum Grace {
    /// The kind has none, or it is over.
    None,
    /// The document says when it ends.
    Started,
    /// It runs already, and the request does not shorten it.
    Pending,
}

fn graceful(call: Call<'_>, document: &mut Value, options: &DeleteOptions) -> Grace {
    let asked = options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    if document.is_deleting() {
        return shorten(call, document, asked);
    }
    let Some(grace) = call.rules().grace(document, asked) else { return Grace::None };
    let until = call.now_micros() + grace.saturating_mul(1_000_000);
    document.set(&["metadata", "deletionTimestamp"], api::time::format_seconds(until));
    document.set(&["metadata", "deletionGracePeriodSeconds"], grace);
    bump_generation(document);
    Grace::Started
}

/// A deletion that has begun may only end earlier.
fn shorten(call: Call<'_>, document: &mut Value, asked: Option<i64>) -> Grace {
    let running = document.int(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
    if running == 0 {
        return Grace::None;
    }
    let Some(mut period) = asked.filter(|asked| *asked < running) else { return Grace::Pending };
    let now = call.now_micros();
    let ends = api::time::parse(document.text(&["metadata", "deletionTimestamp"])).unwrap_or(now);
    let mut until = ends - (running - period) * 1_000_000;
    if until < now {
        until = now;
        // The whole period is over, but whoever ends the object gracefully still gets to do it.
        period = period.min(1);
    }
    document.set(&["metadata", "deletionTimestamp"], api::time::format_seconds(until));
    document.set(&["metadata", "deletionGracePeriodSeconds"], period);
    Grace::Started
}

/// The garbage collector's finalizers, as options say and otherwise as they are.
fn set_finalizers(call: Call<'_>, document: &mut Value, options: &DeleteOptions) {
    // Nothing depends on an Event.
    let supported = !call.is("events") && !call.is("events.events.k8s.io");
    let have: Vec<String> = texts(document.list(&["metadata", "finalizers"]));
    let has = |name: &str| have.iter().any(|finalizer| finalizer == name);
    let (orphan, foreground) = match options.propagation {
        _ if !supported => (false, false),
        Some(propagation) => (propagation == Propagation::Orphan, propagation == Propagation::Foreground),
        None => (has(ORPHAN) || (call.rules().orphans_by_default() && !has(FOREGROUND)), has(FOREGROUND)),
    };
    if (orphan, foreground) == (has(ORPHAN), has(FOREGROUND)) {
        return;
    }
    let mut finalizers = have;
    finalizers.retain(|finalizer| finalizer != ORPHAN && finalizer != FOREGROUND);
    finalizers.extend(orphan.then(|| ORPHAN.to_owned()));
    finalizers.extend(foreground.then(|| FOREGROUND.to_owned()));
    if finalizers.is_empty() {
        document.remove(&["metadata", "finalizers"]);
    } else {
        document.set(&["metadata", "finalizers"], finalizers);
    }
}

fn texts(values: &[Value]) -> Vec<String> {
    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// It stays until its finalizers are gone.
fn mark_deleting(call: Call<'_>, document: &mut Value) {
    let now = call.now_micros();
    if !document.is_deleting() {
        bump_generation(document);
    }
    let ends = api::time::parse(document.text(&["metadata", "deletionTimestamp"]));
    if ends.is_none_or(|ends| ends > now) {
        document.set(&["metadata", "deletionTimestamp"], api::time::format_seconds(now));
    }
    document.set(&["metadata", "deletionGracePeriodSeconds"], 0);
}

fn bump_generation(document: &mut Value) {
    if let Some(generation) = document.int(&["metadata", "generation"]).filter(|generation| *generation > 0) {
        document.set(&["metadata", "generation"], generation + 1);
    }
}

/// A Namespace first becomes Terminating, and goes when its spec.finalizers are gone; `None`: go on as with others.
fn delete_namespace(call: Call<'_>, object: &Arc<Object>, old: &Value, options: &DeleteOptions) -> Option<Decision> {
    if old.is_deleting() {
        let finalizing = !old.list(&["spec", "finalizers"]).is_empty();
        return finalizing.then(|| Decision::Same(object_answer(200, object.clone())));
    }
    let mut document = old.clone();
    document.set(&["metadata", "deletionTimestamp"], call.now());
    document.set(&["status", "phase"], "Terminating");
    set_finalizers(call, &mut document, options);
    Some(Decision::Put { document, code: 200 })
}
