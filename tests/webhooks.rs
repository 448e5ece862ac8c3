//! Admission webhooks from outside: a webhook of the test's own over TLS, and kubectl and plain HTTP against several shards.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use harness::Server;
use harness::webhook::{Does, Webhook};
use serde_json::{Value, json};

const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn start(directory: &tempfile::TempDir) -> Server {
    start_with(directory, &["--nodes", "0", "--shards", "3", "--webhook-allow", "127.0.0.1,::1"])
}

fn start_with(directory: &tempfile::TempDir, arguments: &[&str]) -> Server {
    let mut server = Server::start(&directory.path().join("data"), arguments);
    // A write that fails because a webhook does is a 500.
    server.expected_warnings.push("failed calling webhook");
    server
}

/// One webhook for ConfigMaps, with changes.
fn hook(name: &str, client: Value, change: Value) -> Value {
    let mut hook = json!({
        "name": format!("{name}.example.com"), "clientConfig": client, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
        "rules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "scope": "Namespaced",
            "operations": ["CREATE", "UPDATE", "DELETE"],
        }],
        // Others write ConfigMaps as well.
        "objectSelector": {"matchLabels": {"test": "yes"}},
    });
    hook.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    hook
}

fn configure(server: &Server, path: &str, name: &str, hooks: &[Value]) {
    let kind = if path == MUTATING { "MutatingWebhookConfiguration" } else { "ValidatingWebhookConfiguration" };
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name, "labels": {"test": "yes"}},
        "webhooks": hooks,
    });
    let (code, made) = server.json("POST", path, &configuration);
    assert_eq!(code, 201, "{made}");
}

fn map(name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"test": "yes"}}, "data": data,
    })
}

/// Creates a map again and again, without a trace, until the configurations have become known to its shard.
fn until(server: &Server, what: &str, mut is_so: impl FnMut(u16, &Value) -> bool) {
    harness::eventually(what, || {
        let (code, answer) = server.json("POST", &format!("{MAPS}?dryRun=All"), &map("probe", json!({"x": "y"})));
        is_so(code, &answer).then_some(())
    });
}

fn allows() -> Does {
    Does::Answers(json!({"allowed": true}))
}

fn patches(operations: &Value) -> Does {
    let patch = BASE64_STANDARD.encode(operations.to_string());
    Does::Answers(json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}))
}

#[test]
fn webhooks_change_refuse_and_warn() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let webhook = Webhook::start(|path, request| match path {
        "/mutate" if request["object"].is_null() => allows(),
        "/mutate" => patches(&json!([{"op": "add", "path": "/metadata/labels/mutated", "value": "yes"}])),
        _ if request["object"]["data"]["bad"] == "yes" => Does::Answers(json!({
            "allowed": false, "status": {"code": 418, "reason": "Teapot", "message": "no tea"},
        })),
        _ if request["oldObject"]["data"]["kept"] == "yes" => Does::Answers(json!({"allowed": false})),
        _ => Does::Answers(json!({"allowed": true, "warnings": ["it is a test"]})),
    });
    configure(&server, MUTATING, "m", &[hook("m", webhook.client("/mutate"), json!({}))]);
    configure(&server, VALIDATING, "v", &[hook("v", webhook.client("/validate"), json!({}))]);
    until(&server, "both are asked", |_, made| {
        made["metadata"]["labels"]["mutated"] == "yes" && !webhook.seen("/validate").is_empty()
    });
    assert_eq!(webhook.seen("/validate")[0]["dryRun"], true);
    assert_eq!(server.json("GET", &format!("{MAPS}/probe"), &Value::Null).0, 404, "a dry run leaves nothing");

    let made =
        server.http("POST", MAPS, &["Content-Type: application/json"], map("a", json!({})).to_string().as_bytes());
    assert_eq!((made.code, &made.json()["metadata"]["labels"]["mutated"]), (201, &json!("yes")));
    assert!(made.headers.to_lowercase().contains("warning: 299 - \"it is a test\""), "{}", made.headers);
    let seen = webhook.seen("/validate").pop().unwrap();
    assert_eq!(seen["object"]["metadata"]["labels"]["mutated"], "yes", "it sees what the other one made");
    assert_eq!(seen["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(seen["resource"], json!({"group": "", "version": "v1", "resource": "configmaps"}));
    assert_eq!(
        (&seen["name"], &seen["namespace"], &seen["operation"]),
        (&json!("a"), &json!("default"), &json!("CREATE"))
    );
    assert_eq!((&seen["oldObject"], &seen["dryRun"]), (&Value::Null, &json!(false)));
    assert_eq!(seen["options"]["kind"], "CreateOptions");
    assert!(seen["userInfo"]["groups"].as_array().unwrap().contains(&json!("system:masters")));
    // What it saw is what there is, to the last field.
    let mut stored = server.json("GET", &format!("{MAPS}/a"), &Value::Null).1;
    for later in ["resourceVersion", "managedFields"] {
        stored["metadata"].as_object_mut().unwrap().remove(later);
    }
    assert_eq!(seen["object"], stored);

    let (code, refused) = server.json("POST", MAPS, &map("b", json!({"bad": "yes"})));
    assert_eq!((code, &refused["reason"]), (418, &json!("Teapot")));
    assert_eq!(refused["message"], "admission webhook \"v.example.com\" denied the request: no tea");
    assert_eq!(server.json("GET", &format!("{MAPS}/b"), &Value::Null).0, 404);
    let ran = server.try_kubectl(&["patch", "configmap", "a", "--type=merge", "-p", r#"{"data":{"bad":"yes"}}"#]);
    assert!(!ran.status.success() && ran.stderr.contains("denied the request: no tea"), "{}", ran.stderr);
    server.kubectl(&["patch", "configmap", "a", "--type=merge", "-p", r#"{"data":{"kept":"yes"}}"#]);
    let seen = webhook.seen("/validate").pop().unwrap();
    assert_eq!((&seen["operation"], &seen["oldObject"]["data"]["kept"]), (&json!("UPDATE"), &Value::Null));

    let (code, refused) = server.json("DELETE", &format!("{MAPS}/a"), &Value::Null);
    assert_eq!((code, &refused["code"]), (400, &json!(400)));
    assert_eq!(refused["message"], "admission webhook \"v.example.com\" denied the request without explanation");
    let seen = webhook.seen("/validate").pop().unwrap();
    assert_eq!((&seen["operation"], &seen["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(
        (&seen["oldObject"]["data"]["kept"], &seen["options"]["kind"]),
        (&json!("yes"), &json!("DeleteOptions"))
    );
    assert_eq!(server.json("GET", &format!("{MAPS}/a"), &Value::Null).0, 200, "it is still there");
    assert!(
        webhook.connections() <= 6,
        "{} connections for {} calls",
        webhook.connections(),
        webhook.seen("/mutate").len()
    );
    let metrics = String::from_utf8(server.http("GET", "/metrics", &[], b"").body).unwrap();
    let rejected = "apiserver_admission_webhook_rejection_count{name=\"v.example.com\",type=\"validating\",operation=\"CREATE\",\
                    error_type=\"no_error\",rejection_code=\"418\"} 1";
    assert!(metrics.contains(rejected), "{metrics}");
}

#[test]
fn selectors_choose_and_later_changes_are_shown_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let webhook = Webhook::start(|path, request| {
        let data = &request["object"]["data"];
        let add = |key: &str| patches(&json!([{"op": "add", "path": format!("/data/{key}"), "value": "yes"}]));
        match path {
            // The first one waits for what the second one adds.
            "/first" if data["second"] == "yes" && data["first"].is_null() => add("first"),
            "/second" => add("second"),
            _ => allows(),
        }
    });
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    let watched = json!({"namespaceSelector": {"matchLabels": {"watched": "yes"}}});
    configure(&server, MUTATING, "a", &[hook("first", webhook.client("/first"), again)]);
    configure(&server, MUTATING, "b", &[hook("second", webhook.client("/second"), json!({}))]);
    configure(&server, VALIDATING, "c", &[hook("watched", webhook.client("/watched"), watched)]);
    until(&server, "all are known", |_, made| made["data"]["first"] == "yes");
    assert_eq!(server.json("POST", MAPS, &map("a", json!({"x": "y"}))).0, 201);
    assert_eq!(webhook.paths_for("a"), ["/first", "/second", "/first"]);

    // An object that is not selected, and one that only was.
    let mut other = map("other", json!({"x": "y"}));
    other["metadata"]["labels"] = json!({});
    assert_eq!(server.json("POST", MAPS, &other).0, 201);
    assert_eq!(webhook.paths_for("other"), [""; 0]);
    server.kubectl(&["label", "configmap", "a", "test-"]);
    assert_eq!(webhook.seen("/second").pop().unwrap()["operation"], "UPDATE", "the old object is selected");

    server.kubectl(&["create", "namespace", "n"]);
    let path = "/api/v1/namespaces/n/configmaps";
    assert_eq!(server.json("POST", path, &map("b", json!({"x": "y"}))).0, 201);
    server.kubectl(&["label", "namespace", "n", "watched=yes"]);
    harness::eventually("the webhook is asked for the namespace", || {
        let name = format!("c{}", webhook.seen("/first").len());
        assert_eq!(server.json("POST", path, &map(&name, json!({"x": "y"}))).0, 201);
        webhook.paths_for(&name).contains(&"/watched".to_owned()).then_some(())
    });
    assert!(!webhook.paths_for("a").contains(&"/watched".to_owned()));
    assert!(!webhook.paths_for("b").contains(&"/watched".to_owned()));
}

#[test]
fn a_dead_webhook_does_as_its_policy_says_and_can_be_removed() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let webhook = Webhook::start(|path, _| match path {
        "/hang" => Does::Hangs,
        "/redirect" => Does::Says(307, String::new()),
        "/broken" => Does::Says(503, "broken".to_owned()),
        _ => Does::Answers(json!({"allowed": true, "patch": "W10=", "patchType": "JSONPatch"})),
    });
    let dead = json!({"url": "https://127.0.0.1:1/dead", "caBundle": webhook.bundle});
    let everything = json!([{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}]);
    let all = json!({"rules": everything, "namespaceSelector": {"matchLabels": {"test": "yes"}}});
    configure(&server, VALIDATING, "dead", &[hook("dead", dead.clone(), all)]);
    // The default namespace is not selected; this one is, and so is its label.
    let namespace = json!({"kind": "Namespace", "metadata": {"name": "n", "labels": {"test": "yes"}}});
    let refused = harness::eventually("nothing can be created", || {
        let (code, refused) = server.json("POST", "/api/v1/namespaces?dryRun=All", &namespace);
        (code == 500).then_some(refused)
    });
    let message = refused["message"].as_str().unwrap();
    let begins = "Internal error occurred: failed calling webhook \"dead.example.com\": failed to call webhook: Post \
                  \"https://127.0.0.1:1/dead?timeout=5s\": dial tcp 127.0.0.1:1:";
    assert!(message.starts_with(begins), "{message}");
    // After some failures nobody waits for it any more.
    harness::eventually("the breaker is open", || {
        let (_, refused) = server.json("POST", "/api/v1/namespaces?dryRun=All", &namespace);
        refused["message"].as_str().unwrap().contains("it is not called for a while after").then_some(())
    });
    // Its configuration is out of its reach.
    server.kubectl(&["annotate", "validatingwebhookconfiguration", "dead", "seen=yes"]);
    server.kubectl(&["delete", "validatingwebhookconfiguration", "dead"]);
    harness::eventually("all is as before", || {
        (server.json("POST", "/api/v1/namespaces?dryRun=All", &namespace).0 == 201).then_some(())
    });

    let check = |name: &str, client: Value, change: Value, words: &str| {
        configure(&server, VALIDATING, name, &[hook(name, client, change)]);
        until(&server, name, |code, answer| code == 500 && answer["message"].as_str().unwrap().ends_with(words));
        server.kubectl(&["delete", "validatingwebhookconfiguration", name]);
        until(&server, "it is gone", |code, _| code == 201);
    };
    let ignored = hook("ignored", dead, json!({"failurePolicy": "Ignore"}));
    configure(&server, VALIDATING, "ignored", &[ignored]);
    harness::eventually("its failure is ignored", || {
        assert_eq!(server.json("POST", &format!("{MAPS}?dryRun=All"), &map("probe", json!({}))).0, 201);
        let metrics = String::from_utf8(server.http("GET", "/metrics", &[], b"").body).unwrap();
        metrics.contains("apiserver_admission_webhook_fail_open_count{name=\"ignored.example.com\"").then_some(())
    });
    let began = Instant::now();
    check("slow", webhook.client("/hang"), json!({"timeoutSeconds": 1}), "context deadline exceeded");
    assert!(began.elapsed() < Duration::from_secs(20));
    check("moved", webhook.client("/redirect"), json!({}), "redirects are not followed");
    let words = "an error on the server (\"broken\") has prevented the request from succeeding";
    check("broken", webhook.client("/broken"), json!({}), words);
    let words = "received invalid webhook response: validating webhook may not return response.patch";
    check("eager", webhook.client("/eager"), json!({}), words);
    let mut stranger = webhook.client("/stranger");
    stranger["caBundle"] = Webhook::start(|_, _| allows()).bundle.into();
    configure(&server, VALIDATING, "stranger", &[hook("stranger", stranger, json!({}))]);
    until(&server, "a certificate of nobody is refused", |code, answer| {
        code == 500 && answer["message"].as_str().unwrap().contains(": tls: invalid peer certificate")
    });
    assert!(webhook.seen("/stranger").is_empty());
}

#[test]
fn services_are_found_for_who_meets_the_conditions() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let webhook = Webhook::start(|_, _| Does::Answers(json!({"allowed": false, "status": {"message": "found"}})));
    let client = json!({
        "service": {"namespace": "default", "name": "hook", "port": webhook.address.port()}, "caBundle": webhook.bundle,
    });
    let conditional = |expression: &str| {
        let conditions = json!([{"name": "a", "expression": expression}]);
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "v"}, "webhooks": [hook("x", client.clone(), json!({"matchConditions": conditions}))],
        })
    };
    let (code, refused) = server.json("POST", VALIDATING, &conditional("object.metadata.name"));
    let cause = &refused["details"]["causes"][0];
    assert_eq!((code, &cause["field"]), (422, &json!("webhooks[0].matchConditions[0].expression")));
    assert_eq!(cause["message"], "Invalid value: \"object.metadata.name\": must evaluate to bool but got dyn");
    assert_eq!(server.json("POST", VALIDATING, &conditional("object.metadata.name != 'free'")).0, 201);
    until(&server, "the service is looked for", |code, answer| {
        code == 500 && answer["message"].as_str().unwrap().ends_with("service \"hook\" not found")
    });
    assert_eq!(server.json("POST", &format!("{MAPS}?dryRun=All"), &map("free", json!({}))).0, 201, "it is not meant");
    let service = json!({
        "kind": "Service", "metadata": {"name": "hook"}, "spec": {"type": "ExternalName", "externalName": "localhost"},
    });
    assert_eq!(server.json("POST", "/api/v1/namespaces/default/services", &service).0, 201);
    until(&server, "the service is found", |code, answer| {
        code == 400 && answer["message"].as_str().unwrap().ends_with("denied the request: found")
    });

    // Endpoints cannot be on loopback, so this part needs a machine with another address.
    let Some(ip) = own_address() else { return };
    let webhook =
        Webhook::start_at(ip, |_, _| Does::Answers(json!({"allowed": false, "status": {"message": "reached"}})));
    let service = json!({
        "kind": "Service", "metadata": {"name": "behind", "namespace": "default"},
        "spec": {"ports": [{"name": "web", "port": 80}, {"name": "hook", "port": 443}]},
    });
    assert_eq!(server.json("POST", "/api/v1/namespaces/default/services", &service).0, 201);
    let slice = json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
        "metadata": {"name": "behind-1", "labels": {"kubernetes.io/service-name": "behind"}},
        "ports": [{"name": "web", "port": 1}, {"name": "hook", "port": webhook.address.port()}],
        "endpoints": [{"addresses": [ip]}],
    });
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    assert_eq!(server.json("POST", path, &slice).0, 201);
    server.kubectl(&["delete", "validatingwebhookconfiguration", "v"]);
    let client = json!({"service": {"namespace": "default", "name": "behind"}, "caBundle": webhook.bundle});
    configure(&server, VALIDATING, "w", &[hook("w", client, json!({}))]);
    until(&server, "its endpoint is reached", |code, answer| {
        code == 400 && answer["message"].as_str().unwrap().ends_with("denied the request: reached")
    });
}

/// An address of this machine that is not loopback.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only chooses a way.
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[test]
fn no_webhook_reaches_into_the_control_plane() {
    let directory = tempfile::tempdir().unwrap();
    let server = start_with(&directory, &["--nodes", "0", "--shards", "2"]);
    let webhook = Webhook::start(|_, _| allows());
    configure(&server, VALIDATING, "v", &[hook("v", webhook.client("/"), json!({}))]);
    let words = "the address of 127.0.0.1 is internal to the control plane, and not among those that may be called";
    until(&server, "it is refused", |code, answer| code == 500 && answer["message"].as_str().unwrap().ends_with(words));
    // A name that leads inside is none to trust either.
    let by_name = json!({"url": format!("https://localhost:{}/", webhook.address.port()), "caBundle": webhook.bundle});
    configure(&server, VALIDATING, "a", &[hook("a", by_name, json!({}))]);
    let words = "the address of localhost is internal to the control plane, and not among those that may be called";
    until(&server, "it is refused", |code, answer| code == 500 && answer["message"].as_str().unwrap().ends_with(words));
    assert_eq!(webhook.connections(), 0);
}
