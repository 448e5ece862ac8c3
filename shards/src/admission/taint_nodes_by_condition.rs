//! TaintNodesByCondition: a new Node takes no Pods until the node lifecycle controller has seen it ready.

use api::document::Document;
use api::{Status, Value};
use serde_json::json;

use super::{Attributes, Operation};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(super) fn admit(attributes: &mut Attributes<'_, '_, '_>, node: &mut Value) -> Result<(), Status> {
    if !attributes.call.is("nodes") || attributes.operation != Operation::Create {
        return Ok(());
    }
    let is_it = |taint: &Value| taint.text(&["key"]) == NOT_READY && taint.text(&["effect"]) == "NoSchedule";
    if !node.list(&["spec", "taints"]).iter().any(is_it) {
        let mut taints = node.list(&["spec", "taints"]).to_vec();
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        node.set(&["spec", "taints"], taints);
    }
    Ok(())
}
