//! The type checker: a type for every node, and for every call the overloads that it may mean.

use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::ast::{Ast, Fold, Kind, Literal, NodeId};
use crate::environment::{Environment, Function, Overload};
use crate::issue::Issues;
use crate::literals;
use crate::types::Type;
use crate::unify::{Substitutions, instantiate, most_general};

/// How many parts a type may have: a map of maps of itself doubles with each step.
const WEIGHT: usize = 500;

/// Which overloads of a function a call may mean.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub function: Arc<Function>,
    pub overloads: Vec<usize>,
}

/// A tree in which every node has a type.
#[derive(Debug)]
pub struct Checked {
    pub(crate) ast: Ast,
    pub(crate) types: Vec<Type>,
    pub(crate) references: Vec<Option<Reference>>,
    /// Names that mean types.
    pub(crate) type_names: HashMap<NodeId, Type>,
}

impl Checked {
    /// The type of the whole.
    pub fn result(&self) -> &Type {
        &self.types[self.ast.root as usize]
    }
}

/// Checks a tree.
pub(crate) fn check(environment: &Environment, ast: Ast, source: &str) -> Result<Checked, Issues> {
    let mut checker = Checker {
        environment,
        types: vec![None; ast.len()],
        references: vec![None; ast.len()],
        ast,
        issues: Issues::new(source),
        substitutions: Substitutions::default(),
        scope: Vec::new(),
        type_names: HashMap::new(),
    };
    let root = checker.ast.root;
    checker.check(root);
    let Checker { ast, types, references, mut issues, substitutions, type_names, .. } = checker;
    let types = types.iter().map(|of| of.as_ref().map_or(Type::Dyn, |of| substitutions.apply(of, true))).collect();
    let checked = Checked { ast, types, references, type_names };
    if issues.is_empty() {
        literals::validate(&checked, &mut issues);
    }
    if issues.is_empty() { Ok(checked) } else { Err(issues) }
}

struct Checker<'e> {
    environment: &'e Environment,
    ast: Ast,
    types: Vec<Option<Type>>,
    references: Vec<Option<Reference>>,
    issues: Issues,
    substitutions: Substitutions,
    scope: Vec<(SmolStr, Type)>,
    type_names: HashMap<NodeId, Type>,
}

impl Checker<'_> {
    fn report(&mut self, id: NodeId, message: impl Into<String>) {
        let at = self.ast.node(id).at;
        self.issues.report(at, message);
    }

    fn of(&self, id: NodeId) -> Type {
        self.types[id as usize].clone().unwrap_or(Type::Dyn)
    }

    fn set(&mut self, id: NodeId, of: Type) {
        self.types[id as usize] = Some(of);
    }

    fn undeclared(&mut self, id: NodeId, name: &str) {
        self.report(id, format!("undeclared reference to '{name}' (in container '')"));
        self.set(id, Type::Error);
    }

    fn check(&mut self, id: NodeId) {
        // A macro may use a node twice.
        if self.types[id as usize].is_some() {
            return;
        }
        match self.ast.kind(id).clone() {
            Kind::Literal(literal) => self.set(id, literal_type(&literal)),
            Kind::Ident(name) => self.ident(id, &name),
            Kind::Select { operand, field, test } => self.select(id, operand, &field, test),
            Kind::Call { function, target, args } => self.call(id, &function, target, &args),
            Kind::List { items, optional } => self.list(id, &items, &optional),
            Kind::Map(entries) => self.map(id, &entries),
            Kind::Struct(name, fields) => self.structure(id, &name, &fields),
            Kind::Fold(fold) => self.fold(id, &fold),
        }
    }

    /// The type of a variable.
    fn variable(&self, name: &str) -> Option<Type> {
        let local = self.scope.iter().rev().find(|(known, _)| known == name);
        match local {
            Some((_, of)) => Some(of.clone()),
            None => self.environment.variable_type(name.trim_start_matches('.')).cloned(),
        }
    }

    /// Sets the type of a node that is a name: of a variable, or of a type. Whether it is one.
    fn named(&mut self, id: NodeId, name: &str) -> bool {
        if let Some(of) = self.variable(name) {
            self.set(id, of);
            return true;
        }
        match self.environment.named_type(name.trim_start_matches('.')) {
            Some(of) => {
                self.set(id, Type::of_type(of.clone()));
                self.type_names.insert(id, of);
                true
            }
            None => false,
        }
    }

    fn ident(&mut self, id: NodeId, name: &str) {
        if !self.named(id, name) {
            self.undeclared(id, name);
        }
    }

    fn select(&mut self, id: NodeId, operand: NodeId, field: &SmolStr, test: bool) {
        let qualified = if test { None } else { self.ast.qualified_name(id) };
        if let Some(name) = qualified
            && self.named(id, &name)
        {
            *self.ast.kind_mut(id) = Kind::Ident(name.into());
            return;
        }
        let found = self.field(id, operand, field, false);
        let found = if test { Type::Bool } else { self.substitutions.apply(&found, false) };
        self.set(id, found);
    }

    /// The type of a field of an operand.
    fn field(&mut self, id: NodeId, operand: NodeId, field: &str, optional: bool) -> Type {
        self.check(operand);
        let of = self.substitutions.apply(&self.of(operand), false);
        let (target, was_optional) = of.unwrap_optional();
        let found = match target {
            Type::Map(inner) => inner.1.clone(),
            Type::Object(name) => self.object_field(id, name, field),
            Type::Param(_) => {
                self.substitutions.fits(&Type::Dyn, target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            other => {
                self.report(id, format!("type '{other}' does not support field selection"));
                Type::Dyn
            }
        };
        if optional || was_optional { Type::optional(found) } else { found }
    }

    fn object_field(&mut self, id: NodeId, of: &str, field: &str) -> Type {
        match self.environment.field(of, field) {
            (_, Some(found)) => found,
            (true, None) => {
                self.report(id, format!("undefined field '{field}'"));
                Type::Error
            }
            (false, None) => {
                self.report(id, format!("unexpected failed resolution of '{of}'"));
                Type::Error
            }
        }
    }

    fn call(&mut self, id: NodeId, name: &SmolStr, target: Option<NodeId>, args: &[NodeId]) {
        if name == "_?._" {
            let Kind::Literal(Literal::String(field)) = self.ast.kind(args[1]).clone() else {
                return self.report(args[1], "unsupported optional field selection");
            };
            self.set(args[1], Type::String);
            let found = self.field(id, args[0], &field, true);
            let found = self.substitutions.apply(&found, false);
            return self.set(id, found);
        }
        args.iter().for_each(|arg| self.check(*arg));
        let Some(target) = target else {
            return match self.environment.function(name.trim_start_matches('.')).cloned() {
                Some(function) => self.resolve(id, name, function, None, args),
                None => self.undeclared(id, name),
            };
        };
        // `a.b.c()` may be a function of that name, or `c` of `a.b`.
        let qualified = self.ast.qualified_name(target).map(|prefix| format!("{prefix}.{name}"));
        if let Some(qualified) = qualified
            && let Some(function) = self.environment.function(&qualified).cloned()
        {
            let function_name: SmolStr = qualified.into();
            let kind = Kind::Call { function: function_name.clone(), target: None, args: args.to_vec() };
            *self.ast.kind_mut(id) = kind;
            return self.resolve(id, &function_name, function, None, args);
        }
        self.check(target);
        match self.environment.function(name).cloned() {
            Some(function) => self.resolve(id, name, function, Some(target), args),
            None => self.undeclared(id, name),
        }
    }

    fn resolve(
        &mut self,
        id: NodeId,
        name: &SmolStr,
        function: Arc<Function>,
        target: Option<NodeId>,
        args: &[NodeId],
    ) {
        let given: Vec<Type> = target.iter().chain(args).map(|arg| self.of(*arg)).collect();
        if matches!(name.as_str(), "_&&_" | "_||_") {
            return self.logic(id, function, args, &given);
        }
        let (mut fitting, mut result) = (Vec::new(), None);
        for (at, overload) in function.overloads.iter().enumerate() {
            if overload.member != target.is_some() || overload.params.len() != given.len() {
                continue;
            }
            let Some(found) = self.attempt(overload, &given) else { continue };
            fitting.push(at);
            result = Some(match result {
                None => found,
                Some(known) if known == Type::Dyn || found == known => known,
                Some(_) => Type::Dyn,
            });
        }
        match result {
            Some(of) => {
                self.set(id, of);
                self.references[id as usize] = Some(Reference { function, overloads: fitting });
            }
            None => {
                let given: Vec<Type> = given.iter().map(|of| self.substitutions.apply(of, true)).collect();
                let signature = signature(&given, target.is_some());
                self.report(id, format!("found no matching overload for '{name}' applied to '{signature}'"));
                self.set(id, Type::Error);
            }
        }
    }

    /// The result of an overload, if the arguments fit.
    fn attempt(&mut self, overload: &Overload, given: &[Type]) -> Option<Type> {
        let mut fresh: HashMap<SmolStr, Type> = HashMap::new();
        let all = overload.params.iter().chain([&overload.result]);
        all.for_each(|of| self.parameters(of, &mut fresh));
        let params: Vec<Type> = overload.params.iter().map(|of| instantiate(of, &fresh)).collect();
        let fits = self.substitutions.all_fit(given, &params);
        fits.then(|| self.substitutions.apply(&instantiate(&overload.result, &fresh), false))
    }

    fn parameters(&mut self, of: &Type, fresh: &mut HashMap<SmolStr, Type>) {
        match of {
            Type::Param(name) if !fresh.contains_key(name) => {
                fresh.insert(name.clone(), self.substitutions.fresh());
            }
            Type::List(inner) | Type::Optional(inner) | Type::Type(Some(inner)) => self.parameters(inner, fresh),
            Type::Map(inner) => {
                self.parameters(&inner.0, fresh);
                self.parameters(&inner.1, fresh);
            }
            _ => {}
        }
    }

    fn logic(&mut self, id: NodeId, function: Arc<Function>, args: &[NodeId], given: &[Type]) {
        let mut wrong = false;
        for (arg, of) in args.iter().zip(given) {
            if !self.substitutions.fits(of, &Type::Bool) {
                self.mismatch(*arg, &Type::Bool, of);
                wrong = true;
            }
        }
        self.set(id, if wrong { Type::Error } else { Type::Bool });
        self.references[id as usize] = Some(Reference { function, overloads: vec![0] });
    }

    fn mismatch(&mut self, id: NodeId, expected: &Type, found: &Type) {
        self.report(id, format!("expected type '{expected}' but found '{found}'"));
    }

    /// The common type of what stands together in a list or map. Where there is none, `literals` complains.
    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        let Some(previous) = previous else { return current };
        if self.substitutions.fits(&previous, &current) {
            return most_general(&previous, &current).clone();
        }
        Type::Dyn
    }

    /// The type of an item, an entry or a field, which may be optional.
    fn maybe(&mut self, id: NodeId, optional: bool) -> Type {
        let of = self.of(id);
        if !optional {
            return of;
        }
        let (inner, was) = of.unwrap_optional();
        if !was && !inner.is_dyn() {
            self.mismatch(id, &Type::optional(inner.clone()), inner);
        }
        inner.clone()
    }

    fn list(&mut self, id: NodeId, items: &[NodeId], optional: &[bool]) {
        let mut of = None;
        for (item, optional) in items.iter().zip(optional) {
            self.check(*item);
            let current = self.maybe(*item, *optional);
            of = Some(self.join(of, current));
        }
        let of = of.unwrap_or_else(|| self.substitutions.fresh());
        self.set_weighed(id, Type::list(of));
    }

    fn map(&mut self, id: NodeId, entries: &[(NodeId, NodeId, bool)]) {
        let (mut keys, mut values) = (None, None);
        for (key, value, optional) in entries {
            self.check(*key);
            let current = self.of(*key);
            keys = Some(self.join(keys, current));
            self.check(*value);
            let current = self.maybe(*value, *optional);
            values = Some(self.join(values, current));
        }
        let keys = keys.unwrap_or_else(|| self.substitutions.fresh());
        let values = values.unwrap_or_else(|| self.substitutions.fresh());
        self.set_weighed(id, Type::map(keys, values));
    }

    fn set_weighed(&mut self, id: NodeId, of: Type) {
        let mut left = WEIGHT;
        if weigh(&self.substitutions.apply(&of, false), &mut left) {
            self.set(id, of);
        } else {
            self.report(id, "the type of this expression has too many parts");
            self.set(id, Type::Error);
        }
    }

    fn structure(&mut self, id: NodeId, name: &SmolStr, fields: &[(SmolStr, NodeId, bool, u32)]) {
        let Some(of) = self.environment.named_type(name.trim_start_matches('.')) else {
            return self.undeclared(id, name);
        };
        let made = matches!(of, Type::Object(_));
        if !made {
            self.report(id, format!("'{}' is not a message type", of.name()));
        }
        self.set(id, if made { of.clone() } else { Type::Error });
        for (field, value, optional, at) in fields {
            self.check(*value);
            let expected = match self.environment.field(of.name(), field) {
                (_, Some(found)) => found,
                _ => {
                    self.issues.report(*at, format!("undefined field '{field}'"));
                    Type::Error
                }
            };
            let given = self.maybe(*value, *optional);
            if !self.substitutions.fits(&expected, &given) {
                let words = format!("expected type of field '{field}' is '{expected}' but provided type is '{given}'");
                self.issues.report(*at, words);
            }
        }
    }

    fn fold(&mut self, id: NodeId, fold: &Fold) {
        self.check(fold.range);
        self.check(fold.init);
        let range = self.substitutions.apply(&self.of(fold.range), false);
        let accumulator = self.of(fold.init);
        let (first, second) = match &range {
            Type::List(of) if fold.second.is_some() => (Type::Int, Type::clone(of)),
            Type::List(of) => (Type::clone(of), Type::Dyn),
            Type::Map(of) => (of.0.clone(), of.1.clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.substitutions.fits(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let words = "cannot be range of a comprehension (must be list, map, or dynamic)";
                self.report(fold.range, format!("expression of type '{other}' {words}"));
                (Type::Error, Type::Error)
            }
        };
        let base = self.scope.len();
        self.scope.push((fold.accumulator.clone(), accumulator.clone()));
        self.scope.push((fold.variable.clone(), first));
        if let Some(name) = &fold.second {
            self.scope.push((name.clone(), second));
        }
        self.check(fold.condition);
        self.expect(fold.condition, &Type::Bool);
        self.check(fold.step);
        self.expect(fold.step, &accumulator);
        self.scope.truncate(base + 1);
        self.check(fold.result);
        self.scope.truncate(base);
        let of = self.substitutions.apply(&self.of(fold.result), false);
        self.set(id, of);
    }

    fn expect(&mut self, id: NodeId, expected: &Type) {
        let found = self.of(id);
        if !self.substitutions.fits(expected, &found) {
            self.mismatch(id, expected, &found);
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

/// `(int, string)`, or `list(int).(string)` for a member.
fn signature(given: &[Type], member: bool) -> String {
    let (target, args) = if member { (format!("{}.", given[0]), &given[1..]) } else { (String::new(), given) };
    let args: Vec<String> = args.iter().map(Type::to_string).collect();
    format!("{target}({})", args.join(", "))
}

/// Whether a type has no more parts than are left.
fn weigh(of: &Type, left: &mut usize) -> bool {
    if *left == 0 {
        return false;
    }
    *left -= 1;
    match of {
        Type::List(inner) | Type::Optional(inner) | Type::Type(Some(inner)) => weigh(inner, left),
        Type::Map(inner) => weigh(&inner.0, left) && weigh(&inner.1, left),
        _ => true,
    }
}
