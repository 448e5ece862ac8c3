//! `pods/eviction`: deletes a Pod if its PodDisruptionBudget lets it. The budget lives in the Pod's namespace, so one
//! shard decides both.

use std::time::Duration;

use api::document::Document;
use api::selector::LabelSelector;
use api::status::{Cause, Reason};
use api::{Object, Status, Value};

use super::conditions;
use crate::reviews::{self, Own};
use crate::service::{Answer, DeleteOptions, Propagation, Request, ShardError, Verb};
use crate::verbs::body::decode_other;
use crate::verbs::{Call, Decision, View, created, delete, object_answer, write};

const EVICTION: &str = "io.k8s.api.policy.v1.Eviction";
const OWN: Own = Own { group: "policy", version: "v1", kind: "Eviction", type_name: EVICTION };
const BUDGETS: &str = "poddisruptionbudgets.policy";
/// Evictions that a budget's controller may leave unconfirmed.
const UNCONFIRMED: usize = 2000;
/// How often an eviction is decided again when the Pod changed meanwhile.
const TRIES: u32 = 20;

/// POST of `eviction`.
pub(crate) async fn evict(call: Call<'_>) -> Result<Answer, ShardError> {
    if !call.is("pods") {
        return Err(Status::unknown_path().into());
    }
    let Verb::Create { body, format, options, .. } = &call.request.verb else {
        return Err(call.method_not_allowed().into());
    };
    let shape = call.resource.schema.named(EVICTION).ok_or_else(Status::unknown_path)?;
    let mut warnings = Vec::new();
    let mut eviction = decode_other(shape, "Eviction", body, *format, options, &mut warnings)?;
    call.reviews.note(warnings);
    reviews::review_own(call, OWN, &mut eviction).await?;
    if eviction.name() != call.request.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object").into());
    }
    let asked = delete_options(&eviction, options.dry_run)?;
    for attempt in 1.. {
        match attempt_eviction(call, &asked).await {
            Err(ShardError::Status(status))
                if status.reason() == Reason::Conflict && asked.version.is_none() && attempt < TRIES =>
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    Ok(created())
}

fn delete_options(eviction: &Value, dry_run: bool) -> Result<DeleteOptions, Status> {
    let options = eviction.at(&["deleteOptions"]);
    let propagation = match (options.text(&["propagationPolicy"]), options.at(&["orphanDependents"]).as_bool()) {
        ("Orphan", _) | ("", Some(true)) => Some(Propagation::Orphan),
        ("Foreground", _) => Some(Propagation::Foreground),
        ("Background", _) | ("", Some(false)) => Some(Propagation::Background),
        _ => None,
    };
    let version = options.text(&["preconditions", "resourceVersion"]);
    let version = (!version.is_empty()).then(|| version.parse()).transpose();
    let uid = options.text(&["preconditions", "uid"]);
    Ok(DeleteOptions {
        dry_run: dry_run || !options.list(&["dryRun"]).is_empty(),
        grace_period_seconds: options.int(&["gracePeriodSeconds"]),
        propagation,
        uid: (!uid.is_empty()).then(|| uid.to_owned()),
        version: version.map_err(|error| Status::bad_request(format!("{error}")))?,
    })
}

async fn attempt_eviction(call: Call<'_>, asked: &DeleteOptions) -> Result<(), ShardError> {
    let pod = call.shard.sequencer.newest(call.table, &call.key());
    if let Some(ticket) = pod.ticket {
        ticket.wait().await?;
    }
    let pod = pod.object.ok_or_else(|| call.not_found())?;
    let document = pod.document();
    let mut options = asked.clone();
    if passes_budgets(&document) {
        let terminal = matches!(document.text(&["status", "phase"]), "Succeeded" | "Failed");
        if !terminal && !document.is_deleting() {
            // It must not have become healthy meanwhile.
            options.version = options.version.or(Some(pod.version));
        }
    } else if let Some(budget) = budget_of(call, &pod)? {
        if is_free(&document, &budget.document()) {
            options.version = options.version.or(Some(pod.version));
        } else {
            decrement(call, &budget, asked.dry_run).await?;
        }
    }
    mark_and_delete(call, options).await
}

/// Pods that do not run are no disruption.
fn passes_budgets(pod: &Value) -> bool {
    matches!(pod.text(&["status", "phase"]), "Succeeded" | "Failed" | "Pending") || pod.is_deleting()
}

/// The one budget that selects the Pod; more than one is an error, as in the reference.
fn budget_of(call: Call<'_>, pod: &Object) -> Result<Option<std::sync::Arc<Object>>, Status> {
    let Some(table) = call.other_table(BUDGETS) else { return Ok(None) };
    let mut found = Vec::new();
    for budget in call.shard.table(table).in_namespace(&call.request.namespace) {
        // One with a selector that cannot be read selects nothing.
        let selector = LabelSelector::from_value(budget.document().at(&["spec", "selector"]));
        if selector.is_ok_and(|selector| selector.matches(pod)) {
            found.push(budget);
        }
    }
    if found.len() > 1 {
        let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(Status::new(Reason::InternalError, why));
    }
    Ok(found.pop())
}

/// Whether an unhealthy Pod may go without being counted.
fn is_free(pod: &Value, budget: &Value) -> bool {
    let mut conditions = pod.list(&["status", "conditions"]).iter();
    let ready =
        conditions.any(|condition| condition.text(&["type"]) == "Ready" && condition.text(&["status"]) == "True");
    if ready {
        return false;
    }
    let status = |field| budget.int(&["status", field]).unwrap_or(0);
    budget.text(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow"
        || (status("currentHealthy") >= status("desiredHealthy") && status("desiredHealthy") > 0)
}

/// Takes one disruption from the budget, and tells its controller whose.
async fn decrement(call: Call<'_>, budget: &Object, dry_run: bool) -> Result<(), ShardError> {
    let resource = call.shard.registry.named(BUDGETS).ok_or_else(Status::unknown_path)?;
    let request = Request {
        // Only the last write of an eviction answers for it.
        id: 0,
        resource: resource.id,
        served: 0,
        name: budget.name.clone(),
        subresource: "status".into(),
        ..call.request.clone()
    };
    let row = call.shard.row(&request)?;
    let of_budget = Call::new(call.shard, &request, &row)?;
    write(of_budget, dry_run, |view| {
        let object = view.existing(of_budget)?;
        let mut document = object.working_copy();
        check_budget(&document, &budget.name)?;
        let left = document.int(&["status", "disruptionsAllowed"]).unwrap_or(0) - 1;
        document.set(&["status", "disruptionsAllowed"], left);
        if left == 0 {
            close_condition(&mut document, &call.now());
        }
        document.set(&["status", "disruptedPods", &call.request.name], call.now());
        Ok(Decision::Put { document, code: 200 })
    })
    .await?;
    Ok(())
}

fn check_budget(budget: &Value, name: &str) -> Result<(), Status> {
    let status = |field| budget.int(&["status", field]).unwrap_or(0);
    let cause = |message: String| Cause { reason: "DisruptionBudget", message, field: String::new() };
    let refused = "Cannot evict pod as it would violate the pod's disruption budget.";
    if status("observedGeneration") < budget.int(&["metadata", "generation"]).unwrap_or(0) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(Status::new(Reason::TooManyRequests, refused).retry_after(10).with_cause(cause(why)));
    }
    let forbidden = |why| Err(Status::forbidden("policy", "poddisruptionbudget", name, why));
    if status("disruptionsAllowed") < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    if budget.at(&["status", "disruptedPods"]).as_object().is_some_and(|pods| pods.len() > UNCONFIRMED) {
        return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if status("disruptionsAllowed") > 0 {
        return Ok(());
    }
    let mut conditions = budget.list(&["status", "conditions"]).iter();
    let closed = conditions.find(|condition| {
        condition.text(&["type"]) == "DisruptionAllowed"
            && condition.text(&["status"]) == "False"
            && !condition.text(&["message"]).is_empty()
    });
    let (healthy, desired) = (status("currentHealthy"), status("desiredHealthy"));
    let why = match closed {
        Some(condition) if condition.text(&["reason"]) == "SyncFailed" => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            condition.text(&["message"])
        ),
        _ if healthy <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
        }
        Some(condition) => format!(
            "The disruption budget {name} does not allow evicting pods currently ({}): {}",
            condition.text(&["reason"]),
            condition.text(&["message"])
        ),
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    };
    Err(Status::new(Reason::TooManyRequests, refused).with_cause(cause(why)))
}

/// The budget's own condition when its last disruption is taken.
fn close_condition(budget: &mut Value, now: &str) {
    let generation = budget.at(&["status", "observedGeneration"]).clone();
    conditions::set(budget, "DisruptionAllowed", "False", "InsufficientPods", "", now);
    let list = budget.at_mut(&["status", "conditions"]).as_array_mut();
    for condition in list.into_iter().flatten().filter(|condition| condition.text(&["type"]) == "DisruptionAllowed") {
        condition.set_default(&["message"], "");
        if !generation.is_null() {
            condition.set(&["observedGeneration"], generation.clone());
        }
    }
}

/// Says on the Pod why it goes, and starts to delete it.
async fn mark_and_delete(call: Call<'_>, mut options: DeleteOptions) -> Result<(), ShardError> {
    if !options.dry_run {
        let request = Request { id: 0, ..call.request.clone() };
        let row = call.shard.row(&request)?;
        let marking = Call::new(call.shard, &request, &row)?;
        let marked = write(marking, false, |view: &mut View<'_>| {
            let object = view.existing(call)?;
            let old = object.working_copy();
            delete::check_preconditions(call, &object, &old, &options)?;
            let mut document = old.clone();
            let message = "Eviction API: evicting";
            conditions::set(&mut document, "DisruptionTarget", "True", "EvictionByEvictionAPI", message, &call.now());
            if document == old {
                return Ok(Decision::Same(object_answer(200, object)));
            }
            Ok(Decision::Put { document, code: 200 })
        });
        let marked = marked.await?;
        if let (Some(_), crate::service::Outcome::Object(object)) = (options.version, &marked.outcome) {
            options.version = Some(object.version);
        }
    }
    write(call, options.dry_run, |view| delete::decide(call, view, &options)).await?;
    Ok(())
}
