//! Rules of a whole PodSpec: what passes, and one case per rule that does not.

use serde_json::{Value, json};

use super::*;

fn spec(change: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "a", "image": "nginx:1.21"}]});
    for (key, value) in change.as_object().expect("a map of changes") {
        spec[key] = value.clone();
    }
    default(&mut spec);
    spec
}

fn complaints(change: Value, owner: Owner<'_>) -> Vec<(String, String)> {
    let mut causes = Causes::default();
    let mut document = spec(change);
    if owner != Owner::Template {
        pod_only(&mut document);
    }
    validate(&document, owner, &Path::new("spec"), &mut causes);
    causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
}

#[test]
fn what_passes() {
    for change in [
        json!({}),
        json!({"restartPolicy": "Never", "dnsPolicy": "Default", "activeDeadlineSeconds": 1, "nodeName": "n"}),
        json!({"initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always",
            "startupProbe": {"tcpSocket": {"port": 1}}}]}),
        json!({"hostNetwork": true, "containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 80}]}]}),
        json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a_b.c", "."]}}),
        json!({"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a.b"]}], "hostname": "h", "subdomain": "s"}),
        json!({"overhead": {"cpu": "100m"}, "runtimeClassName": "kata", "preemptionPolicy": "Never"}),
        json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "c"}],
            "containers": [{"name": "a", "image": "i", "resources": {"claims": [{"name": "gpu"}]}}]}),
    ] {
        assert_eq!(complaints(change.clone(), Owner::Pod("p")), [], "{change}");
        assert_eq!(complaints(change.clone(), Owner::Template), [], "{change}");
    }
}

#[test]
fn containers() {
    let container = |name: &str| json!({"name": name, "image": "i"});
    let with = |key: &str, value: Value| json!({"containers": [{"name": "a", "image": "i", key: value}]});
    for (change, field, message) in [
        (json!({"containers": []}), "spec.containers", "Required value"),
        (json!({"containers": [container("a"), container("a")]}), "spec.containers[1].name", "Duplicate value: \"a\""),
        (json!({"containers": [{"name": "a"}]}), "spec.containers[0].image", "Required value"),
        (json!({"containers": [{"image": "i"}]}), "spec.containers[0].name", "Required value"),
        (json!({"initContainers": [container("a")]}), "spec.initContainers[0].name", "Duplicate value: \"a\""),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "livenessProbe": {"tcpSocket": {"port": 1}}}]}),
            "spec.initContainers[0].livenessProbe",
            "Forbidden: may not be set for init containers without restartPolicy=Always",
        ),
        (
            with("imagePullPolicy", json!("Sometimes")),
            "spec.containers[0].imagePullPolicy",
            "Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
        (with("ports", json!([{"containerPort": 0}])), "spec.containers[0].ports[0].containerPort", "Required value"),
        (
            with("ports", json!([{"containerPort": 70000}])),
            "spec.containers[0].ports[0].containerPort",
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            with("ports", json!([{"name": "x", "containerPort": 1}, {"name": "x", "containerPort": 2}])),
            "spec.containers[0].ports[1].name",
            "Duplicate value: \"x\"",
        ),
        (
            with("ports", json!([{"hostPort": 1, "containerPort": 1}, {"hostPort": 1, "containerPort": 2}])),
            "spec.containers[0].ports[1].hostPort",
            "Duplicate value: \"TCP//1\"",
        ),
        (
            with("restartPolicyRules", json!([{"action": "Restart", "exitCodes": {"operator": "In"}}])),
            "spec.containers[0].restartPolicy",
            "Required value: must specify restartPolicy when restart rules are used",
        ),
        (
            json!({"ephemeralContainers": [{"name": "e", "image": "i", "ports": [{"containerPort": 1}]}]}),
            "spec.ephemeralContainers[0].ports",
            "Forbidden: cannot be set for an Ephemeral Container",
        ),
    ] {
        assert_eq!(complaints(change, Owner::Pod("p"))[0], (field.to_owned(), message.to_owned()));
    }
}

#[test]
fn the_rest_of_the_spec() {
    for (change, field, message) in [
        (
            json!({"restartPolicy": "Sometimes"}),
            "spec.restartPolicy",
            "Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ),
        (
            json!({"dnsPolicy": "Mine"}),
            "spec.dnsPolicy",
            "Unsupported value: \"Mine\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \
             \"Default\", \"None\"",
        ),
        (
            json!({"dnsPolicy": "None"}),
            "spec.dnsConfig",
            "Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            json!({"activeDeadlineSeconds": 0}),
            "spec.activeDeadlineSeconds",
            "Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ),
        (json!({"hostUsers": false, "hostPID": true}), "spec.HostPID", "Forbidden: when `hostUsers` is false"),
        (
            json!({"hostAliases": [{"ip": "nowhere"}]}),
            "spec.hostAliases[0].ip",
            "Invalid value: \"nowhere\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            json!({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {}}}),
            "spec.securityContext.windowsOptions",
            "Forbidden: windows options cannot be set for a linux pod",
        ),
        (
            json!({"os": {"name": "windows"}, "securityContext": {"runAsUser": 1}}),
            "spec.securityContext.runAsUser",
            "Forbidden: cannot be set for a windows pod",
        ),
        (
            json!({"preemptionPolicy": "Maybe"}),
            "spec.preemptionPolicy",
            "Unsupported value: \"Maybe\": supported values: \"PreemptLowerPriority\", \"Never\"",
        ),
        (
            json!({"resourceClaims": [{"name": "gpu"}]}),
            "spec.resourceClaims[0]",
            "Invalid value: {\"name\":\"gpu\"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
        ),
    ] {
        assert_eq!(complaints(change, Owner::Pod("p"))[0], (field.to_owned(), message.to_owned()));
    }
}

#[test]
fn names_of_other_objects() {
    for key in ["nodeName", "serviceAccountName", "priorityClassName", "runtimeClassName"] {
        let found = complaints(json!({ key: "Not_A_Name" }), Owner::Pod("p"));
        assert_eq!(found.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(), [format!("spec.{key}")]);
    }
}
