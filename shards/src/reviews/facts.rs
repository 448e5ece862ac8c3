//! What the expressions of one webhook or policy see of a write, and running them within a budget.

use std::sync::{Arc, LazyLock};

use api::cel::admission::{self, Compiler, Mistake, Offers, PER_CALL, Wanted};
use api::{Status, Value};
use expressions::{
    Authorizer, Bindings, Check, Declared, Document, Failure, Limit, Meter, Name, Program, authorizer,
    resource_authorizer,
};

use super::{Subject, request};
use crate::verbs::Call;

/// Why nothing more is run: the reference's words.
pub(crate) const SPENT: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// An expression, which may be one that does not compile: it says so when it is run.
#[derive(Debug)]
pub(crate) struct Expression {
    /// As errors show it.
    pub(crate) text: String,
    program: Result<Program, Mistake>,
}

impl Expression {
    pub(crate) fn compile(compiler: &Compiler, text: &str, offers: Offers, wanted: Wanted) -> Self {
        Self { text: text.to_owned(), program: compiler.compile(text, offers, wanted) }
    }

    pub(crate) fn compile_variable(compiler: &mut Compiler, name: &str, text: &str, offers: Offers) -> Self {
        Self { text: text.to_owned(), program: compiler.variable(name, text, offers) }
    }

    /// Whether it asks what users may do.
    pub(crate) fn asks(&self) -> bool {
        let uses = |program: &Program| program.uses("authorizer") || program.uses("authorizer.requestResource");
        self.program.as_ref().is_ok_and(uses)
    }

    /// What is wrong with it.
    pub(crate) fn mistake(&self) -> Option<&Mistake> {
        self.program.as_ref().err()
    }
}

/// Variables of a policy, in their order.
pub(crate) type Variables = Vec<(Name, Expression)>;

/// A write as it is shown in one version.
#[derive(Debug)]
pub(crate) struct Facts {
    object: Value,
    old: Value,
    request: Value,
    authorizer: Arc<dyn Authorizer>,
    check: Check,
}

/// What some expressions see beside the write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside<'d> {
    pub(crate) namespace: Option<&'d Value>,
    pub(crate) params: Option<&'d Value>,
    pub(crate) variables: &'d [(Name, Expression)],
}

fn anything() -> &'static Declared {
    static ANYTHING: LazyLock<Arc<Declared>> = LazyLock::new(Declared::anything);
    &ANYTHING
}

impl Facts {
    /// The objects and the request's kind in one served version, the request's resource in another. An error may mean that
    /// something has to be converted first.
    pub(crate) fn new(call: Call<'_>, subject: &Subject, kind_of: usize, resource_of: usize) -> Result<Self, Status> {
        let served = &call.resource.served;
        Ok(Self {
            object: subject.shown(call, kind_of, &subject.document)?,
            old: subject.shown(call, kind_of, subject.old.as_ref().unwrap_or(&Value::Null))?,
            request: request::document(call, subject, &served[kind_of], &served[resource_of]),
            authorizer: call.authorizer(),
            check: call.check(),
        })
    }

    /// The object as it is shown.
    pub(crate) fn object(&self) -> &Value {
        &self.object
    }

    /// What variables stand for. Those of the policy are run when they are first asked for, once for these bindings.
    pub(crate) fn bindings<'d>(&'d self, beside: Beside<'d>) -> Bindings<'d> {
        let any = anything();
        let mut bindings = Bindings::new();
        for (name, json) in [("object", Some(&self.object)), ("oldObject", Some(&self.old)), ("params", beside.params)]
        {
            match json.filter(|json| !json.is_null()) {
                Some(json) => bindings.bind_document(name, Document { json, of: any }),
                None => bindings.bind(name, expressions::Value::Null),
            };
        }
        match beside.namespace {
            Some(json) => bindings.bind_document("namespaceObject", Document { json, of: admission::namespace() }),
            None => bindings.bind("namespaceObject", expressions::Value::Null),
        };
        bindings.bind_document("request", Document { json: &self.request, of: admission::request() });
        bindings.bind("authorizer", authorizer(self.authorizer.clone()));
        let check = resource_authorizer(self.authorizer.clone(), self.check.clone());
        bindings.bind("authorizer.requestResource", check);
        let compiled = beside.variables.iter();
        let compiled = compiled.filter_map(|(name, variable)| Some((name.clone(), variable.program.as_ref().ok()?)));
        bindings.compose("variables", compiled.collect());
        bindings
    }
}

/// What several expressions may cost together.
#[derive(Debug)]
pub(crate) struct Budget(u64);

/// The budget was used up: nothing more is run.
#[derive(Debug)]
pub(crate) struct Spent;

impl Budget {
    pub(crate) fn new(cost: u64) -> Self {
        Self(cost)
    }

    /// Runs an expression; the inner error is the expression's own, in the reference's words.
    pub(crate) fn run<'d>(
        &mut self,
        expression: &'d Expression,
        bindings: &Bindings<'d>,
    ) -> Result<Result<expressions::Value<'d>, String>, Spent> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(mistake) => return Ok(Err(format!("compilation error: {mistake}"))),
        };
        // One more than is left shows that there was not enough.
        let mut meter = Meter::new(Limit { variables: self.0.saturating_add(1), ..Limit::of(PER_CALL) });
        let result = program.run(bindings, &mut meter);
        let cost = meter.cost().saturating_add(meter.cost_of_variables());
        self.0 = self.0.checked_sub(cost).ok_or(Spent)?;
        let wrong = |failure: Failure| format!("expression '{}' resulted in error: {failure}", expression.text);
        Ok(result.map_err(wrong))
    }
}
