//! Conversion webhooks from outside: a kind in two versions that differ in their fields, and a webhook of the test's own.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use harness::Server;
use harness::webhook::{Does, Webhook};
use serde_json::{Value, json};

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
const V1: &str = "/apis/example.com/v1/namespaces/default/widgets";
const V2: &str = "/apis/example.com/v2/namespaces/default/widgets";

/// v1 has `spec.address`, v2 has `spec.host` and `spec.port`.
fn definition(webhook: &Webhook) -> Value {
    let version = |name: &str, storage: bool, fields: Value, column: &str| {
        json!({
            "name": name, "served": true, "storage": storage, "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "Where", "type": "string", "jsonPath": column}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": fields},
                "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
            }}},
        })
    };
    let (address, parts) = (
        json!({"address": {"type": "string", "pattern": "^[a-z]+:[0-9]+$"}}),
        json!({
            "host": {"type": "string", "pattern": "^[a-z]+$"}, "port": {"type": "integer"},
            "scheme": {"type": "string", "default": "http"},
        }),
    );
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [version("v1", true, address, ".spec.address"), version("v2", false, parts, ".spec.host")],
            "conversion": {"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"], "clientConfig": webhook.client("/convert"),
            }},
        },
    })
}

/// What the webhook makes of an object.
fn convert(mut object: Value, to: &str) -> Value {
    let spec = object["spec"].take();
    object["spec"] = match (object["apiVersion"] == to, to) {
        (true, _) => spec,
        (_, "example.com/v2") => {
            let (host, port) = spec["address"].as_str().unwrap_or_default().split_once(':').unwrap_or_default();
            match port.parse::<u16>() {
                Ok(port) => json!({"host": host, "port": port, "unknown": true}),
                Err(_) => json!({}),
            }
        }
        _ => json!({"address": format!("{}:{}", spec["host"].as_str().unwrap_or_default(), spec["port"])}),
    };
    object["apiVersion"] = to.into();
    // It may say what it likes about the rest.
    object["metadata"]["finalizers"] = json!(["not/its-own"]);
    object["metadata"]["annotations"]["by"] = "webhook".into();
    object
}

/// Without controllers, which would look at every object.
fn serve(directory: &tempfile::TempDir) -> Server {
    let data = directory.path().join("data");
    Server::start_part("gateway", &data, &["--shards", "3", "--webhook-allow", "127.0.0.1"])
}

fn start(directory: &tempfile::TempDir) -> (Server, Webhook) {
    let webhook = Webhook::start(|path, request| {
        let objects = request["objects"].as_array().cloned().unwrap_or_default();
        if path != "/convert" || objects.iter().any(|object| object["metadata"]["name"] == "broken") {
            return Does::Answers(json!({"result": {"status": "Failure", "message": "it cannot be"}}));
        }
        let to = request["desiredAPIVersion"].as_str().unwrap();
        let converted: Vec<Value> = objects.into_iter().map(|object| convert(object, to)).collect();
        Does::Answers(json!({"result": {"status": "Success"}, "convertedObjects": converted}))
    });
    let mut server = serve(directory);
    server.expected_warnings.push("conversion webhook");
    let (code, made) = server.json("POST", DEFINITION.trim_end_matches("/widgets.example.com"), &definition(&webhook));
    assert_eq!(code, 201, "{made}");
    server.kubectl(&["wait", "--for=condition=established", "crd/widgets.example.com", "--timeout=20s"]);
    (server, webhook)
}

fn widget(version: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": format!("example.com/{version}"), "kind": "Widget", "metadata": {"name": name}, "spec": spec,
    })
}

fn read(server: &Server, path: &str) -> Value {
    let (code, answer) = server.json("GET", path, &Value::Null);
    assert_eq!(code, 200, "{path}: {answer}");
    answer
}

/// How many reviews the webhook was sent, and how many objects in them.
fn asked(webhook: &Webhook) -> (usize, usize) {
    let seen = webhook.seen("/convert");
    (seen.len(), seen.iter().map(|request| request["objects"].as_array().map_or(0, Vec::len)).sum())
}

#[test]
fn every_version_is_read_and_written() {
    let directory = tempfile::tempdir().unwrap();
    let (server, webhook) = start(&directory);
    assert_eq!(server.json("POST", V1, &widget("v1", "a", json!({"address": "x:80"}))).0, 201);
    assert_eq!(asked(&webhook), (0, 0), "it is stored as it came");
    let made = read(&server, &format!("{V2}/a"));
    // What the webhook adds that the schema does not know goes; defaults belong to the version that is written.
    assert_eq!((&made["apiVersion"], &made["spec"]), (&json!("example.com/v2"), &json!({"host": "x", "port": 80})));
    assert_eq!(made["metadata"]["annotations"], json!({"by": "webhook"}));
    assert_eq!(made["metadata"].get("finalizers"), None, "metadata is not the webhook's");
    read(&server, &format!("{V2}/a"));
    assert_eq!(asked(&webhook), (1, 1), "what was converted is kept");

    let (code, made) = server.json("POST", V2, &widget("v2", "b", json!({"host": "y", "port": 81})));
    assert_eq!((code, &made["spec"]), (201, &json!({"host": "y", "port": 81})), "{made}");
    assert_eq!(read(&server, &format!("{V1}/b"))["spec"], json!({"address": "y:81"}));
    let (code, refused) = server.json("POST", V2, &widget("v2", "c", json!({"host": "Y", "port": 81})));
    assert_eq!((code, &refused["details"]["causes"][0]["field"]), (422, &json!("spec.host")), "its own schema counts");
    let dry = server.json("POST", &format!("{V2}?dryRun=All"), &widget("v2", "c", json!({"host": "y", "port": 1})));
    assert_eq!(
        (dry.0, &dry.1["spec"]["scheme"], &dry.1["apiVersion"]),
        (201, &json!("http"), &json!("example.com/v2"))
    );

    // An update in either version, and a status.
    let mut b = read(&server, &format!("{V2}/b"));
    b["spec"]["port"] = 82.into();
    let (code, put) = server.json("PUT", &format!("{V2}/b"), &b);
    assert_eq!((code, &put["spec"]["port"], &put["metadata"]["generation"]), (200, &json!(82), &json!(2)), "{put}");
    server.kubectl(&["patch", "widgets.v1.example.com/b", "--type=merge", "-p", r#"{"spec":{"address":"z:83"}}"#]);
    server.kubectl(&[
        "patch",
        "widgets.v2.example.com/b",
        "--subresource=status",
        "--type=merge",
        "-p",
        r#"{"status":{"phase":"Up"}}"#,
    ]);
    let b = read(&server, &format!("{V1}/b"));
    assert_eq!((&b["spec"]["address"], &b["status"]["phase"]), (&json!("z:83"), &json!("Up")));
    let table = server.kubectl(&["get", "widgets.v2.example.com", "--no-headers"]);
    assert!(
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).eq([["a", "x"], ["b", "z"]]),
        "{table}"
    );
}

#[test]
fn lists_are_converted_at_once_and_watches_see_their_version() {
    let directory = tempfile::tempdir().unwrap();
    let (server, webhook) = start(&directory);
    for at in 0..20 {
        let spec = json!({"address": format!("x:{at}")});
        assert_eq!(server.json("POST", V1, &widget("v1", &format!("w{at:02}"), spec)).0, 201);
    }
    let listed = read(&server, V2);
    let ports: Vec<i64> =
        listed["items"].as_array().unwrap().iter().map(|item| item["spec"]["port"].as_i64().unwrap()).collect();
    assert_eq!(ports, (0..20).collect::<Vec<_>>());
    assert_eq!(asked(&webhook), (1, 20));
    read(&server, "/apis/example.com/v2/widgets");
    assert_eq!(asked(&webhook), (1, 20));

    let version = listed["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{V2}?watch=1&resourceVersion={version}&timeoutSeconds=2");
    server.kubectl(&["patch", "widgets.v1.example.com/w03", "--type=merge", "-p", r#"{"spec":{"address":"z:3"}}"#]);
    server.kubectl(&["delete", "widgets.v1.example.com/w04"]);
    let watched = server.http("GET", &path, &[], b"").text();
    let events: Vec<Value> = watched.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown = |event: &Value| (event["type"].clone(), event["object"]["spec"].clone());
    assert_eq!(
        events.iter().map(shown).collect::<Vec<_>>(),
        [(json!("MODIFIED"), json!({"host": "z", "port": 3})), (json!("DELETED"), json!({"host": "x", "port": 4})),]
    );
    assert_ne!(events[1]["object"]["metadata"]["resourceVersion"], events[0]["object"]["metadata"]["resourceVersion"]);
    assert_eq!(asked(&webhook), (2, 21), "the last state of what was deleted was known");
    server.http("GET", &path, &[], b"");
    assert_eq!(asked(&webhook), (2, 21));
}

#[test]
fn appliers_meet_across_versions() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _webhook) = start(&directory);
    let apply = |manager: &str, object: &Value, force: &str| {
        let name = object["metadata"]["name"].as_str().unwrap();
        let at = if object["apiVersion"] == "example.com/v1" { V1 } else { V2 };
        let path = format!("{at}/{name}?fieldManager={manager}{force}");
        let answer =
            server.http("PATCH", &path, &["Content-Type: application/apply-patch+yaml"], object.to_string().as_bytes());
        (answer.code, answer.json())
    };
    let (code, made) = apply("one", &widget("v1", "a", json!({"address": "x:80"})), "");
    assert_eq!(code, 201, "{made}");
    let (code, same) = apply("two", &widget("v2", "a", json!({"host": "x", "port": 80})), "");
    assert_eq!((code, &same["spec"]["port"]), (200, &json!(80)), "who agrees owns it too: {same}");
    let owners = |object: &Value| -> Vec<(String, String)> {
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
        let entries = object["metadata"]["managedFields"].as_array().unwrap();
        let mut owners: Vec<_> =
            entries.iter().map(|entry| (text(entry, "manager"), text(entry, "apiVersion"))).collect();
        owners.sort();
        owners
    };
    let both = [("one", "example.com/v1"), ("two", "example.com/v2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(owners(&read(&server, &format!("{V1}/a"))), both);
    let (code, refused) = apply("two", &widget("v2", "a", json!({"host": "x", "port": 81})), "");
    assert_eq!((code, refused["reason"].as_str()), (409, Some("Conflict")), "{refused}");
    assert_eq!(refused["message"], "Apply failed with 1 conflict: conflict with \"one\": .spec.address");
    let (code, forced) = apply("two", &widget("v2", "a", json!({"host": "x", "port": 81})), "&force=true");
    assert_eq!((code, &forced["spec"]["port"]), (200, &json!(81)), "{forced}");
    assert_eq!(owners(&forced), &both[1..]);
    assert_eq!(read(&server, &format!("{V1}/a"))["spec"]["address"], "x:81");
}

#[test]
fn another_version_becomes_the_stored_one() {
    let directory = tempfile::tempdir().unwrap();
    let (mut server, webhook) = start(&directory);
    assert_eq!(server.json("POST", V1, &widget("v1", "a", json!({"address": "x:80"}))).0, 201);
    assert_eq!(server.json("POST", V1, &widget("v1", "b", json!({"address": "y:80"}))).0, 201);
    let mut changed = read(&server, DEFINITION);
    assert_eq!(changed["status"]["storedVersions"], json!(["v1"]));
    changed["spec"]["versions"][0]["storage"] = false.into();
    changed["spec"]["versions"][1]["storage"] = true.into();
    let (code, put) = server.json("PUT", DEFINITION, &changed);
    assert_eq!((code, &put["status"]["storedVersions"]), (200, &json!(["v1", "v2"])), "{put}");
    harness::eventually("the change has come to its shard", || {
        let dry = server.json("POST", &format!("{V1}?dryRun=All"), &widget("v1", "probe", json!({"address": "z:1"})));
        let (before, _) = asked(&webhook);
        assert_eq!(server.json("POST", V1, &widget("v1", "probe", json!({"address": "z:1"}))).0, 201, "{dry:?}");
        server.kubectl(&["delete", "widgets.v1.example.com/probe"]);
        (asked(&webhook).0 > before).then_some(())
    });
    let before = read(&server, &format!("{V1}/a"));
    assert_eq!(before["spec"]["address"], "x:80");
    // Whoever writes it, were it the same, stores it anew.
    let (code, put) = server.json("PUT", &format!("{V1}/a"), &before);
    assert_eq!(code, 200, "{put}");
    assert_ne!(put["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    let again = read(&server, &format!("{V1}/a"));
    let (code, same) = server.json("PUT", &format!("{V1}/a"), &again);
    assert_eq!((code, &same["metadata"]["resourceVersion"]), (200, &again["metadata"]["resourceVersion"]));
    server.stop();
    let asked_before = asked(&webhook);
    let server = serve(&directory);
    assert_eq!(read(&server, &format!("{V2}/a"))["spec"]["host"], "x");
    assert_eq!(asked(&webhook), asked_before, "it is stored as v2");
    assert_eq!(read(&server, &format!("{V2}/b"))["spec"]["host"], "y");
    assert_eq!(asked(&webhook).0, asked_before.0 + 1, "the other one still is not");
    // A version goes when nothing of it is left, and not before.
    let mut without = read(&server, DEFINITION);
    without["spec"]["versions"].as_array_mut().unwrap().remove(0);
    let (code, refused) = server.json("PUT", DEFINITION, &without);
    assert_eq!((code, &refused["details"]["causes"][0]["field"]), (422, &json!("status.storedVersions[0]")));
}

#[test]
fn a_webhook_that_fails_is_said_to() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _webhook) = start(&directory);
    assert_eq!(server.json("POST", V1, &widget("v1", "broken", json!({"address": "x:80"}))).0, 201);
    let (code, refused) = server.json("GET", &format!("{V2}/broken"), &Value::Null);
    let why = "conversion webhook for example.com/v1, Kind=Widget failed: it cannot be";
    assert_eq!((code, &refused["message"]), (500, &json!(why)));
    let (code, refused) = server.json("POST", V2, &widget("v2", "broken", json!({"host": "x", "port": 80})));
    assert_eq!(code, 409, "what is there already is not converted: {refused}");
    let (code, refused) = server.json("PUT", &format!("{V2}/broken"), &widget("v2", "broken", json!({})));
    assert_eq!((code, &refused["message"]), (500, &json!(why)));
    // The version that it is stored in needs no webhook, and neither does its end.
    assert_eq!(read(&server, &format!("{V1}/broken"))["spec"]["address"], "x:80");
    assert_eq!(server.json("DELETE", &format!("{V2}/broken"), &Value::Null).0, 200);
    assert_eq!(server.json("GET", &format!("{V1}/broken"), &Value::Null).0, 404);
}
