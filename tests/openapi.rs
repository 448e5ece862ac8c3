//! What kubectl makes of the OpenAPI documents: explain, validation, and what changes with custom kinds.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use harness::Server;
use serde_json::{Value, json};

const NAME: &str = "crontabs.stable.example.com";

fn start(directory: &tempfile::TempDir) -> Server {
    Server::start(&directory.path().join("data"), &["--nodes", "0", "--shards", "2"])
}

fn definition(describe: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": NAME},
        "spec": {
            "group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object", "description": "CronTab runs something again and again.",
                    "properties": {"spec": {
                        "type": "object", "required": ["cronSpec"], "description": describe,
                        "properties": {
                            "cronSpec": {"type": "string"},
                            "port": {"x-kubernetes-int-or-string": true},
                            "template": {
                                "type": "object", "x-kubernetes-embedded-resource": true,
                                "x-kubernetes-preserve-unknown-fields": true,
                            },
                            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                        },
                    }},
                }},
            }],
        },
    })
}

/// The path of a document, with the hash of what is in it.
fn entry(server: &Server, path: &str) -> Option<String> {
    let index = server.http("GET", "/openapi/v3", &[], b"").json();
    index["paths"][path]["serverRelativeURL"].as_str().map(str::to_owned)
}

#[test]
fn kubectl_explains_what_is_built_in() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let strategy = server.kubectl(&["explain", "deployment.spec.strategy"]);
    for text in
        ["GROUP:      apps", "FIELD: strategy <DeploymentStrategy>", "The deployment strategy to use", "\"Recreate\""]
    {
        assert!(strategy.contains(text), "{text} in {strategy}");
    }
    let all = server.kubectl(&["explain", "pods", "--recursive"]);
    for text in ["ephemeralContainers\t<[]EphemeralContainer>", "seccompProfile\t<SeccompProfile>", "-required-"] {
        assert!(all.contains(text), "{text} in {all}");
    }
    let metric = server.kubectl(&["explain", "hpa.spec", "--api-version=autoscaling/v2"]);
    assert!(metric.contains("metrics\t<[]MetricSpec>"), "{metric}");
    let listed = server.kubectl(&["api-resources", "--categories=all", "-o", "name"]);
    assert!(
        listed.lines().any(|name| name == "deployments.apps") && listed.lines().any(|name| name == "pods"),
        "{listed}"
    );
}

#[test]
fn kubectl_validates_what_it_applies() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let map = |key: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n{key}: {{b: c}}\n");
    let ran = server.kubectl_with(&["apply", "--validate=strict", "-f", "-"], &map("data"));
    assert!(ran.status.success(), "{}", ran.stderr);
    let ran = server.kubectl_with(&["apply", "--validate=strict", "-f", "-"], &map("dada"));
    assert!(!ran.status.success() && ran.stderr.contains("unknown field \"dada\""), "{}", ran.stderr);
    let ran = server.kubectl_with(&["apply", "--validate=warn", "-f", "-"], &map("dada"));
    assert!(ran.status.success() && ran.stderr.contains("unknown field \"dada\""), "{}", ran.stderr);
    // The form that client-go asks for first.
    let accept = "Accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let answer = server.http("GET", "/openapi/v2", &[accept], b"");
    assert!(answer.code == 200 && answer.body.len() > 1_000_000, "{} {}", answer.code, answer.body.len());
}

#[test]
fn custom_kinds_are_published_as_they_are_defined() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let path = "apis/stable.example.com/v1";
    let apps = entry(&server, "apis/apps/v1");
    assert_eq!(entry(&server, path), None);
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(server.json("POST", definitions, &definition("What is wanted.")).0, 201);
    server.wait(&["--for=condition=established", &format!("crd/{NAME}")]);
    let first = harness::eventually("the kind is published", || entry(&server, path));
    let explained = server.kubectl(&["explain", "ct.spec"]);
    for text in ["What is wanted.", "cronSpec\t<string> -required-", "template\t<Object>"] {
        assert!(explained.contains(text), "{text} in {explained}");
    }
    let metadata = server.kubectl(&["explain", "ct.spec.template.metadata.labels"]);
    assert!(metadata.contains("Map of string keys and values"), "{metadata}");
    let tab = |field: &str| {
        format!(
            "apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {{name: a}}\nspec: {{cronSpec: x, {field}: {{b: c}}}}\n"
        )
    };
    let ran = server.kubectl_with(&["apply", "--validate=strict", "-f", "-"], &tab("any"));
    assert!(ran.status.success(), "{}", ran.stderr);
    let ran = server.kubectl_with(&["apply", "--validate=strict", "-f", "-"], &tab("other"));
    assert!(!ran.status.success() && ran.stderr.contains("unknown field \"spec.other\""), "{}", ran.stderr);
    let v2 = server.http("GET", "/openapi/v2", &[], b"").json();
    assert_eq!(v2["definitions"]["com.example.stable.v1.CronTab"]["properties"]["spec"]["required"][0], "cronSpec");

    // A note changes nothing, a description does; and what is built in stays what it is.
    server.kubectl(&["annotate", &format!("crd/{NAME}"), "a=b"]);
    let patch = json!([{
        "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/description", "value": "Another.",
    }]);
    assert_eq!(entry(&server, path).as_ref(), Some(&first));
    server.kubectl(&["patch", &format!("crd/{NAME}"), "--type=json", "-p", &patch.to_string()]);
    let second =
        harness::eventually("the change is published", || entry(&server, path).filter(|entry| *entry != first));
    assert!(server.kubectl(&["explain", "ct.spec"]).contains("Another."));
    let moved = server.http("GET", &first, &[], b"");
    let hash = second.split_once('?').unwrap().1;
    assert!(moved.code == 301 && moved.headers.contains(hash), "{}", moved.headers);
    assert_eq!(entry(&server, "apis/apps/v1"), apps);
    server.kubectl(&["delete", &format!("crd/{NAME}")]);
    harness::eventually("the kind is gone", || entry(&server, path).is_none().then_some(()));
}
