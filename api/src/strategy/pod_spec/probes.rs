//! Probes, lifecycle hooks and the handlers that both run.

use crate::document::Value;
use crate::names;
use crate::status::Causes;
use crate::strategy::field;
use crate::strategy::path::Path;

/// The handlers that a probe and a lifecycle hook may have.
const OF_PROBES: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];
const OF_HOOKS: &[&str] = &["exec", "httpGet", "tcpSocket", "sleep"];

const LINUX_SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];
const WINDOWS_SIGNALS: &[&str] = &["SIGKILL", "SIGTERM"];

/// All three probes of a container and its lifecycle hooks.
pub(super) fn of_container(container: &Value, spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let grace = field::int(spec, "terminationGracePeriodSeconds");
    lifecycle(container, spec, grace, path, causes);
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = field::get(container, key);
        if probe.is_null() {
            continue;
        }
        let path = path.child(key);
        self::probe(probe, grace, &path, causes);
        match key {
            "readinessProbe" if field::is_set(probe, "terminationGracePeriodSeconds") => {
                let value = field::get(probe, "terminationGracePeriodSeconds");
                let words = "must not be set for readinessProbes";
                causes.invalid(path.child("terminationGracePeriodSeconds"), value, words);
            }
            "livenessProbe" | "startupProbe" if field::int(probe, "successThreshold").unwrap_or(0) != 1 => {
                let value = field::int(probe, "successThreshold").unwrap_or(0);
                causes.invalid(path.child("successThreshold"), &Value::from(value), "must be 1");
            }
            _ => {}
        }
    }
}

fn probe(probe: &Value, grace: Option<i64>, path: &Path<'_>, causes: &mut Causes) {
    handler(probe, OF_PROBES, grace, path, causes);
    for key in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        field::nonnegative(probe, key, path, causes);
    }
    field::at_least(probe, "terminationGracePeriodSeconds", 1, "must be greater than 0", path, causes);
}

fn lifecycle(container: &Value, spec: &Value, grace: Option<i64>, path: &Path<'_>, causes: &mut Causes) {
    let lifecycle = field::get(container, "lifecycle");
    let path = path.child("lifecycle");
    for hook in ["postStart", "preStop"] {
        if field::is_set(lifecycle, hook) {
            handler(field::get(lifecycle, hook), OF_HOOKS, grace, &path.child(hook), causes);
        }
    }
    if field::is_set(lifecycle, "stopSignal") {
        match field::text(field::get(spec, "os"), "name") {
            "" if !field::is_set(spec, "os") => {
                let words = "may not be set for containers with empty `spec.os.name`";
                causes.forbidden(path.child("stopSignal"), words);
            }
            "windows" => field::choice(lifecycle, "stopSignal", &path, WINDOWS_SIGNALS, causes),
            "linux" => field::choice(lifecycle, "stopSignal", &path, LINUX_SIGNALS, causes),
            _ => {}
        }
    }
}

/// Exactly one of `kinds`.
fn handler(handler: &Value, kinds: &[&str], grace: Option<i64>, path: &Path<'_>, causes: &mut Causes) {
    let mut found = false;
    for kind in kinds.iter().copied().filter(|kind| field::is_set(handler, kind)) {
        let path = path.child(kind);
        if found {
            causes.forbidden(path, "may not specify more than 1 handler type");
            continue;
        }
        found = true;
        let action = field::get(handler, kind);
        match kind {
            "exec" if field::list(action, "command").is_empty() => causes.required(path.child("command"), ""),
            "httpGet" => http_get(action, &path, causes),
            "tcpSocket" | "grpc" => field::port(field::get(action, "port"), path.child("port"), causes),
            "sleep" => sleep(action, grace, path, causes),
            _ => {}
        }
    }
    if !found {
        causes.required(path, "must specify a handler type");
    }
}

fn http_get(action: &Value, path: &Path<'_>, causes: &mut Causes) {
    field::required_text(action, "path", path, causes);
    field::port(field::get(action, "port"), path.child("port"), causes);
    field::choice(action, "scheme", path, &["HTTP", "HTTPS"], causes);
    for header in field::list(action, "httpHeaders") {
        let name = field::text(header, "name");
        field::complain(names::is_http_header_name(name), name, path.child("httpHeaders"), causes);
    }
}

fn sleep(action: &Value, grace: Option<i64>, path: Path<'_>, causes: &mut Causes) {
    let seconds = field::int(action, "seconds").unwrap_or_default();
    if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
        let words = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        causes.invalid(path, &Value::from(seconds), &words);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(container: Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        let spec = json!({"terminationGracePeriodSeconds": 30});
        of_container(&container, &spec, &Path::new("c"), &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    #[test]
    fn what_passes() {
        let http = json!({"path": "/", "scheme": "HTTP", "port": "web", "httpHeaders": [{"name": "X-A"}]});
        for container in [
            json!({}),
            json!({"livenessProbe": {"successThreshold": 1, "httpGet": http}}),
            json!({"readinessProbe": {"successThreshold": 2, "tcpSocket": {"port": 80}}}),
            json!({"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}),
        ] {
            assert_eq!(complaints(container.clone()), [], "{container}");
        }
    }

    #[test]
    fn what_does_not() {
        for (container, field, message) in [
            (json!({"readinessProbe": {}}), "c.readinessProbe", "Required value: must specify a handler type"),
            (
                json!({"readinessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}}),
                "c.readinessProbe.tcpSocket",
                "Forbidden: may not specify more than 1 handler type",
            ),
            (
                json!({"livenessProbe": {"successThreshold": 2, "tcpSocket": {"port": 1}}}),
                "c.livenessProbe.successThreshold",
                "Invalid value: 2: must be 1",
            ),
            (
                json!({"readinessProbe": {"periodSeconds": -1, "tcpSocket": {"port": 1}}}),
                "c.readinessProbe.periodSeconds",
                "Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                json!({"readinessProbe": {"tcpSocket": {"port": 70000}}}),
                "c.readinessProbe.tcpSocket.port",
                "Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
            (
                json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
                "c.lifecycle.preStop.sleep",
                "Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
            ),
        ] {
            assert_eq!(complaints(container)[0], (field.to_owned(), message.to_owned()));
        }
    }
}
