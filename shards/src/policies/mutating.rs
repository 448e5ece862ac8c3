//! Mutating policies: each changes the object by patches that expressions make, one after another. Nobody owns what they change.

use api::cel::admission::{BUDGET, json_patch, object_patch};
use api::document::Document;
use api::{Status, Value, apply, patch};
use expressions::{Limit, Meter};

use super::configuration::{Binding, Does, Mutation, Policy};
use super::refusal::{Failure, of_failures};
use super::{Policies, Views, namespace_object, params};
use crate::reviews::{Again, Beside, Budget, Pass, SPENT, Spent, Subject};
use crate::verbs::Call;

/// One binding with one parameter.
struct Invocation<'p> {
    policy: &'p Policy,
    binding: &'p Binding,
    /// The version in which the policy wants to see the object.
    at: usize,
    params: Option<Value>,
}

impl Invocation<'_> {
    /// What tells it from all others.
    fn key(&self) -> String {
        let params = self.params.as_ref().map_or_else(String::new, |it| format!("{}/{}", it.namespace(), it.name()));
        format!("{}/{}/{params}", self.policy.name, self.binding.name)
    }
}

/// Why a mutation was not made.
enum Wrong {
    /// The failurePolicy decides.
    Failed(String),
    /// The write is refused.
    Refused(Status),
}

impl From<Status> for Wrong {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

/// Has the object changed by every policy that is meant for it. Answers whether any of them had a say.
pub(crate) fn mutate(
    call: Call<'_>,
    policies: &Policies,
    pass: Pass,
    subject: &mut Subject,
    again: &mut Again,
) -> Result<bool, Status> {
    let mut failures = Vec::new();
    let invocations = invocations(call, policies, subject, &mut failures);
    let mut did = false;
    if !invocations.is_empty() {
        again.policies.begin(pass, &subject.document);
        let namespace = namespace_object(call, subject)?;
        let mut run = Run { call, namespace, views: Views::of(call) };
        for invocation in &invocations {
            did |= run.invoke(invocation, pass, subject, again, &mut failures)?;
        }
        if did {
            // The reference shows it to all of them again, whoever it was that changed it.
            again.policies.changed();
            again.need();
        }
        again.policies.end(&subject.document);
    }
    of_failures(call, failures)?;
    Ok(did)
}

/// What is to be run, by what the object is before the first of them.
fn invocations<'p>(
    call: Call<'_>,
    policies: &'p Policies,
    subject: &Subject,
    failures: &mut Vec<Failure>,
) -> Vec<Invocation<'p>> {
    let mut found = Vec::new();
    for bound in policies.iter() {
        let policy = &*bound.policy;
        let Some(at) = policy.matching.matches(call, subject) else { continue };
        let mut misconfigured = |binding: Option<&Binding>, why: String| {
            if !policy.ignores_failure {
                failures.push(Failure::new(policy, binding, false, &why));
            }
        };
        if let Some(kind) = policy.param_kind.as_ref().filter(|kind| kind.resolve(call).is_none()) {
            misconfigured(None, format!("failed to configure policy: {}", kind.unknown()));
            continue;
        }
        for binding in &bound.bindings {
            if binding.matching.as_ref().is_some_and(|matching| matching.matches(call, subject).is_none()) {
                continue;
            }
            match params::collect(call, policy.param_kind.as_ref(), binding.param_ref.as_ref()) {
                Ok(all) => found.extend(all.into_iter().map(|params| Invocation { policy, binding, at, params })),
                Err(why) => misconfigured(Some(binding), format!("failed to configure binding: {why}")),
            }
        }
    }
    found
}

struct Run<'a> {
    call: Call<'a>,
    namespace: Option<Value>,
    views: Views<'a>,
}

impl Run<'_> {
    /// Answers whether a mutation was made.
    fn invoke(
        &mut self,
        invocation: &Invocation<'_>,
        pass: Pass,
        subject: &mut Subject,
        again: &mut Again,
        failures: &mut Vec<Failure>,
    ) -> Result<bool, Status> {
        let Invocation { policy, binding, at, params } = invocation;
        let mut fail = |why: String| {
            if !policy.ignores_failure {
                failures.push(Failure::new(policy, Some(binding), true, &why));
            }
        };
        if !policy.conditions.is_empty() {
            let facts = self.views.facts(subject, *at, self.call.request.served)?;
            let beside = Beside { namespace: None, params: params.as_ref(), variables: &policy.variables };
            match policy.conditions.hold(&facts.bindings(beside)) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) => {
                    fail(why);
                    return Ok(false);
                }
            }
        }
        let key = invocation.key();
        if !again.policies.asks(pass, &key) {
            return Ok(false);
        }
        let Does::Mutates { mutations, reinvoked } = &policy.does else { return Ok(false) };
        let before = subject.document.clone();
        let mut did = false;
        for mutation in mutations.iter().filter(|_| !before.is_null()) {
            let made = self.change(invocation, mutation, subject);
            let metrics = self.call.shard.committer.metrics.policies();
            match made {
                Ok(()) => {
                    did = true;
                    metrics.mutated(&policy.name, &binding.name, "");
                }
                Err(Wrong::Refused(status)) => return Err(status),
                Err(Wrong::Failed(why)) => {
                    metrics.mutated(&policy.name, &binding.name, &why);
                    fail(why);
                }
            }
        }
        if subject.document != before {
            again.policies.changed();
            again.need();
        }
        if *reinvoked {
            again.policies.asked(key);
        }
        Ok(did)
    }

    fn change(&mut self, invocation: &Invocation<'_>, mutation: &Mutation, subject: &mut Subject) -> Result<(), Wrong> {
        let Invocation { policy, at, params, .. } = invocation;
        if let Some(mistake) = mutation.expression.mistake() {
            return Err(Wrong::Failed(mistake.to_string()));
        }
        let facts = self.views.facts(subject, *at, *at)?;
        let (namespace, params) = (self.namespace.as_ref(), params.as_ref());
        let bindings = facts.bindings(Beside { namespace, params, variables: &policy.variables });
        let value = match Budget::new(BUDGET).run(&mutation.expression, &bindings) {
            Ok(value) => value.map_err(Wrong::Failed)?,
            Err(Spent) => return Err(Wrong::Failed(SPENT.to_owned())),
        };
        let mut meter = Meter::new(Limit::per_call());
        let make = if mutation.is_json_patch { json_patch } else { object_patch };
        let made = make(&value, &mut meter).map_err(|failure| Wrong::Failed(failure.to_string()))?;
        let patched = match mutation.is_json_patch {
            true => {
                let patched = patch::apply_operations(made, facts.object());
                patched.map_err(|why| Wrong::Failed(format!("JSON Patch: {why}")))?
            }
            false => Some(self.lay_over(subject, *at, facts.object(), made)?),
        };
        // A test that fails leaves the object as it is.
        if let Some(patched) = patched.filter(|patched| patched != facts.object()) {
            self.take_back(subject, *at, patched, mutation.is_json_patch)?;
        }
        Ok(())
    }

    fn lay_over(&self, subject: &Subject, at: usize, object: &Value, mut config: Value) -> Result<Value, Wrong> {
        let served = &self.call.resource.served[at];
        let Some(shape) = subject.shape(self.call, served) else {
            let [group, version, kind] = subject.kind(self.call, served);
            return Err(Wrong::Refused(Status::unavailable(format!(
                "Resource kind {group}/{version}, Kind={kind} not found. There can be a delay between when \
                 CustomResourceDefinitions are created and when they are available."
            ))));
        };
        for key in ["kind", "apiVersion"] {
            config.set(&[key], object.text(&[key]));
        }
        apply::lay_over(shape, object, &config).map_err(|why| Wrong::Failed(format!("error applying patch: {why}")))
    }

    fn take_back(&mut self, subject: &mut Subject, at: usize, patched: Value, strict: bool) -> Result<(), Wrong> {
        let served = &self.call.resource.served[at];
        let mut problems = subject.take_back(self.call, at, patched)?;
        self.views.forget();
        // Custom resources may say what they like; what their definition does not know goes.
        if strict && served.custom.is_none() && !problems.is_empty() {
            problems.sort();
            return Err(Wrong::Refused(Status::internal(format!("strict decoding error: {}", problems.join(", ")))));
        }
        Ok(())
    }
}
