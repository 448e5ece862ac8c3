//! Environment variables, their sources, and the references into the Pod itself (downward API).

use crate::document::Value;
use crate::names;
use crate::status::Causes;
use crate::strategy::field;
use crate::strategy::path::Path;
use crate::strategy::resources;

const SOURCES: &[&str] = &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

/// Fields that a variable may show.
const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields that a file of a volume may show.
pub(super) const VOLUME_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// All that a downward reference may name, in either place.
const KNOWN: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// `env` and `envFrom` of a container.
pub(super) fn of_container(container: &Value, path: &Path<'_>, causes: &mut Causes) {
    let env = path.child("env");
    for (at, variable) in field::list(container, "env").iter().enumerate() {
        let path = env.index(at);
        if field::required_text(variable, "name", &path, causes) {
            let name = field::text(variable, "name");
            field::complain(names::is_env_var_name(name), name, path.child("name"), causes);
        }
        if field::is_set(variable, "valueFrom") {
            source(variable, &path.child("valueFrom"), causes);
        }
    }
    let from = path.child("envFrom");
    for (at, source) in field::list(container, "envFrom").iter().enumerate() {
        env_from(source, &from, at, causes);
    }
}

fn env_from(source: &Value, list: &Path<'_>, at: usize, causes: &mut Causes) {
    let path = list.index(at);
    let prefix = field::text(source, "prefix");
    if !prefix.is_empty() {
        field::complain(names::is_env_var_name(prefix), prefix, path.child("prefix"), causes);
    }
    let mut sources = 0;
    for key in ["configMapRef", "secretRef"] {
        if field::is_set(source, key) {
            sources += 1;
            field::required_name(field::get(source, key), "name", &path.child(key), causes);
        }
    }
    let words = match sources {
        1 => return,
        0 => "must specify one of: `configMapRef` or `secretRef`",
        _ => "may not have more than one field specified at a time",
    };
    causes.invalid(list, &Value::from(""), words);
}

fn source(variable: &Value, path: &Path<'_>, causes: &mut Causes) {
    let source = field::get(variable, "valueFrom");
    let mut sources = 0;
    for key in SOURCES.iter().copied().filter(|key| field::is_set(source, key)) {
        sources += 1;
        let reference = field::get(source, key);
        let path = path.child(key);
        match key {
            "fieldRef" => field_ref(reference, FIELDS, &path, causes),
            "resourceFieldRef" => resource_field_ref(reference, false, &path, causes),
            "fileKeyRef" => file_key_ref(reference, &path, causes),
            _ => key_ref(reference, &path, causes),
        }
    }
    let words = if sources == 0 {
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
    } else if !field::text(variable, "value").is_empty() {
        "may not be specified when `value` is not empty"
    } else if sources > 1 {
        "may not have more than one field specified at a time"
    } else {
        return;
    };
    causes.invalid(path, &Value::from(""), words);
}

fn key_ref(reference: &Value, path: &Path<'_>, causes: &mut Causes) {
    field::dns_subdomain(field::text(reference, "name"), path.child("name"), causes);
    if field::required_text(reference, "key", path, causes) {
        field::config_map_key(field::text(reference, "key"), path.child("key"), causes);
    }
}

fn file_key_ref(reference: &Value, path: &Path<'_>, causes: &mut Causes) {
    if field::required_text(reference, "key", path, causes) {
        let key = field::text(reference, "key");
        field::complain(names::is_env_var_name(key), key, path.child("key"), causes);
    }
    if field::required_text(reference, "volumeName", path, causes) {
        field::dns_label(field::text(reference, "volumeName"), path.child("volumeName"), causes);
    }
    if field::required_text(reference, "path", path, causes) {
        field::no_backsteps(field::text(reference, "path"), path.child("path"), causes);
    }
}

/// A reference to a field of the Pod, one of `allowed` or a single label or annotation.
pub(super) fn field_ref(reference: &Value, allowed: &[&str], path: &Path<'_>, causes: &mut Causes) {
    if !field::required_text(reference, "apiVersion", path, causes)
        || !field::required_text(reference, "fieldPath", path, causes)
    {
        return;
    }
    let (version, name) = (field::text(reference, "apiVersion"), field::text(reference, "fieldPath"));
    let subscript = name.strip_suffix("']").and_then(|rest| rest.split_once("['"));
    let known = match subscript {
        Some((map, _)) => matches!(map, "metadata.annotations" | "metadata.labels"),
        None => KNOWN.contains(&name),
    };
    let problem = if version != "v1" {
        Some(format!("unsupported pod version: {version}"))
    } else if !known {
        match subscript {
            Some(_) => Some(format!("field label does not support subscript: {name}")),
            None => Some(format!("field label not supported: {name}")),
        }
    } else {
        None
    };
    if let Some(problem) = problem {
        let words = format!("error converting fieldPath: {problem}");
        causes.invalid(path.child("fieldPath"), &Value::from(name), &words);
        return;
    }
    match subscript {
        Some(("metadata.annotations", key)) => field::qualified_name(&key.to_lowercase(), *path, causes),
        Some((_, key)) => field::qualified_name(key, *path, causes),
        None if !allowed.contains(&name) => {
            causes.not_supported(path.child("fieldPath"), &Value::from(name), allowed);
        }
        None => {}
    }
}

/// A reference to a request or limit of a container. In a volume it must say of which.
pub(super) fn resource_field_ref(reference: &Value, in_volume: bool, path: &Path<'_>, causes: &mut Causes) {
    let resource = field::text(reference, "resource");
    let huge_pages = resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-");
    if in_volume && field::text(reference, "containerName").is_empty() {
        causes.required(path.child("containerName"), "");
    } else if field::required_text(reference, "resource", path, causes) && !RESOURCES.contains(&resource) && !huge_pages
    {
        causes.not_supported(path.child("resource"), &Value::from(resource), RESOURCES);
    }
    divisor(reference, resource, path, causes);
}

fn divisor(reference: &Value, resource: &str, path: &Path<'_>, causes: &mut Causes) {
    const SIZES: &str = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
    let value = field::get(reference, "divisor");
    let Some(quantity) = resources::parse(value).filter(|quantity| !quantity.is_zero()) else { return };
    let text = quantity.to_string();
    let what = match resource.split_once('.').map_or("", |(_, what)| what) {
        "cpu" => "cpu",
        "memory" => "memory",
        "ephemeral-storage" => "local ephemeral storage",
        what if what.starts_with("hugepages-") => "hugepages",
        _ => return,
    };
    let (fits, listed) = match what {
        "cpu" => (matches!(text.as_str(), "1m" | "1"), "1m and 1"),
        _ => (SIZES.split(", ").any(|size| size == text), SIZES),
    };
    if !fits {
        let words = format!("only divisor's values {listed} are supported with the {what} resource");
        causes.invalid(path.child("divisor"), &Value::from(resource), &words);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(container: Value) -> Vec<(String, String)> {
        let mut causes = Causes::default();
        of_container(&container, &Path::new("c"), &mut causes);
        causes.0.into_iter().map(|cause| (cause.field, cause.message)).collect()
    }

    fn from(source: Value) -> Value {
        json!({"env": [{"name": "A", "valueFrom": source}]})
    }

    #[test]
    fn what_passes() {
        for container in [
            json!({"env": [{"name": "A", "value": "b"}, {"name": "a.b-c"}]}),
            from(json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}})),
            from(json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['a/b']"}})),
            from(json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}})),
            from(json!({"secretKeyRef": {"name": "s", "key": "k"}})),
            json!({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}]}),
        ] {
            assert_eq!(complaints(container.clone()), [], "{container}");
        }
    }

    #[test]
    fn what_does_not() {
        let value_from = "c.env[0].valueFrom";
        for (container, field, message) in [
            (json!({"env": [{"value": "b"}]}), "c.env[0].name", "Required value"),
            (
                from(json!({})),
                value_from,
                "Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, \
                 `secretKeyRef` or `fileKeyRef`",
            ),
            (
                json!({"env": [{"name": "A", "value": "b", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
                value_from,
                "Invalid value: \"\": may not be specified when `value` is not empty",
            ),
            (
                from(json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.replicas"}})),
                "c.env[0].valueFrom.fieldRef.fieldPath",
                "Invalid value: \"spec.replicas\": error converting fieldPath: field label not supported: spec.replicas",
            ),
            (
                from(json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1Mi"}})),
                "c.env[0].valueFrom.resourceFieldRef.divisor",
                "Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
            ),
            (
                from(json!({"configMapKeyRef": {"name": "c"}})),
                "c.env[0].valueFrom.configMapKeyRef.key",
                "Required value",
            ),
            (
                json!({"envFrom": [{}]}),
                "c.envFrom",
                "Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
            ),
        ] {
            assert_eq!(complaints(container)[0], (field.to_owned(), message.to_owned()));
        }
    }
}
