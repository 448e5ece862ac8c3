//! CustomResourceDefinitions from outside: kubectl and plain HTTP, over shards that share the definitions.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use harness::Server;
use serde_json::{Value, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABS: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {
            "group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object", "required": ["cronSpec"],
                            "properties": {
                                "cronSpec": {"type": "string", "pattern": "^[0-9*/ ]+$"},
                                "image": {"type": "string", "default": "alpine"},
                                "replicas": {"type": "integer", "minimum": 1, "maximum": 10},
                            },
                        },
                        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                    },
                }},
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "selectableFields": [{"jsonPath": ".spec.image"}],
                "additionalPrinterColumns": [{"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"}],
            }],
        },
    })
}

fn tab(name: &str) -> Value {
    json!({
        "apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name},
        "spec": {"cronSpec": "* * * * */5", "replicas": 3},
    })
}

fn start(directory: &tempfile::TempDir) -> Server {
    Server::start(&directory.path().join("data"), &["--nodes", "0", "--shards", "3"])
}

fn read(server: &Server, path: &str) -> (u16, Value) {
    let answer = server.http("GET", path, &[], b"");
    (answer.code, answer.json())
}

fn establish(server: &Server) {
    let (code, made) = server.json("POST", DEFINITIONS, &definition());
    assert_eq!(code, 201, "{made}");
    server.kubectl(&["wait", "--for=condition=established", "crd/crontabs.stable.example.com", "--timeout=20s"]);
}

#[test]
fn a_custom_kind_is_served_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    establish(&server);
    // Whoever saw it established finds it at once.
    let (code, made) = server.json("POST", TABS, &tab("a"));
    assert_eq!((code, &made["spec"]["image"], &made["metadata"]["generation"]), (201, &json!("alpine"), &json!(1)));
    let table = server.kubectl(&["get", "ct"]);
    assert!(table.lines().next().unwrap().split_whitespace().eq(["NAME", "SPEC"]), "{table}");
    server.kubectl(&["scale", "--replicas=5", "ct/a"]);
    let (_, scaled) = read(&server, &format!("{TABS}/a"));
    assert_eq!((&scaled["spec"]["replicas"], &scaled["metadata"]["generation"]), (&json!(5), &json!(2)));
    assert_eq!(
        server.kubectl(&["get", "ct", "-o", "name", "--field-selector", "spec.image=alpine"]).lines().count(),
        1
    );
    assert_eq!(server.kubectl(&["get", "ct", "-o", "name", "--field-selector", "spec.image=x"]).lines().count(), 0);

    let mut bad = tab("b");
    bad["spec"]["replicas"] = 11.into();
    let (code, refused) = server.json("POST", TABS, &bad);
    assert_eq!((code, &refused["details"]["causes"][0]["field"]), (422, &json!("spec.replicas")));
    let mut unknown = tab("c");
    unknown["spec"]["what"] = true.into();
    let (code, refused) = server.json("POST", &format!("{TABS}?fieldValidation=Strict"), &unknown);
    assert_eq!(code, 400);
    assert!(refused["message"].as_str().unwrap().ends_with("strict decoding error: unknown field \"spec.what\""));
    let (code, pruned) = server.json("POST", TABS, &unknown);
    assert_eq!((code, &pruned["spec"]["what"]), (201, &Value::Null), "it is dropped");

    // The status is a subresource: neither side touches the other's part.
    let mut with_status = pruned.clone();
    with_status["status"] = json!({"replicas": 7});
    with_status["spec"]["replicas"] = 4.into();
    let (code, put) = server.json("PUT", &format!("{TABS}/c/status"), &with_status);
    assert_eq!((code, &put["status"]["replicas"], &put["spec"]["replicas"]), (200, &json!(7), &json!(3)));
    let discovered = server.kubectl(&["api-resources", "--api-group=stable.example.com", "--no-headers"]);
    assert!(discovered.split_whitespace().eq(["crontabs", "ct", "stable.example.com/v1", "true", "CronTab"]));
}

#[test]
fn its_objects_outlive_a_restart_and_not_their_definition() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = start(&directory);
    establish(&server);
    for at in 0..20 {
        let path = format!("/apis/stable.example.com/v1/namespaces/n{at}/crontabs");
        server.kubectl(&["create", "namespace", &format!("n{at}")]);
        assert_eq!(server.json("POST", &path, &tab("a")).0, 201);
    }
    server.stop();
    let server = start(&directory);
    let (code, all) = read(&server, "/apis/stable.example.com/v1/crontabs");
    assert_eq!((code, all["items"].as_array().map(Vec::len)), (200, Some(20)));
    // Deleting the definition deletes them, and waits for whoever holds one.
    server.kubectl(&["patch", "-n", "n3", "ct/a", "--type=merge", "-p", r#"{"metadata":{"finalizers":["a/b"]}}"#]);
    server.kubectl(&["delete", "crd/crontabs.stable.example.com", "--wait=false"]);
    harness::eventually("its objects are being deleted", || {
        let (_, definition) = read(&server, &format!("{DEFINITIONS}/crontabs.stable.example.com"));
        let conditions = definition["status"]["conditions"].as_array()?;
        conditions.iter().find(|condition| condition["reason"] == "InstanceDeletionInProgress").map(drop)
    });
    assert_eq!(server.json("POST", TABS, &tab("late")).0, 405, "nothing more is made of a kind that goes");
    let (_, left) = read(&server, "/apis/stable.example.com/v1/crontabs");
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1));
    server.kubectl(&["patch", "-n", "n3", "ct/a", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    server.kubectl(&["wait", "--for=delete", "crd/crontabs.stable.example.com", "--timeout=20s"]);
    assert_eq!(read(&server, "/apis/stable.example.com/v1/crontabs").0, 404);
    // A new definition of that name does not bring them back.
    establish(&server);
    let (_, all) = read(&server, "/apis/stable.example.com/v1/crontabs");
    assert_eq!(all["items"], json!([]));
}

#[test]
fn what_is_there_is_seen_by_todays_schema() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    establish(&server);
    assert_eq!(server.json("POST", TABS, &tab("a")).0, 201);
    let (_, mut definition) = read(&server, &format!("{DEFINITIONS}/crontabs.stable.example.com"));
    let fields =
        &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    fields.as_object_mut().unwrap().remove("replicas");
    fields["timeZone"] = json!({"type": "string", "default": "UTC", "format": "zone"});
    definition["spec"]["versions"][0]["subresources"].as_object_mut().unwrap().remove("scale");
    let path = format!("{DEFINITIONS}/crontabs.stable.example.com");
    let changed = server.http("PUT", &path, &["Content-Type: application/json"], definition.to_string().as_bytes());
    assert!(changed.headers.contains("warning: 299 - \"unrecognized format \\\"zone\\\"\""), "{}", changed.headers);
    let wanted = json!({"cronSpec": "* * * * */5", "image": "alpine", "timeZone": "UTC"});
    let seen = harness::eventually("the new schema is known", || {
        let (_, seen) = read(&server, &format!("{TABS}/a"));
        (seen["spec"] == wanted).then_some(seen)
    });
    assert_eq!(read(&server, TABS).1["items"][0]["spec"], wanted);
    // Nothing was written: it is the same version of it, and a watch shows it as well.
    assert_eq!(seen["metadata"]["generation"], 1);
    let watched = server.http("GET", &format!("{TABS}?watch=1&timeoutSeconds=1"), &[], b"").text();
    let event: Value = serde_json::from_str(watched.lines().next().unwrap()).unwrap();
    assert_eq!((&event["type"], &event["object"]["spec"]), (&json!("ADDED"), &wanted));
    // Whoever writes it writes what it saw.
    let mut put = seen.clone();
    put["metadata"]["finalizers"] = json!(["mine"]);
    let answer =
        server.http("PUT", &format!("{TABS}/a"), &["Content-Type: application/json"], put.to_string().as_bytes());
    assert!(answer.headers.contains("prefer a domain-qualified finalizer name"), "{}", answer.headers);
    assert_eq!(answer.json()["spec"], wanted);
}

#[test]
fn names_are_given_once_and_bad_schemas_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    establish(&server);
    let mut other = definition();
    other["metadata"]["name"] = "others.stable.example.com".into();
    other["spec"]["names"] = json!({"plural": "others", "singular": "other", "kind": "CronTab"});
    assert_eq!(server.json("POST", DEFINITIONS, &other).0, 201);
    server.kubectl(&["wait", "--for=condition=namesaccepted=false", "crd/others.stable.example.com", "--timeout=20s"]);
    assert_eq!(read(&server, "/apis/stable.example.com/v1/others").0, 404);
    // Once the name is free it is given.
    server.kubectl(&["delete", "crd/crontabs.stable.example.com"]);
    server.kubectl(&["wait", "--for=condition=established", "crd/others.stable.example.com", "--timeout=20s"]);
    assert_eq!(read(&server, "/apis/stable.example.com/v1/others").0, 200);

    let mut bad = definition();
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["image"] = json!({});
    bad["spec"]["scope"] = "Elsewhere".into();
    let (code, refused) = server.json("POST", DEFINITIONS, &bad);
    let fields: Vec<&str> =
        refused["details"]["causes"].as_array().unwrap().iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    let image = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[image].type";
    let selectable = "spec.versions[0].selectableFields[0].jsonPath";
    assert_eq!((code, fields), (422, vec!["spec.scope", image, selectable]));
}
