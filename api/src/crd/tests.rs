//! A definition of one kind, and what becomes of its documents.

use serde_json::json;

use super::*;
use crate::document::Document;
use crate::resource::Resource;

fn definition(schema: Value) -> Value {
    json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [
                {"name": "v1alpha1", "served": false, "storage": false},
                {
                    "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                    },
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                        {"name": "Zone", "type": "string", "jsonPath": ".metadata.labels.example\\.com/zone"},
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                    ],
                },
            ],
        },
        "status": {
            "acceptedNames": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
            "conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}],
        },
    })
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object", "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1.0, "maximum": 10.0},
                    "color": {"type": "string", "enum": ["red", "green"], "default": "red"},
                    "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
                    "port": {"x-kubernetes-int-or-string": true},
                    "optional": {"type": "string", "nullable": true},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "template": {
                        "type": "object", "x-kubernetes-embedded-resource": true,
                        "properties": {"spec": {"type": "object", "properties": {"a": {"type": "integer", "default": 7}}}},
                    },
                    "ports": {
                        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                        "items": {
                            "type": "object", "required": ["port"],
                            "properties": {
                                "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"},
                            },
                        },
                    },
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    })
}

fn widgets() -> Resource {
    definition::resource(&definition(schema())).unwrap()
}

fn custom() -> std::sync::Arc<Custom> {
    widgets().served[0].custom.clone().unwrap()
}

fn complaints(document: &Value, old: Option<&Value>) -> Vec<String> {
    let mut causes = Causes::default();
    match old {
        Some(old) => custom().validate_update(document, old, &mut causes),
        None => custom().validate_create(document, &mut causes),
    }
    causes.0.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

#[test]
fn a_definition_makes_a_row() {
    let widgets = widgets();
    assert_eq!(
        (widgets.id_name.as_str(), widgets.kind.as_str(), widgets.namespaced),
        ("widgets.example.com", "Widget", true)
    );
    assert_eq!(widgets.short_names, ["wd"]);
    let served: Vec<_> = widgets.served.iter().map(|served| (served.version.as_str(), served.is_public())).collect();
    assert_eq!(served, [("v1", true), ("v1alpha1", false)], "the stored version comes first");
    let subresources: Vec<_> = widgets.served[0].subresources.iter().map(|sub| sub.name).collect();
    assert_eq!(subresources, ["status", "scale"]);
    assert_eq!(&widgets.served[0].head[..], br#"{"kind":"Widget","apiVersion":"example.com/v1","#);
    let mut unready = definition(schema());
    unready["status"]["conditions"][1]["status"] = "False".into();
    assert!(definition::resource(&unready).is_none(), "it is not established");
}

#[test]
fn what_the_schema_does_not_know_goes() {
    let mut document = json!({
        "kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": "a", "anything": 1}, "other": {"x": 1},
        "spec": {
            "size": 1, "unknown": 2, "free": {"x": {"y": 1}}, "labels": {"a": "b"},
            "template": {"kind": "K", "apiVersion": "v1", "metadata": {"name": "b"}, "more": 1, "spec": {"a": 1, "b": 2}},
            "ports": [{"port": 1, "extra": true}],
        },
        "status": {"what": "ever"},
    });
    let gone = custom().prune(&mut document);
    assert_eq!(gone, ["other", "spec.ports[0].extra", "spec.template.more", "spec.template.spec.b", "spec.unknown"]);
    let expected = json!({
        "kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": "a", "anything": 1},
        "spec": {
            "size": 1, "free": {"x": {"y": 1}}, "labels": {"a": "b"},
            "template": {"kind": "K", "apiVersion": "v1", "metadata": {"name": "b"}, "spec": {"a": 1}},
            "ports": [{"port": 1}],
        },
        "status": {"what": "ever"},
    });
    assert_eq!(document, expected);
    assert_eq!(custom().prune(&mut document), Vec::<String>::new(), "it is idempotent");
}

#[test]
fn defaults_fill_what_is_missing_and_null() {
    let mut document = json!({
        "spec": {
            "size": null, "color": null, "optional": null, "template": {"spec": {}}, "ports": [{"port": 1}],
        },
    });
    custom().default(&mut document);
    let expected = json!({
        "spec": {
            "color": "red", "optional": null, "template": {"spec": {"a": 7}}, "ports": [{"port": 1, "protocol": "TCP"}],
        },
    });
    assert_eq!(document, expected);
}

#[test]
fn documents_are_held_against_the_schema() {
    let good = json!({"spec": {"size": 3, "color": "green", "port": "http", "tags": ["a", "b"], "optional": null}});
    assert_eq!(complaints(&good, None), Vec::<String>::new());
    let bad = json!({
        "spec": {
            "size": 11, "color": "blue", "name": "Abcdefg", "port": true, "tags": ["a", "b", "a"],
            "ports": [{"port": 1, "protocol": "TCP"}, {"protocol": "TCP", "port": 1}, {"protocol": "UDP"}],
        },
    });
    assert_eq!(
        complaints(&bad, None),
        [
            "spec.color: Unsupported value: \"blue\": supported values: \"red\", \"green\"",
            "spec.name: Too long: may not be more than 5 bytes",
            "spec.name: Invalid value: \"Abcdefg\": spec.name in body should match '^[a-z]+$'",
            "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
            "spec.ports[2].port: Required value",
            "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10",
            "spec.ports[1]: Duplicate value: {\"port\":1,\"protocol\":\"TCP\"}",
            "spec.tags[2]: Duplicate value: \"a\"",
        ]
    );
    assert_eq!(complaints(&json!({"spec": "text"}), None).len(), 1);
    assert_eq!(complaints(&json!({"spec": {}}), None), ["spec.size: Required value"]);
}

#[test]
fn what_an_update_leaves_alone_is_not_complained_about() {
    let old = json!({"spec": {"size": 99, "color": "blue", "ports": [{"port": "x"}], "tags": ["a", "a"]}});
    let mut new = old.clone();
    new.set(&["spec", "name"], "abc");
    assert_eq!(complaints(&new, Some(&old)), Vec::<String>::new());
    new.set(&["spec", "size"], 98);
    assert_eq!(complaints(&new, Some(&old)).len(), 1);
}

#[test]
fn alternatives_are_told_apart() {
    let schema = json!({
        "type": "object",
        "properties": {"spec": {
            "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "not": {"required": ["c"]},
            "anyOf": [{"properties": {"a": {"minimum": 5.0}}}, {"required": ["b"]}],
        }},
    });
    let resource = definition::resource(&definition(schema)).unwrap();
    let custom = resource.served[0].custom.clone().unwrap();
    let complain = |document: &Value| {
        let mut causes = Causes::default();
        custom.validate_create(document, &mut causes);
        causes.0.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect::<Vec<_>>()
    };
    assert_eq!(complain(&json!({"spec": {"a": 5}})), Vec::<String>::new());
    let both = "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives";
    assert_eq!(complain(&json!({"spec": {"a": 5, "b": 1}})), [both]);
    let few = complain(&json!({"spec": {"a": 1}}));
    assert_eq!(few[0], "<nil>: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf)");
    let not = complain(&json!({"spec": {"a": 5, "c": 1}}));
    assert_eq!(not, ["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"]);
}

#[test]
fn columns_show_what_their_paths_find() {
    let object = json!({
        "metadata": {"creationTimestamp": "1970-01-01T00:00:00Z", "labels": {"example.com/zone": "a"}},
        "spec": {"size": 3}, "status": {"conditions": [{"type": "Other", "status": "?"}, {"type": "Ready", "status": "True"}]},
    });
    let cells: Vec<Value> = custom().columns.iter().map(|column| column.cell(&object, 60_000_000)).collect();
    assert_eq!(cells, [json!(3), json!("True"), json!("a"), json!("60s")]);
    let none: Vec<Value> = custom().columns.iter().map(|column| column.cell(&json!({}), 0)).collect();
    assert_eq!(none, [Value::Null, Value::Null, Value::Null, Value::Null]);
    assert!(columns::path("spec").is_err());
}

#[test]
fn rules_are_held_against_what_was_and_what_will_be() {
    let schema = json!({
        "type": "object",
        "properties": {"spec": {
            "type": "object",
            "x-kubernetes-validations": [
                {"rule": "self.min <= self.max", "message": "min is above max", "fieldPath": ".min"},
                {"rule": "self.name == oldSelf.name", "message": "name is immutable", "reason": "FieldValueForbidden"},
            ],
            "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"}},
        }},
        "x-kubernetes-validations": [{"rule": "self.kind == 'Widget' && self.metadata.name.startsWith('w')"}],
    });
    let resource = definition::resource(&definition(schema)).unwrap();
    let custom = resource.served[0].custom.clone().unwrap();
    let complain = |document: &Value, old: Option<&Value>| {
        let mut causes = Causes::default();
        match old {
            Some(old) => custom.validate_update(document, old, &mut causes),
            None => custom.validate_create(document, &mut causes),
        }
        causes.0.into_iter().map(|cause| (cause.reason, cause.field, cause.message)).collect::<Vec<_>>()
    };
    let good = json!({"metadata": {"name": "w"}, "spec": {"min": 1, "max": 2, "name": "a"}});
    assert_eq!(complain(&good, None), []);
    let mut bad = good.clone();
    bad.set(&["spec", "min"], 3);
    let [(reason, field, message)] = &complain(&bad, None)[..] else { panic!("one rule is broken") };
    assert_eq!((*reason, field.as_str()), ("FieldValueInvalid", "spec.min"));
    assert!(message.ends_with("min is above max"), "{message}");
    let mut renamed = good.clone();
    renamed.set(&["spec", "name"], "b");
    assert_eq!(complain(&renamed, None), [], "there is nothing to compare with");
    assert_eq!(complain(&renamed, Some(&good))[0].0, "FieldValueForbidden");
    assert_eq!(complain(&json!({"metadata": {"name": "x"}}), None).len(), 1);
}
