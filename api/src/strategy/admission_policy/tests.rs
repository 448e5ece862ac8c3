use serde_json::json;

use super::*;
use crate::document::Document;

const VALIDATING: Policy = Policy { mutating: false };
const MUTATING: Policy = Policy { mutating: true };

fn complaints(strategy: &dyn Strategy, object: &Value) -> Vec<String> {
    let mut causes = Causes::default();
    strategy.validate(object, &mut causes);
    strategy.validate_create(object, &mut causes);
    causes.0.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

fn policy(strategy: &Policy, change: &Value) -> Value {
    let mut policy = json!({"metadata": {"name": "p"}, "spec": {"matchConstraints": {"resourceRules": [
        {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]},
    ]}}});
    match strategy.mutating {
        true => {
            policy.set(&["spec", "reinvocationPolicy"], "Never");
            let made = json!([{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'test'}]"}}]);
            policy.set(&["spec", "mutations"], made);
        }
        false => policy.set(&["spec", "validations"], json!([{"expression": "true"}])),
    }
    for (key, value) in change.as_object().unwrap() {
        policy.set(&["spec", key], value.clone());
    }
    strategy.default(&mut policy);
    policy
}

#[test]
fn defaults() {
    let mut policy = json!({"spec": {"matchConstraints": {"resourceRules": [{}]}}});
    VALIDATING.default(&mut policy);
    assert_eq!(
        policy["spec"],
        json!({"failurePolicy": "Fail", "matchConstraints": {
            "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
            "resourceRules": [{"scope": "*"}]}})
    );
}

#[test]
fn validating_policies() {
    for (change, said) in [
        (json!({}), vec![]),
        (
            json!({"variables": [{"name": "a", "expression": "1"}], "validations": [{"expression": "variables.a == 1"}]}),
            vec![],
        ),
        (
            json!({"validations": [{"expression": "params.a", "messageExpression": "authorizer", "message": "a\nb", "reason": "x"}]}),
            vec![
                "spec.validations[0].expression: Invalid value: \"params.a\": compilation failed: ERROR: <input>:1:1: \
                 undeclared reference to 'params' (in container '')\n | params.a\n | ^",
                "spec.validations[0].messageExpression: Invalid value: \"authorizer\": compilation failed: ERROR: \
                 <input>:1:1: undeclared reference to 'authorizer' (in container '')\n | authorizer\n | ^",
                "spec.validations[0].message: Invalid value: \"a\\nb\": must not contain line breaks",
                "spec.validations[0].reason: Unsupported value: \"x\": supported values: \"Forbidden\", \"Invalid\", \
                 \"RequestEntityTooLarge\"",
            ],
        ),
        (
            json!({"validations": []}),
            vec![
                "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
                "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
            ],
        ),
        (
            json!({"paramKind": {"apiVersion": "a/b/c", "kind": "X Y"}}),
            vec![
                "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                "spec.paramKind.kind: Invalid value: \"X Y\": may have mixed case, but should otherwise match: a DNS-1035 label \
                 must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an \
                 alphanumeric character (e.g. 'my-name', or 'abc-123', regex used for validation is \
                 '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
        (
            json!({"auditAnnotations": [{"key": "a", "valueExpression": "1"}, {"key": "a", "valueExpression": "'x'"}]}),
            vec![
                "spec.auditAnnotations[0].valueExpression: Invalid value: \"1\": must evaluate to one of [string null_type] but \
                 got int",
                "spec.auditAnnotations[1].key: Duplicate value: \"a\"",
            ],
        ),
        (
            json!({"variables": [{"name": "if", "expression": "variables.x"}]}),
            vec![
                "spec.variables[0].name: Invalid value: \"if\": must be a valid CEL identifier",
                "spec.variables[0].expression: Invalid value: \"variables.x\": compilation failed: ERROR: <input>:1:10: \
                 undefined field 'x'\n | variables.x\n | .........^",
            ],
        ),
        (
            json!({"matchConditions": [{"name": "a b", "expression": "object"}, {"name": "c"}, {"name": "c", "expression": "true"}]}),
            vec![
                "spec.matchConditions[0].expression: Invalid value: \"object\": must evaluate to bool but got dyn",
                "spec.matchConditions[0].name: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', \
                 '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', or 'my.name', or \
                 '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
                "spec.matchConditions[1].expression: Required value",
                "spec.matchConditions[2].name: Duplicate value: \"c\"",
            ],
        ),
    ] {
        assert_eq!(complaints(&VALIDATING, &policy(&VALIDATING, &change)), said, "{change}");
    }
}

#[test]
fn rules_say_nothing_twice() {
    let rule = |rule: Value| policy(&VALIDATING, &json!({"matchConstraints": {"resourceRules": [rule]}}));
    let said = complaints(
        &VALIDATING,
        &rule(json!({
            "operations": ["*", "CREATE", "X"], "apiGroups": ["*", "a"], "apiVersions": [""],
            "resources": ["pods/*", "pods/status", "*/scale", "a/scale", "", "*", "b"], "resourceNames": ["a", "a", "b/c"],
        })),
    );
    let path = "spec.matchConstraints.resourceRules[0]";
    assert_eq!(
        said,
        [
            format!("{path}.resourceNames[1]: Duplicate value: \"a\""),
            format!("{path}.resourceNames[2]: Invalid value: \"b/c\": may not contain '/'"),
            format!(
                "{path}.operations: Invalid value: [\"*\",\"CREATE\",\"X\"]: if '*' is present, must not specify other operations"
            ),
            format!(
                "{path}.operations[2]: Unsupported value: \"X\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \
                 \"UPDATE\""
            ),
            format!(
                "{path}.apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other API groups"
            ),
            format!("{path}.apiVersions[0]: Required value"),
            format!(
                "{path}.resources[1]: Invalid value: \"pods/status\": if 'pods/*' is present, must not specify pods/status"
            ),
            format!(
                "{path}.resources[3]: Invalid value: \"a/scale\": if '*/scale' is present, must not specify a/scale"
            ),
            format!("{path}.resources[4]: Required value"),
            format!(
                "{path}.resources: Invalid value: [\"pods/*\",\"pods/status\",\"*/scale\",\"a/scale\",\"\",\"*\",\"b\"]: if '*' \
                 is present, must not specify other resources without subresources"
            ),
        ]
    );
}

#[test]
fn conditions_that_were_accepted_stay_so() {
    let wrong = policy(&VALIDATING, &json!({"matchConditions": [{"name": "a", "expression": "object"}]}));
    let mut causes = Causes::default();
    let mut other = wrong.clone();
    other.set(&["spec", "failurePolicy"], "Ignore");
    VALIDATING.validate_update(&wrong, &other, &mut causes);
    assert!(causes.is_empty(), "{causes:?}");
    VALIDATING.validate_update(&wrong, &policy(&VALIDATING, &json!({})), &mut causes);
    assert_eq!(causes.0.len(), 1);
}

#[test]
fn mutating_policies() {
    for (change, said) in [
        (json!({}), vec![]),
        (
            json!({"mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.spec{}}"}}]}),
            vec![],
        ),
        (
            json!({"mutations": [
                {"patchType": "JSONPatch", "applyConfiguration": {"expression": "Object{}"}}, {}, {"patchType": "X"},
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": " 1"}}], "reinvocationPolicy": ""}),
            vec![
                "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
                "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified when \
                 patchType is JSONPatch",
                "spec.mutations[1].patchType: Required value",
                "spec.mutations[2].patchType: Unsupported value: \"X\": supported values: \"ApplyConfiguration\", \"JSONPatch\"",
                "spec.mutations[3].applyConfiguration.expression: Invalid value: \"1\": must evaluate to Object but got int",
                "spec.reinvocationPolicy: Required value",
            ],
        ),
    ] {
        assert_eq!(complaints(&MUTATING, &policy(&MUTATING, &change)), said, "{change}");
    }
    let mut deletes = policy(&MUTATING, &json!({}));
    deletes["spec"]["matchConstraints"]["resourceRules"][0]["operations"] = json!(["DELETE"]);
    assert_eq!(
        complaints(&MUTATING, &deletes),
        [
            "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \
          \"CREATE\", \"UPDATE\""
        ]
    );
}

#[test]
fn bindings() {
    let binding = |spec: Value| json!({"metadata": {"name": "b"}, "spec": spec});
    let validating = PolicyBinding { mutating: false };
    assert_eq!(
        complaints(&validating, &binding(json!({"validationActions": ["Deny", "Warn", "Deny", "X"], "paramRef": {}}))),
        [
            "spec.policyName: Required value",
            "spec.paramRef: Required value: one of name or selector must be specified",
            "spec.paramRef.parameterNotFoundAction: Required value",
            "spec.validationActions[2]: Duplicate value: \"Deny\"",
            "spec.validationActions[3]: Unsupported value: \"X\": supported values: \"Audit\", \"Deny\", \"Warn\"",
            "spec.validationActions: Invalid value: [\"Deny\",\"Warn\",\"Deny\",\"X\"]: must not contain both Deny and Warn \
             (repeating the same validation failure information in the API response and headers serves no purpose)",
        ]
    );
    let both = json!({"name": "a", "selector": {}, "parameterNotFoundAction": "Allow"});
    assert_eq!(
        complaints(&PolicyBinding { mutating: true }, &binding(json!({"policyName": "p", "paramRef": both}))),
        [
            "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
            "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
        ]
    );
}
