//! Server-side apply, as an unmodified kubectl does it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use harness::Server;
use serde_json::{Value, json};

fn deployment(replicas: u32, image: &str, env: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: {replicas}\n  selector:\n    \
         matchLabels: {{app: web}}\n  template:\n    metadata:\n      labels: {{app: web}}\n    spec:\n      containers:\n      \
         - name: web\n        image: {image}\n        ports:\n        - containerPort: 80\n        env: {env}\n"
    )
}

fn service(ports: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  selector: {{app: web}}\n  ports: {ports}\n"
    )
}

fn apply(server: &Server, manager: &str, manifest: &str, more: &[&str]) -> (bool, String) {
    let mut arguments = vec!["apply", "--server-side", "--field-manager", manager, "-f", "-"];
    arguments.extend_from_slice(more);
    let ran = server.kubectl_with(&arguments, manifest);
    (ran.status.success(), format!("{}{}", ran.stdout, ran.stderr))
}

fn applied(server: &Server, manager: &str, manifest: &str, more: &[&str]) -> String {
    let (done, said) = apply(server, manager, manifest, more);
    assert!(done, "{manager}: {said}");
    said
}

/// The managers of an object: name, operation and subresource.
fn managers(object: &Value) -> Vec<(String, String, String)> {
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| (text(entry, "manager"), text(entry, "operation"), text(entry, "subresource"))).collect()
}

fn of(server: &Server, arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.push("--show-managed-fields");
    server.get(&all)
}

#[test]
fn owners_conflict_force_and_give_up() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"), &["--nodes", "2"]);
    let said = applied(&server, "one", &deployment(1, "nginx:1", "[{name: A, value: a}]"), &[]);
    assert!(said.contains("deployment.apps/web serverside-applied"), "{said}");
    server.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let version = of(&server, &["deployment", "web"])["metadata"]["generation"].clone();
    let before = of(&server, &["deployment", "web"]);
    applied(&server, "one", &deployment(1, "nginx:1", "[{name: A, value: a}]"), &[]);
    assert_eq!(of(&server, &["deployment", "web"]), before, "the same again is no change");
    assert_eq!(before["metadata"]["generation"], version);

    let (done, said) = apply(&server, "two", &deployment(2, "nginx:1", "[]"), &[]);
    assert!(!done && said.contains("conflict with \"one\": .spec.replicas"), "{said}");
    let (done, said) = apply(
        &server,
        "two",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicaz: 1}\n",
        &[],
    );
    assert!(!done && said.contains(".spec.replicaz: field not declared in schema"), "{said}");
    applied(&server, "two", &deployment(2, "nginx:1", "[{name: B, value: b}]"), &["--force-conflicts"]);
    let now = of(&server, &["deployment", "web"]);
    assert_eq!(now["spec"]["replicas"], 2);
    let names: Vec<&str> = env_names(&now);
    assert_eq!(names, ["A", "B"], "each has its own variable");
    applied(&server, "one", &deployment(2, "nginx:1", "[]"), &[]);
    assert_eq!(env_names(&of(&server, &["deployment", "web"])), ["B"], "the last owner of A dropped it");

    server.kubectl(&["scale", "deployment/web", "--replicas=3"]);
    let scaled = of(&server, &["deployment", "web"]);
    let owners = managers(&scaled);
    assert!(owners.contains(&("kubectl".into(), "Update".into(), "scale".into())), "{owners:?}");
    assert!(
        owners
            .iter()
            .any(|(name, operation, sub)| { name.contains("controller") && operation == "Update" && sub == "status" }),
        "{owners:?}"
    );
    let (_, said) = apply(&server, "two", &deployment(2, "nginx:1", "[]"), &[]);
    assert!(
        said.contains("conflict with \"kubectl\" with subresource \"scale\" using apps/v1: .spec.replicas"),
        "{said}"
    );
}

fn env_names(deployment: &Value) -> Vec<&str> {
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array();
    env.into_iter().flatten().map(|variable| variable["name"].as_str().unwrap()).collect()
}

#[test]
fn lists_dry_runs_and_the_way_over_from_the_client() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"), &["--nodes", "0"]);
    let said = applied(&server, "one", &service("[{port: 80, name: http}]"), &["--dry-run=server"]);
    assert!(said.contains("serverside-applied (server dry run)"), "{said}");
    assert!(!server.try_kubectl(&["get", "service", "web"]).status.success(), "a dry run leaves nothing");
    applied(&server, "one", &service("[{port: 80, name: http}]"), &[]);
    applied(&server, "two", &service("[{port: 443, name: https}]"), &[]);
    let ports = |server: &Server| {
        let service = of(server, &["service", "web"]);
        let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
        ports.iter().map(|port| port["port"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ports(&server), [80, 443]);
    applied(&server, "one", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n", &[]);
    assert_eq!(ports(&server), [443]);
    let ran = server.kubectl_with(
        &["diff", "--server-side", "--field-manager", "two", "-f", "-"],
        &service("[{port: 8443, name: https}]"),
    );
    assert!(ran.stdout.contains("+") && ran.stdout.contains("8443"), "{}{}", ran.stdout, ran.stderr);

    let map =
        |value: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: moved}}\ndata: {{a: \"{value}\"}}\n");
    let ran = server.kubectl_with(&["apply", "-f", "-"], &map("1"));
    assert!(ran.status.success(), "{}", ran.stderr);
    let owners = managers(&of(&server, &["configmap", "moved"]));
    assert_eq!(owners, [("kubectl-client-side-apply".into(), "Update".into(), String::new())]);
    applied(&server, "kubectl", &map("2"), &[]);
    assert_eq!(of(&server, &["configmap", "moved"])["data"], json!({"a": "2"}));
    server.kubectl(&["patch", "configmap", "moved", "--type=merge", "-p", r#"{"metadata":{"managedFields":[{}]}}"#]);
    assert!(managers(&of(&server, &["configmap", "moved"])).is_empty());
    server.kubectl(&[
        "patch",
        "configmap",
        "moved",
        "--type=json",
        "-p",
        r#"[{"op":"add","path":"/data/b","value":"3"}]"#,
    ]);
    assert!(managers(&of(&server, &["configmap", "moved"])).is_empty(), "nothing but an apply begins to follow again");
    let (done, said) = apply(&server, "other", &map("9"), &[]);
    assert!(!done && said.contains("before-first-apply"), "{said}");
    let broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: moved, uid: other}\n";
    let (done, said) = apply(&server, "other", broken, &[]);
    assert!(!done && said.contains("UID"), "{said}");
    let (done, said) = apply(&server, "other", &broken.replace("moved", "new"), &[]);
    assert!(!done && said.contains("uid mismatch"), "{said}");
}
