//! Rules in CEL: `x-kubernetes-validations`, by the crate `expressions`.

use std::time::Duration;

use expressions::rules::{Budget, Complaint, Rules};

use crate::ambient::Clock;
use crate::cel;
use crate::document::Value;
use crate::status::{Cause, Causes};

/// Compiles the rules of a version's schema; `path` is where the schema stands. What is wrong with them is complained about.
pub(crate) fn compile(schema: &Value, path: &str) -> (Rules, Causes) {
    let (rules, complaints) = Rules::compile(&cel::environment(), schema, path, true);
    (rules, causes(complaints))
}

/// How long the rules of one document may run.
const DEADLINE: Duration = Duration::from_secs(10);

/// Holds a document, complete with kind and apiVersion, against rules. Without a clock only their cost ends them.
pub(super) fn validate(
    rules: &Rules,
    document: &Value,
    old: Option<&Value>,
    clock: Option<&dyn Clock>,
    causes: &mut Causes,
) {
    let end = clock.map(|clock| clock.boot() + DEADLINE);
    let interrupted = || clock.zip(end).is_some_and(|(clock, end)| clock.boot() > end);
    let mut budget = Budget { interrupted: Some(&interrupted), ..Budget::default() };
    let findings = rules.validate("", document, old, &mut budget);
    causes.0.append(&mut self::causes(findings.complaints).0);
    for warned in self::causes(findings.warnings).0 {
        causes.warn(format!("{}: {}", warned.field, warned.message));
    }
}

fn causes(complaints: Vec<Complaint>) -> Causes {
    let cause = |complaint: Complaint| Cause {
        reason: reason(&complaint),
        message: complaint.message(),
        field: if complaint.path.is_empty() { "<nil>".to_owned() } else { complaint.path },
    };
    let mut causes = Causes::default();
    causes.0.extend(complaints.into_iter().map(cause));
    causes
}

fn reason(complaint: &Complaint) -> &'static str {
    use expressions::rules::Reason;
    match complaint.reason {
        Reason::Invalid => "FieldValueInvalid",
        Reason::Forbidden => "FieldValueForbidden",
        Reason::Required => "FieldValueRequired",
        Reason::Duplicate => "FieldValueDuplicate",
        Reason::NotSupported => "FieldValueNotSupported",
        Reason::Internal => "InternalError",
    }
}
