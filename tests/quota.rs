//! ResourceQuota, LimitRange and Pod Security from outside, with kubectl, over shards that share the namespaces.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use harness::Server;
use serde_json::{Value, json};

fn start(directory: &tempfile::TempDir, nodes: &str) -> Server {
    let server = Server::start(&directory.path().join("data"), &["--nodes", nodes, "--shards", "3"]);
    server.kubectl(&["create", "namespace", "team"]);
    server
}

/// What kubectl says when it is refused.
fn refused(server: &Server, arguments: &[&str]) -> String {
    let ran = server.try_kubectl(arguments);
    assert!(!ran.status.success(), "{}", ran.stdout);
    ran.stderr
}

/// What `kubectl describe quota` shows: names, used and hard.
fn described(server: &Server, quota: &str) -> Vec<String> {
    let text = server.kubectl(&["describe", "quota", "-n", "team", quota]);
    let rows = text.lines().skip_while(|line| !line.starts_with("--------")).skip(1);
    rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn of_64_creations_at_once_a_quota_of_40_lets_40_in() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = start(&directory, "0");
    server.kubectl(&["create", "quota", "q", "-n", "team", "--hard=count/secrets=40,services=1"]);
    let create = |at: usize| {
        let secret = json!({"metadata": {"name": format!("s{at}")}});
        server.json("POST", "/api/v1/namespaces/team/secrets", &secret)
    };
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..16)
            .map(|worker| scope.spawn(move || (0..4).map(|at| create(worker * 4 + at)).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|(code, _)| *code == 201).count(), 40);
    let words = "exceeded quota: q, requested: count/secrets=1, used: count/secrets=40, limited: count/secrets=40";
    let no =
        answers.iter().filter(|(code, status)| *code == 403 && status["message"].as_str().unwrap().ends_with(words));
    assert_eq!(no.count(), 24);
    assert_eq!(described(&server, "q"), ["count/secrets 40 40", "services 0 1"]);
    server.kill();
    let server = Server::start(server.data(), &["--nodes", "0", "--shards", "2"]);
    assert_eq!(server.json("POST", "/api/v1/namespaces/team/secrets", &json!({"metadata": {"name": "more"}})).0, 403);
    server.kubectl(&["delete", "secret", "-n", "team", "--all"]);
    assert_eq!(described(&server, "q"), ["count/secrets 0 40", "services 0 1"]);
}

#[test]
fn a_deployment_gets_as_many_pods_as_fit() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = start(&directory, "3");
    // The ReplicaSet's controller tries again and again, and says so.
    server.expected_warnings.push("reconciling keeps failing");
    server.kubectl(&["create", "quota", "q", "-n", "team", "--hard=pods=3,count/deployments.apps=1"]);
    server.kubectl(&["create", "deployment", "web", "-n", "team", "--image=nginx:1.21", "--replicas=5"]);
    let other = refused(&server, &["create", "deployment", "more", "-n", "team", "--image=nginx:1.21"]);
    let words = "deployments.apps \"more\" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: \
                 count/deployments.apps=1, limited: count/deployments.apps=1";
    assert!(other.contains(words), "{other}");
    server.wait(&["-n", "team", "deployment/web", "--for=jsonpath={.status.readyReplicas}=3"]);
    assert_eq!(server.get(&["pods", "-n", "team"])["items"].as_array().unwrap().len(), 3);
    assert_eq!(described(&server, "q"), ["count/deployments.apps 1 1", "pods 3 3"]);
    // Room is used as soon as it is there.
    server.kubectl(&["patch", "quota", "q", "-n", "team", "--type=merge", "-p", r#"{"spec":{"hard":{"pods":"5"}}}"#]);
    server.wait(&["-n", "team", "deployment/web", "--for=jsonpath={.status.readyReplicas}=5"]);
    server.kubectl(&["delete", "deployment", "web", "-n", "team"]);
    server.kubectl(&["wait", "-n", "team", "quota/q", "--for=jsonpath={.status.used.pods}=0", "--timeout=60s"]);
}

#[test]
fn a_limit_range_gives_and_takes() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory, "0");
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l", "namespace": "team"},
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}]},
    });
    assert!(server.kubectl_with(&["apply", "-f", "-"], &range.to_string()).status.success());
    server.kubectl(&["create", "quota", "q", "-n", "team", "--hard=requests.cpu=250m"]);
    server.kubectl(&["create", "serviceaccount", "worker", "-n", "team"]);
    let run = |name: &'static str, overrides: &'static str| {
        ["run", name, "-n", "team", "--image=nginx:1.21", "--overrides", overrides]
    };
    let account = r#"{"spec":{"serviceAccountName":"worker"}}"#;
    server.kubectl(&run("a", account));
    let pod = server.get(&["pod", "a", "-n", "team"]);
    let resources = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}});
    assert_eq!(pod["spec"]["containers"][0]["resources"], resources);
    let said = "LimitRanger plugin set: cpu request for container a; cpu limit for container a";
    assert_eq!(pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"], said);
    server.kubectl(&run("b", account));
    let full = refused(&server, &run("c", account));
    assert!(
        full.contains("requested: requests.cpu=100m, used: requests.cpu=200m, limited: requests.cpu=250m"),
        "{full}"
    );
    let large = r#"{"spec":{"serviceAccountName":"worker","containers":[{"name":"d","image":"i","resources":{"limits":{"cpu":"2"}}}]}}"#;
    let large = refused(&server, &run("d", large));
    assert!(large.contains("pods \"d\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"), "{large}");
}

#[test]
fn labels_of_a_namespace_say_what_pods_may_ask_for() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory, "0");
    server.kubectl(&["create", "serviceaccount", "worker", "-n", "team"]);
    let run = |name: &'static str, overrides: &'static str| {
        ["run", name, "-n", "team", "--image=nginx:1.21", "--overrides", overrides]
    };
    server.kubectl(&run("host", r#"{"spec":{"serviceAccountName":"worker","hostNetwork":true}}"#));
    let label = |label: &'static str| server.try_kubectl(&["label", "--overwrite", "namespace", "team", label]);
    let wrong = label("pod-security.kubernetes.io/enforce=strict");
    assert!(wrong.stderr.contains("must be one of privileged, baseline, restricted"), "{}", wrong.stderr);
    let told = label("pod-security.kubernetes.io/enforce=baseline");
    let expected = "Warning: existing pods in namespace \"team\" violate the new PodSecurity enforce level \"baseline:latest\"\n\
                    Warning: host: host namespaces\n";
    assert!(told.status.success() && told.stderr == expected, "{}", told.stderr);
    let refused = refused(&server, &run("more", r#"{"spec":{"serviceAccountName":"worker","hostPID":true}}"#));
    let words = "pods \"more\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    assert!(refused.contains(words), "{refused}");
    server.kubectl(&run("plain", r#"{"spec":{"serviceAccountName":"worker"}}"#));
    label("pod-security.kubernetes.io/warn=restricted");
    let warned =
        server.try_kubectl(&["create", "deployment", "web", "-n", "team", "--image=nginx:1.21", "--replicas=0"]);
    assert!(warned.status.success(), "{}", warned.stderr);
    let words = "Warning: would violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"nginx\" \
                 must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"nginx\" must \
                 set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"nginx\" must set \
                 securityContext.runAsNonRoot=true), seccompProfile (pod or container \"nginx\" must set \
                 securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
    assert!(warned.stderr.contains(words), "{}", warned.stderr);
}
