//! Backup and restore from outside: a file that is a state, and what is made of it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::{Ran, Server, binary, eventually, run};
use serde_json::{Value, json};

fn admin(server: &Server, arguments: &[&str]) -> Ran {
    let mut command = binary();
    command.arg("admin").args(arguments).env("KUBECONFIG", server.kubeconfig());
    run(command)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What kubectl lists by that kubeconfig.
fn listed(kubeconfig: &Path, kind: &str) -> Value {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(kubeconfig).arg("--cache-dir").arg(kubeconfig.with_extension("cache"));
    command.args(["get", kind, "-A", "-o", "json"]);
    let ran = run(command);
    assert!(ran.status.success(), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Uids by namespace and name.
fn uids(list: &Value) -> BTreeMap<(String, String), String> {
    let of = |item: &Value, field: &str| item["metadata"][field].as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| ((of(item, "namespace"), of(item, "name")), of(item, "uid"))).collect()
}

#[test]
fn a_cluster_comes_back_from_a_file_that_was_written_while_it_was_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("data"), &["--nodes", "0"]);
    server.kubectl(&["create", "namespace", "shop"]);
    server.kubectl(&["create", "deployment", "web", "--image=nginx", "--replicas=3", "-n", "shop"]);
    server.kubectl(&["create", "service", "nodeport", "web", "--tcp=80", "-n", "shop"]);
    server.wait(&["--for=jsonpath={.status.unavailableReplicas}=3", "deployment/web", "-n", "shop"]);
    for at in 0..50 {
        let map = json!({ "metadata": { "name": format!("map-{at}") }, "data": { "at": at.to_string() } });
        assert_eq!(server.json("POST", "/api/v1/namespaces/shop/configmaps", &map).0, 201);
    }
    // Kinds of its own come along.
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "carts.shop.example.com" },
        "spec": {
            "group": "shop.example.com", "scope": "Namespaced",
            "names": { "plural": "carts", "singular": "cart", "kind": "Cart", "listKind": "CartList" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": { "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                } },
            }],
        },
    });
    let (code, made) = server.json("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd);
    assert_eq!(code, 201, "{made}");
    let cart = json!({
        "apiVersion": "shop.example.com/v1", "kind": "Cart", "metadata": { "name": "full" }, "spec": { "eggs": 12 },
    });
    eventually("the kind is served", || {
        (server.json("POST", "/apis/shop.example.com/v1/namespaces/shop/carts", &cart).0 == 201).then_some(())
    });
    let file = directory.path().join("blue.backup");
    let stop = AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in 0.. {
                if stop.load(Ordering::Relaxed) {
                    assert!(at > 0, "it wrote while the backup was made");
                    return;
                }
                let map = json!({ "metadata": { "name": format!("busy-{at}") } });
                assert_eq!(server.json("POST", "/api/v1/namespaces/default/configmaps", &map).0, 201);
            }
        });
        let ran = admin(&server, &["backup", text(&file), "-o", "json"]);
        stop.store(true, Ordering::Relaxed);
        ran
    });
    assert!(ran.status.success(), "{}", ran.stderr);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| text(Path::new(name)).ends_with(".part")), "{left:?}");
    let verified = admin(&server, &["backup", "--verify", text(&file), "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&verified.stdout).unwrap(), told);
    let again = admin(&server, &["backup", text(&file)]);
    assert!(!again.status.success() && again.stderr.contains("not overwritten"), "{}", again.stderr);

    // Into another name: the same objects.
    let blue = directory.path().join("blue.kubeconfig");
    let ran = admin(&server, &["restore", text(&file), "--to", "blue", "--write-kubeconfig", text(&blue)]);
    assert!(ran.status.success(), "{}", ran.stderr);
    for kind in ["deployments", "replicasets", "pods", "services", "namespaces", "crds", "carts"] {
        let (here, there) = (listed(&server.kubeconfig(), kind), listed(&blue, kind));
        assert_eq!(uids(&here), uids(&there), "{kind}");
        assert!(!uids(&here).is_empty(), "{kind}");
    }
    let maps = listed(&blue, "configmaps");
    assert_eq!(told["clusters"][0]["counts"]["configmaps"], maps["items"].as_array().unwrap().len());

    // Over what is there: nothing.
    let ran = admin(&server, &["restore", text(&file), "--to", "blue"]);
    assert!(!ran.status.success() && ran.stderr.contains("is not empty"), "{}", ran.stderr);
    assert_eq!(uids(&listed(&blue, "configmaps")), uids(&maps), "as it was");
    let ran = admin(&server, &["restore", text(&file)]);
    assert!(!ran.status.success() && ran.stderr.contains("restored while nothing serves it"), "{}", ran.stderr);

    // A file that was cut in half, and one with another byte in it, make nothing.
    let bytes = std::fs::read(&file).unwrap();
    let (half, wrong) = (directory.path().join("half"), directory.path().join("wrong"));
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    std::fs::write(&wrong, damaged).unwrap();
    for (path, why) in [(&half, "cut off"), (&wrong, "damaged")] {
        let ran = admin(&server, &["restore", text(path), "--to", "green"]);
        assert!(!ran.status.success() && ran.stderr.contains(why), "{}", ran.stderr);
        let store = directory.path().join("never");
        let ran = admin(&server, &["restore", text(path), "--store", text(&store)]);
        assert!(!ran.status.success() && ran.stderr.contains(why) && !store.exists(), "{}", ran.stderr);
    }
    let clusters = admin(&server, &["clusters", "list"]).stdout;
    assert!(clusters.contains("blue") && !clusters.contains("green"), "{clusters}");
}

#[test]
fn a_service_comes_back_in_an_empty_store_and_without_a_past() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut server = Server::start(&data, &["--nodes", "0"]);
    let token = directory.path().join("blue.kubeconfig");
    let ran = admin(&server, &["clusters", "create", "blue", "--write-kubeconfig", text(&token)]);
    assert!(ran.status.success(), "{}", ran.stderr);
    for at in 0..20 {
        let map = json!({ "metadata": { "name": format!("map-{at}") } });
        assert_eq!(server.json("POST", "/api/v1/namespaces/default/configmaps", &map).0, 201);
    }
    let path = "/api/v1/namespaces/default/configmaps";
    let (_, page) = server.json("GET", &format!("{path}?limit=3"), &Value::Null);
    let old = page["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let before = listed(&server.kubeconfig(), "configmaps");
    let file = directory.path().join("all.backup");
    assert!(admin(&server, &["backup", "--all", text(&file)]).status.success());
    // The store is in use, and then it is not empty.
    let refused = |server: &Server, why: &str| {
        let ran = admin(server, &["restore", text(&file), "--all", "--store", text(&data)]);
        assert!(!ran.status.success() && ran.stderr.contains(why), "{}", ran.stderr);
    };
    refused(&server, "in use");
    server.stop();
    refused(&server, "not empty");

    let second = directory.path().join("second");
    let ran = admin(&server, &["restore", text(&file), "--all", "--store", text(&second)]);
    assert!(ran.status.success(), "{}", ran.stderr);
    let server = Server::start(&second, &["--nodes", "0"]);
    let after = listed(&server.kubeconfig(), "configmaps");
    assert_eq!(uids(&after), uids(&before));
    let version = |list: &Value, at: usize| -> u64 {
        list["items"][at]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    };
    assert!((0..20).all(|at| version(&after, at) > old.parse().unwrap()), "at new versions");
    let (code, exact) =
        server.json("GET", &format!("{path}?resourceVersion={old}&resourceVersionMatch=Exact"), &Value::Null);
    assert_eq!(code, 410, "{exact}");
    let next = page["metadata"]["continue"].as_str().unwrap();
    let (code, continued) = server.json("GET", &format!("{path}?limit=3&continue={next}"), &Value::Null);
    assert_eq!(code, 410, "{continued}");
    let (_, event) = server.json("GET", &format!("{path}?watch=1&resourceVersion={old}"), &Value::Null);
    assert_eq!(event["object"]["code"], 410, "{event}");
    server.kubectl(&["create", "configmap", "after"]);
    let clusters = admin(&server, &["clusters", "list"]).stdout;
    assert!(clusters.contains("blue"), "{clusters}");
}
