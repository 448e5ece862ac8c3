//! What is published of custom kinds, held against what Kubernetes v1.36 makes of the same definitions.

use api::resource::Resource;
use serde_json::json;

use super::*;

fn definition(schema: Value) -> Value {
    json!({
        "metadata": {"name": "crontabs.stable.example-x.com", "uid": "u", "generation": 1},
        "spec": {
            "group": "stable.example-x.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
                "selectableFields": [{"jsonPath": ".spec.cronSpec"}],
            }],
        },
        "status": {
            "acceptedNames": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabs"},
            "conditions": [{"type": "Established", "status": "True"}, {"type": "NamesAccepted", "status": "True"}],
        },
    })
}

/// A document of nothing but that kind: its parts and what it shares with others.
fn document(dialect: Dialect, definition: &Value) -> Value {
    let registry = registry(&RuntimeConfig::default());
    let press = Press::new(&registry);
    let resource: Resource = api::crd::definition::resource(definition).unwrap();
    let mut parts = press.custom(dialect, definition, &resource, &resource.served[0]);
    let mut shared = match dialect {
        Dialect::V2 => press.v2(),
        Dialect::V3 => press.shared("stable.example-x.com", "v1", true),
    };
    shared.paths.append(&mut parts.paths);
    shared.schemas.append(&mut parts.schemas);
    parsed(&shared.document(dialect, Form::Json))
}

fn schema(dialect: Dialect, properties: Value) -> Value {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}});
    let document = document(dialect, &definition(schema));
    let schemas: &[&str] = if dialect == Dialect::V3 { &["components", "schemas"] } else { &["definitions"] };
    let name = "com.example-x.stable.v1.CronTab";
    document.at(schemas).at(&[name, "properties", "spec", "properties"]).clone()
}

#[test]
fn a_kind_has_types_paths_and_everything_that_they_mention() {
    let definition =
        definition(json!({"type": "object", "description": "a thing", "required": ["spec"], "properties": {
            "spec": {"type": "object", "properties": {"cronSpec": {"type": "string"}}},
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}},
        }}));
    for (dialect, schemas) in [(Dialect::V3, &["components", "schemas"] as &[&str]), (Dialect::V2, &["definitions"])] {
        let document = document(dialect, &definition);
        assert_closed(&document, "custom");
        let kind = document.at(schemas).at(&["com.example-x.stable.v1.CronTab"]);
        let gvk = |kind: &str| json!([{"group": "stable.example-x.com", "kind": kind, "version": "v1"}]);
        assert_eq!(kind["x-kubernetes-group-version-kind"], gvk("CronTab"));
        assert_eq!(kind["x-kubernetes-selectable-fields"], json!([{"fieldPath": "spec.cronSpec"}]));
        assert_eq!((kind.text(&["description"]), kind["required"][0].as_str()), ("a thing", Some("spec")));
        assert!(!kind.text(&["properties", "kind", "description"]).is_empty());
        // Whatever the schema says about it: the server looks after that.
        assert!(kind.at(&["properties", "metadata", "properties"]).is_null(), "{kind}");
        assert!(kind["properties"]["metadata"].to_string().contains("meta.v1.ObjectMeta"));
        let list = document.at(schemas).at(&["com.example-x.stable.v1.CronTabs"]);
        assert_eq!(list["x-kubernetes-group-version-kind"], gvk("CronTabs"));
        assert!(list["properties"]["items"]["items"].to_string().contains("v1.CronTab\""));
    }
    let paths = document(Dialect::V3, &definition)["paths"].clone();
    let item = "/apis/stable.example-x.com/v1/namespaces/{namespace}/crontabs/{name}";
    let patch = paths.at(&[item, "patch"]);
    assert_eq!(patch.text(&["operationId"]), "patchStableExampleXComV1NamespacedCronTab");
    let media: Vec<&String> = patch.at(&["requestBody", "content"]).as_object().unwrap().keys().collect();
    assert_eq!(media, ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"]);
    assert!(patch["parameters"].to_string().contains("fieldValidation"));
    let scale = paths.at(&[&format!("{item}/scale"), "get"]);
    assert_eq!(scale.text(&["x-kubernetes-group-version-kind", "kind"]), "CronTab");
    assert!(scale["responses"]["200"].to_string().contains("autoscaling.v1.Scale"));
    assert!(paths.at(&[&format!("{item}/status"), "put"]).is_object());
    assert!(paths.at(&["/apis/stable.example-x.com/v1/crontabs", "get"]).is_object());
    assert!(!paths.to_string().contains("protobuf") && !paths.to_string().contains("/watch/"));
}

#[test]
fn numbers_or_texts_are_spelled_out_once() {
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let properties = json!({
        "a": {"x-kubernetes-int-or-string": true},
        "b": {"x-kubernetes-int-or-string": true, "anyOf": either, "pattern": "x"},
        "c": {"x-kubernetes-int-or-string": true, "anyOf": [{"minimum": 1}]},
    });
    let published = schema(Dialect::V3, properties.clone());
    assert_eq!(published["a"]["anyOf"], either);
    assert_eq!(published["b"], properties["b"]);
    assert_eq!(
        (&published["c"]["allOf"], &published["c"]["anyOf"]),
        (&json!([{"anyOf": either}]), &json!([{"minimum": 1}]))
    );
    let published = schema(Dialect::V2, properties);
    assert_eq!(published["a"], json!({"x-kubernetes-int-or-string": true}));
    assert_eq!(published["c"], json!({"x-kubernetes-int-or-string": true}));
}

#[test]
fn embedded_objects_have_what_every_object_has() {
    let properties = json!({
        "closed": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
        "open": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
    });
    let published = schema(Dialect::V3, properties.clone());
    for name in ["closed", "open"] {
        let fields: Vec<&String> = published[name]["properties"].as_object().unwrap().keys().collect();
        assert!(fields.starts_with(&[&"apiVersion".into(), &"kind".into(), &"metadata".into()]), "{fields:?}");
        assert_eq!(published[name]["required"], json!(["kind", "apiVersion"]));
    }
    // With fields that it knows, kubectl would refuse all others.
    let published = schema(Dialect::V2, properties);
    assert_eq!(
        published["open"],
        json!({"x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true})
    );
    assert!(published["closed"]["properties"]["metadata"].is_object());
}

#[test]
fn openapi_2_has_less_and_never_more() {
    let properties = json!({
        "nothing": {"type": "object", "nullable": true, "properties": {"a": {"type": "string"}}},
        "some": {"type": "object", "required": ["x", "y"], "properties": {
            "x": {"type": "string", "nullable": true}, "y": {"type": "string", "default": "z", "maxLength": 3},
        }},
        "only": {"type": "object", "required": ["x"], "properties": {"x": {"type": "string", "nullable": true}}},
        "map": {"type": "object", "required": ["x"], "additionalProperties": {"type": "string", "nullable": true}},
        "open": {"type": "array", "x-kubernetes-preserve-unknown-fields": true, "items": {"type": "string"}},
        "one": {"type": "object", "oneOf": [{"required": ["a"]}], "not": {"required": ["b"]}},
    });
    let published = schema(Dialect::V2, properties.clone());
    assert_eq!(published["nothing"], json!({}));
    assert_eq!(
        published["some"],
        json!({"type": "object", "required": ["y"], "properties": {"x": {}, "y": {"type": "string", "maxLength": 3}}})
    );
    assert_eq!(published["only"], json!({"type": "object", "properties": {"x": {}}}));
    assert_eq!(published["map"], json!({"type": "object", "additionalProperties": {}}));
    assert_eq!(published["open"], json!({"x-kubernetes-preserve-unknown-fields": true}));
    assert_eq!(published["one"], json!({"type": "object"}));
    assert_eq!(schema(Dialect::V3, properties.clone()), properties);
}

/// kubectl takes a kind for closed as soon as it knows one of its fields.
#[test]
fn an_open_kind_is_any_object_in_openapi_2() {
    let open = definition(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    let name = "com.example-x.stable.v1.CronTab";
    let mut published = document(Dialect::V2, &open).at(&["definitions", name]).clone();
    published.remove(&["x-kubernetes-group-version-kind"]);
    published.remove(&["x-kubernetes-selectable-fields"]);
    assert_eq!(published, json!({"type": "object"}));
    let published = document(Dialect::V3, &open).at(&["components", "schemas", name]).clone();
    assert!(published["properties"]["metadata"].is_object());
    assert_eq!(published["x-kubernetes-preserve-unknown-fields"], json!(true));
}
