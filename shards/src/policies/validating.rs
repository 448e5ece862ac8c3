//! Validating policies: every expression has to hold. What follows where one does not is the binding's to say.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use api::cel::admission::BUDGET;
use api::status::Reason;
use api::{Status, Value};
use expressions::Value as Outcome;
use serde_json::json;

use super::configuration::{Annotation, Binding, Bound, Does, Policy, Validation};
use super::metrics::Enforced;
use super::refusal::Denial;
use super::{Policies, Views, namespace_object, params};
use crate::reviews::{Beside, Budget, Facts, SPENT, Spent, Subject};
use crate::verbs::Call;

/// Bytes of a message that an expression makes; a longer one does not count.
const LONGEST_MESSAGE: usize = 5 * 1024;
/// Bytes of an audit annotation's value.
const LONGEST_ANNOTATION: usize = 10 * 1024;

/// What one validation came to.
enum Decision {
    Admit,
    Deny { reason: Reason, message: String },
}

/// Holds a write against every policy that is meant for it. The first refusal counts; what others warn of is added either way.
pub(crate) fn validate(
    call: Call<'_>,
    policies: &Policies,
    subject: &Subject,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let views = Views::of(call);
    let mut run = Run { call, subject, views, namespace: OnceCell::new(), denial: None, warnings };
    for bound in policies.iter() {
        run.policy(bound)?;
    }
    run.denial.map_or(Ok(()), |denial| Err(denial.status(call)))
}

struct Run<'a> {
    call: Call<'a>,
    subject: &'a Subject,
    views: Views<'a>,
    namespace: OnceCell<Option<Value>>,
    denial: Option<Denial>,
    warnings: &'a mut Vec<String>,
}

impl Run<'_> {
    fn policy(&mut self, bound: &Bound) -> Result<(), Status> {
        let policy = &*bound.policy;
        let Some(at) = policy.matching.matches(self.call, self.subject) else { return Ok(()) };
        if let Some(kind) = policy.param_kind.as_ref().filter(|kind| kind.resolve(self.call).is_none()) {
            self.misconfigured(policy, None, &format!("failed to configure policy: {}", kind.unknown()));
            return Ok(());
        }
        let mut annotations = BTreeMap::new();
        for binding in &bound.bindings {
            if binding.matching.as_ref().is_some_and(|it| it.matches(self.call, self.subject).is_none()) {
                continue;
            }
            let params = match params::collect(self.call, policy.param_kind.as_ref(), binding.param_ref.as_ref()) {
                Ok(params) => params,
                Err(why) => {
                    self.misconfigured(policy, Some(binding), &format!("failed to configure binding: {why}"));
                    continue;
                }
            };
            for params in &params {
                self.pair(policy, at, binding, params.as_ref(), &mut annotations)?;
            }
        }
        publish(policy, annotations);
        Ok(())
    }

    fn misconfigured(&mut self, policy: &Policy, binding: Option<&Binding>, why: &str) {
        if !policy.ignores_failure {
            self.deny(policy, binding, Reason::Invalid, why);
        }
    }

    fn deny(&mut self, policy: &Policy, binding: Option<&Binding>, reason: Reason, why: &str) {
        self.denial.get_or_insert_with(|| Denial::new(policy, binding, reason, why));
    }

    /// One binding with one parameter.
    fn pair(
        &mut self,
        policy: &Policy,
        at: usize,
        binding: &Binding,
        params: Option<&Value>,
        annotations: &mut BTreeMap<String, Vec<String>>,
    ) -> Result<(), Status> {
        if self.namespace.get().is_none() {
            let namespace = namespace_object(self.call, self.subject)?;
            self.namespace.get_or_init(|| namespace);
        }
        let variables = policy.variables.as_slice();
        if !policy.conditions.is_empty() {
            let facts = self.views.facts(self.subject, at, self.call.request.served)?;
            match policy.conditions.hold(&facts.bindings(Beside { namespace: None, params, variables })) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(why) => {
                    self.enforce(policy, binding, 0, &denied(why));
                    return Ok(());
                }
            }
        }
        let facts = self.views.facts(self.subject, at, at)?;
        let namespace = self.namespace.get().and_then(Option::as_ref);
        let beside = Beside { namespace, params, variables };
        let Does::Validates { validations, annotations: wanted } = &policy.does else { return Ok(()) };
        let mut decisions = judge(policy, validations, &facts, beside);
        let mut wrong = Vec::new();
        match annotate(policy, wanted, &facts, beside, annotations) {
            Ok(said) => wrong = said,
            Err(Spent) => decisions = vec![mistaken(policy, SPENT.to_owned())],
        }
        for (index, decision) in decisions.iter().enumerate() {
            self.enforce(policy, binding, index, decision);
        }
        for why in wrong {
            self.deny(policy, Some(binding), Reason::Invalid, &why);
            self.count(policy, binding, Enforced::Deny, &why);
        }
        Ok(())
    }

    fn count(&self, policy: &Policy, binding: &Binding, enforced: Enforced, message: &str) {
        let metrics = self.call.shard.committer.metrics.policies();
        metrics.validated(&policy.name, &binding.name, enforced, message);
    }

    /// Does what the binding says about a validation that failed.
    fn enforce(&mut self, policy: &Policy, binding: &Binding, index: usize, decision: &Decision) {
        let Decision::Deny { reason, message } = decision else { return };
        if binding.actions.deny {
            self.deny(policy, Some(binding), *reason, message);
            self.count(policy, binding, Enforced::Deny, message);
        }
        if binding.actions.audit {
            let failure = json!([{
                "message": message, "policy": policy.name, "binding": binding.name, "expressionIndex": index,
                "validationActions": binding.actions.names(),
            }]);
            tracing::debug!(policy = %policy.name, %failure, "audit: validation.policy.admission.k8s.io/validation_failure");
            self.count(policy, binding, Enforced::Audit, message);
        }
        if binding.actions.warn {
            self.warnings.push(format!(
                "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {message}",
                policy.name, binding.name
            ));
            self.count(policy, binding, Enforced::Warn, message);
        }
    }
}

fn denied(message: String) -> Decision {
    Decision::Deny { reason: Reason::Invalid, message }
}

/// What a mistake of an expression means.
fn mistaken(policy: &Policy, message: String) -> Decision {
    if policy.ignores_failure { Decision::Admit } else { denied(message) }
}

/// What the validations come to.
fn judge(policy: &Policy, validations: &[Validation], facts: &Facts, beside: Beside<'_>) -> Vec<Decision> {
    let bindings = facts.bindings(beside);
    let mut budget = Budget::new(BUDGET);
    let mut values = Vec::with_capacity(validations.len());
    for validation in validations {
        match budget.run(&validation.expression, &bindings) {
            Ok(value) => values.push(value.map(|value| matches!(value, Outcome::Bool(true)))),
            Err(Spent) => return vec![mistaken(policy, SPENT.to_owned())],
        }
    }
    let messages = match values.contains(&Ok(false)) {
        // Nobody asks for them otherwise.
        false => Ok(Vec::new()),
        true => messages(validations, facts, beside, budget),
    };
    let decide = |(at, (value, validation)): (usize, (Result<bool, String>, &Validation))| match (value, &messages) {
        (Err(why), _) => mistaken(policy, why),
        (Ok(_), Err(Spent)) => mistaken(policy, format!("failed messageExpression: {SPENT}")),
        (Ok(true), _) => Decision::Admit,
        (Ok(false), Ok(messages)) => {
            let message = messages.get(at).cloned().flatten().unwrap_or_else(|| validation.message.clone());
            Decision::Deny { reason: validation.reason, message }
        }
    };
    values.into_iter().zip(validations).enumerate().map(decide).collect()
}

/// The messages that expressions make, where they make one that can be shown.
fn messages(
    validations: &[Validation],
    facts: &Facts,
    beside: Beside<'_>,
    mut budget: Budget,
) -> Result<Vec<Option<String>>, Spent> {
    let bindings = facts.bindings(beside);
    let mut messages = Vec::with_capacity(validations.len());
    for validation in validations {
        let Some(expression) = &validation.message_expression else {
            messages.push(None);
            continue;
        };
        let message = match budget.run(expression, &bindings)? {
            Ok(Outcome::String(text)) => {
                let text = text.as_str().trim();
                let shows = !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n');
                shows.then(|| text.to_owned())
            }
            _ => None,
        };
        messages.push(message);
    }
    Ok(messages)
}

/// Works out the audit annotations. Answers what went wrong, where that is not to be ignored.
fn annotate(
    policy: &Policy,
    wanted: &[Annotation],
    facts: &Facts,
    beside: Beside<'_>,
    annotations: &mut BTreeMap<String, Vec<String>>,
) -> Result<Vec<String>, Spent> {
    let mut wrong = Vec::new();
    if wanted.is_empty() {
        return Ok(wrong);
    }
    let bindings = facts.bindings(beside);
    let mut budget = Budget::new(BUDGET);
    for Annotation { key, value } in wanted {
        match budget.run(value, &bindings)? {
            Ok(Outcome::String(text)) => {
                let mut text = text.as_str().trim();
                if text.len() > LONGEST_ANNOTATION {
                    text = &text[..text.floor_char_boundary(LONGEST_ANNOTATION)];
                }
                let values = annotations.entry(key.clone()).or_default();
                if !text.is_empty() && !values.iter().any(|known| known == text) {
                    values.push(text.to_owned());
                }
            }
            Ok(_) => {}
            Err(why) if !policy.ignores_failure => wrong.push(why),
            Err(_) => {}
        }
    }
    Ok(wrong)
}

/// There is no audit log yet that they could go to.
fn publish(policy: &Policy, annotations: BTreeMap<String, Vec<String>>) {
    for (key, values) in annotations.into_iter().filter(|(_, values)| !values.is_empty()) {
        tracing::debug!(policy = %policy.name, key, value = values.join(", "), "audit annotation");
    }
}
