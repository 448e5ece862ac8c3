//! Roles and bindings, through an unmodified kubectl that acts as others.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use harness::{Server, eventually};

/// What kubectl says to `user`, and whether it did it.
fn acting(server: &Server, user: &str, arguments: &[&str]) -> (bool, String) {
    let mut all = arguments.to_vec();
    all.extend(["--as", user]);
    let ran = server.try_kubectl(&all);
    (ran.status.success(), format!("{}{}", ran.stdout, ran.stderr))
}

/// A binding counts once the gateway has heard of it.
fn soon(server: &Server, user: &str, arguments: &[&str]) {
    eventually("it is allowed", || acting(server, user, arguments).0.then_some(()));
}

#[test]
fn roles_say_who_may_what_and_nobody_gives_what_they_do_not_have() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(&directory.path().join("data"), &["--nodes", "0"]);
    for namespace in ["a", "b"] {
        server.kubectl(&["create", "namespace", namespace]);
    }
    let (done, said) = acting(&server, "bob", &["get", "pods", "-n", "a"]);
    let words = "Error from server (Forbidden): pods is forbidden: User \"bob\" cannot list resource \"pods\" in API group \"\" \
                 in the namespace \"a\"";
    assert!(!done && said.contains(words), "{said}");

    // The roles of the start are joined by a controller.
    eventually("view has rules", || {
        let view = server.get(&["clusterrole", "view"]);
        (view["rules"].as_array().map_or(0, Vec::len) > 10).then_some(())
    });
    server.kubectl(&["create", "rolebinding", "bobs", "--clusterrole=view", "--user=bob", "-n", "a"]);
    soon(&server, "bob", &["get", "pods", "-n", "a"]);
    for refused in [&["get", "pods", "-n", "b"][..], &["get", "secrets", "-n", "a"], &["get", "nodes"]] {
        let (done, said) = acting(&server, "bob", refused);
        assert!(!done && said.contains("Forbidden"), "{refused:?}: {said}");
    }
    server.kubectl(&["delete", "rolebinding", "bobs", "-n", "a"]);
    eventually("it is forbidden", || (!acting(&server, "bob", &["get", "pods", "-n", "a"]).0).then_some(()));

    // An administrator of a namespace gives what they have, and nothing else.
    server.kubectl(&["create", "rolebinding", "alices", "--clusterrole=admin", "--user=alice", "-n", "a"]);
    let own = ["create", "role", "reader", "--verb=get", "--resource=pods", "-n", "a"];
    soon(&server, "alice", &own);
    let more = ["create", "role", "watcher", "--verb=get", "--resource=nodes", "-n", "a"];
    let (done, said) = acting(&server, "alice", &more);
    let words = "is attempting to grant RBAC permissions not currently held";
    assert!(!done && said.contains(words) && said.contains("Resources:[\"nodes\"]"), "{said}");
    let all = ["create", "rolebinding", "all", "--clusterrole=cluster-admin", "--user=alice", "-n", "a"];
    let (done, said) = acting(&server, "alice", &all);
    assert!(!done && said.contains(words), "{said}");
    let bound = ["create", "rolebinding", "carols", "--role=reader", "--user=carol", "-n", "a"];
    let (done, said) = acting(&server, "alice", &bound);
    assert!(done, "{said}");
    let nowhere = ["create", "rolebinding", "lost", "--role=nothing", "--user=carol", "-n", "a"];
    let (done, said) = acting(&server, "alice", &nowhere);
    assert!(!done && said.contains("roles.rbac.authorization.k8s.io \"nothing\" not found"), "{said}");

    // What somebody takes from a role of the start comes back with the next one, and what they added stays.
    let taken =
        r#"[{"op":"replace","path":"/rules","value":[{"apiGroups":["x.io"],"resources":["y"],"verbs":["get"]}]}]"#;
    server.kubectl(&["patch", "clusterrole", "system:kube-dns", "--type=json", "-p", taken]);
    let (status, _) = server.stop();
    assert!(status.success());
    let server = Server::start(&directory.path().join("data"), &["--nodes", "0"]);
    let rules = server.get(&["clusterrole", "system:kube-dns"])["rules"].to_string();
    assert!(rules.contains("x.io") && rules.contains("endpoints"), "{rules}");
    let (done, said) = acting(&server, "carol", &["get", "pod", "x", "-n", "a"]);
    assert!(!done && said.contains("NotFound"), "allowed, and not there: {said}");
}
