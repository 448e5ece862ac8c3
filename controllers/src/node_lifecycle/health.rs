//! When a Node was last heard of, and what is said of one that fell silent.

use std::time::Duration;

use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::config::NodeLifecycleConfig;
use crate::views::Node;

/// Signs of life of one Node. Judged by this process's own boot clock: what a kubelet's clock says is only compared with
/// what it said before.
#[derive(Clone, Debug)]
pub struct Health {
    /// When the last sign was seen.
    pub probe: Duration,
    /// lastHeartbeatTime of the Ready condition, when there was one.
    heartbeat: Option<SmolStr>,
    /// renewTime of its Lease.
    renewed: i64,
}

impl Health {
    /// A Node that is seen for the first time. One that never reported has been silent since it was created. `wall` is
    /// in microseconds since 1970.
    pub fn first(node: &Node, now: Duration, wall: i64) -> Self {
        let created = api::time::parse(&node.metadata.creation_timestamp).unwrap_or(wall);
        let age = Duration::from_micros(u64::try_from(wall - created).unwrap_or(0));
        let heartbeat = node.condition("Ready").map(|ready| ready.last_heartbeat_time.clone());
        let probe = if heartbeat.is_some() { now } else { now.saturating_sub(age) };
        Self { probe, heartbeat, renewed: 0 }
    }

    /// Takes over what the Node and its Lease say now.
    pub fn observe(&mut self, node: &Node, renewed: Option<i64>, now: Duration) {
        let heartbeat = node.condition("Ready").map(|ready| &ready.last_heartbeat_time);
        if heartbeat != self.heartbeat.as_ref() {
            self.heartbeat = heartbeat.cloned();
            self.probe = now;
        }
        if let Some(renewed) = renewed
            && renewed > self.renewed
        {
            self.renewed = renewed;
            self.probe = now;
        }
    }

    /// Whether nothing was heard for longer than is granted.
    pub fn is_silent(&self, config: &NodeLifecycleConfig, now: Duration) -> bool {
        let grace = if self.heartbeat.is_some() { config.monitor_grace_period } else { config.startup_grace_period };
        now > self.probe + grace
    }
}

/// The conditions that nobody vouches for any more, as a patch has them; `None` where the Node's Ready condition says so
/// already.
pub fn unknown_conditions(node: &Node, now: &str) -> Option<Vec<Value>> {
    if node.condition("Ready").is_some_and(|ready| ready.status == "Unknown") {
        return None;
    }
    let mut conditions = Vec::new();
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        match node.condition(kind) {
            None => conditions.push(json!({
                "type": kind, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.",
                "lastHeartbeatTime": node.metadata.creation_timestamp, "lastTransitionTime": now,
            })),
            Some(condition) if condition.status != "Unknown" => conditions.push(json!({
                "type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.", "lastTransitionTime": now,
            })),
            Some(_) => {}
        }
    }
    Some(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(heartbeat: Option<&str>, status: &str) -> Node {
        let ready = heartbeat.map(|at| json!({ "type": "Ready", "status": status, "lastHeartbeatTime": at }));
        let conditions: Vec<Value> = ready.into_iter().collect();
        let created = api::time::format_seconds(1_800_000_000_000_000);
        serde_json::from_value(
            json!({ "metadata": { "creationTimestamp": created }, "status": { "conditions": conditions } }),
        )
        .unwrap()
    }

    #[test]
    fn either_a_heartbeat_or_a_renewed_lease_is_a_sign_of_life() {
        let config = NodeLifecycleConfig::default();
        let second = Duration::from_secs;
        let mut health = Health::first(&node(Some("t1"), "True"), second(100), 0);
        health.observe(&node(Some("t1"), "True"), Some(5), second(120));
        assert!(!health.is_silent(&config, second(170)) && health.is_silent(&config, second(171)));
        health.observe(&node(Some("t1"), "True"), Some(5), second(160));
        assert!(health.is_silent(&config, second(171)), "the same renewTime again is no sign");
        health.observe(&node(Some("t2"), "True"), Some(5), second(165));
        assert!(!health.is_silent(&config, second(171)));
        health.observe(&node(Some("t2"), "True"), Some(6), second(200));
        assert!(!health.is_silent(&config, second(250)));
    }

    #[test]
    fn a_node_that_never_reported_has_a_minute_from_its_creation() {
        let config = NodeLifecycleConfig::default();
        let (now, wall) = (Duration::from_secs(1000), 1_800_000_000_000_000 + 50_000_000);
        let health = Health::first(&node(None, ""), now, wall);
        assert!(!health.is_silent(&config, now + Duration::from_secs(10)));
        assert!(health.is_silent(&config, now + Duration::from_secs(11)));
    }

    #[test]
    fn silence_is_said_once() {
        let conditions = unknown_conditions(&node(Some("t1"), "True"), "now").unwrap();
        assert_eq!(conditions[0]["reason"], "NodeStatusUnknown");
        assert_eq!(conditions[0].get("lastHeartbeatTime"), None, "the last heartbeat stays what it was");
        assert_eq!((conditions.len(), &conditions[1]["reason"]), (4, &json!("NodeStatusNeverUpdated")));
        assert_eq!(unknown_conditions(&node(Some("t1"), "Unknown"), "now"), None);
    }
}
