//! What an act looks like in the API: the patch of a Pod's status.

use api::Value;
use serde_json::json;
use smol_str::SmolStr;

use super::admission::Rejection;
use super::machine::{Act, Ending};
use super::view::{Container, Phase, Plan};

/// Everything that a status is made of. Times are RFC 3339.
pub(crate) struct Scene<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) generation: i64,
    pub(crate) host_ip: &'a str,
    /// Empty before it has any.
    pub(crate) pod_ips: &'a [SmolStr],
    /// When the kubelet accepted the Pod.
    pub(crate) accepted: &'a str,
    /// When its containers were last started.
    pub(crate) started: &'a str,
    pub(crate) now: &'a str,
    pub(crate) restarts: u32,
    /// Whether everything in spec.readinessGates is True.
    pub(crate) gates_open: bool,
    /// Why the node has no room for it.
    pub(crate) rejection: Option<&'a Rejection>,
    /// Whether the kubelet has said anything about it before, and whether its binding stands in the conditions.
    pub(crate) is_known: bool,
    pub(crate) is_scheduled: bool,
}

/// How the containers are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Containers {
    Creating,
    Running,
    Waiting,
    Ended(Exit),
}

/// With what code, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Exit {
    code: i32,
}

/// The strategic merge patch of an act; `None` where it is no patch.
pub(crate) fn patch(scene: &Scene<'_>, act: Act) -> Option<Value> {
    let exit = Exit { code: scene.plan.exit_code };
    let (phase, containers) = match act {
        Act::Admit => (Phase::Pending, Containers::Creating),
        Act::Start | Act::Restart => (Phase::Running, Containers::Running),
        Act::BackOff => (Phase::Running, Containers::Waiting),
        Act::Finish(Ending::Exited) if exit.code == 0 => (Phase::Succeeded, Containers::Ended(exit)),
        Act::Finish(Ending::Exited) => (Phase::Failed, Containers::Ended(exit)),
        Act::Refresh => {
            let ready = conditions(scene, Phase::Running, Containers::Running);
            let ready: Vec<Value> = ready.into_iter().filter(|condition| condition["type"] == "Ready").collect();
            return Some(json!({"metadata": {"uid": scene.plan.uid}, "status": {"conditions": ready}}));
        }
        Act::Reject => return scene.rejection.map(|rejection| rejected(scene, rejection)),
        // SIGKILL's code.
        Act::Finish(Ending::Deadline) => (Phase::Failed, Containers::Ended(Exit { code: 137 })),
        // They end on SIGTERM, in order.
        Act::Terminate => (Phase::Succeeded, Containers::Ended(Exit { code: 0 })),
        Act::Delete => return None,
    };
    let mut status = json!({
        "phase": phase.text(),
        "hostIP": scene.host_ip,
        "hostIPs": [{"ip": scene.host_ip}],
        "startTime": scene.accepted,
        "conditions": conditions(scene, phase, containers),
        "containerStatuses":
            scene.plan.containers.iter().map(|container| container_status(scene, container, containers)).collect::<Vec<_>>(),
    });
    if let Some(first) = scene.pod_ips.first() {
        status["podIP"] = first.as_str().into();
        status["podIPs"] = scene.pod_ips.iter().map(|ip| json!({"ip": ip})).collect();
    }
    if !scene.plan.init_containers.is_empty() {
        let inits = scene.plan.init_containers.iter();
        status["initContainerStatuses"] = inits.map(|init| init_status(scene, init, containers)).collect();
    }
    if scene.generation > 0 {
        status["observedGeneration"] = scene.generation.into();
    }
    if act == Act::Finish(Ending::Deadline) {
        status["reason"] = "DeadlineExceeded".into();
        status["message"] = "Pod was active on the node longer than the specified deadline".into();
    }
    Some(json!({"metadata": {"uid": scene.plan.uid}, "status": status}))
}

fn rejected(scene: &Scene<'_>, rejection: &Rejection) -> Value {
    let status = json!({
        "phase": Phase::Failed.text(),
        "reason": rejection.reason,
        "message": format!("Pod was rejected: {}", rejection.message),
        "startTime": scene.accepted,
    });
    json!({"metadata": {"uid": scene.plan.uid}, "status": status})
}

fn conditions(scene: &Scene<'_>, phase: Phase, containers: Containers) -> Vec<Value> {
    let names: Vec<&str> = scene.plan.containers.iter().map(|container| container.name.as_str()).collect();
    let sandbox = containers == Containers::Running || containers == Containers::Waiting;
    let unready = format!("containers with unready status: [{}]", names.join(" "));
    let (ready, reason, message) = match (phase, containers) {
        (Phase::Succeeded, _) => (false, "PodCompleted", ""),
        (Phase::Failed, _) => (false, "PodFailed", ""),
        (_, Containers::Running) => (true, "", ""),
        _ => (false, "ContainersNotReady", unready.as_str()),
    };
    let initialized = containers != Containers::Creating || scene.plan.init_containers.is_empty();
    let inits: Vec<&str> = scene.plan.init_containers.iter().map(|init| init.name.as_str()).collect();
    let incomplete = format!("containers with incomplete status: [{}]", inits.join(" "));
    let initialized_reason = match (initialized, phase) {
        (false, _) => "ContainersNotInitialized",
        (true, Phase::Succeeded) => "PodCompleted",
        (true, _) => "",
    };
    let gated = ready && !scene.gates_open;
    let closed = "one or more readiness gates of pod are not \"True\"";
    let mut conditions = vec![
        condition(scene, "PodReadyToStartContainers", sandbox, "", ""),
        condition(scene, "Initialized", initialized, initialized_reason, if initialized { "" } else { &incomplete }),
        if gated {
            condition(scene, "Ready", false, "ReadinessGatesNotReady", closed)
        } else {
            condition(scene, "Ready", ready, reason, message)
        },
        condition(scene, "ContainersReady", ready, reason, message),
    ];
    // Binding says so, with its time; a Pod that was made on its node has not been bound.
    if !scene.is_scheduled {
        conditions.push(condition(scene, "PodScheduled", true, "", ""));
    }
    conditions
}

/// A patch merges conditions by type: what is absent here is kept, so an empty reason must be said as null where there may
/// have been another before.
fn condition(scene: &Scene<'_>, kind: &str, is: bool, reason: &str, message: &str) -> Value {
    let mut condition = json!({
        "type": kind,
        "status": if is { "True" } else { "False" },
        "lastTransitionTime": scene.now,
    });
    for (field, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition[field] = text.into();
        } else if scene.is_known {
            condition[field] = Value::Null;
        }
    }
    if scene.generation > 0 {
        condition["observedGeneration"] = scene.generation.into();
    }
    condition
}

fn container_status(scene: &Scene<'_>, container: &Container, containers: Containers) -> Value {
    let restarts = scene.restarts;
    let id = |restart: u32| scene.plan.container_id(&container.name, restart);
    let running = containers == Containers::Running;
    let mut status = json!({
        "name": container.name,
        "image": container.image,
        "imageID": if containers == Containers::Creating { String::new() } else { image_id(container) },
        "ready": running,
        "started": running,
        "restartCount": restarts,
        "lastState": {},
    });
    let ended = |code: i32, restart: u32| {
        json!({"terminated": {
            "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
            "startedAt": scene.started, "finishedAt": scene.now, "containerID": id(restart),
        }})
    };
    let code = scene.plan.exit_code;
    match containers {
        Containers::Creating => {
            let initializing = !scene.plan.init_containers.is_empty();
            let reason = if initializing { "PodInitializing" } else { "ContainerCreating" };
            status["state"] = json!({"waiting": {"reason": reason}});
        }
        Containers::Running => {
            status["state"] = json!({"running": {"startedAt": scene.now}});
            status["containerID"] = id(restarts).into();
            if restarts > 0 {
                status["lastState"] = ended(code, restarts - 1);
            }
        }
        Containers::Waiting => {
            let message = format!(
                "back-off restarting failed container={} pod={}_{}({})",
                container.name, scene.plan.name, scene.plan.namespace, scene.plan.uid
            );
            status["state"] = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
            status["containerID"] = id(restarts).into();
            status["lastState"] = ended(code, restarts);
        }
        Containers::Ended(exit) => {
            status["state"] = ended(exit.code, restarts);
            status["containerID"] = id(restarts).into();
        }
    }
    status
}

fn init_status(scene: &Scene<'_>, init: &Container, containers: Containers) -> Value {
    let sidecar = init.is_sidecar();
    let id = scene.plan.container_id(&init.name, 0);
    let waits = containers == Containers::Creating;
    let runs = sidecar && matches!(containers, Containers::Running | Containers::Waiting);
    let state = match (waits, runs) {
        (true, _) => json!({"waiting": {"reason": "PodInitializing"}}),
        (false, true) => json!({"running": {"startedAt": scene.accepted}}),
        (false, false) => {
            let finished = if sidecar { scene.now } else { scene.accepted };
            json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": scene.accepted,
                "finishedAt": finished, "containerID": id}})
        }
    };
    let mut status = json!({
        "name": init.name,
        "image": init.image,
        "imageID": if waits { String::new() } else { image_id(init) },
        // An init container that is done is ready.
        "ready": !waits && (runs || !sidecar),
        "started": runs,
        "restartCount": 0,
        "lastState": {},
        "state": state,
    });
    if !waits {
        status["containerID"] = id.into();
    }
    status
}

fn image_id(container: &Container) -> String {
    format!("shardplane-sim://{}", container.image)
}

#[cfg(test)]
mod tests {
    use super::super::view::PodView;
    use super::*;

    fn plan(spec: Value) -> Plan {
        let view: PodView = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u-1",
                "annotations": {"shardplane.dev/exit-code": "3", "other": "x"}},
            "spec": spec,
        }))
        .unwrap();
        Plan::of(&view)
    }

    fn scene<'a>(plan: &'a Plan, ips: &'a [SmolStr]) -> Scene<'a> {
        Scene {
            plan,
            generation: 1,
            host_ip: "127.0.0.1",
            pod_ips: ips,
            accepted: "T1",
            started: "T2",
            now: "T3",
            restarts: 0,
            gates_open: true,
            rejection: None,
            is_known: false,
            is_scheduled: false,
        }
    }

    fn of<'a>(status: &'a Value, kind: &str) -> &'a Value {
        status["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap()
    }

    #[test]
    fn running_is_said_in_one_patch() {
        let plan = plan(json!({"containers": [{"name": "nginx", "image": "nginx:1.21"}]}));
        let status = patch(&scene(&plan, &["10.0.0.2".into()]), Act::Start).unwrap();
        assert_eq!(status["metadata"], json!({"uid": "u-1"}));
        let said = &status["status"];
        assert_eq!(
            (&said["phase"], &said["podIP"], &said["startTime"]),
            (&json!("Running"), &json!("10.0.0.2"), &json!("T1"))
        );
        for kind in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
            assert_eq!(of(&status, kind)["status"], "True", "{kind}");
        }
        let container = &said["containerStatuses"][0];
        assert_eq!(container["state"], json!({"running": {"startedAt": "T3"}}));
        assert_eq!((&container["ready"], &container["image"]), (&json!(true), &json!("nginx:1.21")));
        let id = container["containerID"].as_str().unwrap();
        assert_eq!(id.len(), "shardplane-sim://".len() + 64);
        assert_eq!(id, plan.container_id("nginx", 0));
        assert_ne!(id, plan.container_id("nginx", 1));
    }

    #[test]
    fn an_earlier_reason_is_taken_back() {
        let plan = plan(json!({"containers": [{"name": "a", "image": "i"}]}));
        let first = patch(&scene(&plan, &[]), Act::Start).unwrap();
        assert!(of(&first, "Ready").get("reason").is_none());
        let later = patch(&Scene { is_known: true, is_scheduled: true, ..scene(&plan, &[]) }, Act::Start).unwrap();
        assert_eq!(of(&later, "Ready").get("reason"), Some(&Value::Null));
        assert!(!later.to_string().contains("PodScheduled"));
    }

    #[test]
    fn pending_names_what_is_not_ready() {
        let plan = plan(json!({"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}],
            "initContainers": [{"name": "init", "image": "i"}]}));
        let status = patch(&scene(&plan, &[]), Act::Admit).unwrap();
        assert!(status["status"].get("podIP").is_none());
        assert_eq!(of(&status, "Ready")["message"], "containers with unready status: [a b]");
        assert_eq!(of(&status, "Initialized")["reason"], "ContainersNotInitialized");
        assert_eq!(status["status"]["containerStatuses"][1]["state"]["waiting"]["reason"], "PodInitializing");
        let status = patch(&scene(&plan, &[]), Act::Start).unwrap();
        assert_eq!(status["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    }

    #[test]
    fn ends_carry_code_and_reason() {
        let plan = plan(json!({"containers": [{"name": "a", "image": "i"}], "restartPolicy": "Never"}));
        let failed = patch(&scene(&plan, &[]), Act::Finish(Ending::Exited)).unwrap();
        let state = &failed["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(
            (&state["exitCode"], &state["reason"], &state["startedAt"]),
            (&json!(3), &json!("Error"), &json!("T2"))
        );
        assert_eq!(
            (&failed["status"]["phase"], &of(&failed, "Ready")["reason"]),
            (&json!("Failed"), &json!("PodFailed"))
        );
        let late = patch(&scene(&plan, &[]), Act::Finish(Ending::Deadline)).unwrap();
        assert_eq!(late["status"]["reason"], "DeadlineExceeded");
        let stopped = patch(&scene(&plan, &[]), Act::Terminate).unwrap();
        assert_eq!(stopped["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
        assert!(patch(&scene(&plan, &[]), Act::Delete).is_none());
    }

    #[test]
    fn a_crash_loop_shows() {
        let plan = plan(json!({"containers": [{"name": "a", "image": "i"}]}));
        let scene = Scene { restarts: 2, ..scene(&plan, &[]) };
        let status = patch(&scene, Act::BackOff).unwrap();
        let container = &status["status"]["containerStatuses"][0];
        assert_eq!(container["state"]["waiting"]["reason"], "CrashLoopBackOff");
        assert_eq!(
            (&container["restartCount"], &container["lastState"]["terminated"]["exitCode"]),
            (&json!(2), &json!(3))
        );
        assert_eq!(of(&status, "Ready")["status"], "False");
    }

    #[test]
    fn a_closed_gate_keeps_a_pod_unready() {
        let plan =
            plan(json!({"containers": [{"name": "a", "image": "i"}], "readinessGates": [{"conditionType": "lb"}]}));
        assert_eq!(&*plan.readiness_gates, ["lb"]);
        let status = patch(&Scene { gates_open: false, ..scene(&plan, &[]) }, Act::Start).unwrap();
        assert_eq!(of(&status, "Ready")["reason"], "ReadinessGatesNotReady");
        assert_eq!(of(&status, "ContainersReady")["status"], "True");
        let opened = patch(&scene(&plan, &[]), Act::Refresh).unwrap();
        assert_eq!(of(&opened, "Ready")["status"], "True");
        assert_eq!(opened["status"].as_object().unwrap().len(), 1, "nothing else is touched");
    }
}
