//! Whether the expressions of a validating policy fit the types of the objects that it is meant for. What does not is a warning
//! in the policy's status, and changes nothing about what it does.

use std::collections::BTreeSet;
use std::sync::Arc;

use expressions::{Declared, Environment, Issues, Type};

use super::{AUTHORIZER, Compiler, known_type, types};
use crate::cel;
use crate::document::{Document, Value};
use crate::registry::Registry;
use crate::resource::{Resource, Served};

/// The most kinds that one rule is checked against.
const KINDS: usize = 10;

/// Group, version and kind.
type Kind = (String, String, String);

/// What `status.typeChecking.expressionWarnings` says about a policy: fields and warnings.
pub fn type_check(policy: &Value, registry: &Registry, cluster: &str) -> Vec<(String, String)> {
    let spec = policy.at(&["spec"]);
    let kinds: Vec<(Kind, Arc<Declared>)> =
        kinds(spec, registry, cluster).into_iter().filter_map(|kind| declared(kind, registry, cluster)).collect();
    let params = params(spec, registry, cluster);
    let mut warnings = Vec::new();
    for (at, validation) in spec.list(&["validations"]).iter().enumerate() {
        for key in ["expression", "messageExpression"] {
            let expression = validation.text(&[key]);
            let said: Vec<String> = kinds
                .iter()
                .filter(|_| !expression.is_empty())
                .filter_map(|(kind, of)| Some(shown(kind, &check(spec, expression, of, &params).err()?)))
                .collect();
            if !said.is_empty() {
                warnings.push((format!("spec.validations[{at}].{key}"), said.join("\n")));
            }
        }
    }
    warnings
}

fn shown((group, version, kind): &Kind, issues: &Issues) -> String {
    format!("{group}/{version}, Kind={kind}: {issues}\n")
}

/// The kinds of the resources that rules name without wildcards, in their order.
fn kinds(spec: &Value, registry: &Registry, cluster: &str) -> BTreeSet<Kind> {
    let mut kinds = BTreeSet::new();
    let all = registry.all(cluster);
    for rule in spec.list(&["matchConstraints", "resourceRules"]) {
        let texts = |key| rule.list(&[key]).iter().filter_map(Value::as_str).collect::<BTreeSet<_>>();
        let (groups, versions, resources) = (texts("apiGroups"), texts("apiVersions"), texts("resources"));
        if groups.iter().chain(&versions).any(|text| text.contains('*')) {
            continue;
        }
        let named =
            |resource: &Resource| resources.contains(&*resource.plural) || resources.contains(&*resource.singular);
        // An empty group is any, as for the reference's mapper of names.
        let wanted = |served: &Served| {
            let of_group = groups.contains("") || groups.contains(&*served.group);
            served.is_public() && of_group && versions.contains(&*served.version)
        };
        let of_rule = all.iter().filter(|resource| named(resource)).flat_map(|resource| {
            let kind =
                |served: &Served| (served.group.to_string(), served.version.to_string(), resource.kind.to_string());
            resource.served.iter().filter(|served| wanted(served)).map(kind)
        });
        kinds.extend(of_rule.take(KINDS));
    }
    kinds
}

fn declared(kind: Kind, registry: &Registry, cluster: &str) -> Option<(Kind, Arc<Declared>)> {
    let (resource, at) = registry.of_kind(cluster, &kind.0, &kind.1, &kind.2)?;
    let of = cel::declare(resource.shape(&resource.served[at]), &kind.2);
    Some((kind, of))
}

/// `None`: there are no parameters; `Some(None)`: nobody knows of which type they are.
fn params(spec: &Value, registry: &Registry, cluster: &str) -> Option<Option<Arc<Declared>>> {
    let kind = spec.at(&["paramKind"]);
    if kind.is_null() {
        return None;
    }
    let api_version = kind.text(&["apiVersion"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = (group.to_owned(), version.to_owned(), kind.text(&["kind"]).to_owned());
    Some(declared(kind, registry, cluster).map(|(_, of)| of))
}

fn check(
    spec: &Value,
    expression: &str,
    object: &Arc<Declared>,
    params: &Option<Option<Arc<Declared>>>,
) -> Result<Type, Issues> {
    let mut environment = cel::environment()
        .with([expressions::authorization()])
        .document("namespaceObject", types::namespace())
        .document("request", types::request())
        .document("object", object)
        .document("oldObject", object)
        .variable("authorizer", Type::object(AUTHORIZER));
    environment = match params {
        None => environment,
        Some(None) => environment.variable("params", Type::Dyn),
        Some(Some(of)) => environment.document("params", of),
    };
    composed(spec, &environment).check(expression)
}

/// The same with the variables that the policy has. One that is wrong may be anything.
fn composed(spec: &Value, environment: &Environment) -> Environment {
    let mut compiler = Compiler::composed();
    for variable in spec.list(&["variables"]) {
        let of = compiler.extended(environment.clone()).check(variable.text(&["expression"]));
        let of = of.map_or(Type::Dyn, |of| known_type(&of));
        compiler.variables.get_or_insert_default().insert(variable.text(&["name"]).into(), of);
    }
    compiler.extended(environment.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::builtin::{RuntimeConfig, registry};

    #[test]
    fn expressions_are_held_against_the_types_of_what_they_match() {
        let registry = registry(&RuntimeConfig::default());
        let policy = |rule: Value, validations: Value| {
            json!({"spec": {
                "matchConstraints": {"resourceRules": [rule]}, "validations": validations,
                "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                "variables": [{"name": "replicas", "expression": "object.spec.replicas"}],
            }})
        };
        let check = |rule: Value, validations: Value| type_check(&policy(rule, validations), &registry, "default");
        let deployments = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]});
        let right = json!([{
            "expression": "object.spec.replicas > 1 && params.data['a'] == 'b' && variables.replicas < 3 && \
                           object.spec.template.spec.containers.all(c, quantity(c.resources.limits['cpu']).isLessThan(quantity('1'))) \
                           && object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z')",
            "messageExpression": "'replicas: ' + string(object.spec.replicas)",
        }]);
        assert_eq!(check(deployments.clone(), right), []);
        let wrong = json!([
            {"expression": "object.spec.replicas == 'x'", "messageExpression": "object.nothing"}, {"expression": "true"},
        ]);
        let said = check(deployments, wrong.clone());
        assert_eq!(said[0].0, "spec.validations[0].expression");
        assert!(
            said[0].1.starts_with(
                "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_==_' applied to '(int, string)'"
            ) && said[0].1.ends_with("^\n"),
            "{}",
            said[0].1
        );
        assert_eq!(said[1].0, "spec.validations[0].messageExpression");
        assert_eq!(said.len(), 2);
        let all = json!({"apiGroups": ["*"], "apiVersions": ["v1"], "resources": ["deployments"]});
        assert_eq!(check(all, wrong), [], "what anything may be is not checked");
    }
}
