//! Running a program: values, costs, and the limits at which it is stopped.
//!
//! [`Run`] walks the tree; [`Meter`] counts; [`Bindings`] are the variables. A mistake of the expression is a value of its
//! own kind ([`Failure::Error`]), which `&&`, `||` and loops may swallow; being stopped is not.

mod bindings;
mod fold;
mod meter;

use std::sync::Arc;

use smol_str::SmolStr;

pub use bindings::Bindings;
pub use meter::{Failure, Limit, Meter};

use crate::ast::{Kind, Literal, NodeId};
use crate::cost::runtime;
use crate::program::{Plan, Program};
use crate::value::{Entries, List, Map, StructValue, Text, Value};

/// How deep programs may run, those of composed variables included.
const DEEPEST: u16 = 400;

/// The outcome of an evaluation, and what it cost.
#[derive(Debug)]
pub struct Evaluation<'d> {
    /// The value, or why there is none.
    pub result: Result<Value<'d>, Failure>,
    /// In CEL's units.
    pub cost: u64,
}

type Evaluated<'d> = Result<Value<'d>, Failure>;

/// One run.
pub(crate) struct Run<'r, 'd, 'm> {
    program: &'d Program,
    bindings: &'r Bindings<'d>,
    scope: Vec<(&'d SmolStr, Evaluated<'d>)>,
    pub(crate) meter: &'r mut Meter<'m>,
}

impl<'r, 'd, 'm> Run<'r, 'd, 'm> {
    pub(crate) fn new(program: &'d Program, bindings: &'r Bindings<'d>, meter: &'r mut Meter<'m>) -> Self {
        Self { program, bindings, scope: Vec::new(), meter }
    }

    fn kind(&self, id: NodeId) -> &'d Kind {
        self.program.ast().kind(id)
    }

    /// The value of a node, with its whole cost.
    pub(crate) fn evaluate(&mut self, id: NodeId) -> Evaluated<'d> {
        if let Some(constant) = self.program.constant(id) {
            return Ok(constant.clone());
        }
        if self.meter.depth >= DEEPEST {
            return Err(Failure::error("expression recursion limit exceeded"));
        }
        self.meter.depth += 1;
        let root = self.root_cost(id);
        let result = self.meter.charge(root).and_then(|()| self.resolve(id));
        self.meter.depth -= 1;
        result
    }

    /// What reaching the variable at the root of a chain of selections costs.
    fn root_cost(&self, mut id: NodeId) -> u64 {
        let mut chain = false;
        loop {
            if chain && self.program.constant(id).is_some() {
                return 1;
            }
            id = match self.kind(id) {
                Kind::Ident(_) => return 1,
                Kind::Select { operand, .. } => *operand,
                Kind::Call { function, target: None, args } if is_index(function) => args[0],
                Kind::Call { function, .. } if function == "_?_:_" => return 0,
                // The value of anything else becomes the root of a chain.
                _ => return u64::from(chain),
            };
            chain = true;
        }
    }

    /// The value of a node without the cost of its root: chains of selections, and branches of a condition.
    fn resolve(&mut self, id: NodeId) -> Evaluated<'d> {
        if let Some(constant) = self.program.constant(id) {
            return Ok(constant.clone());
        }
        match self.kind(id) {
            Kind::Literal(literal) => Ok(literal_value(literal)),
            Kind::Ident(name) => self.lookup(name),
            Kind::Select { operand, field, test } => self.select(*operand, field, *test),
            Kind::Call { function, target, args } => self.call(id, function, *target, args),
            Kind::List { items, optional } => self.list(items, optional),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct(name, fields) => self.structure(name, fields),
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    /// A node that selections or an index stand upon: its root was paid for.
    fn operand(&mut self, id: NodeId) -> Evaluated<'d> {
        if self.is_chain(id) {
            if self.meter.depth >= DEEPEST {
                return Err(Failure::error("expression recursion limit exceeded"));
            }
            self.meter.depth += 1;
            let result = self.resolve(id);
            self.meter.depth -= 1;
            return result;
        }
        self.evaluate(id)
    }

    fn is_chain(&self, id: NodeId) -> bool {
        match self.kind(id) {
            Kind::Ident(_) => true,
            Kind::Select { test, .. } => !test,
            Kind::Call { function, target: None, .. } => is_index(function) || function == "_?_:_",
            _ => false,
        }
    }

    fn lookup(&self, name: &str) -> Evaluated<'d> {
        let local = self.scope.iter().rev().find(|(known, _)| *known == name);
        if let Some((_, value)) = local {
            return value.clone();
        }
        let name = name.strip_prefix('.').unwrap_or(name);
        match self.bindings.values.iter().find(|(known, _)| known == name) {
            Some((_, value)) => value.clone(),
            None => Err(Failure::error(format!("no such attribute(s): {name}"))),
        }
    }

    fn select(&mut self, operand: NodeId, field: &'d SmolStr, test: bool) -> Evaluated<'d> {
        if let Kind::Ident(name) = self.kind(operand)
            && let Some((_, composed)) = self.bindings.composed.iter().find(|(known, _)| known == name)
        {
            self.meter.charge(1)?;
            return self.composed(composed, field, test);
        }
        let value = self.operand(operand)?;
        // Asking for presence is free itself; the step to the field is not.
        self.meter.charge(u64::from(!test))?;
        if test {
            let found = self.field_of(&value, field)?;
            return Ok(Value::Bool(match found {
                Some(Value::Optional(inner)) => inner.is_some(),
                found => found.is_some(),
            }));
        }
        if let Value::Optional(inner) = &value {
            let found = match inner {
                Some(inner) => self.field_of(inner, field)?,
                None => None,
            };
            return Ok(Value::Optional(found.map(Arc::new)));
        }
        self.field_of(&value, field)?.ok_or_else(|| Failure::error(format!("no such key: {field}")))
    }

    fn composed(&mut self, composed: &'r bindings::Composed<'d>, field: &str, test: bool) -> Evaluated<'d> {
        let Some(at) = composed.programs.iter().position(|(name, _)| name == field) else {
            return if test { Ok(Value::Bool(false)) } else { Err(Failure::error(format!("no such key: {field}"))) };
        };
        if test {
            return Ok(Value::Bool(true));
        }
        let known = composed.values.borrow()[at].clone();
        if let Some(known) = known {
            return known;
        }
        let program = composed.programs[at].1;
        let bindings = self.bindings;
        let value = self.meter.nested(|meter| Run::new(program, bindings, meter).evaluate(program.ast().root));
        // Even one that was stopped is an error like any other to who uses it.
        let value = value.map_err(|failure| match failure {
            Failure::Interrupted => failure,
            failure => Failure::error(format!("composited variable {field:?} fails to evaluate: {failure}")),
        });
        composed.values.borrow_mut()[at] = Some(value.clone());
        value
    }

    fn field_of(&mut self, value: &Value<'d>, field: &str) -> Result<Option<Value<'d>>, Failure> {
        match value {
            Value::Map(map) => map.get(&Value::text(field)).transpose(),
            Value::Struct(value) => {
                Ok(value.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value.clone()))
            }
            Value::Optional(Some(inner)) => self.field_of(inner, field),
            Value::List(_) => Err(Failure::error("unsupported index type 'string' in list")),
            // What has no fields has not this one either.
            _ => Ok(None),
        }
    }

    fn call(&mut self, id: NodeId, function: &'d str, target: Option<NodeId>, args: &'d [NodeId]) -> Evaluated<'d> {
        match function {
            "_&&_" => return self.logic(args, false),
            "_||_" => return self.logic(args, true),
            "_?_:_" => {
                return match self.evaluate(args[0])? {
                    Value::Bool(true) => self.operand(args[1]),
                    Value::Bool(false) => self.operand(args[2]),
                    _ => Err(Failure::no_such_overload()),
                };
            }
            "@not_strictly_false" => return self.not_strictly_false(args[0]),
            "_[_]" | "_[?_]" => return self.index(args, function == "_[?_]"),
            "_?._" => {
                let value = self.operand(args[0])?;
                self.meter.charge(1)?;
                let Kind::Literal(Literal::String(field)) = self.kind(args[1]) else {
                    return Err(Failure::no_such_overload());
                };
                return Ok(Value::Optional(self.field_of(&value, field)?.map(Arc::new)));
            }
            "or" | "orValue" if args.len() == 1 => {
                if let Some(target) = target {
                    return self.otherwise(target, args[0], function == "orValue");
                }
            }
            _ => {}
        }
        let Some(plan) = self.program.plan(id) else { return Err(Failure::no_such_overload()) };
        self.strict(plan, target, args)
    }

    /// A function whose arguments are all evaluated first.
    fn strict(&mut self, plan: &'d Plan, target: Option<NodeId>, args: &'d [NodeId]) -> Evaluated<'d> {
        let mut values = Vec::with_capacity(args.len() + 1);
        let mut failed = None;
        for arg in target.iter().chain(args) {
            match self.evaluate(*arg) {
                Ok(value) => values.push(value),
                Err(Failure::Error(message)) => {
                    failed.get_or_insert(Failure::Error(message));
                    // The reference gives up at once only with more than two arguments.
                    if args.len() + usize::from(target.is_some()) > 2 {
                        break;
                    }
                }
                Err(stopped) => return Err(stopped),
            }
        }
        if let Some(failure) = failed {
            self.meter.charge(1)?;
            return Err(failure);
        }
        let fitting = plan.overloads().find(|overload| {
            overload.params.len() == values.len() && values.iter().zip(&overload.params).all(|(v, of)| v.fits(of))
        });
        let Some(overload) = fitting else {
            self.meter.charge(1)?;
            return Err(Failure::no_such_overload());
        };
        if !plan.is_free() {
            runtime::before(plan.function(), overload.id, &values, self.meter)?;
        }
        (overload.run)(&values, self.meter)
    }

    /// `&&` and `||`: errors count only where the other side does not decide.
    fn logic(&mut self, args: &'d [NodeId], decides: bool) -> Evaluated<'d> {
        let mut failure = None;
        for arg in args {
            match self.evaluate(*arg) {
                Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => {
                    failure.get_or_insert_with(Failure::no_such_overload);
                }
                Err(Failure::Error(message)) => {
                    failure.get_or_insert(Failure::Error(message));
                }
                Err(stopped) => return Err(stopped),
            }
        }
        failure.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn not_strictly_false(&mut self, arg: NodeId) -> Evaluated<'d> {
        let value = self.evaluate(arg);
        self.meter.charge(1)?;
        match value {
            Ok(Value::Bool(value)) => Ok(Value::Bool(value)),
            Ok(_) | Err(Failure::Error(_)) => Ok(Value::Bool(true)),
            Err(stopped) => Err(stopped),
        }
    }

    fn otherwise(&mut self, target: NodeId, other: NodeId, unwrap: bool) -> Evaluated<'d> {
        match self.evaluate(target)? {
            Value::Optional(Some(inner)) if unwrap => Ok((*inner).clone()),
            Value::Optional(Some(inner)) => Ok(Value::Optional(Some(inner))),
            Value::Optional(None) => self.evaluate(other),
            _ => Err(Failure::no_such_overload()),
        }
    }

    fn index(&mut self, args: &'d [NodeId], optional: bool) -> Evaluated<'d> {
        let value = self.operand(args[0])?;
        let index = self.operand(args[1])?;
        self.meter.charge(1)?;
        let (inner, viral) = match value {
            Value::Optional(Some(inner)) => ((*inner).clone(), true),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            other => (other, optional),
        };
        let found = match &inner {
            Value::List(list) => self.item(list, &index, viral)?,
            Value::Map(map) => map.get(&index).transpose()?,
            _ => return Err(Failure::no_such_overload()),
        };
        if viral {
            return Ok(Value::Optional(found.map(Arc::new)));
        }
        found.ok_or_else(|| match &inner {
            Value::Map(_) => Failure::error(format!("no such key: {}", shown(&index))),
            _ => Failure::error(format!("index out of bounds: {}", shown(&index))),
        })
    }

    fn item(&mut self, list: &List<'d>, index: &Value<'d>, viral: bool) -> Result<Option<Value<'d>>, Failure> {
        let at = match index {
            Value::Int(at) => *at,
            Value::Uint(at) => i64::try_from(*at).unwrap_or(i64::MAX),
            Value::Double(at) if at.fract() == 0.0 => *at as i64,
            _ => return Err(Failure::error(format!("unsupported index type '{}' in list", index.type_of().name()))),
        };
        match usize::try_from(at) {
            Ok(at) => list.get(at).transpose(),
            Err(_) if viral => Ok(None),
            Err(_) => Err(Failure::error(format!("index out of bounds: {at}"))),
        }
    }

    fn list(&mut self, items: &'d [NodeId], optional: &'d [bool]) -> Evaluated<'d> {
        let mut values = Vec::with_capacity(items.len());
        for (item, optional) in items.iter().zip(optional) {
            values.extend(self.maybe(*item, *optional)?);
        }
        self.meter.charge(10)?;
        Ok(Value::list(values))
    }

    /// The value of an item, an entry or a field, which may be optional.
    fn maybe(&mut self, id: NodeId, optional: bool) -> Result<Option<Value<'d>>, Failure> {
        match self.evaluate(id)? {
            Value::Optional(inner) if optional => Ok(inner.map(|inner| (*inner).clone())),
            _ if optional => Err(Failure::no_such_overload()),
            value => Ok(Some(value)),
        }
    }

    fn map(&mut self, entries: &'d [(NodeId, NodeId, bool)]) -> Evaluated<'d> {
        let mut made = Entries::default();
        for (key, value, optional) in entries {
            let key = self.evaluate(*key)?;
            if let Some(value) = self.maybe(*value, *optional)? {
                made.insert(key, value)?;
            }
        }
        self.meter.charge(30)?;
        Ok(Value::Map(Map::Values(Arc::new(made))))
    }

    fn structure(&mut self, name: &'d SmolStr, fields: &'d [(SmolStr, NodeId, bool, u32)]) -> Evaluated<'d> {
        let mut made = Vec::with_capacity(fields.len());
        for (name, value, optional, _) in fields {
            made.extend(self.maybe(*value, *optional)?.map(|value| (name.clone(), value)));
        }
        self.meter.charge(40)?;
        Ok(Value::Struct(Arc::new(StructValue { name: name.clone(), fields: made })))
    }
}

fn is_index(function: &str) -> bool {
    matches!(function, "_[_]" | "_[?_]" | "_?._")
}

/// A key or index in an error's words.
pub(crate) fn shown(value: &Value<'_>) -> String {
    match value {
        Value::String(text) => text.as_str().to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => crate::number::format_double(*value),
        Value::Bool(value) => value.to_string(),
        other => other.type_of().name().to_owned(),
    }
}

/// The value of a literal.
pub(crate) fn literal_value(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::String(Text::Borrowed(text)),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone().into()),
    }
}
