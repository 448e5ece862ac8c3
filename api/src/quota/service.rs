//! Services: their number, and what they take of what the whole cluster shares.

use smol_str::SmolStr;

use super::number;
use crate::document::{Document, Value};
use crate::pod_resources::Amounts;

pub(super) const MEASURED: [&str; 3] = ["services", "services.nodeports", "services.loadbalancers"];

/// Node ports are counted by what is wanted: they may not have been given yet.
pub(super) fn usage(service: &Value) -> Amounts {
    let kind = service.text(&["spec", "type"]);
    let ports = service.list(&["spec", "ports"]);
    let node_ports = match kind {
        "NodePort" => ports.len(),
        "LoadBalancer" if service.at(&["spec", "allocateLoadBalancerNodePorts"]) == &Value::Bool(false) => {
            ports.iter().filter(|port| port.int(&["nodePort"]).is_some_and(|number| number != 0)).count()
        }
        "LoadBalancer" => ports.len(),
        _ => 0,
    };
    let amounts = [1, node_ports as i64, i64::from(kind == "LoadBalancer")];
    MEASURED.iter().zip(amounts).map(|(name, amount)| (SmolStr::new_static(name), number(amount))).collect()
}
