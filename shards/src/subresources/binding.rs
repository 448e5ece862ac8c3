//! `pods/binding`: a scheduler gives a Pod its node.

use std::sync::Arc;

use api::document::Document;
use api::{Causes, Object, Status, Value};

use super::conditions;
use crate::reviews::{self, Own};
use crate::service::{Answer, ShardError, Verb};
use crate::verbs::body::decode_other;
use crate::verbs::{Call, Decision, View, created, object_answer, write};

const BINDING: &str = "io.k8s.api.core.v1.Binding";
const OWN: Own = Own { group: "", version: "v1", kind: "Binding", type_name: BINDING };

/// POST of `binding`.
pub(crate) async fn bind(call: Call<'_>) -> Result<Answer, ShardError> {
    if !call.is("pods") {
        return Err(Status::unknown_path().into());
    }
    let Verb::Create { body, format, options, .. } = &call.request.verb else {
        return Err(call.method_not_allowed().into());
    };
    let shape = call.resource.schema.named(BINDING).ok_or_else(Status::unknown_path)?;
    let mut warnings = Vec::new();
    let mut binding = decode_other(shape, "Binding", body, *format, options, &mut warnings)?;
    call.reviews.note(warnings);
    reviews::review_own(call, OWN, &mut binding).await?;
    check(call, &binding)?;
    write(call, options.dry_run, |view| decide(call, view, &binding)).await?;
    Ok(created())
}

fn check(call: Call<'_>, binding: &Value) -> Result<(), Status> {
    if !matches!(binding.name(), name if name == call.request.name) {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    if !matches!(binding.namespace(), "") && binding.namespace() != call.request.namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(why));
    }
    let mut causes = Causes::default();
    let kind = binding.at(&["target", "kind"]);
    if !matches!(kind.as_str(), None | Some("" | "Node")) {
        causes.not_supported("target.kind", kind, &["Node", "<empty>"]);
    }
    if binding.text(&["target", "name"]).is_empty() {
        causes.required("target.name", "");
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(Status::invalid("", "Binding", &call.request.name, causes))
}

fn decide(call: Call<'_>, view: &mut View<'_>, binding: &Value) -> Result<Decision, Status> {
    let object: Arc<Object> = view.existing(call)?;
    let old = object.working_copy();
    check_preconditions(call, binding, &object, &old)?;
    let name = &call.request.name;
    // Words the reference gives the resource `pods/binding`.
    let refuse = |why: String| Err(Status::conflict("", "pods/binding", name, &why));
    if old.is_deleting() {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = old.text(&["spec", "nodeName"]);
    if !node.is_empty() {
        return refuse(format!("pod {name} is already assigned to node {node:?}"));
    }
    if !old.list(&["spec", "schedulingGates"]).is_empty() {
        return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let mut document = old.clone();
    document.set(&["spec", "nodeName"], binding.text(&["target", "name"]));
    document.remove(&["status", "nominatedNodeName"]);
    for part in ["annotations", "labels"] {
        for (key, value) in binding.at(&["metadata", part]).as_object().into_iter().flatten() {
            document.set(&["metadata", part, key], value.clone());
        }
    }
    conditions::set(&mut document, "PodScheduled", "True", "", "", &call.now());
    if document == old {
        return Ok(Decision::Same(object_answer(200, object)));
    }
    Ok(Decision::Put { document, code: 201 })
}

fn check_preconditions(call: Call<'_>, binding: &Value, object: &Object, old: &Value) -> Result<(), Status> {
    let uid = binding.uid();
    if !uid.is_empty() && uid != old.uid() {
        let have = old.uid();
        return Err(
            call.conflict(&format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {have}"))
        );
    }
    let version = binding.text(&["metadata", "resourceVersion"]);
    if !version.is_empty() && version != object.version.to_string() {
        let have = object.version;
        return Err(call.conflict(&format!(
            "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {have}"
        )));
    }
    Ok(())
}
