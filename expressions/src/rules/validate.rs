//! Holding a document against rules.

use std::fmt;

use serde_json::Value as Json;

use super::{BUDGET, Complaint, Node, Reason, Rule};
use crate::declared::Document;
use crate::evaluate::{Bindings, Failure, Limit};
use crate::value::Value;

/// The longest message that an expression may make, in bytes.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// What rules may still cost.
pub struct Budget<'b> {
    /// In CEL's units; `None` once it is used up.
    pub left: Option<u64>,
    /// What one expression may cost.
    pub per_call: u64,
    /// Asked now and then whether the time is up.
    pub interrupted: Option<&'b (dyn Fn() -> bool + Sync)>,
}

impl Default for Budget<'_> {
    fn default() -> Self {
        Self { left: Some(BUDGET), per_call: Limit::PER_CALL, interrupted: None }
    }
}

impl fmt::Debug for Budget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget {{ left: {:?} }}", self.left)
    }
}

impl Budget<'_> {
    fn limit(&self) -> Limit<'_> {
        Limit { interrupted: self.interrupted, ..Limit::of(self.per_call) }
    }

    /// Takes off; whether there was enough.
    fn spend(&mut self, cost: u64) -> bool {
        self.left = self.left.and_then(|left| left.checked_sub(cost));
        self.left.is_some()
    }
}

/// What the rules found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What refuses the document.
    pub complaints: Vec<Complaint>,
    /// What would, if it had not been so before.
    pub warnings: Vec<Complaint>,
}

/// What a value was before, for ratcheting: itself, and the nearest value around it that has an old one.
#[derive(Clone, Copy, Default)]
struct Before<'j> {
    current: Option<Pair<'j>>,
    around: Option<Pair<'j>>,
}

type Pair<'j> = (&'j Json, &'j Json);

impl<'j> Before<'j> {
    fn unchanged(&self) -> bool {
        self.current.or(self.around).is_some_and(|(new, old)| new == old)
    }

    fn step(&self, new: &'j Json, find: impl FnOnce(&'j Json) -> Option<&'j Json>) -> Self {
        match self.current {
            None => *self,
            Some(pair) => Self { current: find(pair.1).map(|old| (new, old)), around: Some(pair) },
        }
    }

    fn key(&self, key: &str, new: &'j Json) -> Self {
        // Both were converted to the version of the request.
        if self.current.is_some() && self.around.is_none() && matches!(key, "apiVersion" | "kind") {
            return Self::default();
        }
        self.step(new, |old| old.get(key))
    }
}

pub(super) fn validate(
    root: &Node,
    path: &str,
    new: &Json,
    old: Option<&Json>,
    budget: &mut Budget<'_>,
    findings: &mut Findings,
) {
    let before = Before { current: old.map(|old| (new, old)), around: None };
    let mut run = Run { budget, findings };
    run.node(root, path, new, old, before);
}

struct Run<'r, 'b> {
    budget: &'r mut Budget<'b>,
    findings: &'r mut Findings,
}

impl Run<'_, '_> {
    fn node<'j>(&mut self, node: &Node, path: &str, new: &'j Json, old: Option<&'j Json>, before: Before<'j>) {
        let old = old.filter(|old| !old.is_null());
        if new.is_null() || self.budget.left.is_none() {
            return;
        }
        self.rules(node, path, new, old, before);
        for part in &node.all_of {
            // As the reference: what is said in allOf is held against what is around the value.
            self.node(part, path, new, old, Before { current: None, around: before.around });
        }
        match new {
            Json::Array(items) => self.items(node, path, items, old, before),
            Json::Object(_) => self.entries(node, path, new, old, before),
            _ => {}
        }
    }

    fn items<'j>(&mut self, node: &Node, path: &str, items: &'j [Json], old: Option<&'j Json>, before: Before<'j>) {
        let Some(of) = &node.items else { return };
        let known = old.and_then(Json::as_array).zip(node.keys.as_ref());
        for (at, item) in items.iter().enumerate() {
            let same = |other: &&Json, keys: &Vec<String>| keys.iter().all(|key| other.get(key) == item.get(key));
            let was = known.and_then(|(known, keys)| known.iter().find(|other| same(other, keys)));
            self.node(of, &format!("{path}[{at}]"), item, was, before.step(item, |_| was));
        }
    }

    fn entries<'j>(&mut self, node: &Node, path: &str, new: &'j Json, old: Option<&'j Json>, before: Before<'j>) {
        let entries = || new.as_object().into_iter().flatten();
        if let Some(of) = &node.values {
            for (key, value) in entries() {
                let was = old.and_then(|old| old.get(key));
                self.node(of, &format!("{path}[{key}]"), value, was, before.key(key, value));
            }
        }
        for (key, value) in entries() {
            if let Some(of) = node.properties.get(key) {
                let was = old.and_then(|old| old.get(key));
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                self.node(of, &inner, value, was, before.key(key, value));
            }
        }
    }

    fn rules(&mut self, node: &Node, path: &str, new: &Json, old: Option<&Json>, before: Before<'_>) {
        for rule in &node.rules {
            if rule.uses_old && old.is_none() && !rule.optional_old {
                continue;
            }
            if self.budget.left.is_none_or(|left| left == 0) {
                self.budget.left = None;
                let words =
                    "validation failed due to running out of cost budget, no further validation rules will be run";
                return self.refuse(node, path, words.to_owned());
            }
            let mut bindings = Bindings::new();
            bindings.bind_document("self", Document { json: new, of: &node.declared });
            match old.map(|json| Value::of(Document { json, of: &node.declared })) {
                Some(Ok(value)) if rule.optional_old => bindings.bind("oldSelf", Value::some(value)),
                Some(Ok(value)) => bindings.bind("oldSelf", value),
                _ => bindings.bind("oldSelf", Value::Optional(None)),
            };
            self.rule(node, rule, path, new, before, &bindings);
            if self.budget.left.is_none() {
                return;
            }
        }
    }

    /// A complaint about running a rule, which shows the schema's type instead of the value.
    fn refuse(&mut self, node: &Node, path: &str, detail: String) {
        let value = Some(Json::from(node.kind.as_str()));
        self.findings.complaints.push(Complaint { path: shown(path), reason: Reason::Invalid, value, detail });
    }

    fn rule<'j>(
        &mut self,
        node: &Node,
        rule: &'j Rule,
        path: &str,
        new: &Json,
        before: Before<'_>,
        bindings: &Bindings<'j>,
    ) {
        let outcome = rule.program.evaluate(bindings, self.budget.limit());
        if !self.budget.spend(outcome.cost) {
            let words = "validation failed due to running out of cost budget, no further validation rules will be run";
            return self.refuse(node, path, words.to_owned());
        }
        let failed = match outcome.result {
            Ok(Value::Bool(true)) => return,
            Ok(_) => None,
            Err(failure) => Some(failure),
        };
        let title = rule.title();
        match failed {
            None => {}
            Some(Failure::Error(words)) if words.starts_with("no such overload") => {
                let detail = format!(
                    "'{words}': call arguments did not match a supported operator, function or macro signature for \
                     rule: {title}"
                );
                return self.refuse(node, path, detail);
            }
            Some(Failure::Error(words)) => {
                return self.refuse(node, path, format!("{words} evaluating rule: {title}"));
            }
            Some(stopped) => {
                self.budget.left = None;
                let why = "no further validation rules will be run due to call cost exceeds limit for rule";
                return self.refuse(node, path, format!("'{stopped}': {why}: {title}"));
            }
        }
        let place = match &rule.field {
            Some(field) if path.is_empty() => field.trim_start_matches('.').to_owned(),
            Some(field) => format!("{path}{field}"),
            None => shown(path),
        };
        let detail = match self.message(rule, bindings) {
            Ok(Some(message)) => message,
            Ok(None) if rule.message.is_empty() => format!("failed rule: {title}"),
            Ok(None) => rule.message.clone(),
            Err(words) => {
                let value = Some(Json::from(node.kind.as_str()));
                let complaint = Complaint { path: place, reason: Reason::Invalid, value, detail: words };
                return self.found(rule, before, complaint);
            }
        };
        let hidden = matches!(node.kind.as_str(), "object" | "array");
        let detail = if rule.reason == Reason::Duplicate { String::new() } else { detail };
        let value = (!hidden).then(|| new.clone());
        self.found(rule, before, Complaint { path: place, reason: rule.reason, value, detail });
    }

    fn found(&mut self, rule: &Rule, before: Before<'_>, complaint: Complaint) {
        if !rule.uses_old && before.unchanged() {
            self.findings.warnings.push(complaint);
        } else {
            self.findings.complaints.push(complaint);
        }
    }

    /// The message that an expression makes, if it makes one that may be used. `Err` once the budget is used up.
    fn message<'j>(&mut self, rule: &'j Rule, bindings: &Bindings<'j>) -> Result<Option<String>, String> {
        let Some(program) = &rule.message_program else { return Ok(None) };
        let outcome = program.evaluate(bindings, self.budget.limit());
        if !self.budget.spend(outcome.cost) {
            let words = "messageExpression evaluation failed due to running out of cost budget, no further validation \
                         rules will be run";
            return Err(words.to_owned());
        }
        match outcome.result {
            Ok(value) => {
                let text = value.as_text().unwrap_or_default().trim();
                let usable = !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n');
                Ok(usable.then(|| text.to_owned()))
            }
            Err(Failure::Error(_)) => Ok(None),
            Err(_) => {
                self.budget.left = None;
                let why =
                    "no further validation rules will be run due to call cost exceeds limit for messageExpression";
                Err(format!("{why}: {:?}", program.source()))
            }
        }
    }
}

/// A resource as a whole has no path.
fn shown(path: &str) -> String {
    if path.is_empty() { "<nil>".to_owned() } else { path.to_owned() }
}
