//! Pods: what their many states are called in one word.

use super::cell::{AGE, CONTAINERS, IMAGES, NAME, Row, condition, int, is_true, text, text_or, wide};
use super::{Column, Printer};
use crate::document::{Document, Value};
use crate::time;

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "pods",
        columns: &[
            NAME,
            text("Ready", "Ready containers, of all that run."),
            text("Status", "What the pod's containers are doing, in one word."),
            text("Restarts", "How often containers were restarted, and when the last one was."),
            AGE,
            wide("IP", "First address of the pod."),
            wide("Node", "Where the pod runs."),
            wide("Nominated Node", "Where the pod will run once preempted pods are gone."),
            wide("Readiness Gates", "Conditions that are true, of those that the pod waits for."),
        ],
        print: pod,
    },
    Printer {
        resource: "podtemplates",
        columns: &[
            NAME,
            Column { priority: 0, ..CONTAINERS },
            Column { priority: 0, ..IMAGES },
            text("Pod Labels", "Labels of pods made from the template."),
        ],
        print: |row| _ = row.name().containers(&["template", "spec"]).labels(&["template", "metadata", "labels"]),
    },
];

fn pod(row: &mut Row<'_>) {
    let pod = row.object;
    let state = State::of(pod);
    let restarts = match state.restarts.last {
        Some(last) if state.restarts.count != 0 => {
            format!("{} ({} ago)", state.restarts.count, time::human_duration((row.now() - last) / 1_000_000))
        }
        _ => state.restarts.count.to_string(),
    };
    row.name().put(format!("{}/{}", state.ready, state.containers)).put(state.reason).put(restarts).age();
    let ip = pod.list(&["status", "podIPs"]).first().map_or("", |ip| ip.text(&["ip"]));
    row.put(if ip.is_empty() { "<none>" } else { ip });
    row.text_or(&["spec", "nodeName"], "<none>").text_or(&["status", "nominatedNodeName"], "<none>");
    row.put(readiness_gates(pod));
}

fn readiness_gates(pod: &Value) -> String {
    let gates = pod.list(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates.iter().filter(|gate| is_true(pod, gate.text(&["conditionType"]))).count();
    format!("{open}/{}", gates.len())
}

#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    /// Microseconds since 1970.
    last: Option<i64>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += int(status, &["restartCount"]);
        self.last = self.last.max(time::parse(status.text(&["lastState", "terminated", "finishedAt"])));
    }
}

/// What a pod's line says.
struct State {
    reason: String,
    ready: usize,
    containers: usize,
    restarts: Restarts,
}

impl State {
    fn of(pod: &Value) -> Self {
        let restartable = pod.list(&["spec", "initContainers"]).iter().filter(|init| is_sidecar(init)).count();
        let mut state = Self {
            reason: phase(pod).to_owned(),
            ready: 0,
            containers: pod.list(&["spec", "containers"]).len() + restartable,
            restarts: Restarts::default(),
        };
        let mut sidecars = Restarts::default();
        let initializing = state.look_at_init_containers(pod, &mut sidecars);
        if !initializing || is_true(pod, "Initialized") {
            state.restarts = sidecars;
            state.look_at_containers(pod);
        }
        let terminal = ["Succeeded", "Failed"].contains(&pod.text(&["status", "phase"]));
        if pod.is_deleting() && pod.text(&["status", "reason"]) == "NodeLost" {
            state.reason = "Unknown".to_owned();
        } else if pod.is_deleting() && !terminal {
            state.reason = "Terminating".to_owned();
        }
        state
    }

    /// Whether the pod is still initializing.
    fn look_at_init_containers(&mut self, pod: &Value, sidecars: &mut Restarts) -> bool {
        let inits = pod.list(&["spec", "initContainers"]);
        for (at, status) in pod.list(&["status", "initContainerStatuses"]).iter().enumerate() {
            let sidecar = inits.iter().any(|init| init.text(&["name"]) == status.text(&["name"]) && is_sidecar(init));
            self.restarts.add(status);
            if sidecar {
                sidecars.add(status);
            }
            let terminated = status.at(&["state", "terminated"]);
            let waiting = status.text(&["state", "waiting", "reason"]);
            if !terminated.is_null() && int(terminated, &["exitCode"]) == 0 {
                continue;
            }
            if sidecar && status.at(&["started"]) == true {
                self.ready += usize::from(status.at(&["ready"]) == true);
                continue;
            }
            self.reason = if !terminated.is_null() {
                format!("Init:{}", end_of(terminated))
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{at}/{}", inits.len())
            };
            return true;
        }
        false
    }

    fn look_at_containers(&mut self, pod: &Value) {
        let (mut running, mut failed) = (false, None);
        for status in pod.list(&["status", "containerStatuses"]).iter().rev() {
            self.restarts.add(status);
            let terminated = status.at(&["state", "terminated"]);
            let waiting = status.text(&["state", "waiting", "reason"]);
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if !terminated.is_null() {
                self.reason = end_of(terminated);
                if int(terminated, &["exitCode"]) != 0 {
                    failed = Some(self.reason.clone());
                }
            } else if status.at(&["ready"]) == true && !status.at(&["state", "running"]).is_null() {
                running = true;
                self.ready += 1;
            }
        }
        // One container that ended does not end the pod.
        if self.reason == "Completed" {
            if running && is_true(pod, "Ready") {
                self.reason = "Running".to_owned();
            } else if let Some(failed) = failed {
                self.reason = failed;
            } else if running {
                self.reason = "NotReady".to_owned();
            }
        }
    }
}

/// The phase, or the reason that overrules it.
fn phase(pod: &Value) -> &str {
    let gated = condition(pod, "PodScheduled").is_some_and(|found| found.text(&["reason"]) == "SchedulingGated");
    match pod.text(&["status", "reason"]) {
        _ if gated => "SchedulingGated",
        "" => pod.text(&["status", "phase"]),
        reason => reason,
    }
}

/// How a container ended.
fn end_of(terminated: &Value) -> String {
    let otherwise = match int(terminated, &["signal"]) {
        0 => format!("ExitCode:{}", int(terminated, &["exitCode"])),
        signal => format!("Signal:{signal}"),
    };
    text_or(terminated.at(&["reason"]), &otherwise)
}

fn is_sidecar(init: &Value) -> bool {
    init.text(&["restartPolicy"]) == "Always"
}
