//! Custom kinds: lists and maps as their schemas say, in versions that keep different fields. Checked against the reference.

use super::*;
use crate::crd::definition;

fn gadgets(versions: &[(&str, Value)]) -> Arc<Resource> {
    let mut stored = true;
    let versions: Vec<Value> = versions
        .iter()
        .map(|(name, spec)| {
            json!({
                "name": name, "served": true, "storage": std::mem::take(&mut stored),
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                    "type": "object", "properties": spec,
                }}}},
            })
        })
        .collect();
    let condition = |of: &str| json!({"type": of, "status": "True"});
    let definition = json!({
        "metadata": {"name": "gadgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "versions": versions},
        "status": {
            "acceptedNames": {"plural": "gadgets", "kind": "Gadget"},
            "conditions": [condition("Established"), condition("NamesAccepted")],
        },
    });
    Arc::new(definition::resource(&definition).unwrap())
}

fn story(resource: Arc<Resource>) -> Story {
    Story { resource, served: 0, live: None, seconds: 0 }
}

fn one_version() -> Story {
    let text = || json!({"type": "string"});
    let texts = |list: &str| json!({"type": "array", "x-kubernetes-list-type": list, "items": text()});
    let keep = "x-kubernetes-preserve-unknown-fields";
    story(gadgets(&[(
        "v1",
        json!({
            "ports": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "properties": {
                    "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": text(),
                    "flags": texts("set"),
                }},
            },
            "tags": texts("set"),
            "args": {"type": "array", "items": text()},
            "labels": {"type": "object", "additionalProperties": text()},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": text(), "b": text()}},
            "free": {"type": "object", keep: true, "properties": {"known": texts("set")}},
            "any": {keep: true},
            "limit": {"x-kubernetes-int-or-string": true},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, keep: true},
        }),
    )]))
}

#[test]
fn lists_are_merged_as_their_schema_says() {
    let mut story = one_version();
    story.apply(
        "one",
        json!({"spec": {
            "ports": [{"port": 80, "name": "a"}, {"port": 81, "protocol": "UDP"}], "tags": ["x", "y"], "args": ["1"],
            "labels": {"k": "v"}, "whole": {"a": "1"},
        }}),
    );
    assert_eq!(
        story.owners(),
        [
            r#"one Apply example.com/v1 1 {"f:spec":{"f:args":{},"f:labels":{"f:k":{}},"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}},"k:{\"port\":81,\"protocol\":\"UDP\"}":{".":{},"f:port":{},"f:protocol":{}}},"f:tags":{"v:\"x\"":{},"v:\"y\"":{}},"f:whole":{}}}"#
        ]
    );
    story.apply(
        "two",
        json!({"spec": {
            "ports": [{"port": 82, "flags": ["f"]}, {"port": 80, "protocol": "TCP", "flags": ["g"]}], "tags": ["z"],
            "labels": {"l": "w"},
        }}),
    );
    assert_eq!(
        story.at(&["spec", "ports"]),
        &json!([
            {"flags": ["f"], "port": 82}, {"flags": ["g"], "name": "a", "port": 80, "protocol": "TCP"},
            {"port": 81, "protocol": "UDP"},
        ])
    );
    assert_eq!(story.at(&["spec", "tags"]), &json!(["x", "y", "z"]));
    assert_eq!(story.at(&["spec", "labels"]), &json!({"k": "v", "l": "w"}));
    for (spec, field) in [(json!({"args": ["2"]}), ".spec.args"), (json!({"whole": {"b": "2"}}), ".spec.whole")] {
        let refused = story.refused("two", json!({ "spec": spec }));
        let message = format!("Apply failed with 1 conflict: conflict with \"one\": {field}");
        assert_eq!(refused.message(), message);
    }
    story.apply("one", json!({"spec": {"ports": [{"port": 81, "protocol": "UDP"}], "tags": ["y"]}}));
    assert_eq!(
        story.at(&["spec"]),
        &json!({
            "labels": {"l": "w"}, "tags": ["y", "z"],
            "ports": [
                {"flags": ["f"], "port": 82}, {"flags": ["g"], "port": 80, "protocol": "TCP"},
                {"port": 81, "protocol": "UDP"},
            ],
        })
    );
    story.apply("two", json!({"spec": {}}));
    assert_eq!(story.at(&["spec"]), &json!({"ports": [{"port": 81, "protocol": "UDP"}], "tags": ["y"]}));
    assert_eq!(story.owners()[1], r#"two Apply example.com/v1 6 {"f:spec":{}}"#);
}

#[test]
fn what_no_schema_describes_is_deduced() {
    let mut story = one_version();
    let template = |label: &str, finalizer: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "labels": {label: "x"}, "finalizers": [finalizer]},
        })
    };
    story.apply(
        "one",
        json!({"spec": {
            "free": {"known": ["a"], "other": {"b": [1, 2]}}, "any": {"x": [{"y": 1}], "z": {"w": 1}}, "limit": 5,
            "template": template("a", "x/y"),
        }}),
    );
    assert_eq!(
        story.owners(),
        [
            r#"one Apply example.com/v1 1 {"f:spec":{"f:any":{"f:x":{},"f:z":{".":{},"f:w":{}}},"f:free":{"f:known":{"v:\"a\"":{}},"f:other":{".":{},"f:b":{}}},"f:limit":{},"f:template":{"f:apiVersion":{},"f:kind":{},"f:metadata":{"f:finalizers":{"v:\"x/y\"":{}},"f:labels":{"f:a":{}},"f:name":{}}}}}"#
        ]
    );
    let refused = story.refused("two", json!({"spec": {"any": {"z": {"v": 1}}, "limit": "5%"}}));
    assert_eq!(refused.message(), "Apply failed with 1 conflict: conflict with \"one\": .spec.limit");
    let refused = story.refused("two", json!({"spec": {"free": {"known": ["b"], "other": {"b": [1]}}}}));
    assert_eq!(refused.message(), "Apply failed with 1 conflict: conflict with \"one\": .spec.free.other.b");
    story.apply("two", json!({"spec": {"template": template("c", "z/y")}}));
    assert_eq!(story.at(&["spec", "template", "metadata", "finalizers"]), &json!(["x/y", "z/y"]));
    assert_eq!(story.at(&["spec", "template", "metadata", "labels"]), &json!({"a": "x", "c": "x"}));
    story.apply("two", json!({"spec": {"any": [1, 2]}}));
    assert_eq!(story.at(&["spec", "any"]), &json!([1, 2]), "nobody minds another type");
}

#[test]
fn what_does_not_fit_is_said() {
    let mut story = one_version();
    let mut why = |spec: Value| {
        let refused = story.refused("one", json!({ "spec": spec }));
        let message = refused.message().to_owned();
        message.split_once("Kind=Gadget): ").map_or(message.clone(), |(_, why)| why.to_owned())
    };
    assert_eq!(
        why(json!({"ports": [{"port": 1}, {"port": 1}]})),
        ".spec.ports: duplicate entries for key [port=1,protocol=\"TCP\"]"
    );
    assert_eq!(why(json!({"tags": ["a", "a"]})), ".spec.tags: duplicate entries for key [=\"a\"]");
    assert_eq!(why(json!({"bad": 1})), ".spec.bad: field not declared in schema");
    assert_eq!(why(json!({"ports": "x"})), ".spec.ports: expected list, got &{x}");
    assert_eq!(
        why(json!({"labels": {"a": 1}})),
        ".spec.labels.a: expected string, got &value.valueUnstructured{Value:1}"
    );
}

#[test]
fn what_another_version_does_not_know_is_not_compared_there() {
    let text = || json!({"type": "string"});
    let mut story = story(gadgets(&[("v1", json!({"a": text()})), ("v2", json!({"a": text(), "b": text()}))]));
    story.apply("one", json!({"spec": {"a": "1"}}));
    story.through("example.com/v2").apply("two", json!({"spec": {"a": "1", "b": "2"}}));
    assert_eq!(
        story.owners(),
        [
            r#"one Apply example.com/v1 1 {"f:spec":{"f:a":{}}}"#,
            r#"two Apply example.com/v2 2 {"f:spec":{"f:a":{},"f:b":{}}}"#,
        ]
    );
    let refused = story.refused("three", json!({"spec": {"a": "3"}}));
    let message =
        "Apply failed with 2 conflicts: conflicts with \"one\":\n- .spec.a\nconflicts with \"two\":\n- .spec.a";
    assert_eq!(refused.message(), message);
    story.force("three", json!({"spec": {"a": "3"}}));
    assert_eq!(story.owners()[1], r#"three Apply example.com/v2 4 {"f:spec":{"f:a":{}}}"#);
    assert_eq!(story.owners().len(), 2, "one has nothing left");
}
