//! Admission policies from outside: kubectl and plain HTTP against several shards. The words are the reference's.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use harness::Server;
use harness::webhook::{Does, Webhook};
use serde_json::{Value, json};

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn start(directory: &tempfile::TempDir) -> Server {
    let arguments = ["--nodes", "0", "--shards", "3", "--webhook-allow", "127.0.0.1"];
    Server::start(&directory.path().join("data"), &arguments)
}

/// Creates a policy or a binding; those of ConfigMaps with the label `test` are matched.
fn configure(server: &Server, kind: &str, name: &str, spec: Value) {
    let plural = match kind {
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
        "MutatingAdmissionPolicy" => "mutatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding" => "validatingadmissionpolicybindings",
        _ => "mutatingadmissionpolicybindings",
    };
    let mut object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    });
    if !kind.ends_with("Binding") && object["spec"]["matchConstraints"].is_null() {
        object["spec"]["matchConstraints"] = json!({
            "objectSelector": {"matchLabels": {"test": "yes"}},
            "resourceRules": [{
                "operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
            }],
        });
    }
    let (code, made) = server.json("POST", &format!("{REGISTRATION}/{plural}"), &object);
    assert_eq!(code, 201, "{made}");
}

fn map(name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"test": "yes"}}, "data": data,
    })
}

/// Creates a map again and again, without a trace, until the configurations have become known to its shard.
fn until<T>(server: &Server, what: &str, data: Value, mut is_so: impl FnMut(u16, &Value) -> Option<T>) -> T {
    harness::eventually(what, || {
        let (code, answer) = server.json("POST", &format!("{MAPS}?dryRun=All"), &map("probe", data.clone()));
        is_so(code, &answer)
    })
}

fn is_made(code: u16, _: &Value) -> Option<()> {
    (code == 201).then_some(())
}

#[test]
fn validating_policies_refuse_warn_and_let_pass() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    configure(
        &server,
        "ValidatingAdmissionPolicy",
        "limits",
        json!({
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConditions": [{"name": "not-exempt", "expression": "!has(object.data.exempt)"}],
            "variables": [{"name": "size", "expression": "object.data.size()"}],
            "validations": [
                {"expression": "variables.size <= int(params.data.most)",
                 "messageExpression": "'at most ' + params.data.most + ' entries, got ' + string(variables.size)"},
                {"expression": "object.data.all(k, object.data[k] != 'secret')", "reason": "Forbidden", "message": "no secrets"},
            ],
        }),
    );
    server.kubectl(&["create", "configmap", "limits", "--from-literal=most=2"]);
    let params = json!({"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"});
    let binding = json!({"policyName": "limits", "validationActions": ["Deny"], "paramRef": params});
    configure(&server, "ValidatingAdmissionPolicyBinding", "limits", binding);
    let three = json!({"a": "1", "b": "2", "c": "3"});
    let refused = until(&server, "it is refused", three.clone(), |code, answer| (code == 422).then(|| answer.clone()));
    let denied = "ValidatingAdmissionPolicy 'limits' with binding 'limits' denied request:";
    let message = format!("configmaps \"probe\" is forbidden: {denied} at most 2 entries, got 3");
    assert_eq!((refused["message"].as_str(), refused["reason"].as_str()), (Some(message.as_str()), Some("Invalid")));
    assert_eq!(
        refused["details"],
        json!({"name": "probe", "kind": "configmaps", "causes": [{"message": format!("{denied} at most 2 entries, got 3")}]})
    );
    let (code, refused) = server.json("POST", MAPS, &map("a", json!({"x": "secret"})));
    assert_eq!((code, refused["reason"].as_str()), (403, Some("Forbidden")));
    assert_eq!(refused["message"], format!("configmaps \"a\" is forbidden: {denied} no secrets"));
    assert_eq!(server.json("POST", MAPS, &map("a", json!({"x": "y"}))).0, 201);
    let ran = server.try_kubectl(&["patch", "configmap", "a", "-p", r#"{"data":{"y":"1","z":"2"}}"#]);
    assert!(!ran.status.success() && ran.stderr.contains("at most 2 entries, got 3"), "{}", ran.stderr);
    let mut exempt = three.clone();
    exempt["exempt"] = json!("yes");
    assert_eq!(server.json("POST", MAPS, &map("b", exempt)).0, 201);

    // Another parameter, then none.
    server.kubectl(&["patch", "configmap", "limits", "-p", r#"{"data":{"most":"3"}}"#]);
    until(&server, "the new parameter is known", three.clone(), is_made);
    server.kubectl(&["delete", "configmap", "limits"]);
    let words = format!(
        "configmaps \"probe\" is forbidden: {denied} failed to configure binding: no params found for policy binding with \
         `Deny` parameterNotFoundAction"
    );
    until(&server, "it is missed", three.clone(), |_, answer| (answer["message"] == words).then_some(()));

    // Only a warning, which kubectl shows; and what is refused beside it is warned of as well.
    let warns = json!({"policyName": "limits", "validationActions": ["Warn"]});
    server.kubectl(&["delete", "validatingadmissionpolicybinding", "limits"]);
    configure(&server, "ValidatingAdmissionPolicyBinding", "soft", warns);
    let shown = "Validation failed for ValidatingAdmissionPolicy 'limits' with binding 'soft': expression";
    harness::eventually("a warning is shown", || {
        let ran = server.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &map("w", three.clone()).to_string());
        (ran.status.success() && ran.stderr.contains(shown)).then_some(())
    });
    let mut wrong = map("w", three);
    wrong["metadata"]["labels"]["test/"] = json!("");
    let answer = server.http("POST", MAPS, &["Content-Type: application/json"], wrong.to_string().as_bytes());
    assert_eq!(answer.code, 422, "{}", answer.json());
    server.kubectl(&["delete", "validatingadmissionpolicy", "limits"]);
    harness::eventually("it is gone", || {
        let ran = server.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &map("w", json!({})).to_string());
        (ran.status.success() && !ran.stderr.contains("Warning")).then_some(())
    });
}

#[test]
fn policies_are_checked_when_they_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let rules = json!({"resourceRules": [{
        "operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"],
    }]});
    let policy = |validations: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"},
            "spec": {"matchConstraints": rules, "validations": validations},
        })
    };
    let path = format!("{REGISTRATION}/validatingadmissionpolicies");
    let (code, refused) = server.json("POST", &path, &policy(json!([{"expression": "object.spec.replicas <"}])));
    assert_eq!(code, 422, "{refused}");
    let cause = &refused["details"]["causes"][0];
    assert_eq!(cause["field"], "spec.validations[0].expression");
    let words = cause["message"].as_str().unwrap();
    assert!(
        words.starts_with(
            "Invalid value: \"object.spec.replicas <\": compilation failed: ERROR: <input>:1:23: Syntax error:"
        ),
        "{words}"
    );
    let made =
        policy(json!([{"expression": "object.spec.replicas == 'many'"}, {"expression": "object.spec.replicas < 5"}]));
    assert_eq!(server.json("POST", &path, &made).0, 201);
    let status = harness::eventually("its types are checked", || {
        let (_, policy) = server.json("GET", &format!("{path}/p"), &Value::Null);
        (policy["status"]["observedGeneration"] == policy["metadata"]["generation"]).then(|| policy["status"].clone())
    });
    let warnings = status["typeChecking"]["expressionWarnings"].as_array().unwrap();
    assert_eq!((warnings.len(), &warnings[0]["fieldRef"]), (1, &json!("spec.validations[0].expression")));
    let words = warnings[0]["warning"].as_str().unwrap();
    assert!(words.starts_with("apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload"), "{words}");
    let patch = r#"{"spec":{"validations":[{"expression":"object.spec.replicas < 5"}]}}"#;
    server.kubectl(&["patch", "validatingadmissionpolicy", "p", "--type=merge", "-p", patch]);
    harness::eventually("the mended one is checked", || {
        let (_, policy) = server.json("GET", &format!("{path}/p"), &Value::Null);
        (policy["status"] == json!({"observedGeneration": 2, "typeChecking": {}})).then_some(())
    });
}

#[test]
fn mutating_policies_come_before_webhooks_and_see_their_changes() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let webhook = Webhook::start(|_, request| {
        use base64::Engine;
        let seen = request["object"]["data"]["policy"] == "yes";
        let patch = json!([{"op": "add", "path": "/data/webhook", "value": if seen { "saw the policy" } else { "saw nothing" }}]);
        let patch = base64::prelude::BASE64_STANDARD.encode(patch.to_string());
        Does::Answers(json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}))
    });
    let apply = "Object{data: Object.data{policy: 'yes'}, metadata: Object.metadata{annotations: {'by': 'a policy'}}}";
    let again = "has(object.data.webhook) ? [JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('seen/by'), \
                 value: 'policy'}] : [JSONPatch{op: 'test', path: '/data/nothing', value: 'x'}]";
    let spec = json!({
        "reinvocationPolicy": "IfNeeded", "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": apply}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression": again}},
        ],
    });
    configure(&server, "MutatingAdmissionPolicy", "m", spec);
    configure(&server, "MutatingAdmissionPolicyBinding", "m", json!({"policyName": "m"}));
    let last = json!({"validations": [{"expression": "object.data.webhook == 'saw the policy'", "messageExpression": "string(object.data.webhook)"}]});
    configure(&server, "ValidatingAdmissionPolicy", "v", last);
    configure(
        &server,
        "ValidatingAdmissionPolicyBinding",
        "v",
        json!({"policyName": "v", "validationActions": ["Deny"]}),
    );
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "w"},
        "webhooks": [{
            "name": "w.example.com", "clientConfig": webhook.client("/"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "objectSelector": {"matchLabels": {"test": "yes"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}],
            "matchConditions": [{"name": "wanted", "expression": "!has(object.data.alone)"}],
        }],
    });
    let (code, made) = server.json("POST", &format!("{REGISTRATION}/mutatingwebhookconfigurations"), &hook);
    assert_eq!(code, 201, "{made}");
    let is_whole =
        |code: u16, answer: &Value| (code == 201 && answer["metadata"]["labels"]["seen/by"] == "policy").then_some(());
    until(&server, "everything is known", json!({"x": "y"}), is_whole);
    let (code, made) = server.json("POST", MAPS, &map("a", json!({"x": "y"})));
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["data"], json!({"x": "y", "policy": "yes", "webhook": "saw the policy"}));
    assert_eq!(made["metadata"]["annotations"], json!({"by": "a policy"}));
    assert_eq!(made["metadata"]["labels"], json!({"test": "yes", "seen/by": "policy"}));
    // What policies and webhooks change is nobody's.
    let owned = made["metadata"]["managedFields"].to_string();
    assert!(owned.contains("f:x") && !owned.contains("f:policy") && !owned.contains("f:webhook"), "{owned}");

    // Who is not meant by the webhook's condition is refused by the policy that misses it.
    let before = webhook.seen("/").len();
    let (code, refused) = server.json("POST", MAPS, &map("b", json!({"alone": "yes"})));
    assert_eq!(code, 422, "{refused}");
    assert_eq!(webhook.seen("/").len(), before);

    // A mutation that is none refuses the write with all that was wrong.
    let wrong = json!({"reinvocationPolicy": "Never", "mutations": [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{nothing: 'x'}"}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/data/n', value: object.data.none}]"}},
    ]});
    configure(&server, "MutatingAdmissionPolicy", "wrong", wrong);
    configure(&server, "MutatingAdmissionPolicyBinding", "wrong", json!({"policyName": "wrong"}));
    let refused =
        until(&server, "it is refused", json!({"x": "y"}), |code, answer| (code == 403).then(|| answer.clone()));
    let causes: Vec<&str> =
        refused["details"]["causes"].as_array().unwrap().iter().filter_map(|cause| cause["message"].as_str()).collect();
    let denied = "policy 'wrong' with binding 'wrong' denied request:";
    assert_eq!(
        causes,
        [
            format!(
                "{denied} error applying patch: failed to convert patch object to typed object: .nothing: field not declared in \
                 schema"
            ),
            format!(
                "{denied} expression '[JSONPatch{{op: 'add', path: '/data/n', value: object.data.none}}]' resulted in error: no \
                 such key: none"
            ),
        ]
    );
    assert_eq!((&refused["message"], &refused["reason"]), (&json!(causes[0]), &json!("Invalid")));
}

#[test]
fn parameters_may_be_of_custom_kinds() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    configure(
        &server,
        "ValidatingAdmissionPolicy",
        "p",
        json!({
            "paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"},
            "validations": [{"expression": "object.data.size() <= params.spec.most"}],
        }),
    );
    let params = json!({"selector": {"matchLabels": {"on": "yes"}}, "parameterNotFoundAction": "Allow"});
    let binding = json!({"policyName": "p", "validationActions": ["Deny"], "paramRef": params});
    configure(&server, "ValidatingAdmissionPolicyBinding", "p", binding);
    let denied = "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource \
                  referenced by paramKind: 'example.com/v1, Kind=Limit'";
    let two = json!({"a": "1", "b": "2"});
    until(&server, "nobody knows the kind", two.clone(), |code, answer| {
        (code == 422 && answer["message"].as_str().unwrap().ends_with(denied)).then_some(())
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "limits.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "limits", "kind": "Limit"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": {"most": {"type": "integer"}}}},
            }}}],
        },
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(server.json("POST", path, &definition).0, 201);
    until(&server, "there are none, which is allowed", two.clone(), is_made);
    let limit = |name: &str, most: i64| {
        json!({
            "apiVersion": "example.com/v1", "kind": "Limit", "metadata": {"name": name, "labels": {"on": "yes"}},
            "spec": {"most": most},
        })
    };
    let path = "/apis/example.com/v1/namespaces/default/limits";
    for (name, most) in [("wide", 5), ("narrow", 1)] {
        let (code, made) = server.json("POST", path, &limit(name, most));
        assert_eq!(code, 201, "{made}");
    }
    let words = "configmaps \"probe\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: failed \
                 expression: object.data.size() <= params.spec.most";
    until(&server, "the narrow one counts", two.clone(), |_, answer| (answer["message"] == words).then_some(()));
    server.kubectl(&["delete", "limits.example.com", "narrow"]);
    until(&server, "the wide one is left", two, is_made);
}

#[test]
fn a_dead_webhook_can_be_bypassed_for_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = start(&directory);
    server.expected_warnings.push("failed calling webhook");
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "dead"},
        "webhooks": [{
            "name": "dead.example.com", "clientConfig": {"url": "https://127.0.0.1:1/"}, "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 1, "objectSelector": {"matchLabels": {"test": "yes"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}],
        }],
    });
    let path = format!("{REGISTRATION}/validatingwebhookconfigurations");
    assert_eq!(server.json("POST", &path, &hook).0, 201);
    until(&server, "nothing goes", json!({}), |code, _| (code == 500).then_some(()));
    let bypass = |until: &str| {
        let annotation = format!("shardplane.dev/bypass-until={until}");
        server.try_kubectl(&["annotate", "--overwrite", "validatingwebhookconfiguration", "dead", &annotation])
    };
    for (until, words) in
        [("tomorrow", "must be a time"), ("2999-01-01T00:00:00Z", "must not be more than 24 hours away")]
    {
        let ran = bypass(until);
        assert!(!ran.status.success() && ran.stderr.contains(words), "{}", ran.stderr);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let ran = bypass(&api::time::format_seconds((now + 3600) * 1_000_000));
    assert!(ran.status.success(), "{}", ran.stderr);
    let warning = "admission webhook \\\"dead.example.com\\\" is bypassed by its configuration \\\"dead\\\"";
    harness::eventually("it is bypassed", || {
        let body = map("a", json!({})).to_string();
        let answer = server.http("POST", MAPS, &["Content-Type: application/json"], body.as_bytes());
        let said = answer.headers.contains(warning);
        (answer.code == 201 && said).then_some(())
    });
    // A past end is none, and so is none at all.
    assert!(bypass("2026-01-01T00:00:00Z").status.success());
    until(&server, "it is asked again", json!({}), |code, _| (code == 500).then_some(()));
}
