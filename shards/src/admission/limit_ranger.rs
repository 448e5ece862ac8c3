//! LimitRanger: what a namespace's LimitRanges give to new Pods, and hold them and PersistentVolumeClaims to. They live in the
//! namespace's slot, so what holds is known for certain.

use std::sync::Arc;

use api::document::Document;
use api::{Object, Status, Value, limit_range};

use super::{Attributes, Operation};

/// The defaults.
pub(super) fn admit(attributes: &mut Attributes<'_, '_, '_>, pod: &mut Value) -> Result<(), Status> {
    if !is_pod(attributes) {
        return Ok(());
    }
    for range in ranges(attributes) {
        limit_range::set_defaults(&range.document(), pod);
    }
    Ok(())
}

/// The bounds.
pub(super) fn validate(attributes: &mut Attributes<'_, '_, '_>, document: &Value) -> Result<(), Status> {
    let call = attributes.call;
    let is_claim = call.is("persistentvolumeclaims") && call.request.subresource.is_empty();
    if !is_claim && !is_pod(attributes) {
        return Ok(());
    }
    for range in ranges(attributes) {
        let range = range.document();
        let check = if is_claim { limit_range::check_claim } else { limit_range::check_pod };
        if let Some(why) = check(&range, document) {
            return Err(call.forbidden(&why));
        }
    }
    Ok(())
}

/// Of a Pod nothing that counts changes but by a resize.
fn is_pod(attributes: &Attributes<'_, '_, '_>) -> bool {
    let call = attributes.call;
    let part = &*call.request.subresource;
    call.is("pods") && matches!((attributes.operation, part), (Operation::Create, "") | (Operation::Update, "resize"))
}

/// What holds in the namespace, by name; nothing for what is about to go.
fn ranges(attributes: &mut Attributes<'_, '_, '_>) -> Vec<Arc<Object>> {
    let call = attributes.call;
    match call.other_table("limitranges") {
        Some(table) if !attributes.old.is_some_and(Document::is_deleting) => {
            attributes.view.read_all(table, &call.request.namespace)
        }
        _ => Vec::new(),
    }
}
