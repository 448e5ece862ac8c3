//! What a client is told whose write a policy refused.

use api::Status;
use api::status::{Cause, Parts, Reason};

use super::configuration::{Binding, Policy};
use crate::verbs::Call;

/// A refusal by a validating policy. The first one counts.
pub(super) struct Denial {
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Denial {
    pub(super) fn new(policy: &Policy, binding: Option<&Binding>, reason: Reason, why: &str) -> Self {
        let message = match binding {
            Some(binding) => {
                let (policy, binding) = (&policy.name, &binding.name);
                format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {why}")
            }
            None => format!("ValidatingAdmissionPolicy '{}' denied request: {why}", policy.name),
        };
        Self { reason, message }
    }

    pub(super) fn status(self, call: Call<'_>) -> Status {
        let status = call.forbidden(&self.message).with_cause(cause(self.message));
        Status::from(Parts { reason: self.reason, ..status.parts().clone() })
    }
}

/// What went wrong in a mutating policy. All of them are causes.
pub(super) struct Failure {
    /// Whether it was a mistake of an expression, not of the configuration.
    pub(super) is_invalid: bool,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(policy: &Policy, binding: Option<&Binding>, is_invalid: bool, why: &str) -> Self {
        let message = match binding {
            Some(binding) => {
                let (policy, binding) = (&policy.name, &binding.name);
                format!("policy '{policy}' with binding '{binding}' denied request: {why}")
            }
            None => format!("policy {:?} denied request: {why}", policy.name),
        };
        Self { is_invalid, message }
    }
}

/// A refusal by mutating policies, if something went wrong in one.
pub(super) fn of_failures(call: Call<'_>, failures: Vec<Failure>) -> Result<(), Status> {
    let Some(first) = failures.first() else { return Ok(()) };
    let status = Status::new(Reason::Forbidden, first.message.clone());
    let status = status.about(&call.served.group, &call.resource.plural, &call.request.name);
    // The reference changes the reason, and keeps the code.
    let said = first.is_invalid.then(|| (Reason::Forbidden.code(), "Invalid".to_owned()));
    let causes = failures.into_iter().map(|failure| cause(failure.message)).collect();
    Err(Status::from(Parts { said, causes, ..status.parts().clone() }))
}

fn cause(message: String) -> Cause {
    Cause { reason: "", message, field: String::new() }
}
