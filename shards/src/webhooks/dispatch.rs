//! Who is asked when: mutating webhooks one after another, and once more where a later one changed what an earlier one had
//! seen; validating ones all at once. What a failure means is the failurePolicy's to say.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::patch::{self, PatchType};
use api::{Status, Value};
use futures_util::future::join_all;

use super::configuration::Hook;
use super::metrics::ErrorType;
use super::review::{self, Reply};
use super::{Hooks, Question};
use crate::verbs::Call;

/// Why a webhook has no say: the failurePolicy decides what follows.
struct CallFailure(String);

/// Has the document changed by every webhook that is meant for it. Answers their warnings.
pub(super) async fn mutate(call: Call<'_>, question: &mut Question, hooks: &Hooks) -> Result<Vec<String>, Status> {
    let mut warnings = Vec::new();
    let (mut before, mut again) = (BTreeSet::new(), BTreeSet::new());
    for (at, hook) in hooks.iter().enumerate() {
        let Some(served) = question.matched(call, hook) else { continue };
        if mutate_by(call, question, hook, served, &mut warnings).await? {
            again.append(&mut before);
        }
        if hook.reinvoked {
            before.insert(at);
        }
    }
    for at in again {
        // What they are meant for may have changed as well.
        if let Some(served) = question.matched(call, &hooks[at]) {
            mutate_by(call, question, &hooks[at], served, &mut warnings).await?;
        }
    }
    Ok(warnings)
}

/// Answers whether the webhook changed the document.
async fn mutate_by(
    call: Call<'_>,
    question: &mut Question,
    hook: &Hook,
    served: usize,
    warnings: &mut Vec<String>,
) -> Result<bool, Status> {
    let Some(mut reply) = consult(call, question, hook, served).await? else { return Ok(false) };
    warnings.append(&mut reply.warnings);
    let Some(patch) = reply.patch else { return Ok(false) };
    if question.document.is_null() {
        let why = format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            hook.name
        );
        return Err(Status::internal(why));
    }
    let shown = question.shown(call, served, &question.document).await?;
    let shape = call.resource.shape(&call.resource.served[served]);
    let patched = patch::apply(PatchType::Json, &patch, &shown, shape)
        .map_err(|status| Status::internal(format!("the patch of admission webhook {:?}: {status}", hook.name)))?;
    if patched == shown {
        return Ok(false);
    }
    let before = question.document.clone();
    question.take_back(call, served, patched).await?;
    Ok(question.document != before)
}

/// Has the document looked at by every webhook that is meant for it. The first refusal in their order counts.
pub(super) async fn validate(call: Call<'_>, question: &mut Question, hooks: &Hooks) -> Result<Vec<String>, Status> {
    let question = &*question;
    let matched: Vec<(Arc<Hook>, usize)> =
        hooks.iter().filter_map(|hook| Some((hook.clone(), question.matched(call, hook)?))).collect();
    let asked = matched.iter().map(|(hook, served)| consult(call, question, hook, *served));
    let mut warnings = Vec::new();
    for reply in join_all(asked).await {
        warnings.extend(reply?.into_iter().flat_map(|reply| reply.warnings));
    }
    Ok(warnings)
}

/// Asks one webhook. `None`: it failed, and that is to be ignored.
async fn consult(call: Call<'_>, question: &Question, hook: &Hook, served: usize) -> Result<Option<Reply>, Status> {
    if call.is_dry_run() && !hook.may_run_dry {
        let why = format!("admission webhook {:?} does not support dry run", hook.name);
        return Err(Status::bad_request(why));
    }
    let clock = &call.shard.ambient.clock;
    let metrics = call.shard.committer.metrics.webhooks();
    let object = question.shown(call, served, &question.document).await?;
    let old = question.shown(call, served, question.old.as_ref().unwrap_or(&Value::Null)).await?;
    let began = clock.boot();
    let asked = ask(call, question, hook, served, [&object, &old]).await;
    let took = clock.boot().saturating_sub(began);
    let labels = (hook.name.as_str(), hook.phase.label(), question.operation.name());
    let rejected = !matches!(&asked, Ok(Reply { allowed: true, .. }));
    metrics.answered(labels, took, rejected && !(asked.is_err() && hook.ignores_failure));
    match asked {
        Ok(reply) if reply.allowed => {
            if !reply.audit_annotations.is_empty() {
                tracing::debug!(webhook = hook.name, annotations = ?reply.audit_annotations, "audit annotations");
            }
            Ok(Some(reply))
        }
        Ok(reply) => {
            let status = reply.refusal(&hook.name);
            metrics.rejected(labels, ErrorType::None, status.code());
            Err(status)
        }
        Err(CallFailure(why)) if hook.ignores_failure => {
            tracing::debug!(webhook = hook.name, why, "a webhook failed, and its failurePolicy is Ignore");
            metrics.failed_open(labels);
            Ok(None)
        }
        Err(CallFailure(why)) => {
            metrics.rejected(labels, ErrorType::Calling, 0);
            Err(Status::internal(format!("failed calling webhook {:?}: {why}", hook.name)))
        }
    }
}

async fn ask(
    call: Call<'_>,
    question: &Question,
    hook: &Hook,
    served: usize,
    shown: [&Value; 2],
) -> Result<Reply, CallFailure> {
    let clock = &call.shard.ambient.clock;
    let Some(version) = hook.review_version else {
        return Err(CallFailure("it speaks no version of AdmissionReview that this server knows".to_owned()));
    };
    let permit = hook.breaker.enter(clock.boot()).map_err(CallFailure)?;
    let uid = uuid::Builder::from_random_bytes(call.shard.ambient.entropy.next_u128().to_be_bytes()).into_uuid();
    let uid = uid.to_string();
    let served = &call.resource.served[served];
    let body = review::request(call, question, served, version, &uid, shown);
    let seconds = hook.timeout.as_secs();
    let topology = call.shard.topology().ok();
    let posted =
        tokio::time::timeout(hook.timeout, hook.client.post(call.caller(topology.as_deref()), body, seconds)).await;
    let posted = posted.unwrap_or_else(|_| Err("context deadline exceeded".to_owned()));
    let reply = posted
        .map_err(|why| format!("failed to call webhook: Post {:?}: {why}", hook.client.url(seconds)))
        .and_then(|body| {
            let read = Reply::read(&body, version, hook.phase, &uid);
            read.map_err(|why| format!("received invalid webhook response: {why}"))
        });
    match reply {
        Ok(reply) => {
            permit.succeeded();
            Ok(reply)
        }
        Err(why) => {
            if permit.failed(clock.boot(), &why) {
                call.shard.committer.metrics.webhooks().opened(&hook.name, hook.phase.label());
            }
            Err(CallFailure(why))
        }
    }
}
