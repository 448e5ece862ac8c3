//! exec, attach, cp, port-forward, logs and proxy, with unmodified kubectl: over WebSockets and over SPDY, with kubelets that take
//! WebSockets and with kubelets that do not. `SHARDPLANE_KUBECTLS=PATH:…` names more kubectls, of other versions.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::io::Write;
use std::process::{Command, Stdio};

use harness::{Ran, Server, eventually, lines_of};
use serde_json::json;

/// How kubectl speaks.
struct Way {
    kubectl: String,
    websockets: bool,
}

fn ways() -> Vec<Way> {
    let more = std::env::var("SHARDPLANE_KUBECTLS").unwrap_or_default();
    let kubectls = std::iter::once("kubectl").chain(more.split(':').filter(|path| !path.is_empty()));
    let both = |kubectl: &str| [true, false].map(|websockets| Way { kubectl: kubectl.to_owned(), websockets });
    kubectls.flat_map(both).collect()
}

impl Way {
    fn command(&self, server: &Server, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        let websockets = if self.websockets { "true" } else { "false" };
        command.arg("--kubeconfig").arg(server.kubeconfig()).args(arguments);
        command.arg("--cache-dir").arg(server.data().with_extension("cache"));
        command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets).env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What comes of a command that is given this on its stdin.
    fn run(&self, server: &Server, arguments: &[&str], stdin: &str) -> Ran {
        // kubectl's own arguments end at `--`.
        let (own, rest) =
            arguments.split_at(arguments.iter().position(|word| *word == "--").unwrap_or(arguments.len()));
        let mut command = self.command(server, own);
        command.args(rest);
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let stdin = stdin.to_owned();
        let typing = std::thread::spawn(move || drop(pipe.write_all(stdin.as_bytes())));
        let ran = child.wait_with_output().unwrap().into();
        typing.join().unwrap();
        ran
    }

    fn succeeds(&self, server: &Server, arguments: &[&str], stdin: &str) -> String {
        let ran = self.run(server, arguments, stdin);
        assert!(ran.status.success(), "{self}: {arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} over {}", self.kubectl, if self.websockets { "WebSockets" } else { "SPDY" })
    }
}

/// Whether the nodes say that their kubelets take WebSockets.
fn declare(server: &Server, takes_websockets: bool) {
    let features = if takes_websockets { json!(["ExtendWebSocketsToKubelet"]) } else { json!(null) };
    let patch = json!({ "status": { "declaredFeatures": features } }).to_string();
    server.kubectl(&["patch", "node", "node-0", "--subresource=status", "--type=merge", "-p", &patch]);
}

fn pod(server: &Server, name: &str, run_seconds: Option<u32>) {
    let annotations = run_seconds.map(|seconds| json!({ "shardplane.dev/run-seconds": seconds.to_string() }));
    let pod = json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": { "name": name, "labels": { "app": name }, "annotations": annotations },
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "nginx", "image": "nginx:1.21", "ports": [{ "name": "http", "containerPort": 8080 }],
                "env": [{ "name": "COLOR", "value": "blue" }],
            }],
        },
    });
    let ran = server.kubectl_with(&["apply", "-f", "-"], &pod.to_string());
    assert!(ran.status.success(), "{}", ran.stderr);
    server.wait(&["pod", name, "--for=jsonpath={.status.phase}=Running"]);
}

fn start(directory: &tempfile::TempDir) -> Server {
    let server = Server::start(&directory.path().join("data"), &["--nodes", "1"]);
    eventually("the service account is there", || {
        server.try_kubectl(&["get", "serviceaccount", "default"]).status.success().then_some(())
    });
    server.wait(&["node", "node-0", "--for=condition=Ready"]);
    server
}

#[test]
fn commands_run_in_containers() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    pod(&server, "web", None);
    for takes_websockets in [true, false] {
        declare(&server, takes_websockets);
        for way in ways() {
            let exec =
                |arguments: &[&str], stdin: &str| way.run(&server, &[&["exec", "web"], arguments].concat(), stdin);
            let ran = exec(&["--", "echo", "hello", "world"], "");
            assert_eq!((ran.status.code(), ran.stdout.as_str()), (Some(0), "hello world\n"), "{way}: {}", ran.stderr);
            let typed = "a line\n".repeat(20_000);
            let ran = exec(&["-i", "--", "cat"], &typed);
            assert!(ran.stdout == typed, "{way}: {} of {} bytes: {}", ran.stdout.len(), typed.len(), ran.stderr);
            let ran = exec(&["-c", "nginx", "--", "sh", "-c", "echo out; ls /none; exit 3"], "");
            assert_eq!((ran.status.code(), ran.stdout.as_str()), (Some(3), "out\n"), "{way}");
            assert!(
                ran.stderr.contains("ls: /none: No such file") && ran.stderr.contains("exit code 3"),
                "{way}: {}",
                ran.stderr
            );
            let ran = exec(&["--", "printenv", "COLOR"], "");
            assert_eq!(ran.stdout, "blue\n", "{way}");
            let ran = exec(&["--", "nginx", "-v"], "");
            assert!(ran.status.code() == Some(127) && ran.stderr.contains("nothing runs"), "{way}: {}", ran.stderr);
            let ran = exec(&["-c", "none", "--", "ls"], "");
            assert!(
                ran.stderr.contains("container none is not valid for pod web") || ran.stderr.contains("not found"),
                "{way}: {}",
                ran.stderr
            );
        }
    }
    let metrics = String::from_utf8(server.http("GET", "/metrics", &[], b"").body).unwrap();
    for counted in [
        "apiserver_websocket_streaming_requests_total{subresource=\"exec\",proxy_type=\"proxied_to_kubelet\"}",
        "apiserver_websocket_streaming_requests_total{subresource=\"exec\",proxy_type=\"translated_at_apiserver\"}",
        "apiserver_stream_translator_requests_total{code=\"200\"}",
        "shardplane_stream_bytes_total{subresource=\"exec\",direction=\"to_client\"}",
    ] {
        assert!(metrics.contains(counted), "{counted} in {metrics}");
    }
}

#[test]
fn a_terminal_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    pod(&server, "web", None);
    for takes_websockets in [true, false] {
        declare(&server, takes_websockets);
        for way in ways() {
            // kubectl wants a terminal of its own, which script(1) makes.
            let kubectl = way.command(&server, &["exec", "-it", "web"]);
            let words: Vec<String> = std::iter::once(kubectl.get_program())
                .chain(kubectl.get_args())
                .map(|word| format!("'{}'", word.to_str().unwrap()))
                .collect();
            let mut script = Command::new("script");
            script.args(["--quiet", "--return", "--command", &format!("{} -- sh", words.join(" ")), "/dev/null"]);
            script.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let shown = lines_of(child.stdout.take().unwrap());
            let mut typed = child.stdin.take().unwrap();
            let until = |text: &str| {
                loop {
                    let line = shown.recv_timeout(harness::PATIENCE).unwrap_or_else(|error| panic!("{way}: {error}"));
                    if line.contains(text) {
                        return line;
                    }
                }
            };
            until("simulated, type help");
            typed.write_all(b"echo $COLOR; hostname\r").unwrap();
            assert!(until("echo $COLOR").contains("/ # "), "{way}: it echoes behind its prompt");
            assert_eq!((until("blue").trim(), until("web").trim()), ("blue", "web"), "{way}");
            typed.write_all(b"sleep 1000\r").unwrap();
            until("sleep 1000");
            typed.write_all(b"\x03").unwrap();
            until("^C");
            typed.write_all(b"exit 5\r").unwrap();
            let status = child.wait().unwrap();
            assert_eq!(status.code(), Some(5), "{way}");
        }
    }
}

#[test]
fn files_are_copied_both_ways() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    pod(&server, "web", None);
    let (here, back) = (directory.path().join("here"), directory.path().join("back"));
    std::fs::create_dir_all(here.join("deep")).unwrap();
    std::fs::write(here.join("deep/file"), "x".repeat(100_000)).unwrap();
    std::fs::write(here.join("other"), "short").unwrap();
    for takes_websockets in [true, false] {
        declare(&server, takes_websockets);
        for way in ways() {
            way.succeeds(&server, &["cp", here.to_str().unwrap(), "web:/tmp/there"], "");
            let listed = way.succeeds(&server, &["exec", "web", "--", "ls", "/tmp/there"], "");
            assert_eq!(listed, "deep\nother\n", "{way}");
            let _ = std::fs::remove_dir_all(&back);
            way.succeeds(&server, &["cp", "web:/tmp/there", back.to_str().unwrap()], "");
            assert_eq!(std::fs::read_to_string(back.join("deep/file")).unwrap().len(), 100_000, "{way}");
            assert_eq!(std::fs::read_to_string(back.join("other")).unwrap(), "short", "{way}");
            way.succeeds(&server, &["exec", "web", "--", "rm", "-r", "/tmp/there"], "");
        }
    }
}

#[test]
fn what_is_followed_ends_with_the_container() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    for (at, way) in ways().iter().enumerate() {
        declare(&server, at % 2 == 0);
        let name = format!("short-{at}");
        pod(&server, &name, Some(5));
        let attached = way.command(&server, &["attach", &name]).spawn().unwrap();
        let followed = way.command(&server, &["logs", "-f", "--timestamps", &name]).spawn().unwrap();
        let (attached, followed) = (attached.wait_with_output().unwrap(), followed.wait_with_output().unwrap());
        for (what, output) in [("attach", attached), ("logs -f", followed)] {
            let ran = Ran::from(output);
            assert!(
                ran.status.success() && ran.stdout.contains("container nginx ended after"),
                "{way}: {what}: {ran:?}"
            );
        }
    }
    let log = |arguments: &[&str]| server.try_kubectl(&[&["logs", "short-0"], arguments].concat());
    assert_eq!(log(&["--tail=1"]).stdout.lines().count(), 1);
    assert_eq!(log(&["--limit-bytes=7"]).stdout.len(), 7);
    assert!(
        log(&["--previous"]).stderr.contains("previous terminated container \"nginx\" in pod \"short-0\" not found")
    );
    assert!(log(&["-c", "none"]).stderr.contains("container none is not valid for pod short-0"));
    assert!(log(&["--insecure-skip-tls-verify-backend"]).status.success());
    let (code, status) = server.json("GET", "/api/v1/namespaces/default/pods/short-0/log?tailLines=-1", &json!(null));
    assert_eq!((code, &status["reason"]), (422, &json!("Invalid")), "{status}");
}

#[test]
fn ports_are_forwarded() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    pod(&server, "web", None);
    for takes_websockets in [true, false] {
        declare(&server, takes_websockets);
        for way in ways() {
            let mut child = way.command(&server, &["port-forward", "pod/web", ":8080", ":81"]).spawn().unwrap();
            let lines = lines_of(child.stdout.take().unwrap());
            let errors = lines_of(child.stderr.take().unwrap());
            let mut address = |port: &str| {
                loop {
                    let line = lines.recv_timeout(harness::PATIENCE).unwrap_or_else(|error| {
                        let _ = child.kill();
                        panic!("{way}: {error}: {:?}", errors.try_iter().collect::<Vec<_>>())
                    });
                    if line.starts_with("Forwarding from 127.0.0.1:") && line.ends_with(port) {
                        return line.split_whitespace().nth(2).unwrap().to_owned();
                    }
                }
            };
            let (open, closed) = (address("-> 8080"), address("-> 81"));
            let curl = |address: &str, path: &str| -> Ran {
                let url = format!("http://{address}{path}");
                let mut curl = Command::new("curl");
                curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--data", "hello", &url]);
                curl.output().unwrap().into()
            };
            for at in 0..5 {
                let ran = curl(&open, &format!("/echo?at={at}"));
                assert!(ran.stdout.starts_with(&format!("POST /echo?at={at} with 5 bytes")), "{way}: {ran:?}");
            }
            assert!(curl(&open, "/").stdout.contains("Nothing runs in it"), "{way}");
            assert!(!curl(&closed, "/").status.success(), "{way}");
            let refused = errors.recv_timeout(harness::PATIENCE).unwrap();
            assert!(refused.contains("an error occurred forwarding"), "{way}: {refused}");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[test]
fn pods_services_and_nodes_are_reached_by_proxy() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    pod(&server, "web", None);
    server.kubectl(&["expose", "pod", "web", "--port=80", "--target-port=http", "--name=web"]);
    let raw = |path: &str| server.kubectl(&["get", "--raw", path]);
    let pods = "/api/v1/namespaces/default/pods";
    let page = raw(&format!("{pods}/web/proxy/"));
    assert!(page.contains(&format!("<a href=\"{pods}/web/proxy/echo\">")), "links lead back: {page}");
    assert!(raw(&format!("{pods}/web:8080/proxy/a/b?c=d")).starts_with("GET /a/b?c=d with 0 bytes"));
    let services = "/api/v1/namespaces/default/services";
    eventually("the service has an endpoint", || {
        let (code, _) = server.json("GET", &format!("{services}/web:80/proxy/x"), &json!(null));
        (code == 200).then_some(())
    });
    for name in ["web", "web:80", "http:web:80"] {
        assert!(raw(&format!("{services}/{name}/proxy/x")).starts_with("GET /x with"), "{name}");
    }
    let answer =
        server.http("POST", &format!("{services}/web/proxy/x"), &["Content-Type: text/plain"], &[b'x'; 300_000]);
    let text = String::from_utf8(answer.body).unwrap();
    assert!(answer.code == 200 && text.starts_with("POST /x with 300000 bytes"), "{text}");
    let (code, status) = server.json("GET", &format!("{services}/web:81/proxy/"), &json!(null));
    assert_eq!((code, status["message"].as_str().unwrap()), (503, "no service port 81 found for service \"web\""));
    let (code, status) = server.json("GET", &format!("{pods}/web:81/proxy/"), &json!(null));
    let message = status["message"].as_str().unwrap();
    assert!(code == 503 && message.starts_with("error trying to reach service: "), "{message}");
    let answer = server.http("GET", &format!("{pods}/web/proxy?a=b"), &[], b"");
    assert!(answer.code == 301 && answer.headers.contains("/web/proxy/?a=b"), "{}", answer.headers);

    assert_eq!(raw("/api/v1/nodes/node-0/proxy/healthz"), "ok");
    assert!(raw("/api/v1/nodes/node-0/proxy/metrics").contains("kubelet_running_pods 1"));
    assert!(raw("/api/v1/nodes/node-0/proxy/pods").contains("\"name\":\"web\""));
    assert!(raw("/api/v1/nodes/node-0/proxy/containerLogs/default/web/nginx?tailLines=1").contains("simulated"));
    let (code, status) = server.json("GET", "/api/v1/nodes/node-0:22/proxy/", &json!(null));
    assert_eq!((code, status["message"].as_str().unwrap()), (400, "address not allowed"));
    let rows = raw("/api/v1");
    for row in ["pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy", "nodes/proxy"] {
        assert!(rows.contains(&format!("\"name\":\"{row}\"")), "{row} in discovery");
    }
}
