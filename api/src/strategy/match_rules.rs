//! What webhooks and admission policies are meant for: rules, selectors and conditions, which both spell alike.

use std::collections::BTreeSet;

use super::path::Path;
use super::{field, fill, labels};
use crate::cel::admission::{Compiler, Mistake, Offers, Wanted};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

pub(super) const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
pub(super) const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];
/// The most matchConditions of one webhook or policy.
const CONDITIONS: usize = 64;

/// What is matched by default: the same objects in every version, everywhere.
pub(super) fn default_matching(of: &mut Value) {
    fill::text(of, "matchPolicy", "Equivalent");
    fill::map(of, "namespaceSelector");
    fill::map(of, "objectSelector");
}

/// The same of rules.
pub(super) fn default_rules(of: &mut Value, key: &str) {
    for rule in fill::each(of, key) {
        fill::value(rule, "scope", || "*".into());
    }
}

/// matchConstraints of a policy, matchResources of a binding.
pub(super) fn resources(of: &Value, path: &Path<'_>, causes: &mut Causes) {
    required_choice(of, "matchPolicy", path, MATCH_POLICIES, causes);
    for selector in ["namespaceSelector", "objectSelector"] {
        match field::is_set(of, selector) {
            true => labels::selector(of, selector, path, causes),
            false => causes.required(path.child(selector), ""),
        }
    }
    for key in ["resourceRules", "excludeResourceRules"] {
        let list = path.child(key);
        for (at, rule) in field::list(of, key).iter().enumerate() {
            named_rule(rule, &list.index(at), causes);
        }
    }
}

/// A text of a closed set that is a pointer in Go: empty is wrong, missing is missing.
pub(super) fn required_choice(object: &Value, key: &str, path: &Path<'_>, choices: &[&str], causes: &mut Causes) {
    match field::is_set(object, key) {
        true => field::choice(object, key, path, choices, causes),
        false => causes.required(path.child(key), ""),
    }
}

fn named_rule(rule: &Value, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("resourceNames");
    let mut seen = BTreeSet::new();
    for (at, name) in field::list(rule, "resourceNames").iter().filter_map(Value::as_str).enumerate() {
        field::complain(names::is_path_segment_name(name), name, list.index(at), causes);
        if !seen.insert(name) {
            causes.duplicate(list.index(at), &name.into());
        }
    }
    self::rule(rule, path, causes);
}

/// `rules[i]` of a webhook, `resourceRules[i]` of a policy.
pub(super) fn rule(rule: &Value, path: &Path<'_>, causes: &mut Causes) {
    const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    let operations = field::list(rule, "operations");
    let list = path.child("operations");
    only_wildcard(rule, "operations", "operations", path, causes);
    for (at, operation) in operations.iter().enumerate() {
        if !OPERATIONS.contains(&operation.as_str().unwrap_or_default()) {
            causes.not_supported(list.index(at), operation, OPERATIONS);
        }
    }
    // The core group is the empty one.
    only_wildcard(rule, "apiGroups", "API groups", path, causes);
    only_wildcard(rule, "apiVersions", "API versions", path, causes);
    for (at, _) in field::list(rule, "apiVersions").iter().enumerate().filter(|(_, version)| *version == "") {
        causes.required(path.child("apiVersions").index(at), "");
    }
    rule_resources(rule, &path.child("resources"), causes);
    field::optional_choice(rule, "scope", path, &["*", "Cluster", "Namespaced"], causes);
}

/// A list that is not empty, and in which `*` stands alone.
fn only_wildcard(rule: &Value, key: &str, what: &str, path: &Path<'_>, causes: &mut Causes) {
    let values = field::list(rule, key);
    if values.is_empty() {
        causes.required(path.child(key), "");
    }
    if values.len() > 1 && values.iter().any(|value| value == "*") {
        let words = format!("if '*' is present, must not specify other {what}");
        causes.invalid(path.child(key), field::get(rule, key), &words);
    }
}

/// `pods`, `pods/*`, `*/scale`, `*/*`: nothing may be said twice.
fn rule_resources(rule: &Value, list: &Path<'_>, causes: &mut Causes) {
    let resources = field::list(rule, "resources");
    if resources.is_empty() {
        causes.required(list, "");
    }
    let (mut whole, mut everywhere) = (BTreeSet::new(), BTreeSet::new());
    let mut alone = false;
    for (at, resource) in resources.iter().enumerate() {
        let text = resource.as_str().unwrap_or_default();
        if text.is_empty() {
            causes.required(list.index(at), "");
            continue;
        }
        let Some((of, sub)) = text.split_once('/') else {
            alone = text != "*";
            continue;
        };
        if whole.contains(of) {
            let words = format!("if '{of}/*' is present, must not specify {text}");
            causes.invalid(list.index(at), resource, &words);
        }
        if everywhere.contains(sub) {
            let words = format!("if '*/{sub}' is present, must not specify {text}");
            causes.invalid(list.index(at), resource, &words);
        }
        if sub == "*" {
            whole.insert(of);
        }
        if of == "*" {
            everywhere.insert(sub);
        }
    }
    let has = |wild: &str| resources.iter().any(|resource| resource == wild);
    if resources.len() > 1 && has("*/*") {
        causes.invalid(list, field::get(rule, "resources"), "if '*/*' is present, must not specify other resources");
    }
    if has("*") && alone {
        let words = "if '*' is present, must not specify other resources without subresources";
        causes.invalid(list, field::get(rule, "resources"), words);
    }
}

/// matchConditions of a webhook or policy.
pub(super) fn conditions(of: &Value, params: bool, path: &Path<'_>, causes: &mut Causes) {
    let list = path.child("matchConditions");
    let conditions = field::list(of, "matchConditions");
    if conditions.len() > CONDITIONS {
        causes.too_many(list, conditions.len() as u64, CONDITIONS as u64);
    }
    let offers = Offers { params, authorizer: true, patches: false };
    let mut seen = BTreeSet::new();
    for (at, condition) in conditions.iter().enumerate() {
        let path = list.index(at);
        match field::text(condition, "expression").trim() {
            "" => causes.required(path.child("expression"), ""),
            expression => {
                let compiled = Compiler::plain().compile(expression, offers, Wanted::Bool);
                self::compiled(compiled, expression, path.child("expression"), causes);
            }
        }
        match field::text(condition, "name") {
            "" => causes.required(path.child("name"), ""),
            name => {
                field::qualified_name(name, path.child("name"), causes);
                if !seen.insert(name) {
                    causes.duplicate(path.child("name"), &name.into());
                }
            }
        }
    }
}

/// Complains about an expression that does not compile.
pub(super) fn compiled<T>(result: Result<T, Mistake>, expression: &str, path: Path<'_>, causes: &mut Causes) {
    match result {
        Ok(_) => {}
        Err(Mistake::Invalid(words)) => causes.invalid(path, &expression.into(), &words),
        Err(Mistake::Internal(words)) => causes.internal(path, &words),
    }
}
