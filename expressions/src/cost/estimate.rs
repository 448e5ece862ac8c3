//! What an evaluation may cost at least and at most, from the limits that schemas state.

use std::collections::HashMap;

use smol_str::SmolStr;

use super::TRAVERSAL;
use super::calls;
use super::range::Range;
use crate::ast::{ACCUMULATOR, Fold, Kind, Literal, NodeId, UNUSED};
use crate::declared::Reached;
use crate::environment::Environment;
use crate::program::Program;
use crate::types::Type;

/// Where in the documents a value comes from: a variable, then fields, `@items`, `@values`, `@keys`.
pub(crate) type Path = Vec<SmolStr>;

/// Estimates the whole of a program.
pub(crate) fn estimate(program: &Program, environment: &Environment) -> Range {
    let count = program.ast().len();
    let mut estimator = Estimator {
        program,
        environment,
        costs: vec![None; count],
        paths: vec![Vec::new(); count],
        sizes: vec![None; count],
        entries: vec![None; count],
        locals: HashMap::new(),
    };
    estimator.cost(program.ast().root)
}

/// Sizes of the keys and values of a list or map that an expression makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries {
    pub of_list: bool,
    pub key: Range,
    pub value: Range,
}

impl Entries {
    fn union(self, other: Self) -> Self {
        Self { of_list: self.of_list, key: self.key.union(other.key), value: self.value.union(other.value) }
    }
}

#[derive(Clone, Debug)]
struct Local {
    path: Path,
    size: Option<Range>,
    entries: Option<Entries>,
}

pub(crate) struct Estimator<'p> {
    pub program: &'p Program,
    environment: &'p Environment,
    costs: Vec<Option<Range>>,
    paths: Vec<Path>,
    sizes: Vec<Option<Range>>,
    entries: Vec<Option<Entries>>,
    locals: HashMap<SmolStr, Vec<Local>>,
}

/// What a call costs, and how large its result is.
pub(crate) struct CallEstimate {
    pub cost: Range,
    pub size: Option<Range>,
}

impl Estimator<'_> {
    fn kind(&self, id: NodeId) -> &Kind {
        self.program.ast().kind(id)
    }

    pub(crate) fn type_of(&self, id: NodeId) -> &Type {
        self.program.type_of(id)
    }

    fn cost(&mut self, id: NodeId) -> Range {
        // A macro may use a node twice; it has the same cost both times.
        if let Some(known) = self.costs[id as usize] {
            return known;
        }
        let cost = match self.kind(id).clone() {
            Kind::Literal(_) => Range::ZERO,
            Kind::Ident(name) => {
                self.paths[id as usize] = match self.local(&name) {
                    Some(local) => local.path.clone(),
                    None => vec![name],
                };
                Range::ONE
            }
            Kind::Select { operand, field, test } => self.select(id, operand, field, test),
            Kind::Call { function, target, args } => self.call(id, &function, target, &args),
            Kind::List { items, .. } => self.list(id, &items),
            Kind::Map(entries) => self.map(id, &entries),
            Kind::Struct(_, fields) => {
                fields.iter().fold(Range::fixed(40), |sum, (_, value, ..)| sum.plus(self.cost(*value)))
            }
            Kind::Fold(fold) if is_bind(&fold) => self.bind(id, &fold),
            Kind::Fold(fold) => self.fold(id, &fold),
        };
        self.costs[id as usize] = Some(cost);
        cost
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.get(name)?.last()
    }

    fn select(&mut self, id: NodeId, operand: NodeId, field: SmolStr, test: bool) -> Range {
        let cost = self.cost(operand);
        if test {
            return cost;
        }
        let mut path = self.path(operand);
        path.push(field);
        self.paths[id as usize] = path;
        match self.type_of(operand) {
            Type::Map(_) | Type::Object(_) | Type::Param(_) => cost.plus(Range::ONE),
            _ => cost,
        }
    }

    pub(crate) fn path(&self, id: NodeId) -> Path {
        if let Kind::Ident(name) = self.kind(id)
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths[id as usize].clone()
    }

    fn list(&mut self, id: NodeId, items: &[NodeId]) -> Range {
        let mut cost = Range::fixed(10);
        let mut item = Range { min: if items.is_empty() { 0 } else { u64::MAX }, max: 0 };
        for node in items {
            cost = cost.plus(self.cost(*node));
            item = item.union(self.size_or_unknown(*node));
        }
        self.entries[id as usize] = Some(Entries { of_list: true, key: Range::ONE, value: item });
        cost
    }

    fn map(&mut self, id: NodeId, entries: &[(NodeId, NodeId, bool)]) -> Range {
        let mut cost = Range::fixed(30);
        let start = Range { min: if entries.is_empty() { 0 } else { u64::MAX }, max: 0 };
        let (mut keys, mut values) = (start, start);
        for (key, value, _) in entries {
            cost = cost.plus(self.cost(*key)).plus(self.cost(*value));
            keys = keys.union(self.size_or_unknown(*key));
            values = values.union(self.size_or_unknown(*value));
        }
        self.entries[id as usize] = Some(Entries { of_list: false, key: keys, value: values });
        cost
    }

    fn call(&mut self, id: NodeId, function: &str, target: Option<NodeId>, args: &[NodeId]) -> Range {
        if function == "dyn" && args.len() == 1 {
            let cost = self.cost(args[0]).plus(Range::ONE);
            self.copy_sizes(id, args[0]);
            return cost;
        }
        let costs: Vec<Range> = args.iter().map(|arg| self.cost(*arg)).collect();
        let ids = if function == "_?._" { vec!["select_optional_field"] } else { self.program.overload_ids(id) };
        if ids.is_empty() {
            return Range::ZERO;
        }
        let base = target.map_or(Range::ZERO, |target| self.cost(target));
        let mut cost = Range { min: u64::MAX, max: 0 };
        let mut size: Option<Range> = None;
        for overload in ids {
            let found = self.overload(id, function, overload, target, args, &costs);
            cost = cost.union(found.cost);
            if let Some(found) = found.size {
                size = Some(size.map_or(found, |size| size.union(found)));
            }
            let step = match overload {
                "index_list" => Some("@items"),
                "index_map" => Some("@values"),
                _ => None,
            };
            if let Some(step) = step {
                size = self.entries_of(args[0]).map(|entries| entries.value);
                let mut path = self.path(args[0]);
                path.push(SmolStr::new_static(step));
                self.paths[id as usize] = path;
            }
            size = size.or_else(|| self.size(id));
        }
        if let Some(size) = size {
            self.sizes[id as usize] = Some(size);
        }
        base.plus(cost)
    }

    fn overload(
        &mut self,
        id: NodeId,
        function: &str,
        overload: &str,
        target: Option<NodeId>,
        args: &[NodeId],
        costs: &[Range],
    ) -> CallEstimate {
        let sum = costs.iter().fold(Range::ZERO, |sum, cost| sum.plus(*cost));
        match function {
            "_||_" | "_&&_" => {
                let cost = Range { min: costs[0].min, max: costs[0].plus(costs[1]).max };
                return CallEstimate { cost, size: None };
            }
            "_?_:_" => {
                let size = self.size_or_unknown(args[1]).union(self.size_or_unknown(args[2]));
                self.entries[id as usize] = self.common_entries(args[1], args[2]);
                return CallEstimate { cost: costs[0].plus(costs[1].union(costs[2])), size: Some(size) };
            }
            _ => {}
        }
        if matches!(overload, "add_string" | "add_bytes" | "add_list") {
            let size = self.size_or_unknown(args[0]).plus(self.size_or_unknown(args[1]));
            if let Some(entries) = self.common_entries(args[0], args[1]) {
                self.entries[id as usize] = Some(entries);
            }
            let cost = if overload == "add_list" { Range::ONE } else { size.scaled(TRAVERSAL) };
            return CallEstimate { cost: cost.plus(sum), size: Some(size) };
        }
        let found = calls::estimate(self, function, overload, target, args);
        CallEstimate { cost: found.cost.plus(sum), size: found.size }
    }

    fn common_entries(&self, a: NodeId, b: NodeId) -> Option<Entries> {
        Some(self.entries_of(a)?.union(self.entries_of(b)?))
    }

    fn entries_of(&self, id: NodeId) -> Option<Entries> {
        if let Some(known) = self.entries[id as usize] {
            return Some(known);
        }
        match self.kind(id) {
            Kind::Ident(name) => self.local(name)?.entries,
            _ => None,
        }
    }

    fn copy_sizes(&mut self, to: NodeId, from: NodeId) {
        if let Some(size) = self.size(from) {
            self.sizes[to as usize] = Some(size);
        }
        if let Some(entries) = self.entries_of(from) {
            self.entries[to as usize] = Some(entries);
        }
    }

    fn bind(&mut self, id: NodeId, fold: &Fold) -> Range {
        let mut cost = self.cost(fold.range).plus(self.cost(fold.init));
        self.push_bound(&fold.accumulator, fold.init);
        cost = cost.plus(self.cost(fold.result));
        self.copy_sizes(id, fold.result);
        self.pop(&fold.accumulator);
        cost
    }

    fn fold(&mut self, id: NodeId, fold: &Fold) -> Range {
        let mut cost = self.cost(fold.range).plus(self.cost(fold.init));
        self.push_bound(&fold.accumulator, fold.init);
        let entries = self.entries_of(fold.range);
        let of_list =
            entries.map_or_else(|| matches!(self.type_of(fold.range), Type::List(_)), |entries| entries.of_list);
        let (key, value) = (entries.map(|entries| entries.key), entries.map(|entries| entries.value));
        match &fold.second {
            Some(second) => {
                self.push_element(&fold.variable, fold.range, if of_list { "@indices" } else { "@keys" }, key);
                self.push_element(second, fold.range, if of_list { "@items" } else { "@values" }, value);
            }
            None if of_list => self.push_element(&fold.variable, fold.range, "@items", value),
            None => self.push_element(&fold.variable, fold.range, "@keys", key),
        }
        let turn = self.cost(fold.condition).plus(self.cost(fold.step));
        // While the variables are known: what the step made is looked at below.
        let step_entries = self.entries_of(fold.step);
        self.pop(&fold.variable);
        if let Some(second) = &fold.second {
            self.pop(second);
        }
        cost = cost.plus(self.cost(fold.result));
        self.pop(&fold.accumulator);
        let count = self.size_or_unknown(fold.range);
        match self.kind(fold.init) {
            Kind::Literal(_) => self.sizes[id as usize] = self.size(fold.init),
            Kind::List { .. } | Kind::Map(_) => {
                self.sizes[id as usize] = Some(count);
                self.entries[id as usize] = step_entries;
            }
            _ => {}
        }
        cost.plus(count.times(turn))
    }

    fn push_bound(&mut self, name: &SmolStr, value: NodeId) {
        let local = Local { path: self.path(value), size: self.size(value), entries: self.entries_of(value) };
        self.locals.entry(name.clone()).or_default().push(local);
    }

    fn push_element(&mut self, name: &SmolStr, range: NodeId, step: &'static str, size: Option<Range>) {
        let mut path = self.path(range);
        path.push(SmolStr::new_static(step));
        self.locals.entry(name.clone()).or_default().push(Local { path, size, entries: None });
    }

    fn pop(&mut self, name: &str) {
        if let Some(stack) = self.locals.get_mut(name) {
            stack.pop();
        }
    }

    /// How large the value of a node may be.
    pub(crate) fn size_or_unknown(&mut self, id: NodeId) -> Range {
        self.size(id).unwrap_or(Range::UNKNOWN)
    }

    fn size(&mut self, id: NodeId) -> Option<Range> {
        if let Some(known) = self.sizes[id as usize] {
            return Some(known);
        }
        match self.kind(id) {
            Kind::Literal(Literal::String(text)) => return Some(Range::fixed(text.chars().count() as u64)),
            Kind::Literal(Literal::Bytes(bytes)) => return Some(Range::fixed(bytes.len() as u64)),
            Kind::Literal(_) => return Some(Range::ONE),
            Kind::List { items, .. } => return Some(Range::fixed(items.len() as u64)),
            Kind::Map(entries) => return Some(Range::fixed(entries.len() as u64)),
            _ => {}
        }
        let path = self.path(id);
        if let Some(size) = self.size_at(&path) {
            self.sizes[id as usize] = Some(size);
            return Some(size);
        }
        if self.type_of(id).is_scalar() {
            return Some(Range::ONE);
        }
        match self.kind(id) {
            Kind::Ident(name) => self.local(name)?.size,
            _ => None,
        }
    }

    /// What the schema says about the size of a value of the documents.
    pub(crate) fn size_at(&self, path: &[SmolStr]) -> Option<Range> {
        let (variable, rest) = path.split_first()?;
        if variable == ACCUMULATOR {
            return None;
        }
        let max = match self.environment.declared().get(variable)?.at(rest)? {
            Reached::Of(of) => of.max_elements,
            Reached::Key => 0,
        };
        Some(Range { min: 0, max })
    }

    /// The type and size of a list's items.
    pub(crate) fn items(&self, list: NodeId) -> Option<(Type, Range)> {
        let of = match self.type_of(list) {
            Type::List(of) => Type::clone(of),
            Type::Map(of) => of.0.clone(),
            _ => return None,
        };
        let mut path = self.path(list);
        let mut size = None;
        if !path.is_empty() {
            path.push(SmolStr::new_static("@items"));
            size = self.size_at(&path);
        }
        Some((of, size.unwrap_or(Range::UNKNOWN)))
    }

    /// The value of a literal whole number.
    pub(crate) fn whole(&self, id: NodeId) -> Option<u64> {
        match self.kind(id) {
            Kind::Literal(Literal::Int(value)) => Some((*value).max(0) as u64),
            _ => None,
        }
    }
}

/// Whether a loop only gives a value a name.
fn is_bind(fold: &Fold) -> bool {
    fold.variable == UNUSED && fold.accumulator != ACCUMULATOR
}
