//! The expressions of an admission policy: variables, validations, audit annotations, mutations.

use std::collections::BTreeSet;

use super::field;
use super::match_rules::compiled;
use super::path::Path;
use crate::cel::admission::{Compiler, Offers, Wanted};
use crate::document::Value;
use crate::status::Causes;

const AUDIT_ANNOTATIONS: usize = 20;
/// Bytes of one valueExpression.
const VALUE_EXPRESSION: usize = 5 * 1024;
/// What no variable may be called.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The expressions of a policy's spec, looked at in the order in which they see each other.
pub(super) struct Expressions<'a> {
    spec: &'a Value,
    compiler: Compiler,
    offers: Offers,
}

impl<'a> Expressions<'a> {
    pub(super) fn of(spec: &'a Value, mutating: bool) -> Self {
        let composes = mutating || !field::list(spec, "variables").is_empty();
        let compiler = if composes { Compiler::composed() } else { Compiler::plain() };
        let offers = Offers { params: field::is_set(spec, "paramKind"), authorizer: true, patches: false };
        Self { spec, compiler, offers }
    }

    pub(super) fn variables(&mut self, path: &Path<'_>, causes: &mut Causes) {
        let list = path.child("variables");
        for (at, variable) in field::list(self.spec, "variables").iter().enumerate() {
            let path = list.index(at);
            let name = field::text(variable, "name");
            if name.trim().is_empty() {
                causes.required(path.child("name"), "name is not specified");
            } else if !is_identifier(name) {
                causes.invalid(path.child("name"), &name.into(), "must be a valid CEL identifier");
            }
            let expression = field::text(variable, "expression");
            if expression.trim().is_empty() {
                causes.required(path.child("expression"), "expression is not specified");
                continue;
            }
            let result = self.compiler.variable(name, expression, self.offers);
            compiled(result, expression, path.child("expression"), causes);
        }
    }

    fn compile(&self, expression: &str, offers: Offers, wanted: Wanted, path: Path<'_>, causes: &mut Causes) {
        compiled(self.compiler.compile(expression, offers, wanted), expression, path, causes);
    }

    pub(super) fn validations(&self, path: &Path<'_>, causes: &mut Causes) {
        let list = path.child("validations");
        for (at, validation) in field::list(self.spec, "validations").iter().enumerate() {
            self.validation(validation, &list.index(at), causes);
        }
    }

    fn validation(&self, validation: &Value, path: &Path<'_>, causes: &mut Causes) {
        const EMPTY: &str = "must be non-empty if specified";
        let expression = field::text(validation, "expression");
        match expression.trim().is_empty() {
            true => causes.required(path.child("expression"), "expression is not specified"),
            false => self.compile(expression, self.offers, Wanted::Bool, path.child("expression"), causes),
        }
        let expression = field::text(validation, "messageExpression");
        if !expression.is_empty() && expression.trim().is_empty() {
            causes.invalid(path.child("messageExpression"), &expression.into(), EMPTY);
        } else if !expression.is_empty() {
            // A message says nothing about what its reader may do.
            let offers = Offers { authorizer: false, ..self.offers };
            self.compile(expression, offers, Wanted::Text, path.child("messageExpression"), causes);
        }
        let message = field::text(validation, "message");
        if !message.is_empty() && message.trim().is_empty() {
            causes.invalid(path.child("message"), &message.into(), EMPTY);
        } else if message.trim().contains(['\n', '\r']) {
            causes.invalid(path.child("message"), &message.into(), "must not contain line breaks");
        }
        field::optional_choice(validation, "reason", path, &["Forbidden", "Invalid", "RequestEntityTooLarge"], causes);
    }

    /// `name` is the policy's.
    pub(super) fn audit_annotations(&self, name: &str, path: &Path<'_>, causes: &mut Causes) {
        let list = path.child("auditAnnotations");
        let annotations = field::list(self.spec, "auditAnnotations");
        if annotations.len() > AUDIT_ANNOTATIONS {
            let words = format!("must not have more than {AUDIT_ANNOTATIONS} auditAnnotations");
            causes.invalid(list, field::get(self.spec, "auditAnnotations"), &words);
        }
        let mut keys = BTreeSet::new();
        for (at, annotation) in annotations.iter().enumerate() {
            let path = list.index(at);
            let key = field::text(annotation, "key");
            match name.is_empty() {
                true => causes.invalid(path.child("key"), &key.into(), "requires metadata.name be non-empty"),
                false => field::qualified_name(&format!("{name}/{key}"), path.child("key"), causes),
            }
            let path_of_value = path.child("valueExpression");
            match field::text(annotation, "valueExpression").trim() {
                "" => causes.required(path_of_value, "valueExpression is not specified"),
                long if long.len() > VALUE_EXPRESSION => {
                    causes.required(path_of_value, &format!("must not exceed {VALUE_EXPRESSION} bytes in length"));
                }
                expression => self.compile(expression, self.offers, Wanted::TextOrNull, path_of_value, causes),
            }
            if !keys.insert(key) {
                causes.duplicate(path.child("key"), &key.into());
            }
        }
    }

    pub(super) fn mutations(&self, path: &Path<'_>, causes: &mut Causes) {
        let list = path.child("mutations");
        let mutations = field::list(self.spec, "mutations");
        if mutations.is_empty() {
            causes.required(list, "mutations must contain at least one item");
        }
        for (at, mutation) in mutations.iter().enumerate() {
            let path = list.index(at);
            match field::text(mutation, "patchType") {
                "" => causes.required(path.child("patchType"), ""),
                "JSONPatch" => self.patch(mutation, Wanted::JsonPatch, &path, causes),
                "ApplyConfiguration" => self.patch(mutation, Wanted::Object, &path, causes),
                _ => field::choice(mutation, "patchType", &path, &["ApplyConfiguration", "JSONPatch"], causes),
            }
        }
    }

    fn patch(&self, mutation: &Value, wanted: Wanted, path: &Path<'_>, causes: &mut Causes) {
        let (kind, key, other) = match wanted {
            Wanted::JsonPatch => ("JSONPatch", "jsonPatch", "applyConfiguration"),
            _ => ("ApplyConfiguration", "applyConfiguration", "jsonPatch"),
        };
        if field::is_set(mutation, key) {
            let path = path.child(key);
            match field::text(field::get(mutation, key), "expression").trim() {
                "" => causes.required(path.child("expression"), ""),
                expression => {
                    let offers = Offers { patches: true, ..self.offers };
                    self.compile(expression, offers, wanted, path.child("expression"), causes);
                }
            }
        } else {
            causes.required(path.child(key), &format!("must be specified when patchType is {kind}"));
        }
        if field::is_set(mutation, other) {
            let words = format!("must not be specified when patchType is {kind}");
            causes.invalid(path.child(other), &format!("{{{other}}}").into(), &words);
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let first = |character: char| character == '_' || character.is_ascii_alphabetic();
    name.starts_with(first)
        && name.chars().all(|character| first(character) || character.is_ascii_digit())
        && !RESERVED.contains(&name)
}
