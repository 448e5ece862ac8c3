//! Admission policies and their bindings. What their expressions may say is in `policy_expressions`.

use super::match_rules::{self, FAILURE_POLICIES, REINVOCATION_POLICIES};
use super::path::Path;
use super::policy_expressions::Expressions;
use super::{Strategy, field, fill, labels};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// What a mutating policy may be meant for: there is nothing to change about a deletion.
const MUTATING_OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];

/// ValidatingAdmissionPolicy or MutatingAdmissionPolicy.
pub(super) struct Policy {
    pub(super) mutating: bool,
}

impl Strategy for Policy {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        fill::text(spec, "failurePolicy", "Fail");
        if let Some(constraints) = fill::field(spec, "matchConstraints") {
            match_resources(constraints);
        }
    }

    fn validate_create(&self, object: &Value, causes: &mut Causes) {
        self.check(object, true, causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        // What was accepted once stays accepted.
        let (new, old) = (field::get(object, "spec"), field::get(old, "spec"));
        if !field::same(new, old) {
            let is_same = |key| field::same(field::get(new, key), field::get(old, key));
            self.check(object, !is_same("paramKind") || !is_same("matchConditions"), causes);
        }
    }

    fn validate_status(&self, object: &Value, _: &Value, causes: &mut Causes) {
        let checking = field::get(field::get(object, "status"), "typeChecking");
        let list = Path::new("status.typeChecking.expressionWarnings");
        for (at, warning) in field::list(checking, "expressionWarnings").iter().enumerate() {
            let path = list.index(at);
            field::required_text(warning, "warning", &path, causes);
            if field::text(warning, "fieldRef").trim().is_empty() {
                causes.required(path.child("fieldRef"), "");
            }
        }
    }
}

impl Policy {
    fn check(&self, object: &Value, conditions: bool, causes: &mut Causes) {
        let (spec, path) = (field::get(object, "spec"), &Path::new("spec"));
        match_rules::required_choice(spec, "failurePolicy", path, FAILURE_POLICIES, causes);
        let params = field::is_set(spec, "paramKind");
        if params {
            param_kind(field::get(spec, "paramKind"), &path.child("paramKind"), causes);
        }
        self.constraints(spec, path, causes);
        if conditions {
            match_rules::conditions(spec, params, path, causes);
        }
        let mut expressions = Expressions::of(spec, self.mutating);
        expressions.variables(path, causes);
        if self.mutating {
            expressions.mutations(path, causes);
            match field::text(spec, "reinvocationPolicy") {
                "" => causes.required(path.child("reinvocationPolicy"), ""),
                _ => field::choice(spec, "reinvocationPolicy", path, REINVOCATION_POLICIES, causes),
            }
            return;
        }
        let lists = ["validations", "auditAnnotations"];
        if lists.iter().all(|key| field::list(spec, key).is_empty()) {
            let words = "validations or auditAnnotations must contain at least one item";
            lists.iter().for_each(|key| causes.required(path.child(key), words));
            return;
        }
        expressions.validations(path, causes);
        let name = field::text(field::get(object, "metadata"), "name");
        expressions.audit_annotations(name, path, causes);
    }

    fn constraints(&self, spec: &Value, path: &Path<'_>, causes: &mut Causes) {
        let (constraints, path) = (field::get(spec, "matchConstraints"), &path.child("matchConstraints"));
        if constraints.is_null() {
            return causes.required(path, "");
        }
        match_rules::resources(constraints, path, causes);
        // At least one has to say of which type the objects are.
        if field::list(constraints, "resourceRules").is_empty() {
            causes.required(path.child("resourceRules"), "");
        }
        if self.mutating {
            mutable(constraints, path, causes);
        }
    }
}

/// Only what can be changed may be matched.
fn mutable(resources: &Value, path: &Path<'_>, causes: &mut Causes) {
    for rule in field::list(resources, "resourceRules") {
        for operation in field::list(rule, "operations") {
            if !MUTATING_OPERATIONS.contains(&operation.as_str().unwrap_or_default()) {
                causes.not_supported(path.child("resourceRules.operations"), operation, MUTATING_OPERATIONS);
            }
        }
    }
}

fn param_kind(kind: &Value, path: &Path<'_>, causes: &mut Causes) {
    let api_version = field::text(kind, "apiVersion");
    let at = path.child("apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    match api_version {
        "" => causes.required(at, ""),
        _ if version.contains('/') => {
            causes.invalid(at, &api_version.into(), &format!("unexpected GroupVersion string: {api_version}"));
        }
        _ => {
            let wrong = if group.is_empty() { Vec::new() } else { names::is_dns1123_subdomain(group) };
            if !wrong.is_empty() {
                causes.invalid(at, &group.into(), &wrong.join(","));
            }
            let wrong = names::is_dns1035_label(version);
            if version.is_empty() {
                causes.invalid(at, &api_version.into(), "version must be specified");
            } else if !wrong.is_empty() {
                causes.invalid(at, &version.into(), &wrong.join(","));
            }
        }
    }
    let name = field::text(kind, "kind");
    if field::required_text(kind, "kind", path, causes) {
        let wrong = names::is_dns1035_label(&name.to_lowercase());
        if !wrong.is_empty() {
            let words = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
            causes.invalid(path.child("kind"), &name.into(), &words);
        }
    }
}

/// The binding of either.
pub(super) struct PolicyBinding {
    pub(super) mutating: bool,
}

impl Strategy for PolicyBinding {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        if let Some(resources) = fill::field(spec, "matchResources") {
            match_resources(resources);
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let (spec, path) = (field::get(object, "spec"), &Path::new("spec"));
        field::required_name(spec, "policyName", path, causes);
        if field::is_set(spec, "paramRef") {
            param_ref(field::get(spec, "paramRef"), &path.child("paramRef"), causes);
        }
        let resources = field::get(spec, "matchResources");
        if !resources.is_null() {
            let path = &path.child("matchResources");
            match_rules::resources(resources, path, causes);
            if self.mutating {
                mutable(resources, path, causes);
            }
        }
        if !self.mutating {
            actions(spec, &path.child("validationActions"), causes);
        }
    }
}

fn param_ref(of: &Value, path: &Path<'_>, causes: &mut Causes) {
    const BOTH: &str = "name and selector are mutually exclusive";
    let (name, selects) = (field::text(of, "name"), field::is_set(of, "selector"));
    if !name.is_empty() {
        field::complain(names::is_path_segment_name(name), name, path.child("name"), causes);
        if selects {
            causes.forbidden(path.child("name"), BOTH);
        }
    }
    if selects {
        labels::selector(of, "selector", path, causes);
        if !name.is_empty() {
            causes.forbidden(path.child("selector"), BOTH);
        }
    }
    if name.is_empty() && !selects {
        causes.required(path, "one of name or selector must be specified");
    }
    field::required_choice(of, "parameterNotFoundAction", path, &["Deny", "Allow"], causes);
}

fn actions(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let actions = field::list(spec, "validationActions");
    for (at, action) in actions.iter().enumerate() {
        if !["Audit", "Deny", "Warn"].contains(&action.as_str().unwrap_or_default()) {
            causes.not_supported(path.index(at), action, &["Audit", "Deny", "Warn"]);
        }
        if actions[..at].contains(action) {
            causes.duplicate(path.index(at), action);
        }
    }
    let has = |wanted: &str| actions.iter().any(|action| action == wanted);
    if has("Deny") && has("Warn") {
        let words = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                     response and headers serves no purpose)";
        causes.invalid(path, field::get(spec, "validationActions"), words);
    }
    if actions.is_empty() {
        causes.required(path, "at least one validation action is required");
    }
}

fn match_resources(of: &mut Value) {
    match_rules::default_matching(of);
    for key in ["resourceRules", "excludeResourceRules"] {
        match_rules::default_rules(of, key);
    }
}

#[cfg(test)]
mod tests;
