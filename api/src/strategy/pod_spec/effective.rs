//! What the containers of a Pod ask for together (KEP-753: sidecars run beside what starts after them).

use serde_json::Value;

use crate::quantity::Quantity;
use crate::strategy::{field, resources};

/// The request for a resource of all containers together, `None` where none asks for it.
pub(super) fn request(spec: &Value, resource: &str) -> Option<Value> {
    let ask = |container: &Value| {
        let requests = field::get(field::get(container, "resources"), "requests");
        resources::parse(field::get(requests, resource))
    };
    let plus = |sum: Option<Quantity>, ask: Option<Quantity>| match (sum, ask) {
        (Some(sum), Some(ask)) => Some(sum.add(&ask)),
        (one, other) => one.or(other),
    };
    let running = field::list(spec, "containers").iter().map(ask).fold(None, plus);
    let mut sidecars = None;
    let mut starting: Option<Quantity> = None;
    for container in field::list(spec, "initContainers") {
        let now = if field::text(container, "restartPolicy") == "Always" {
            sidecars = plus(sidecars, ask(container));
            sidecars
        } else {
            plus(sidecars, ask(container))
        };
        starting = starting.max(now);
    }
    plus(running, sidecars).max(starting).map(|quantity| quantity.to_string().into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(cpu: &str, policy: &str) -> Value {
        json!({"restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn sums_and_peaks() {
        let spec = json!({"containers": [container("1", ""), container("500m", "")]});
        assert_eq!(request(&spec, "cpu"), Some(json!("1500m")));
        assert_eq!(request(&spec, "memory"), None);
        let spec = json!({
            "initContainers": [container("2", ""), container("1", "Always"), container("3", "")],
            "containers": [container("1", "")],
        });
        assert_eq!(request(&spec, "cpu"), Some(json!("4")), "a sidecar and the init container after it");
    }
}
