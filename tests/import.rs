//! `import` from one API server into another, as anybody's.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use harness::{Ran, Server, binary, run};
use serde_json::{Value, json};

fn import(from: &Server, to: &Server, arguments: &[&str]) -> Ran {
    let mut command = binary();
    command.arg("import").arg("--kubeconfig").arg(from.kubeconfig()).arg("--to-kubeconfig").arg(to.kubeconfig());
    command.args(["-o", "json"]).args(arguments);
    run(command)
}

fn row(ran: &Ran, resource: &str) -> Value {
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}{}", ran.stdout, ran.stderr));
    let rows = report["resources"].as_array().unwrap().iter();
    rows.clone().find(|row| row["resource"] == resource).cloned().unwrap_or_default()
}

#[test]
fn objects_come_in_order_with_their_owners_and_the_rest_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let from = Server::start(&directory.path().join("from"), &["--nodes", "0"]);
    // A bare API: nothing but what is imported happens in it.
    let to = Server::start_part("gateway", &directory.path().join("to"), &[]);
    from.kubectl(&["create", "namespace", "shop"]);
    from.kubectl(&["create", "namespace", "other"]);
    from.kubectl(&["create", "deployment", "web", "--image=nginx", "--replicas=2", "-n", "shop"]);
    from.kubectl(&["create", "service", "clusterip", "web", "--tcp=80", "-n", "shop"]);
    from.kubectl(&["create", "secret", "generic", "word", "--from-literal=a=b", "-n", "shop"]);
    from.kubectl(&["create", "configmap", "elsewhere", "-n", "other"]);
    from.kubectl(&["run", "alone", "--image=nginx", "-n", "shop"]);
    from.wait(&["--for=jsonpath={.status.unavailableReplicas}=2", "deployment/web", "-n", "shop"]);

    let dry = import(&from, &to, &["--dry-run"]);
    assert!(dry.status.success(), "{}", dry.stderr);
    assert_eq!(row(&dry, "deployments.apps")["copied"], 1);
    assert!(!to.kubectl(&["get", "namespaces"]).contains("shop"), "nothing was created");

    let ran = import(&from, &to, &["--exclude-namespaces", "other", "--strict"]);
    assert!(ran.status.success(), "{}{}", ran.stdout, ran.stderr);
    for (resource, copied) in [("deployments.apps", 1), ("replicasets.apps", 1), ("services", 1), ("secrets", 1)] {
        assert_eq!(row(&ran, resource)["copied"], copied, "{}", ran.stdout);
    }
    let pods = row(&ran, "pods");
    assert_eq!((&pods["copied"], &pods["leftOut"]), (&json!(1), &json!(2)), "controllers make theirs: {pods}");
    let set = &to.get(&["replicasets", "-n", "shop"])["items"][0];
    let deployment = to.get(&["deployment", "web", "-n", "shop"]);
    assert_eq!(set["metadata"]["ownerReferences"][0]["uid"], deployment["metadata"]["uid"], "the new owner");
    let was = from.get(&["deployment", "web", "-n", "shop"]);
    assert_eq!(deployment["spec"], was["spec"]);
    assert_ne!(deployment["metadata"]["uid"], was["metadata"]["uid"]);
    assert_eq!(to.get(&["secret", "word", "-n", "shop"])["data"]["a"], "Yg==");
    assert!(!to.kubectl(&["get", "namespaces"]).contains("other"), "it was left out");

    // Once more: everything is there.
    let again = import(&from, &to, &["-n", "shop", "--strict"]);
    assert!(again.status.success(), "{}", again.stdout);
    assert_eq!((&row(&again, "secrets")["copied"], &row(&again, "secrets")["existed"]), (&json!(0), &json!(1)));
}
