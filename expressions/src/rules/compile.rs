//! Compiling the rules of a schema, and estimating what they may cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::schema::{declare, is_embedded, map_keys};
use super::{Complaint, Node, RULE_COST, Reason, Rule, Rules, SCHEMA_COST, field_path};
use crate::declared::{Declared, REQUEST_BYTES};
use crate::environment::Environment;
use crate::program::{CompileError, Program};
use crate::types::Type;

const RULES: &str = "x-kubernetes-validations";
/// The reasons that a rule may give.
const REASONS: [(&str, Reason); 4] = [
    ("FieldValueDuplicate", Reason::Duplicate),
    ("FieldValueForbidden", Reason::Forbidden),
    ("FieldValueInvalid", Reason::Invalid),
    ("FieldValueRequired", Reason::Required),
];

pub(super) fn compile(environment: &Environment, schema: &Json, path: &str, root: bool) -> (Rules, Vec<Complaint>) {
    if !has_rules(schema) {
        return (Rules { root: None }, Vec::new());
    }
    let mut compiler = Compiler { environment, complaints: Vec::new(), total: 0, expensive: Vec::new() };
    let place = Place { path: path.to_owned(), cardinality: Some(1), uncorrelatable: None };
    let node = declare(schema, "selfType", root).and_then(|declared| compiler.node(schema, schema, &declared, &place));
    compiler.total_cost(path);
    (Rules { root: node }, compiler.complaints)
}

fn has_rules(schema: &Json) -> bool {
    match schema {
        Json::Object(map) => map.iter().any(|(key, value)| match key.as_str() {
            RULES => value.as_array().is_some_and(|rules| !rules.is_empty()),
            "properties" => value.as_object().is_some_and(|properties| properties.values().any(has_rules)),
            "items" | "additionalProperties" => has_rules(value),
            "allOf" => value.as_array().is_some_and(|parts| parts.iter().any(has_rules)),
            _ => false,
        }),
        _ => false,
    }
}

/// Where a node stands.
#[derive(Clone)]
struct Place {
    path: String,
    /// How often it may occur in a document; `None` without a limit.
    cardinality: Option<u64>,
    /// The list around it whose items have no old values.
    uncorrelatable: Option<String>,
}

struct Compiler<'e> {
    environment: &'e Environment,
    complaints: Vec<Complaint>,
    total: u64,
    expensive: Vec<(u64, String)>,
}

impl Compiler<'_> {
    fn complain(&mut self, path: String, reason: Reason, value: Option<Json>, detail: impl Into<String>) {
        self.complaints.push(Complaint { path, reason, value, detail: detail.into() });
    }

    /// Compiles a node: `rules` is the schema that holds its rules, `schema` the one that types it. They differ within
    /// `allOf`.
    fn node(&mut self, rules: &Json, schema: &Json, declared: &Arc<Declared>, place: &Place) -> Option<Node> {
        let mut node = Node {
            declared: declared.clone(),
            kind: schema["type"].as_str().unwrap_or_default().to_owned(),
            rules: Vec::new(),
            items: None,
            keys: map_keys(schema),
            properties: BTreeMap::new(),
            values: None,
            all_of: Vec::new(),
        };
        node.rules = self.rules(rules, schema, declared, place);
        node.items = self.part(&rules["items"], &schema["items"], "items", schema, place).map(Box::new);
        let values = self.part(
            &rules["additionalProperties"],
            &schema["additionalProperties"],
            "additionalProperties",
            schema,
            place,
        );
        node.values = values.map(Box::new);
        for (key, property) in rules["properties"].as_object().into_iter().flatten() {
            let part = self.part(property, &schema["properties"][key], &format!("properties[{key}]"), schema, place);
            node.properties.extend(part.map(|part| (key.clone(), part)));
        }
        for (at, part) in rules["allOf"].as_array().into_iter().flatten().enumerate() {
            if has_rules(part) {
                let place = Place { path: format!("{}.allOf[{at}]", place.path), ..place.clone() };
                node.all_of.extend(self.node(part, schema, declared, &place));
            }
        }
        let empty = node.rules.is_empty() && node.items.is_none() && node.values.is_none();
        (!empty || !node.properties.is_empty() || !node.all_of.is_empty()).then_some(node)
    }

    fn part(&mut self, rules: &Json, schema: &Json, step: &str, parent: &Json, place: &Place) -> Option<Node> {
        if !schema.is_object() || !has_rules(rules) {
            return None;
        }
        let declared = declare(schema, "selfType", is_embedded(schema))?;
        let path = if place.path.is_empty() { step.to_owned() } else { format!("{}.{step}", place.path) };
        let cardinality = match (place.cardinality, most_elements(parent)) {
            (Some(outer), Some(most)) => Some(outer.saturating_mul(most)),
            _ => None,
        };
        let mut uncorrelatable = place.uncorrelatable.clone();
        if step == "items" && map_keys(parent).is_none() {
            uncorrelatable.get_or_insert_with(|| place.path.clone());
        }
        self.node(rules, schema, &declared, &Place { path, cardinality, uncorrelatable })
    }

    fn rules(&mut self, rules: &Json, schema: &Json, declared: &Arc<Declared>, place: &Place) -> Vec<Rule> {
        let Some(list) = rules[RULES].as_array() else { return Vec::new() };
        let mut compiled = Vec::new();
        for (at, rule) in list.iter().enumerate() {
            let prefix = if place.path.is_empty() { String::new() } else { format!("{}.", place.path) };
            let path = format!("{prefix}{RULES}[{at}]");
            let before = self.complaints.len();
            self.check_texts(rule, schema, &path);
            if self.complaints.len() == before {
                compiled.extend(self.rule(rule, schema, declared, place, &path));
            }
        }
        compiled
    }

    /// What is wrong with a rule without looking at its expressions.
    fn check_texts(&mut self, rule: &Json, schema: &Json, path: &str) {
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        let lines = |text: &str| text.contains(['\n', '\r']);
        let at = |key: &str| format!("{path}.{key}");
        let message = text("message").trim();
        if text("rule").trim().is_empty() {
            self.complain(at("rule"), Reason::Required, None, "rule is not specified");
        } else if !text("message").is_empty() && message.is_empty() {
            let value = Some(rule["message"].clone());
            self.complain(at("message"), Reason::Invalid, value, "must be non-empty if specified");
        } else if lines(message) {
            let value = Some(rule["message"].clone());
            self.complain(at("message"), Reason::Invalid, value, "must not contain line breaks");
        } else if lines(text("rule").trim()) && message.is_empty() {
            let words = "message must be specified if rule contains line breaks";
            self.complain(at("message"), Reason::Required, None, words);
        }
        if !text("messageExpression").is_empty() && text("messageExpression").trim().is_empty() {
            let words = "messageExpression must be non-empty if specified";
            self.complain(at("messageExpression"), Reason::Required, None, words);
        }
        let reason = text("reason");
        if !reason.is_empty() && !REASONS.iter().any(|(name, _)| *name == reason) {
            let names: Vec<String> = REASONS.iter().map(|(name, _)| format!("{name:?}")).collect();
            let words = format!("supported values: {}", names.join(", "));
            self.complain(at("reason"), Reason::NotSupported, Some(rule["reason"].clone()), words);
        }
        let field = text("fieldPath");
        if field.is_empty() {
            return;
        }
        let value = || Some(rule["fieldPath"].clone());
        if field.trim().is_empty() {
            self.complain(at("fieldPath"), Reason::Invalid, value(), "must be non-empty if specified");
        }
        if lines(field) {
            self.complain(at("fieldPath"), Reason::Invalid, value(), "must not contain line breaks");
        }
        if field_path::resolve(field, schema).is_err() {
            self.complain(at("fieldPath"), Reason::Invalid, value(), "must be a valid path");
        }
    }

    fn rule(
        &mut self,
        rule: &Json,
        schema: &Json,
        declared: &Arc<Declared>,
        place: &Place,
        path: &str,
    ) -> Option<Rule> {
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        let optional_old = rule["optionalOldSelf"] == true;
        let environment = self.environment.clone().document("self", declared);
        let environment = match optional_old {
            true => environment.optional_document("oldSelf", declared),
            false => environment.document("oldSelf", declared),
        };
        let at = |key: &str| format!("{path}.{key}");
        let program = match expression(&environment, text("rule"), &Type::Bool, "") {
            Ok(program) => program,
            Err(words) => {
                self.complain(at("rule"), Reason::Invalid, Some(rule.clone()), words);
                return None;
            }
        };
        let most = place.cardinality.unwrap_or(REQUEST_BYTES / (declared.min_bytes + 1));
        let cost = program.estimate(&environment).max.saturating_mul(most);
        self.cost("estimated rule cost", at("rule"), cost);
        let mut message_program = None;
        if !text("messageExpression").is_empty() {
            match expression(&environment, text("messageExpression"), &Type::String, "messageExpression ") {
                Ok(program) => {
                    let cost = program.estimate(&environment).max;
                    self.cost("estimated messageExpression cost", at("messageExpression"), cost);
                    message_program = Some(program);
                }
                Err(words) => self.complain(at("messageExpression"), Reason::Invalid, Some(rule.clone()), words),
            }
        }
        let uses_old = program.uses("oldSelf");
        match &place.uncorrelatable {
            Some(list) if uses_old => {
                let words = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
                self.complain(at("rule"), Reason::Invalid, Some(rule["rule"].clone()), words);
            }
            _ if !uses_old && !rule["optionalOldSelf"].is_null() => {
                let words = "may not be set if oldSelf is not used in rule";
                self.complain(at("optionalOldSelf"), Reason::Invalid, Some(rule["optionalOldSelf"].clone()), words);
            }
            _ => {}
        }
        let reason = REASONS.iter().find(|(name, _)| *name == text("reason")).map_or(Reason::Invalid, |(_, is)| *is);
        Some(Rule {
            program,
            message_program,
            message: text("message").trim().to_owned(),
            reason,
            field: field_path::resolve(text("fieldPath"), schema).ok().filter(|field| !field.is_empty()),
            uses_old,
            optional_old,
        })
    }

    fn cost(&mut self, what: &str, path: String, cost: u64) {
        if cost > RULE_COST {
            let words = exceeded(what, cost, RULE_COST);
            self.complain(path.clone(), Reason::Forbidden, None, words);
        }
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_COST / 100 {
            self.expensive.push((cost, path));
            self.expensive.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
            self.expensive.truncate(4);
        }
    }

    fn total_cost(&mut self, path: &str) {
        if self.total <= SCHEMA_COST {
            return;
        }
        for (_, path) in std::mem::take(&mut self.expensive) {
            let words = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            self.complain(path, Reason::Forbidden, None, words);
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let words = exceeded(what, self.total, SCHEMA_COST);
        self.complain(path.to_owned(), Reason::Forbidden, None, words);
    }
}

/// How many of its parts a schema allows.
fn most_elements(schema: &Json) -> Option<u64> {
    let limit = |key: &str| schema[key].as_i64().map(|limit| limit.max(0) as u64);
    match schema["type"].as_str() {
        Some("object") if !schema["additionalProperties"].is_null() => limit("maxProperties"),
        Some("array") => limit("maxItems"),
        _ => Some(1),
    }
}

fn expression(environment: &Environment, source: &str, result: &Type, prefix: &str) -> Result<Program, String> {
    let program = environment.compile(source).map_err(|error| match error {
        CompileError::Issues(issues) => format!("{prefix}compilation failed: {issues}"),
        CompileError::Constant(failure) if prefix.is_empty() => format!("program instantiation failed: {failure}"),
        CompileError::Constant(failure) => format!("{prefix}instantiation failed: {failure}"),
    })?;
    match program.result_type() {
        found if found == result => Ok(program),
        _ if prefix.is_empty() => Err("cel expression must evaluate to a bool".to_owned()),
        _ => Err("messageExpression must evaluate to a string".to_owned()),
    }
}

fn exceeded(what: &str, cost: u64, limit: u64) -> String {
    let times = cost as f64 / limit as f64;
    let factor = match times {
        _ if times > 100.0 => "more than 100x".to_owned(),
        _ if times < 1.5 => format!("{times:.6}x"),
        _ => format!("{times:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}
