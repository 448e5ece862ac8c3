//! Policies and bindings as they are compiled: a policy outlives changes of others and of its bindings.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::cel::admission::{Compiler, Offers, Wanted};
use api::document::Document;
use api::status::Reason;
use api::{Object, Value, Version};
use smol_str::SmolStr;

use super::Policies;
use super::params::{ParamKind, ParamRef};
use crate::reviews::{Conditions, Expression, Matching, Phase, Variables};

/// A policy with its bindings, by their names.
pub(crate) struct Bound {
    pub(crate) policy: Arc<Policy>,
    pub(super) bindings: Vec<Binding>,
}

/// One policy.
pub(crate) struct Policy {
    version: Version,
    pub(crate) name: SmolStr,
    pub(crate) matching: Matching,
    /// failurePolicy is Ignore.
    pub(super) ignores_failure: bool,
    pub(super) param_kind: Option<ParamKind>,
    pub(super) conditions: Conditions,
    pub(super) variables: Variables,
    pub(super) does: Does,
    /// Whether any expression asks what users may do.
    pub(crate) asks: bool,
}

/// What a policy does.
pub(super) enum Does {
    Validates { validations: Vec<Validation>, annotations: Vec<Annotation> },
    Mutates { mutations: Vec<Mutation>, reinvoked: bool },
}

impl Does {
    fn asks(&self) -> bool {
        match self {
            Self::Validates { validations, annotations } => {
                validations.iter().any(|validation| validation.expression.asks())
                    || annotations.iter().any(|annotation| annotation.value.asks())
            }
            Self::Mutates { mutations, .. } => mutations.iter().any(|mutation| mutation.expression.asks()),
        }
    }
}

/// `validations[i]`
pub(super) struct Validation {
    pub(super) expression: Expression,
    pub(super) message_expression: Option<Expression>,
    /// As it is written, or the expression.
    pub(super) message: String,
    pub(super) reason: Reason,
}

/// `auditAnnotations[i]`
pub(super) struct Annotation {
    pub(super) key: String,
    pub(super) value: Expression,
}

/// `mutations[i]`
pub(super) struct Mutation {
    pub(super) expression: Expression,
    pub(super) is_json_patch: bool,
}

/// One binding.
pub(super) struct Binding {
    pub(super) name: SmolStr,
    /// Nothing: all that its policy matches.
    pub(super) matching: Option<Matching>,
    pub(super) param_ref: Option<ParamRef>,
    pub(super) actions: Actions,
}

/// validationActions
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Actions {
    pub(super) deny: bool,
    pub(super) warn: bool,
    pub(super) audit: bool,
}

impl Actions {
    pub(super) fn names(self) -> Vec<&'static str> {
        let all = [(self.deny, "Deny"), (self.warn, "Warn"), (self.audit, "Audit")];
        all.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect()
    }
}

/// All policies of a phase that are bound, by their names.
pub(super) fn compile(policies: &[Arc<Object>], bindings: &[Arc<Object>], phase: Phase, before: &Policies) -> Policies {
    let mut of_policy: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
    for (policy, binding) in bindings.iter().map(|object| Binding::read(object)) {
        of_policy.entry(policy).or_default().push(binding);
    }
    let mut made = Vec::new();
    for object in policies {
        let Some(bindings) = of_policy.remove(object.name.as_str()) else { continue };
        let mut known = before.iter().map(|bound| &bound.policy);
        let known = known.find(|known| known.name == object.name && known.version == object.version);
        let policy = known.cloned().unwrap_or_else(|| Arc::new(Policy::read(object, phase)));
        made.push(Bound { policy, bindings });
    }
    made.into()
}

impl Policy {
    fn read(object: &Object, phase: Phase) -> Self {
        let document = object.document();
        let spec = document.at(&["spec"]);
        let param_kind = ParamKind::read(spec.at(&["paramKind"]));
        let offers = Offers { params: param_kind.is_some(), authorizer: true, patches: false };
        let mut compiler = Compiler::composed();
        let mut variables = Variables::new();
        for variable in spec.list(&["variables"]) {
            let (name, expression) = (variable.text(&["name"]), variable.text(&["expression"]));
            variables.push((name.into(), Expression::compile_variable(&mut compiler, name, expression, offers)));
        }
        let does = match phase {
            Phase::Validating => validates(spec, &compiler, offers),
            Phase::Mutating => mutates(spec, &compiler, offers),
        };
        let conditions = Conditions::read(spec, &compiler, param_kind.is_some());
        let asks = conditions.ask() || variables.iter().any(|(_, variable)| variable.asks()) || does.asks();
        Self {
            version: object.version,
            name: object.name.clone(),
            matching: Matching::of_resources(spec.at(&["matchConstraints"])),
            ignores_failure: spec.text(&["failurePolicy"]) == "Ignore",
            conditions,
            param_kind,
            variables,
            does,
            asks,
        }
    }
}

fn validates(spec: &Value, compiler: &Compiler, offers: Offers) -> Does {
    let validation = |validation: &Value| {
        let text = validation.text(&["expression"]);
        let message = match validation.text(&["message"]).trim() {
            "" => format!("failed expression: {}", text.trim()),
            message => message.to_owned(),
        };
        let of_message = Some(validation.text(&["messageExpression"])).filter(|text| !text.is_empty());
        // A message says nothing about what its reader may do.
        let offers_of_message = Offers { authorizer: false, ..offers };
        Validation {
            expression: Expression::compile(compiler, text, offers, Wanted::Bool),
            message_expression: of_message
                .map(|text| Expression::compile(compiler, text, offers_of_message, Wanted::Text)),
            message,
            reason: match validation.text(&["reason"]) {
                "Forbidden" => Reason::Forbidden,
                "Unauthorized" => Reason::Unauthorized,
                "RequestEntityTooLarge" => Reason::RequestEntityTooLarge,
                _ => Reason::Invalid,
            },
        }
    };
    let annotation = |annotation: &Value| Annotation {
        key: annotation.text(&["key"]).to_owned(),
        value: Expression::compile(compiler, annotation.text(&["valueExpression"]), offers, Wanted::TextOrNull),
    };
    Does::Validates {
        validations: spec.list(&["validations"]).iter().map(validation).collect(),
        annotations: spec.list(&["auditAnnotations"]).iter().map(annotation).collect(),
    }
}

fn mutates(spec: &Value, compiler: &Compiler, offers: Offers) -> Does {
    let offers = Offers { patches: true, ..offers };
    let mutation = |mutation: &Value| {
        let is_json_patch = mutation.text(&["patchType"]) == "JSONPatch";
        let (key, wanted) =
            if is_json_patch { ("jsonPatch", Wanted::JsonPatch) } else { ("applyConfiguration", Wanted::Object) };
        let text = mutation.text(&[key, "expression"]);
        Mutation { expression: Expression::compile(compiler, text, offers, wanted), is_json_patch }
    };
    Does::Mutates {
        mutations: spec.list(&["mutations"]).iter().map(mutation).collect(),
        reinvoked: spec.text(&["reinvocationPolicy"]) == "IfNeeded",
    }
}

impl Binding {
    /// The name of its policy, and what it says.
    fn read(object: &Object) -> (String, Self) {
        let document = object.document();
        let spec = document.at(&["spec"]);
        let resources = Some(spec.at(&["matchResources"])).filter(|resources| !resources.is_null());
        let has = |action: &str| spec.list(&["validationActions"]).iter().any(|other| other == action);
        let binding = Self {
            name: object.name.clone(),
            matching: resources.map(Matching::of_resources),
            param_ref: ParamRef::read(spec.at(&["paramRef"])),
            actions: Actions { deny: has("Deny"), warn: has("Warn"), audit: has("Audit") },
        };
        (spec.text(&["policyName"]).to_owned(), binding)
    }
}
