//! What every Kubernetes tutorial does, with an unmodified kubectl over TLS.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::collections::BTreeSet;

use harness::{Server, eventually};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nginx.yaml");

fn names(list: &str) -> BTreeSet<String> {
    list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn start(directory: &tempfile::TempDir) -> Server {
    let server = Server::start(&directory.path().join("data"), &["--nodes", "6"]);
    server.kubectl(&["apply", "-f", EXAMPLE]);
    server.kubectl(&["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"]);
    server
}

#[test]
fn apply_runs_and_shows() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);

    let wide = server.kubectl(&["get", "deploy,rs,pods", "-o", "wide"]);
    assert!(wide.contains("deployment.apps/nginx-deployment   3/3     3            3"), "{wide}");
    assert_eq!(wide.matches("1/1     Running").count(), 3, "{wide}");
    assert!(wide.contains("nginx:1.21") && wide.contains("app=nginx"), "{wide}");

    let nodes = server.kubectl(&["get", "nodes", "--no-headers"]);
    assert_eq!(nodes.matches(" Ready ").count(), 6, "{nodes}");
    let pods = server.get(&["pods", "-l", "app=nginx"]);
    let pods = pods["items"].as_array().unwrap();
    let addresses: BTreeSet<&str> = pods.iter().map(|pod| pod["status"]["podIP"].as_str().unwrap()).collect();
    assert_eq!(addresses.len(), 3, "every pod has an address of its own");
    for pod in pods {
        assert!(nodes.contains(pod["spec"]["nodeName"].as_str().unwrap()), "the scheduler chose a real node");
    }

    let service = server.get(&["service", "nginx-service"]);
    assert!(service["spec"]["clusterIP"].as_str().unwrap().starts_with("10."), "{service}");
    let slices = eventually("slices hold three ready endpoints", || {
        let slices = server.get(&["endpointslices", "-l", "kubernetes.io/service-name=nginx-service"]);
        let endpoints = slices["items"][0]["endpoints"].as_array()?.clone();
        (endpoints.len() == 3 && endpoints.iter().all(|one| one["conditions"]["ready"] == true)).then_some(endpoints)
    });
    let in_slices: BTreeSet<&str> = slices.iter().map(|one| one["addresses"][0].as_str().unwrap()).collect();
    assert_eq!(in_slices, addresses, "the slices hold the pods' addresses");

    let described = server.kubectl(&["describe", "deployment", "nginx-deployment"]);
    assert!(described.contains("3 desired | 3 updated | 3 total | 3 available | 0 unavailable"), "{described}");
    assert!(described.contains("Scaled up replica set"), "{described}");
    let pod = pods[0]["metadata"]["name"].as_str().unwrap();
    let described = eventually("the pod's events are there", || {
        let text = server.kubectl(&["describe", "pod", pod]);
        (text.contains("Scheduled") && text.contains("Started")).then_some(text)
    });
    assert!(described.contains("QoS Class:") && described.contains("Burstable"), "{described}");
    assert!(server.kubectl(&["get", "events"]).contains("ScalingReplicaSet"));
    assert!(server.kubectl(&["describe", "service", "nginx-service"]).contains("10."));
    assert!(server.kubectl(&["describe", "node", "node-0"]).contains("Non-terminated Pods"));

    let logs = server.kubectl(&["logs", pod]);
    assert!(logs.contains("nginx"), "a simulated pod says what it is: {logs}");
    assert!(server.kubectl(&["logs", "deployment/nginx-deployment", "--tail=1"]).lines().count() == 1);

    assert!(server.kubectl(&["cluster-info"]).contains(&server.url));
    assert!(server.kubectl(&["version"]).contains("Server Version: v1.36"));
    let resources = server.kubectl(&["api-resources"]);
    for row in ["deployments", "deploy", "endpointslices", "leases", "networkpolicies", "cronjobs", "po "] {
        assert!(resources.contains(row), "{row} in {resources}");
    }
    assert!(server.kubectl(&["get", "all"]).contains("service/kubernetes"));
}

#[test]
fn scale_and_a_rolling_update_keep_their_promises() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    server.kubectl(&["scale", "deployment/nginx-deployment", "--replicas=8"]);
    server.kubectl(&["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"]);
    assert_eq!(names(&server.kubectl(&["get", "pods", "--no-headers"])).len(), 8);

    // 25 % of 8: at most 10 pods at any time, at least 6 available. The Deployment's own status is watched.
    let follow = server.kubectl_follow(&[
        "get", "deployment", "nginx-deployment", "-w", "-o",
        r"jsonpath=total={.status.replicas} available={.status.availableReplicas} updated={.status.updatedReplicas} image={.spec.template.spec.containers[0].image}{'\n'}",
    ]);
    follow.until("available=8");
    server.kubectl(&["set", "image", "deployment/nginx-deployment", "nginx=nginx:1.25"]);
    loop {
        let line = follow.until("image=nginx:1.25");
        let number = |field: &str| -> i64 {
            let rest = line.split(&format!("{field}=")).nth(1).unwrap();
            rest.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        assert!(number("total") <= 10, "maxSurge of 25 % is broken: {line}");
        assert!(number("available") >= 6, "maxUnavailable of 25 % is broken: {line}");
        if number("updated") == 8 && number("total") == 8 && number("available") == 8 {
            break;
        }
    }
    server.kubectl(&["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"]);
    let images =
        server.kubectl(&["get", "pods", "-l", "app=nginx", "-o", "jsonpath={.items[*].spec.containers[0].image}"]);
    assert!(!images.contains("1.21"), "{images}");
    let history = server.kubectl(&["rollout", "history", "deployment/nginx-deployment"]);
    assert!(history.contains('1') && history.contains('2'), "{history}");
    server.kubectl(&["rollout", "undo", "deployment/nginx-deployment"]);
    server.kubectl(&["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"]);
    let image = ["get", "deployment", "nginx-deployment", "-o", "jsonpath={.spec.template.spec.containers[0].image}"];
    assert_eq!(server.kubectl(&image), "nginx:1.21");
}

#[test]
fn every_way_to_change_an_object() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let deployment = "deployment/nginx-deployment";
    let get = |path: &str| server.kubectl(&["get", deployment, "-o", &format!("jsonpath={{{path}}}")]);

    server.kubectl(&[
        "patch",
        deployment,
        "--type=json",
        "-p",
        r#"[{"op":"replace","path":"/spec/replicas","value":2}]"#,
    ]);
    assert_eq!(get(".spec.replicas"), "2");
    server.kubectl(&[
        "patch",
        deployment,
        "--type=merge",
        "-p",
        r#"{"metadata":{"labels":{"tier":"web","app":null}}}"#,
    ]);
    assert_eq!(get(".metadata.labels"), r#"{"tier":"web"}"#);
    // A strategic merge patch adds a container by name instead of replacing the list.
    let sidecar = r#"{"spec":{"template":{"spec":{"containers":[{"name":"sidecar","image":"busybox"}]}}}}"#;
    server.kubectl(&["patch", deployment, "-p", sidecar]);
    assert_eq!(get(".spec.template.spec.containers[*].name"), "sidecar nginx");
    let without = r#"{"spec":{"template":{"spec":{"containers":[{"name":"sidecar","$patch":"delete"}]}}}}"#;
    server.kubectl(&["patch", deployment, "-p", without]);
    assert_eq!(get(".spec.template.spec.containers[*].name"), "nginx");

    server.kubectl(&["label", deployment, "team=blue"]);
    server.kubectl(&["annotate", deployment, "note=hello"]);
    assert_eq!((get(".metadata.labels.team"), get(".metadata.annotations.note")), ("blue".into(), "hello".into()));
    server.kubectl(&["label", deployment, "team-"]);
    assert_eq!(get(".metadata.labels.team"), "");

    let editor = directory.path().join("editor");
    std::fs::write(&editor, "#!/bin/sh\nsed -i 's/note: hello/note: edited/' \"$1\"\n").unwrap();
    assert!(std::process::Command::new("chmod").args(["+x"]).arg(&editor).status().unwrap().success());
    let edited = std::process::Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(server.kubeconfig())
        .args(["edit", deployment])
        .env("KUBE_EDITOR", &editor)
        .output()
        .unwrap();
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    assert_eq!(get(".metadata.annotations.note"), "edited");

    // apply again: the three-way merge takes back what the file says and leaves what others added.
    server.kubectl(&["apply", "-f", EXAMPLE]);
    assert_eq!((get(".spec.replicas"), get(".metadata.annotations.note")), ("3".into(), "edited".into()));
    let again = server.kubectl(&["apply", "-f", EXAMPLE]);
    assert!(again.contains("deployment.apps/nginx-deployment unchanged"), "{again}");

    let ran = server.try_kubectl(&["create", "-f", EXAMPLE]);
    assert!(ran.stderr.contains(r#"deployments.apps "nginx-deployment" already exists"#), "{}", ran.stderr);
    server.kubectl(&["apply", "--dry-run=server", "-f", EXAMPLE]);
    let unknown = std::fs::read_to_string(EXAMPLE).unwrap().replace("replicas: 3", "replicas: 3\n  replcas: 4");
    let ran = server.kubectl_with(&["apply", "-f", "-"], &unknown);
    assert!(ran.stderr.contains(r#"unknown field "spec.replcas""#), "{}", ran.stderr);
}

#[test]
fn the_three_ways_to_delete() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let pods = || names(&server.kubectl(&["get", "pods", "--no-headers", "-o", "name"]));
    let before = pods();
    assert_eq!(before.len(), 3);

    // Orphan: the pods stay, without an owner.
    server.kubectl(&["delete", "deployment", "nginx-deployment", "--cascade=orphan"]);
    let set = eventually("the ReplicaSet is an orphan", || {
        let sets = server.get(&["rs", "-l", "app=nginx"]);
        let set = sets["items"][0].clone();
        set["metadata"]["ownerReferences"].is_null().then(|| set["metadata"]["name"].as_str().unwrap().to_owned())
    });
    assert_eq!(pods(), before);

    // Adopted again, not replaced.
    server.kubectl(&["apply", "-f", EXAMPLE]);
    server.kubectl(&["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"]);
    assert_eq!(pods(), before, "a Deployment adopts the ReplicaSet that matches");
    assert_eq!(names(&server.kubectl(&["get", "rs", "--no-headers"])), BTreeSet::from([set.clone()]));

    // Foreground: the Deployment goes last.
    server.kubectl(&["delete", "deployment", "nginx-deployment", "--cascade=foreground", "--timeout=60s"]);
    assert_eq!(names(&server.kubectl(&["get", "rs", "--no-headers"])).len(), 0, "dependents went first");
    assert_eq!(pods().len(), 0, "pods too");

    // Background: the Deployment goes at once, the rest follows.
    server.kubectl(&["apply", "-f", EXAMPLE]);
    server.kubectl(&["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"]);
    server.kubectl(&["delete", "deployment", "nginx-deployment", "--timeout=60s"]);
    eventually("the pods follow", || (pods().is_empty()).then_some(()));

    server.kubectl(&["create", "namespace", "short-lived"]);
    eventually("its ServiceAccount is there", || {
        server.try_kubectl(&["-n", "short-lived", "get", "sa", "default"]).status.success().then_some(())
    });
    server.kubectl(&["-n", "short-lived", "apply", "-f", EXAMPLE]);
    server.kubectl(&["delete", "namespace", "short-lived", "--timeout=60s"]);
    assert!(!server.try_kubectl(&["get", "namespace", "short-lived"]).status.success());
    let ran = server.try_kubectl(&["delete", "namespace", "kube-system"]);
    assert!(ran.stderr.contains("forbidden"), "{}", ran.stderr);
}

#[test]
fn pods_are_watched_as_they_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"), &["--nodes", "3"]);
    let follow = server.kubectl_follow(&["get", "pods", "-w", "--output-watch-events"]);
    server.kubectl(&["create", "deployment", "web", "--image=nginx:1.21"]);
    follow.until("ADDED");
    follow.until("Running");
    server.kubectl(&["delete", "deployment", "web"]);
    follow.until("Terminating");
    follow.until("DELETED");
}
