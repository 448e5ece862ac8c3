//! A compiled expression.

use std::collections::BTreeSet;
use std::fmt;

use smol_str::SmolStr;

use crate::ast::{Ast, Kind, Literal, NodeId};
use crate::check::{Checked, Reference, check};
use crate::constant::{self, Constant};
use crate::cost::{Range, estimate, runtime};
use crate::environment::{Environment, Overload};
use crate::evaluate::{Bindings, Evaluation, Failure, Limit, Meter, Run};
use crate::issue::Issues;
use crate::parse::parse;
use crate::types::Type;
use crate::{pattern, value};

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The text is no expression, or one whose types do not fit.
    #[error("{0}")]
    Issues(#[from] Issues),
    /// A constant in it has no value. The reference words this `program instantiation failed: …`.
    #[error("{0}")]
    Constant(Failure),
}

/// How a call is carried out.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    name: SmolStr,
    reference: Reference,
    /// `in` with a constant list: the reference looks it up in a set, and charges nothing.
    free: bool,
}

impl Plan {
    pub(crate) fn function(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_free(&self) -> bool {
        self.free
    }

    pub(crate) fn overloads(&self) -> impl Iterator<Item = &Overload> {
        self.reference.overloads.iter().map(|at| &self.reference.function.overloads[*at])
    }
}

/// A compiled expression: immutable, to be shared between threads.
pub struct Program {
    source: Box<str>,
    checked: Checked,
    constants: Vec<Option<Constant>>,
    plans: Vec<Option<Plan>>,
}

impl Program {
    pub(crate) fn compile(environment: &Environment, source: &str) -> Result<Self, CompileError> {
        let checked = check(environment, parse(source)?, source)?;
        let count = checked.ast.len();
        let mut constants: Vec<Option<Constant>> = vec![None; count];
        // A node's parts come before it.
        for id in 0..count as NodeId {
            constants[id as usize] = constant::of(&checked, id, &constants).map_err(CompileError::Constant)?;
        }
        let mut plans = vec![None; count];
        for (id, node) in checked.ast.nodes() {
            let Kind::Call { function, args, .. } = &node.kind else { continue };
            let Some(reference) = checked.references[id as usize].clone() else { continue };
            if matches!(function.as_str(), "matches" | "find" | "findAll") {
                compile_patterns(&checked.ast, args).map_err(CompileError::Constant)?;
            }
            let list = args.get(1).and_then(|list| constants[*list as usize].as_ref());
            let free = function == "@in" && list.is_some_and(runtime::is_set);
            plans[id as usize] = Some(Plan { name: function.clone(), reference, free });
        }
        Ok(Self { source: source.into(), checked, constants, plans })
    }

    /// The text that it was made of.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The type of its value.
    pub fn result_type(&self) -> &Type {
        self.checked.result()
    }

    /// Whether the expression names a variable.
    pub fn uses(&self, variable: &str) -> bool {
        let local =
            |(_, node): (NodeId, &crate::ast::Node)| matches!(&node.kind, Kind::Ident(name) if name == variable);
        self.checked.ast.nodes().any(local)
    }

    /// The fields of a variable that the expression selects directly: which `variables` a policy's expression needs.
    pub fn selected(&self, variable: &str) -> BTreeSet<SmolStr> {
        let selected = self.checked.ast.nodes().filter_map(|(_, node)| match &node.kind {
            Kind::Select { operand, field, .. } => match self.checked.ast.kind(*operand) {
                Kind::Ident(name) if name == variable => Some(field.clone()),
                _ => None,
            },
            _ => None,
        });
        selected.collect()
    }

    /// Runs it.
    pub fn evaluate<'d>(&'d self, bindings: &Bindings<'d>, limit: Limit<'_>) -> Evaluation<'d> {
        let mut meter = Meter::new(limit);
        let result = self.run(bindings, &mut meter);
        Evaluation { result, cost: meter.cost() }
    }

    /// Runs it and counts on a meter that others use too.
    pub fn run<'d>(&'d self, bindings: &Bindings<'d>, meter: &mut Meter<'_>) -> Result<value::Value<'d>, Failure> {
        Run::new(self, bindings, meter).evaluate(self.checked.ast.root)
    }

    /// What an evaluation may cost, if its documents keep within the limits of their schemas. The environment is the one
    /// it was compiled in.
    pub fn estimate(&self, environment: &Environment) -> Range {
        estimate::estimate(self, environment)
    }

    pub(crate) fn ast(&self) -> &Ast {
        &self.checked.ast
    }

    pub(crate) fn constant(&self, id: NodeId) -> Option<&Constant> {
        self.constants[id as usize].as_ref()
    }

    pub(crate) fn plan(&self, id: NodeId) -> Option<&Plan> {
        self.plans[id as usize].as_ref()
    }

    pub(crate) fn type_of(&self, id: NodeId) -> &Type {
        &self.checked.types[id as usize]
    }

    pub(crate) fn overload_ids(&self, id: NodeId) -> Vec<&'static str> {
        let ids = self.plan(id).map(|plan| plan.overloads().map(|overload| overload.id).collect());
        ids.unwrap_or_default()
    }
}

/// Patterns that are literals must be patterns.
fn compile_patterns(ast: &Ast, args: &[NodeId]) -> Result<(), Failure> {
    for arg in args.iter().take(2) {
        if let Kind::Literal(Literal::String(text)) = ast.kind(*arg)
            && let Err(words) = pattern::compile(text)
            && args.len() == 1
        {
            return Err(Failure::error(words));
        }
    }
    Ok(())
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({:?})", self.source)
    }
}
