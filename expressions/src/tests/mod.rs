//! Tables: an expression, what it is held against, what comes out and what it costs. The costs are the reference's.

mod costs;
mod errors;
mod estimates;
mod hostile;
mod libraries;
mod rules;

use std::sync::Arc;

use serde_json::Value as Json;

use crate::rules::declare;
use crate::{Bindings, Declared, Document, Environment, Evaluation, Failure, Limit, Program, Value};

fn declared(schema: &Json) -> Arc<Declared> {
    declare(schema, "selfType", false).expect("the schema has a type")
}

fn compile(environment: &Environment, expression: &str) -> Program {
    environment.compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// The outcome of a rule over a document: a bool or the words of a failure, and the cost.
fn outcome(expression: &str, schema: &Json, document: &Json) -> (Result<bool, String>, u64) {
    let of = declared(schema);
    let program = compile(&Environment::kubernetes().document("self", &of), expression);
    let mut bindings = Bindings::new();
    bindings.bind_document("self", Document { json: document, of: &of });
    let Evaluation { result, cost } = program.evaluate(&bindings, Limit::per_call());
    let result = match result {
        Ok(Value::Bool(value)) => Ok(value),
        Ok(other) => Err(format!("{other:?}")),
        Err(failure) => Err(failure.to_string()),
    };
    (result, cost)
}

/// The outcome of an expression that needs no document, as text of its value.
fn value_of(expression: &str) -> Result<String, String> {
    let environment = Environment::kubernetes();
    let program = environment.compile(expression).map_err(|error| error.to_string())?;
    let shown = match program.evaluate(&Bindings::new(), Limit::per_call()).result {
        Ok(Value::String(text)) => text.as_str().to_owned(),
        Ok(Value::Bool(value)) => value.to_string(),
        Ok(Value::Int(value)) => value.to_string(),
        Ok(Value::Uint(value)) => format!("{value}u"),
        Ok(Value::Double(value)) => value.to_string(),
        Ok(other) => format!("{other:?}"),
        Err(failure) => return Err(failure.to_string()),
    };
    Ok(shown)
}

#[track_caller]
fn holds(expression: &str) {
    assert_eq!(value_of(expression).as_deref(), Ok("true"), "{expression}");
}

#[track_caller]
fn fails(expression: &str, words: &str) {
    match value_of(expression) {
        Err(said) => assert!(said.contains(words), "{expression}: {said}"),
        Ok(value) => panic!("{expression} is {value}"),
    }
}

#[test]
fn a_program_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Program>();
    shared::<Environment>();
    shared::<crate::rules::Rules>();
    assert_eq!(Failure::Exhausted.to_string(), "operation cancelled: actual cost limit exceeded");
}
