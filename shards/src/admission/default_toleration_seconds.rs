//! DefaultTolerationSeconds: a Pod stays five minutes on a node that fails, unless it says otherwise.

use api::document::Document;
use api::{Status, Value};
use serde_json::json;

use super::{Attributes, Operation};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

pub(super) fn admit(attributes: &mut Attributes<'_, '_, '_>, pod: &mut Value) -> Result<(), Status> {
    if !attributes.call.is("pods") || attributes.operation == Operation::Delete {
        return Ok(());
    }
    let mut tolerations = pod.list(&["spec", "tolerations"]).to_vec();
    let before = tolerations.len();
    let options = &attributes.call.shard.options;
    let taints =
        [(NOT_READY, options.not_ready_toleration_seconds), (UNREACHABLE, options.unreachable_toleration_seconds)];
    for (taint, seconds) in taints {
        let tolerates = |toleration: &Value| {
            matches!(toleration.text(&["key"]), key if key == taint || key.is_empty())
                && matches!(toleration.text(&["effect"]), "NoExecute" | "")
        };
        if !tolerations[..before].iter().any(tolerates) {
            tolerations
                .push(json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}));
        }
    }
    if tolerations.len() > before {
        pod.set(&["spec", "tolerations"], tolerations);
    }
    Ok(())
}
