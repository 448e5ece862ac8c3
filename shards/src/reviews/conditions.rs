//! matchConditions: whether a webhook or policy that is meant for a write wants to have a say about it.

use api::Value;
use api::cel::admission::{Compiler, MATCH_BUDGET, Offers, Wanted};
use api::document::Document;
use expressions::Bindings;

use super::facts::{Budget, Expression, SPENT, Spent};

/// The conditions of one webhook or policy.
#[derive(Debug)]
pub(crate) struct Conditions {
    expressions: Vec<Expression>,
    ignores_failure: bool,
}

impl Conditions {
    /// Of whatever has `matchConditions` and a failurePolicy.
    pub(crate) fn read(of: &Value, compiler: &Compiler, params: bool) -> Self {
        let offers = Offers { params, authorizer: true, patches: false };
        let compile = |condition: &Value| {
            Expression::compile(compiler, condition.text(&["expression"]).trim(), offers, Wanted::Bool)
        };
        Self {
            expressions: of.list(&["matchConditions"]).iter().map(compile).collect(),
            ignores_failure: of.text(&["failurePolicy"]) == "Ignore",
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.expressions.is_empty()
    }

    /// Whether any of them asks what users may do.
    pub(crate) fn ask(&self) -> bool {
        self.expressions.iter().any(Expression::asks)
    }

    /// Whether all of them hold. One that does not decides, whatever went wrong with others; otherwise a mistake is an error,
    /// or where failures are ignored the same as a condition that does not hold.
    pub(crate) fn hold<'d>(&'d self, bindings: &Bindings<'d>) -> Result<bool, String> {
        let mut budget = Budget::new(MATCH_BUDGET);
        let mut values = Vec::with_capacity(self.expressions.len());
        for expression in &self.expressions {
            match budget.run(expression, bindings) {
                Ok(value) => values.push(value),
                Err(Spent) => return self.failed(SPENT.to_owned()),
            }
        }
        if values.iter().any(|value| matches!(value, Ok(expressions::Value::Bool(false)))) {
            return Ok(false);
        }
        let mut wrong: Vec<String> = Vec::new();
        for why in values.into_iter().filter_map(Result::err) {
            if !wrong.contains(&why) {
                wrong.push(why);
            }
        }
        match wrong.as_slice() {
            [] => Ok(true),
            [one] => self.failed(one.clone()),
            several => self.failed(format!("[{}]", several.join(", "))),
        }
    }

    fn failed(&self, why: String) -> Result<bool, String> {
        if self.ignores_failure { Ok(false) } else { Err(why) }
    }
}
