//! NamespaceLifecycle: nothing is created in a Namespace that is missing or terminating, and four Namespaces stay.

use std::sync::Arc;

use api::selector::Selectable;
use api::status::Cause;
use api::{Object, Status, Value};

use super::{Attributes, Operation, is_apart};
use crate::follow::Kind;

/// Namespaces that may not be deleted.
const IMMORTAL: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

pub(super) fn admit(attributes: &mut Attributes<'_, '_, '_>, _: &mut Value) -> Result<(), Status> {
    let call = attributes.call;
    if call.is("namespaces") {
        if attributes.operation == Operation::Delete && IMMORTAL.contains(&&*call.request.name) {
            return Err(call.forbidden("this namespace may not be deleted"));
        }
        return Ok(());
    }
    if attributes.operation != Operation::Create || !call.resource.namespaced {
        // What exists was created in a Namespace, which cannot go before it.
        return Ok(());
    }
    let name = &call.request.namespace;
    let namespace = find(attributes).ok_or_else(|| Status::not_found("", "namespaces", name))?;
    if phase_of(attributes, &namespace) != "Terminating" {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    Err(call.forbidden(&why).with_cause(Cause {
        reason: "NamespaceTerminating",
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".to_owned(),
    }))
}

/// status.phase, which selectors may name, so that it need not be read out of the document.
fn phase_of<'a>(attributes: &Attributes<'_, '_, '_>, namespace: &'a Object) -> &'a str {
    let resource = attributes.call.shard.registry.named("namespaces");
    let at = resource.and_then(|resource| resource.selectable.iter().position(|field| field.label == "status.phase"));
    at.map_or("", |at| namespace.field(at))
}

fn find(attributes: &mut Attributes<'_, '_, '_>) -> Option<Arc<Object>> {
    let call = attributes.call;
    let name = &call.request.namespace;
    if is_apart(call.resource, name) {
        // Newer than what was looked up, if it moved since.
        let followed = call.shard.followed.get(call, Kind::Namespaces, name);
        return followed.or_else(|| attributes.looked_up.namespace.clone());
    }
    // Its own slot's: a deletion that comes in between makes this decision be taken again.
    let table = call.other_table("namespaces")?;
    attributes.view.read_guarded(table, (Default::default(), name.clone()))
}
