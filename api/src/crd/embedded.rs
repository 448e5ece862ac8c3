//! Objects within objects (`x-kubernetes-embedded-resource`): their kind, apiVersion and metadata are read and held to the same
//! as everybody's.

use serde_json::json;

use super::Props;
use super::path::Path;
use crate::codec;
use crate::document::{Document, Value};
use crate::names;
use crate::schema::Schema;
use crate::status::Causes;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Reads the metadata of every embedded object as the type that it is. Answers what that does not know, as
/// `spec.template.metadata.foo`; what does not fit goes where `drops`, and is an error otherwise.
pub(super) fn coerce(document: &mut Value, schema: &Props, drops: bool) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    read(document, schema, &Path::ROOT, drops, &mut unknown)?;
    unknown.sort();
    Ok(unknown)
}

fn read(
    value: &mut Value,
    schema: &Props,
    path: &Path<'_>,
    drops: bool,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    match value {
        Value::Object(fields) => {
            if schema.embedded {
                for key in ["apiVersion", "kind"] {
                    match fields.get(key) {
                        Some(value) if !value.is_string() && drops => drop(fields.remove(key)),
                        Some(value) if !value.is_string() => {
                            return Err(format!("{}: Invalid value: {value}: must be a string", path.child(key)));
                        }
                        _ => {}
                    }
                }
                if let Some(metadata) = fields.remove("metadata") {
                    fields.insert("metadata".to_owned(), read_metadata(metadata, path, drops, unknown)?);
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(inner) = schema.field(name) {
                    read(value, inner, &path.child(name), drops, unknown)?;
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = &schema.items {
                for (at, item) in items.iter_mut().enumerate() {
                    read(item, inner, &path.index(at), drops, unknown)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn read_metadata(metadata: Value, path: &Path<'_>, drops: bool, unknown: &mut Vec<String>) -> Result<Value, String> {
    let schema = Schema::builtin();
    let shape = schema.named(OBJECT_META).expect("the table has metav1");
    let conform = |value: Value| match value {
        Value::Null => codec::conform(shape, json!({})),
        value => codec::conform(shape, value),
    };
    let place = path.child("metadata");
    match conform(metadata.clone()) {
        Ok(decoded) => {
            let named =
                |problem: &String| Some(problem.strip_prefix("unknown field \"")?.trim_end_matches('"').to_owned());
            unknown.extend(decoded.problems.iter().filter_map(named).map(|field| format!("{place}.{field}")));
            Ok(decoded.value)
        }
        Err(malformed) if !drops => Err(format!("{place}: Invalid value: {metadata}: {}", malformed.message)),
        // Field by field: what fits stays.
        Err(_) => {
            let fields = metadata.as_object().into_iter().flatten();
            let fits =
                fields.filter_map(|(key, value)| conform(json!({ key: value })).ok()?.value.as_object().cloned());
            Ok(Value::Object(fits.flatten().collect()))
        }
    }
}

/// Complaints about embedded objects.
pub(super) fn validate(document: &Value, schema: &Props, causes: &mut Causes) {
    walk(document, schema, &Path::ROOT, causes);
}

fn walk(value: &Value, schema: &Props, path: &Path<'_>, causes: &mut Causes) {
    match value {
        Value::Object(fields) => {
            if schema.embedded {
                object(value, path, causes);
            }
            for (name, value) in fields {
                if let Some(inner) = schema.field(name) {
                    walk(value, inner, &path.child(name), causes);
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = &schema.items {
                for (at, item) in items.iter().enumerate() {
                    walk(item, inner, &path.index(at), causes);
                }
            }
        }
        _ => {}
    }
}

fn object(value: &Value, path: &Path<'_>, causes: &mut Causes) {
    let (version, kind) = (value.at(&["apiVersion"]), value.at(&["kind"]));
    match version.as_str() {
        None => causes.required(path.child("apiVersion"), ""),
        Some("") => causes.invalid(path.child("apiVersion"), version, "must not be empty"),
        Some(text) if text.matches('/').count() > 1 => {
            causes.invalid(path.child("apiVersion"), version, &format!("unexpected GroupVersion string: {text}"));
        }
        Some(_) => {}
    }
    match kind.as_str() {
        None => causes.required(path.child("kind"), ""),
        Some("") => causes.invalid(path.child("kind"), kind, "must not be empty"),
        Some(text) => {
            let complaints = names::is_dns1035_label(&text.to_lowercase());
            if !complaints.is_empty() {
                let detail = format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
                causes.invalid(path.child("kind"), kind, &detail);
            }
        }
    }
    let metadata = value.at(&["metadata"]);
    if metadata.is_object() {
        // It need not have a name.
        let mut shown = json!({ "metadata": metadata });
        shown.set_default(&["metadata", "name"], "fakename");
        let mut found = Causes::default();
        names::validate_metadata(&shown, !shown.namespace().is_empty(), names::is_path_segment_name, &mut found);
        causes.0.extend(found.0.into_iter().map(|mut cause| {
            cause.field = format!("{path}.{}", cause.field);
            cause
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Props {
        Props::read(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "template": {
                "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
            },
        }}}}))
    }

    fn document(template: Value) -> Value {
        json!({"spec": {"template": template}})
    }

    #[test]
    fn metadata_is_read_as_what_it_is() {
        let read = |template: Value, drops: bool| {
            let mut document = document(template);
            let unknown = coerce(&mut document, &schema(), drops)?;
            Ok::<_, String>((document["spec"]["template"]["metadata"].take(), unknown))
        };
        let odd = json!({"metadata": {"foo": "bar", "creationTimestamp": null, "labels": null, "annotations": {}}});
        assert_eq!(read(odd, false), Ok((json!({}), vec!["spec.template.metadata.foo".to_owned()])));
        assert_eq!(read(json!({"metadata": null}), false), Ok((json!({}), Vec::new())));
        for (template, why) in [
            (json!({"apiVersion": 1}), "spec.template.apiVersion: Invalid value: 1: must be a string"),
            (json!({"kind": ["x"]}), "spec.template.kind: Invalid value: [\"x\"]: must be a string"),
            (
                json!({"metadata": "x"}),
                "spec.template.metadata: Invalid value: \"x\": json: cannot unmarshal string into Go value of type \
                 v1.ObjectMeta",
            ),
            (
                json!({"metadata": {"labels": {"a": 1}}}),
                "spec.template.metadata: Invalid value: {\"labels\":{\"a\":1}}: json: cannot unmarshal number into Go struct \
                 field ObjectMeta.labels of type string",
            ),
        ] {
            assert_eq!(read(template, false).unwrap_err(), why);
        }
        let half = json!({"kind": 1, "metadata": {"labels": {"a": 1}, "name": "a"}});
        assert_eq!(read(half, true), Ok((json!({"name": "a"}), Vec::new())), "what was stored before is mended");
    }

    #[test]
    fn embedded_objects_are_held_to_what_others_are() {
        let complaints = |template: Value| -> Vec<String> {
            let mut causes = Causes::default();
            validate(&document(template), &schema(), &mut causes);
            causes.0.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
        };
        assert_eq!(
            complaints(json!({})),
            ["spec.template.apiVersion: Required value", "spec.template.kind: Required value"]
        );
        assert_eq!(complaints(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}})), [""; 0]);
        let bad = json!({"apiVersion": "a/b/c", "kind": "", "metadata": {"name": "..", "generateName": "%"}});
        assert_eq!(
            complaints(bad),
            [
                "spec.template.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                "spec.template.kind: Invalid value: \"\": must not be empty",
                "spec.template.metadata.generateName: Invalid value: \"%\": may not contain '%'",
                "spec.template.metadata.name: Invalid value: \"..\": may not be '..'",
            ]
        );
    }
}
