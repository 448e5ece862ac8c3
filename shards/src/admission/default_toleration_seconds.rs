//! DefaultTolerationSeconds: a Pod stays five minutes on a node that fails, unless it says otherwise.

use api::document::Document;
use api::{Status, Value};
use serde_json::json;

use super::{Attributes, Operation};

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) fn admit(attributes: &mut Attributes<'_, '_, '_>, pod: &mut Value) -> Result<(), Status> {
    if !attributes.call.is("pods") || attributes.operation == Operation::Delete {
        return Ok(());
    }
    let mut tolerations = pod.list(&["spec", "tolerations"]).to_vec();
    let before = tolerations.len();
    for taint in TAINTS {
        let tolerates = |toleration: &Value| {
            matches!(toleration.text(&["key"]), key if key == taint || key.is_empty())
                && matches!(toleration.text(&["effect"]), "NoExecute" | "")
        };
        if !tolerations[..before].iter().any(tolerates) {
            tolerations
                .push(json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}));
        }
    }
    if tolerations.len() > before {
        pod.set(&["spec", "tolerations"], tolerations);
    }
    Ok(())
}
