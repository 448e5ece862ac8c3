//! What bad input gets: a `Status` with the right code, reason and causes, and nothing half done.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use harness::{Answer, Server};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn start(directory: &tempfile::TempDir) -> Server {
    Server::start(&directory.path().join("data"), &["--nodes", "0"])
}

fn deployment() -> Value {
    json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "nginx"}]},
            },
        },
    })
}

fn status(answer: &Answer, code: u16, reason: &str) -> Value {
    let status = answer.json();
    assert_eq!((answer.code, status["reason"].as_str()), (code, Some(reason)), "{status}");
    assert_eq!((status["kind"].as_str(), status["status"].as_str()), (Some("Status"), Some("Failure")), "{status}");
    assert_eq!(status["code"], code);
    status
}

fn fields(status: &Value) -> Vec<&str> {
    status["details"]["causes"].as_array().unwrap().iter().map(|cause| cause["field"].as_str().unwrap()).collect()
}

#[test]
fn bodies_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);

    let broken = server.http("POST", DEPLOYMENTS, &[JSON], br#"{"metadata":{"name":"web"},,}"#);
    let message = status(&broken, 400, "BadRequest")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("27") || message.contains("28"), "the byte where it broke: {message}");
    let broken =
        server.http("POST", DEPLOYMENTS, &["Content-Type: application/yaml"], b"metadata:\n  name: web\n bad: [1,\n");
    status(&broken, 400, "BadRequest");
    let yaml = "metadata:\n  name: from-yaml\ndata:\n  a: b\n";
    let made = server.http(
        "POST",
        "/api/v1/namespaces/default/configmaps",
        &["Content-Type: application/yaml"],
        yaml.as_bytes(),
    );
    assert_eq!((made.code, made.json()["data"]["a"].as_str()), (201, Some("b")));

    let mut wrong = deployment();
    wrong["spec"]["replicas"] = json!("three");
    let answer = server.http("POST", DEPLOYMENTS, &[JSON], wrong.to_string().as_bytes());
    let message = status(&answer, 400, "BadRequest")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("spec.replicas"), "{message}");

    let answer = server.http("POST", DEPLOYMENTS, &["Content-Type: text/csv"], b"a,b");
    status(&answer, 415, "UnsupportedMediaType");
    let large = json!({"metadata": {"name": "large"}, "data": {"a": "x".repeat(3 << 20)}});
    let answer = server.http("POST", "/api/v1/namespaces/default/configmaps", &[JSON], large.to_string().as_bytes());
    status(&answer, 413, "RequestEntityTooLarge");
    let deep = "[".repeat(100_000);
    status(&server.http("POST", DEPLOYMENTS, &[JSON], deep.as_bytes()), 400, "BadRequest");
}

#[test]
fn paths_and_verbs_that_do_not_exist() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    for path in ["/apis/apps/v1/namespaces/default/gizmos", "/apis/nothing/v1/things", "/api/v2/pods", "/nothing"] {
        status(&server.http("GET", path, &[], b""), 404, "NotFound");
    }
    let missing = status(&server.http("GET", &format!("{DEPLOYMENTS}/absent"), &[], b""), 404, "NotFound");
    assert_eq!(missing["message"], r#"deployments.apps "absent" not found"#);
    assert_eq!(missing["details"], json!({"group": "apps", "kind": "deployments", "name": "absent"}));
    status(&server.http("POST", &format!("{DEPLOYMENTS}/web"), &[JSON], b"{}"), 405, "MethodNotAllowed");
    let elsewhere = "/apis/apps/v1/namespaces/absent/deployments";
    let answer = server.http("POST", elsewhere, &[JSON], deployment().to_string().as_bytes());
    assert_eq!(status(&answer, 404, "NotFound")["message"], r#"namespaces "absent" not found"#);
}

#[test]
fn every_invalid_field_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let post = |object: &Value| server.http("POST", DEPLOYMENTS, &[JSON], object.to_string().as_bytes());

    let mut object = deployment();
    object["metadata"]["name"] = json!("Not_A_Name");
    assert_eq!(fields(&status(&post(&object), 422, "Invalid")), ["metadata.name"]);

    let mut object = deployment();
    object["spec"]["replicas"] = json!(-1);
    object["spec"]["template"]["spec"]["containers"] =
        json!([{"name": "web", "image": "nginx"}, {"name": "web", "image": "nginx"}]);
    let answer = status(&post(&object), 422, "Invalid");
    let named = fields(&answer);
    assert!(named.contains(&"spec.replicas") && named.contains(&"spec.template.spec.containers[1].name"), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("must be greater than or equal to 0"), "{answer}");

    let mut object = deployment();
    object["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
    let answer = status(&post(&object), 422, "Invalid");
    assert_eq!(fields(&answer), ["spec.template.metadata.labels"]);
    assert!(answer["message"].as_str().unwrap().contains("`selector` does not match template `labels`"), "{answer}");

    let mut object = deployment();
    object["spec"]["template"]["spec"]["containers"] = json!([]);
    status(&post(&object), 422, "Invalid");
    let (code, _) = server.json("GET", &format!("{DEPLOYMENTS}/web"), &Value::Null);
    assert_eq!(code, 404, "nothing half done");

    assert_eq!(server.json("POST", DEPLOYMENTS, &deployment()).0, 201);
    let mut object = deployment();
    object["spec"]["selector"]["matchLabels"] = json!({"app": "other"});
    object["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
    let answer = server.http("PUT", &format!("{DEPLOYMENTS}/web"), &[JSON], object.to_string().as_bytes());
    let answer = status(&answer, 422, "Invalid");
    assert!(answer["message"].as_str().unwrap().contains("field is immutable"), "{answer}");
}

#[test]
fn conflicts_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    // Of a kind that no controller writes to.
    let collection = "/apis/apps/v1/namespaces/default/statefulsets";
    let mut set = deployment();
    set["spec"]["serviceName"] = json!("web");
    let (code, made) = server.json("POST", collection, &set);
    assert_eq!(code, 201);
    let again = server.http("POST", collection, &[JSON], set.to_string().as_bytes());
    assert_eq!(status(&again, 409, "AlreadyExists")["message"], r#"statefulsets.apps "web" already exists"#);

    let path = format!("{collection}/web");
    let mut changed = made.clone();
    changed["metadata"]["labels"] = json!({"n": "1"});
    assert_eq!(server.json("PUT", &path, &changed).0, 200);
    let stale = server.http("PUT", &path, &[JSON], changed.to_string().as_bytes());
    let message = status(&stale, 409, "Conflict")["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("the object has been modified; please apply your changes to the latest version"),
        "{message}"
    );
    let stale = json!({"metadata": {"resourceVersion": made["metadata"]["resourceVersion"], "labels": {"n": "2"}}});
    let merge = "Content-Type: application/merge-patch+json";
    status(&server.http("PATCH", &path, &[merge], stale.to_string().as_bytes()), 409, "Conflict");
    let options = json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}});
    status(&server.http("DELETE", &path, &[JSON], options.to_string().as_bytes()), 409, "Conflict");

    let (_, now) = server.json("GET", &path, &Value::Null);
    let (_, same) = server.json("PUT", &path, &now);
    assert_eq!(same["metadata"]["resourceVersion"], now["metadata"]["resourceVersion"], "a no-op writes nothing");
    let mut scaled = now.clone();
    scaled["spec"]["replicas"] = json!(2);
    let (_, scaled) = server.json("PUT", &path, &scaled);
    let generation = |object: &Value| object["metadata"]["generation"].as_i64().unwrap();
    assert_eq!(generation(&scaled), generation(&now) + 1);
}

#[test]
fn who_may_ask() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens.csv");
    std::fs::write(&tokens, "tok-admin,root,1,\"system:masters\"\ntok-guest,guest,2,\"visitors\"\n").unwrap();
    let server =
        Server::start(&directory.path().join("data"), &["--nodes", "0", "--token-auth-file", tokens.to_str().unwrap()]);
    let pods = "/api/v1/namespaces/default/pods";
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    status(&server.http_as_nobody("GET", pods, &[]), 401, "Unauthorized");
    status(&server.http_as_nobody("GET", pods, &[&bearer("wrong")]), 401, "Unauthorized");
    let refused = status(&server.http_as_nobody("GET", pods, &[&bearer("tok-guest")]), 403, "Forbidden");
    assert_eq!(
        refused["message"],
        r#"pods is forbidden: User "guest" cannot list resource "pods" in API group "" in the namespace "default""#
    );
    assert_eq!(server.http_as_nobody("GET", pods, &[&bearer("tok-admin")]).code, 200);
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(server.http_as_nobody("GET", path, &[]).code, 200, "{path} is open");
    }
    let log = server.log();
    assert!(!log.contains("tok-admin") && !log.contains("tok-guest"), "no token in the log");
}

#[test]
fn keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(server.data()), 0o700);
    let mut keys = 0;
    for entry in std::fs::read_dir(server.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
            keys += usize::from(path.extension().is_some_and(|extension| extension == "key"));
        }
    }
    assert!(keys >= 3, "CA, serving and admin keys");
}
