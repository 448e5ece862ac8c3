//! What the variables of a program stand for.

use std::cell::RefCell;

use super::Failure;
use crate::declared::{Document, Name};
use crate::program::Program;
use crate::value::Value;

/// What the variables of a program stand for.
#[derive(Debug, Default)]
pub struct Bindings<'d> {
    pub(super) values: Vec<(Name, Result<Value<'d>, Failure>)>,
    pub(super) composed: Vec<(Name, Composed<'d>)>,
}

/// Programs whose values are fields of one variable, run when they are first asked for.
#[derive(Debug)]
pub(super) struct Composed<'d> {
    pub(super) programs: Vec<(Name, &'d Program)>,
    pub(super) values: RefCell<Vec<Option<Result<Value<'d>, Failure>>>>,
}

impl<'d> Bindings<'d> {
    /// No variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// A variable.
    pub fn bind(&mut self, name: impl Into<Name>, value: Value<'d>) -> &mut Self {
        self.values.push((name.into(), Ok(value)));
        self
    }

    /// A variable that is a document; one that does not fit its schema is an error where it is used.
    pub fn bind_document(&mut self, name: impl Into<Name>, document: Document<'d>) -> &mut Self {
        self.values.push((name.into(), Value::of(document)));
        self
    }

    /// A variable (`variables`) whose fields are programs, each run at most once, over these same bindings.
    pub fn compose(&mut self, name: impl Into<Name>, programs: Vec<(Name, &'d Program)>) -> &mut Self {
        let values = RefCell::new(vec![None; programs.len()]);
        self.composed.push((name.into(), Composed { programs, values }));
        self
    }
}
