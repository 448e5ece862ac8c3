//! Validation rules of CustomResourceDefinitions: `x-kubernetes-validations` in a schema.
//!
//! [`Rules::compile`] takes a structural schema as plain OpenAPI v3 JSON and gives the rules that run, and what is wrong with
//! them, by path and with the reference's words: types that do not fit, costs that may exceed the budget, `oldSelf` where
//! nothing can be compared. [`Rules::validate`] holds a document against them. Both are functions of JSON values; what a
//! path is relative to is the caller's business.
//!
//! A rule sees `self` and, where the old value can be found, `oldSelf`: in objects by key, in lists only where they are maps
//! (`x-kubernetes-list-type: map`). A rule that names `oldSelf` runs only if there is an old value, or if it is optional.
//! A complaint about what did not change becomes a warning (ratcheting).
//!
//! The limits are the reference's: [`Limit::PER_CALL`](crate::Limit::PER_CALL) for one rule, [`BUDGET`] for one document,
//! [`RULE_COST`] and [`SCHEMA_COST`] for what is estimated beforehand.

mod compile;
mod field_path;
mod schema;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

pub use schema::declare;
pub use validate::{Budget, Findings};

use crate::declared::Declared;
use crate::environment::Environment;
use crate::program::Program;

/// What all rules of one document may cost together when they run.
pub const BUDGET: u64 = 10_000_000;
/// What one rule may cost by estimate, as often as it may run.
pub const RULE_COST: u64 = 10_000_000;
/// What all rules of one schema may cost by estimate.
pub const SCHEMA_COST: u64 = 100_000_000;

/// What kind of complaint it is; `Display` gives the reason of a Status' cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `FieldValueInvalid`
    Invalid,
    /// `FieldValueForbidden`
    Forbidden,
    /// `FieldValueRequired`
    Required,
    /// `FieldValueDuplicate`
    Duplicate,
    /// `FieldValueNotSupported`
    NotSupported,
    /// `InternalError`
    Internal,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Invalid => "FieldValueInvalid",
            Reason::Forbidden => "FieldValueForbidden",
            Reason::Required => "FieldValueRequired",
            Reason::Duplicate => "FieldValueDuplicate",
            Reason::NotSupported => "FieldValueNotSupported",
            Reason::Internal => "InternalError",
        })
    }
}

/// A complaint about a schema or a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Complaint {
    /// Where.
    pub path: String,
    /// What kind.
    pub reason: Reason,
    /// What is complained about; `None` where it is not shown.
    pub value: Option<Json>,
    /// Why.
    pub detail: String,
}

impl Complaint {
    /// As a Status' cause words it: `Invalid value: "a": must be b`.
    pub fn message(&self) -> String {
        let (kind, shows) = match self.reason {
            Reason::Invalid => ("Invalid value", true),
            Reason::Forbidden => ("Forbidden", false),
            Reason::Required => ("Required value", false),
            Reason::Duplicate => ("Duplicate value", true),
            Reason::NotSupported => ("Unsupported value", true),
            Reason::Internal => ("Internal error", false),
        };
        let mut message = kind.to_owned();
        if let (Some(value), true) = (&self.value, shows) {
            message.push_str(&format!(": {value}"));
        }
        if !self.detail.is_empty() {
            message.push_str(&format!(": {}", self.detail));
        }
        message
    }
}

/// Rules of one schema, ready to run. Immutable, to be shared between threads.
#[derive(Debug)]
pub struct Rules {
    root: Option<Node>,
}

impl Rules {
    /// Compiles the rules of a schema, and says what is wrong with them. `path` is where the schema stands; `root` whether
    /// it describes a whole resource, whose kind, apiVersion and metadata rules may then see. Those rules that are right
    /// are there even if others are not. The schema must be structural: what is not is left out.
    pub fn compile(environment: &Environment, schema: &Json, path: &str, root: bool) -> (Self, Vec<Complaint>) {
        compile::compile(environment, schema, path, root)
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Holds a document against the rules. `path` is where it stands, empty for a whole resource; `old` is what it was
    /// before an update. Stops when the budget is used up, and says so.
    pub fn validate(&self, path: &str, new: &Json, old: Option<&Json>, budget: &mut Budget<'_>) -> Findings {
        let mut findings = Findings::default();
        if let Some(root) = &self.root {
            validate::validate(root, path, new, old, budget, &mut findings);
        }
        findings
    }
}

/// A node of the schema that has rules, or whose parts have.
#[derive(Debug)]
struct Node {
    declared: Arc<Declared>,
    /// `object`, `array`, `string`, …
    kind: String,
    rules: Vec<Rule>,
    items: Option<Box<Node>>,
    /// The keys of a list that is a map: only its items have old values.
    keys: Option<Vec<String>>,
    properties: BTreeMap<String, Node>,
    values: Option<Box<Node>>,
    all_of: Vec<Node>,
}

/// One rule.
#[derive(Debug)]
struct Rule {
    program: Program,
    message_program: Option<Program>,
    message: String,
    reason: Reason,
    /// Where complaints go, relative to the node: `.spec.a`.
    field: Option<String>,
    uses_old: bool,
    optional_old: bool,
}

impl Rule {
    /// What the rule is called in complaints.
    fn title(&self) -> &str {
        if self.message.is_empty() { self.program.source().trim() } else { &self.message }
    }
}
