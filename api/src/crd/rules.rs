//! Rules in CEL: `x-kubernetes-validations`, by the crate `expressions`.

use expressions::rules::{Budget, Complaint, Rules};

use crate::cel;
use crate::document::Value;
use crate::status::{Cause, Causes};

/// Compiles the rules of a version's schema; `path` is where the schema stands. What is wrong with them is complained about.
pub(crate) fn compile(schema: &Value, path: &str) -> (Rules, Causes) {
    let (rules, complaints) = Rules::compile(&cel::environment(), schema, path, true);
    (rules, causes(complaints))
}

/// Holds a document, complete with kind and apiVersion, against rules.
pub(super) fn validate(rules: &Rules, document: &Value, old: Option<&Value>, causes: &mut Causes) {
    let findings = rules.validate("", document, old, &mut Budget::default());
    causes.0.append(&mut self::causes(findings.complaints).0);
}

fn causes(complaints: Vec<Complaint>) -> Causes {
    let cause = |complaint: Complaint| Cause {
        reason: reason(&complaint),
        message: complaint.message(),
        field: if complaint.path.is_empty() { "<nil>".to_owned() } else { complaint.path },
    };
    Causes(complaints.into_iter().map(cause).collect())
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
