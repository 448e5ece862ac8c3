//! Rules of schemas.

use serde_json::{Value as Json, json};

use crate::Environment;
use crate::rules::{Budget, Complaint, Findings, Reason, Rules};

fn compile(schema: &Json) -> (Rules, Vec<Complaint>) {
    Rules::compile(&Environment::kubernetes(), schema, "openAPIV3Schema", true)
}

#[track_caller]
fn rules(schema: &Json) -> Rules {
    let (rules, complaints) = compile(schema);
    assert!(complaints.is_empty(), "{complaints:?}");
    rules
}

fn check(rules: &Rules, new: &Json, old: Option<&Json>) -> Findings {
    rules.validate("", new, old, &mut Budget::default())
}

fn said(complaints: &[Complaint]) -> Vec<String> {
    complaints.iter().map(|complaint| format!("{}: {}", complaint.path, complaint.message())).collect()
}

fn spec(schema: Json) -> Json {
    json!({"type": "object", "properties": {"spec": schema}})
}

#[test]
fn complaints_say_where_and_why() {
    let schema = spec(json!({
        "type": "object",
        "x-kubernetes-validations": [
            {"rule": "self.min <= self.max", "message": "min must not be more than max"},
            {"rule": "self.min >= 0", "fieldPath": ".min", "reason": "FieldValueForbidden"},
            {"rule": "self.max < 100", "messageExpression": "'max is %d'.format([self.max])"},
        ],
        "properties": {
            "min": {"type": "integer"},
            "max": {"type": "integer", "x-kubernetes-validations": [{"rule": "self != 7"}]},
            "names": {"type": "object", "maxProperties": 9, "additionalProperties": {
                "type": "string", "maxLength": 9, "x-kubernetes-validations": [{"rule": "self != 'x'"}],
            }},
        },
    }));
    let rules = rules(&schema);
    let right = json!({"spec": {"min": 1, "max": 2, "names": {"a": "b"}}});
    assert!(check(&rules, &right, None).complaints.is_empty());
    let wrong = json!({"spec": {"min": 3, "max": 2, "names": {"a": "x"}}});
    assert_eq!(
        said(&check(&rules, &wrong, None).complaints),
        [
            "spec: Invalid value: min must not be more than max",
            "spec.names[a]: Invalid value: \"x\": failed rule: self != 'x'",
        ]
    );
    let wrong = json!({"spec": {"min": -1, "max": 7}});
    assert_eq!(
        said(&check(&rules, &wrong, None).complaints),
        ["spec.min: Forbidden: failed rule: self.min >= 0", "spec.max: Invalid value: 7: failed rule: self != 7"]
    );
    let wrong = json!({"spec": {"min": 1, "max": 100}});
    assert_eq!(said(&check(&rules, &wrong, None).complaints), ["spec: Invalid value: max is 100"]);
    let missing = json!({"spec": {"max": 1}});
    let complaints = check(&rules, &missing, None).complaints;
    let first = "spec: Invalid value: \"object\": no such key: min evaluating rule: min must not be more than max";
    assert_eq!(said(&complaints)[0], first);
}

#[test]
fn the_whole_resource_has_no_path() {
    let schema = json!({
        "type": "object",
        "x-kubernetes-validations": [{"rule": "self.metadata.name == self.spec.name && self.kind != ''"}],
        "properties": {"spec": {"type": "object", "properties": {"name": {"type": "string"}}}},
    });
    let rules = rules(&schema);
    let document = json!({"kind": "A", "apiVersion": "b/v1", "metadata": {"name": "a"}, "spec": {"name": "b"}});
    let complaints = check(&rules, &document, None).complaints;
    assert!(
        said(&complaints)[0].starts_with("<nil>: Invalid value: failed rule: self.metadata.name"),
        "{complaints:?}"
    );
}

#[test]
fn transitions() {
    let item = json!({"type": "object", "properties": {
        "name": {"type": "string"},
        "size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "shrinks"}]},
    }, "required": ["name"]});
    let schema = spec(json!({"type": "object", "properties": {
        "class": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed"}]},
        "disks": {
            "type": "array", "maxItems": 9, "items": item,
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        },
        "phase": {"type": "string", "x-kubernetes-validations": [
            {"rule": "oldSelf.hasValue() || self == 'New'", "message": "starts new", "optionalOldSelf": true},
        ]},
    }}));
    let rules = rules(&schema);
    let old =
        json!({"spec": {"class": "a", "disks": [{"name": "x", "size": 2}, {"name": "y", "size": 3}], "phase": "Old"}});
    assert_eq!(said(&check(&rules, &old, None).complaints), ["spec.phase: Invalid value: \"Old\": starts new"]);
    assert!(check(&rules, &old, Some(&old)).complaints.is_empty());
    let new =
        json!({"spec": {"class": "b", "disks": [{"name": "y", "size": 2}, {"name": "x", "size": 2}], "phase": "Old"}});
    assert_eq!(
        said(&check(&rules, &new, Some(&old)).complaints),
        ["spec.class: Invalid value: \"b\": fixed", "spec.disks[0].size: Invalid value: 2: shrinks"]
    );
}

#[test]
fn what_was_wrong_before_is_a_warning() {
    let schema = spec(json!({"type": "object", "properties": {
        "a": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0", "message": "positive"}]},
        "b": {"type": "integer"},
    }}));
    let rules = rules(&schema);
    let old = json!({"spec": {"a": -1, "b": 1}});
    let new = json!({"spec": {"a": -1, "b": 2}});
    let findings = check(&rules, &new, Some(&old));
    assert!(findings.complaints.is_empty());
    assert_eq!(said(&findings.warnings), ["spec.a: Invalid value: -1: positive"]);
    let changed = json!({"spec": {"a": -2, "b": 1}});
    assert_eq!(said(&check(&rules, &changed, Some(&old)).complaints), ["spec.a: Invalid value: -2: positive"]);
}

#[test]
fn bad_rules_are_named() {
    let schema = spec(json!({
        "type": "object",
        "x-kubernetes-validations": [
            {"rule": "self.b == 1"},
            {"rule": "self.a"},
            {"rule": " "},
            {"rule": "self.a > 0", "message": " "},
            {"rule": "self.a > 0", "reason": "Because"},
            {"rule": "self.a > 0", "fieldPath": ".b"},
            {"rule": "self.a > 0", "messageExpression": "1"},
            {"rule": "self.a > 0", "optionalOldSelf": true},
        ],
        "properties": {
            "a": {"type": "integer"},
            "l": {"type": "array", "maxItems": 2, "items": {
                "type": "integer", "x-kubernetes-validations": [{"rule": "self > oldSelf"}],
            }},
        },
    }));
    let (_, complaints) = compile(&schema);
    let at = |n: usize, field: &str| format!("openAPIV3Schema.properties[spec].x-kubernetes-validations[{n}].{field}");
    let found: Vec<(String, Reason)> = complaints.iter().map(|one| (one.path.clone(), one.reason)).collect();
    let item = "openAPIV3Schema.properties[spec].properties[l].items.x-kubernetes-validations[0].rule";
    assert_eq!(
        found,
        [
            (at(0, "rule"), Reason::Invalid),
            (at(1, "rule"), Reason::Invalid),
            (at(2, "rule"), Reason::Required),
            (at(3, "message"), Reason::Invalid),
            (at(4, "reason"), Reason::NotSupported),
            (at(5, "fieldPath"), Reason::Invalid),
            (at(6, "messageExpression"), Reason::Invalid),
            (at(7, "optionalOldSelf"), Reason::Invalid),
            (item.to_owned(), Reason::Invalid),
        ]
    );
    assert_eq!(
        complaints[0].detail,
        "compilation failed: ERROR: <input>:1:5: undefined field 'b'\n | self.b == 1\n | ....^"
    );
    assert_eq!(complaints[1].detail, "cel expression must evaluate to a bool");
    assert!(complaints[8].detail.ends_with("within openAPIV3Schema.properties[spec].properties[l]"));
}

#[test]
fn costs_are_estimated() {
    let list = |max: Json| {
        spec(json!({"type": "object", "properties": {"list": {
            "type": "array", "maxItems": max, "items": {"type": "integer"},
            "x-kubernetes-validations": [{"rule": "self.all(x, self.all(y, x == y))"}],
        }}}))
    };
    let (_, complaints) = compile(&list(Json::Null));
    assert_eq!(complaints.len(), 3, "{complaints:?}");
    assert_eq!(complaints[0].reason, Reason::Forbidden);
    assert!(complaints[0].detail.starts_with("estimated rule cost exceeds budget by factor of more than 100x (try"));
    assert!(complaints[1].detail.starts_with("contributed to estimated rule cost total"));
    assert_eq!(complaints[2].path, "openAPIV3Schema");
    assert!(compile(&list(json!(100))).1.is_empty());
}

#[test]
fn the_budget_ends() {
    let schema = spec(json!({"type": "object", "properties": {"list": {
        "type": "array", "maxItems": 1000, "items": {"type": "integer", "x-kubernetes-validations": [
            {"rule": "[1, 2, 3].all(x, x > 0)"},
        ]},
    }}}));
    let rules = rules(&schema);
    let document = json!({"spec": {"list": vec![1; 100]}});
    let mut budget = Budget { left: Some(500), ..Budget::default() };
    let findings = rules.validate("", &document, None, &mut budget);
    assert_eq!(findings.complaints.len(), 1);
    assert!(findings.complaints[0].detail.starts_with("validation failed due to running out of cost budget"));
    assert_eq!(budget.left, None);
    let mut budget = Budget { per_call: 5, ..Budget::default() };
    let findings = rules.validate("", &document, None, &mut budget);
    assert!(findings.complaints[0].detail.contains("due to call cost exceeds limit for rule"), "{findings:?}");
}
