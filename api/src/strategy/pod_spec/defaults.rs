//! Defaults of a PodSpec, alike in Pods and in templates, and those that only Pods get.

use crate::document::Value;
use crate::strategy::fill;

/// What Pods and templates get.
pub(in crate::strategy) fn spec(spec: &mut Value) {
    fill::text(spec, "dnsPolicy", "ClusterFirst");
    fill::text(spec, "restartPolicy", "Always");
    fill::map(spec, "securityContext");
    fill::int(spec, "terminationGracePeriodSeconds", 30);
    fill::text(spec, "schedulerName", "default-scheduler");
    service_account(spec);
    for volume in fill::each(spec, "volumes") {
        super::volume_defaults::volume(volume);
    }
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        fill::each(spec, containers).for_each(container);
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are shown.
fn service_account(spec: &mut Value) {
    let name = ["serviceAccountName", "serviceAccount"]
        .into_iter()
        .filter_map(|key| spec.get(key).and_then(Value::as_str))
        .find(|name| !name.is_empty());
    let Some(name) = name.map(Value::from) else { return };
    fill::set(spec, "serviceAccount", name.clone());
    fill::set(spec, "serviceAccountName", name);
}

/// What only Pods get: templates stay as they were written.
pub(in crate::strategy) fn pod_only(spec: &mut Value) {
    for containers in ["initContainers", "containers"] {
        for container in fill::each(spec, containers) {
            requests_from_limits(container);
        }
    }
    pod_requests(spec);
    fill::value(spec, "enableServiceLinks", || true.into());
    if spec.get("hostNetwork").and_then(Value::as_bool) == Some(true) {
        for containers in ["initContainers", "containers"] {
            for container in fill::each(spec, containers) {
                fill::each(container, "ports").for_each(host_port);
            }
        }
    }
}

fn requests_from_limits(container: &mut Value) {
    let limits = container.pointer("/resources/limits").and_then(Value::as_object).cloned();
    let Some(limits) = limits.filter(|limits| !limits.is_empty()) else { return };
    let requests = fill::map(fill::map(container, "resources"), "requests");
    for (resource, limit) in limits {
        fill::value(requests, &resource, || limit);
    }
}

/// Requests of the Pod as a whole, where it has limits: the sum of its containers' requests, or the limit.
fn pod_requests(spec: &mut Value) {
    let limits = spec.pointer("/resources/limits").and_then(Value::as_object).cloned();
    let Some(limits) = limits.filter(|limits| !limits.is_empty()) else { return };
    let of_containers = ["cpu", "memory"].map(|resource| (resource, super::effective::request(spec, resource)));
    let requests = fill::map(fill::map(spec, "resources"), "requests");
    for (resource, sum) in of_containers {
        if let Some(sum) = sum {
            fill::value(requests, resource, || sum);
        }
    }
    for (resource, limit) in limits {
        fill::value(requests, &resource, || limit);
    }
}

fn host_port(port: &mut Value) {
    if let Some(number) = port.get("containerPort").and_then(Value::as_i64) {
        fill::nonzero(port, "hostPort", number);
    }
}

fn container(container: &mut Value) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = pull_policy(image);
    fill::text(container, "imagePullPolicy", policy);
    fill::text(container, "terminationMessagePath", "/dev/termination-log");
    fill::text(container, "terminationMessagePolicy", "File");
    for port in fill::each(container, "ports") {
        fill::text(port, "protocol", "TCP");
    }
    for variable in fill::each(container, "env") {
        if let Some(source) = fill::field(variable, "valueFrom") {
            if let Some(reference) = fill::field(source, "fieldRef") {
                fill::text(reference, "apiVersion", "v1");
            }
            if let Some(reference) = fill::field(source, "fileKeyRef") {
                fill::value(reference, "optional", || false.into());
            }
        }
    }
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = fill::field(container, key) {
            self::probe(probe);
        }
    }
    if let Some(lifecycle) = fill::field(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(hook) = fill::field(lifecycle, hook) {
                http_get(hook);
            }
        }
    }
}

fn probe(probe: &mut Value) {
    fill::nonzero(probe, "timeoutSeconds", 1);
    fill::nonzero(probe, "periodSeconds", 10);
    fill::nonzero(probe, "successThreshold", 1);
    fill::nonzero(probe, "failureThreshold", 3);
    http_get(probe);
    if let Some(grpc) = fill::field(probe, "grpc") {
        fill::value(grpc, "service", || "".into());
    }
}

fn http_get(handler: &mut Value) {
    if let Some(action) = fill::field(handler, "httpGet") {
        fill::text(action, "path", "/");
        fill::text(action, "scheme", "HTTP");
    }
}

/// `Always` for what is tagged `latest` or not at all, `IfNotPresent` for the rest, names that are none included.
pub(super) fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match name[last..].rfind(':') {
        Some(at) => (&name[..last + at], Some(&name[last + at + 1..])),
        None => (name, None),
    };
    let latest = match (tag, digest) {
        (Some(tag), _) => tag == "latest",
        (None, digest) => digest.is_none(),
    };
    if latest && is_repository(name) { "Always" } else { "IfNotPresent" }
}

/// Whether a name without tag and digest is one that registries know: an optional domain, then lower-case parts.
fn is_repository(name: &str) -> bool {
    let is_domain = |part: &str| part.contains(['.', ':']) || part == "localhost" || part != part.to_lowercase();
    let rest = match name.split_once('/') {
        Some((domain, rest)) if is_domain(domain) => rest,
        _ => name,
    };
    let is_part = |part: &str| {
        let separator = |c: char| matches!(c, '.' | '_' | '-');
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || separator(c))
            && !part.starts_with(separator)
            && !part.ends_with(separator)
    };
    rest.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pull_policy_by_tag() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.21", "IfNotPresent"),
            ("localhost:5000/nginx", "Always"),
            ("localhost:5000/nginx:1", "IfNotPresent"),
            ("nginx@sha256:0123", "IfNotPresent"),
            ("nginx:latest@sha256:0123", "Always"),
            ("Nginx", "IfNotPresent"),
            ("", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }

    #[test]
    fn a_small_template() {
        let mut document = json!({"containers": [{
            "name": "a", "image": "nginx:1.21", "ports": [{"containerPort": 80}],
            "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "livenessProbe": {"httpGet": {"port": 80}},
        }]});
        spec(&mut document);
        let once = document.clone();
        spec(&mut document);
        assert_eq!(document, once, "idempotent");
        assert_eq!(
            document,
            json!({
                "containers": [{
                    "name": "a", "image": "nginx:1.21", "imagePullPolicy": "IfNotPresent",
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "env": [{"name": "N", "valueFrom": {
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
                    "livenessProbe": {
                        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1,
                        "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
                    },
                }],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30,
            })
        );
    }

    #[test]
    fn a_pod_gets_more() {
        let mut document = json!({
            "hostNetwork": true, "serviceAccountName": "s",
            "containers": [{"ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}}}],
        });
        pod_only(&mut document);
        spec(&mut document);
        assert_eq!(document["containers"][0]["ports"][0]["hostPort"], 80);
        assert_eq!(document["containers"][0]["resources"]["requests"], json!({"cpu": "100m", "memory": "1Gi"}));
        assert_eq!(document["enableServiceLinks"], true);
        assert_eq!(document["serviceAccount"], "s");
    }

    #[test]
    fn requests_of_the_pod_as_a_whole() {
        let mut document = json!({
            "resources": {"limits": {"cpu": "4", "memory": "4Gi"}},
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "500m"}}},
                {"name": "b", "resources": {"requests": {"cpu": "1"}}},
            ],
        });
        pod_only(&mut document);
        assert_eq!(document["resources"]["requests"], json!({"cpu": "1500m", "memory": "4Gi"}));
    }
}
