//! Whether a node has room for a Pod. A kubelet looks itself and turns away what does not fit, whatever a scheduler thought:
//! a fleet that took everything would hide a scheduler that overcommits.

use api::quantity::Quantity;
use serde::Deserialize;

use super::view::{Container, PodSpec};
use crate::config::FleetConfig;

/// `resources`, as far as it is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Resources {
    requests: Option<WireRequests>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct WireRequests {
    cpu: Option<serde_json::Value>,
    memory: Option<serde_json::Value>,
}

/// What a Pod asks for, or a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    /// Thousandths of a core.
    pub(crate) cpu: i64,
    /// Bytes.
    pub(crate) memory: i64,
}

impl Requests {
    fn plus(self, other: Self) -> Self {
        Self { cpu: self.cpu.saturating_add(other.cpu), memory: self.memory.saturating_add(other.memory) }
    }

    fn max(self, other: Self) -> Self {
        Self { cpu: self.cpu.max(other.cpu), memory: self.memory.max(other.memory) }
    }

    fn of(resources: Option<&Resources>) -> Self {
        let requests = resources.and_then(|resources| resources.requests.as_ref());
        let read = |value: Option<&serde_json::Value>| {
            let text = value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            text.and_then(|text| Quantity::parse(&text).ok()).unwrap_or_default()
        };
        Self {
            cpu: read(requests.and_then(|requests| requests.cpu.as_ref())).milli(),
            memory: read(requests.and_then(|requests| requests.memory.as_ref())).value(),
        }
    }

    /// The sum over the containers, or more where an init container needs more. What the Pod says itself wins.
    pub(crate) fn of_pod(spec: &PodSpec) -> Self {
        let of = |container: &Container| Self::of(container.resources.as_ref());
        let mut sidecars = Self::default();
        let mut most = Self::default();
        for init in spec.init_containers.iter().flatten() {
            if init.is_sidecar() {
                sidecars = sidecars.plus(of(init));
                most = most.max(sidecars);
            } else {
                most = most.max(sidecars.plus(of(init)));
            }
        }
        let sum = spec.containers.iter().fold(sidecars, |sum, container| sum.plus(of(container))).max(most);
        let own = Self::of(spec.resources.as_ref());
        Self {
            cpu: if own.cpu > 0 { own.cpu } else { sum.cpu },
            memory: if own.memory > 0 { own.memory } else { sum.memory },
        }
    }
}

/// What a node of this fleet has room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    all: Requests,
    pods: usize,
}

/// Why a Pod was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Room {
    /// The room of each node; the error names the quantity that is none.
    pub(crate) fn of(config: &FleetConfig) -> Result<Self, String> {
        let read = |what: &str, text: &str| {
            Quantity::parse(text).map_err(|error| format!("{what} of nodes {text:?} is no quantity: {error}"))
        };
        read("ephemeral-storage", &config.ephemeral_storage)?;
        let all = Requests { cpu: read("cpu", &config.cpu)?.milli(), memory: read("memory", &config.memory)?.value() };
        Ok(Self { all, pods: usize::try_from(config.pods).unwrap_or(usize::MAX) })
    }

    /// Whether a Pod fits beside the others.
    pub(crate) fn admit(&self, pod: Requests, others: impl Iterator<Item = Requests>) -> Result<(), Rejection> {
        let (mut used, mut count) = (Requests::default(), 0i64);
        for other in others {
            used = used.plus(other);
            count += 1;
        }
        let pods = i64::try_from(self.pods).unwrap_or(i64::MAX);
        let rows = [
            ("OutOfpods", "pods", 1, count, pods),
            ("OutOfcpu", "cpu", pod.cpu, used.cpu, self.all.cpu),
            ("OutOfmemory", "memory", pod.memory, used.memory, self.all.memory),
        ];
        for (reason, what, requested, used, capacity) in rows {
            if requested > 0 && requested > capacity.saturating_sub(used) {
                let message = format!(
                    "Node didn't have enough resource: {what}, requested: {requested}, used: {used}, capacity: {capacity}"
                );
                return Err(Rejection { reason, message });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(json: serde_json::Value) -> PodSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn init_containers_and_sidecars_count_as_they_run() {
        let container = |cpu: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}});
        let mut sidecar = container("300m");
        sidecar["restartPolicy"] = "Always".into();
        let pod =
            spec(json!({"containers": [container("100m"), container("200m")], "initContainers": [container("1")]}));
        assert_eq!(Requests::of_pod(&pod), Requests { cpu: 1000, memory: 2 << 30 });
        let pod = spec(json!({"containers": [container("100m")], "initContainers": [sidecar, container("50m")]}));
        assert_eq!(Requests::of_pod(&pod), Requests { cpu: 400, memory: 2 << 30 });
        let pod = spec(json!({"containers": [container("100m")], "resources": {"requests": {"cpu": 2}}}));
        assert_eq!(Requests::of_pod(&pod), Requests { cpu: 2000, memory: 1 << 30 });
    }

    #[test]
    fn what_does_not_fit_is_turned_away() {
        let config = FleetConfig { cpu: "1".into(), memory: "1Gi".into(), pods: 2, ..FleetConfig::in_process(1) };
        let room = Room::of(&config).unwrap();
        let half = Requests { cpu: 500, memory: 1 << 20 };
        assert_eq!(room.admit(half, [half].into_iter()), Ok(()));
        assert_eq!(room.admit(half, [half, Requests::default()].into_iter()).unwrap_err().reason, "OutOfpods");
        let more = Requests { cpu: 501, ..half };
        assert_eq!(
            room.admit(more, [half].into_iter()).unwrap_err(),
            Rejection {
                reason: "OutOfcpu",
                message: "Node didn't have enough resource: cpu, requested: 501, used: 500, capacity: 1000".into()
            }
        );
        let large = Requests { cpu: 0, memory: 2 << 30 };
        assert_eq!(room.admit(large, std::iter::empty()).unwrap_err().reason, "OutOfmemory");
        let bad = Room::of(&FleetConfig { cpu: "many".into(), ..config });
        assert!(bad.unwrap_err().starts_with("cpu of nodes \"many\" is no quantity"));
    }
}
