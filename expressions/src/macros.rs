//! Macros: calls that the parser replaces. Those of CEL (`has`, `all`, `exists`, `exists_one`, `map`, `filter`), of optional
//! values (`optMap`, `optFlatMap`), with two variables (`transformList`, …) and `sortBy`.
//!
//! A call that fits no macro's shape stays a call, and the checker complains about it.

use smol_str::SmolStr;

use crate::ast::{ACCUMULATOR, Fold, Kind, Literal, NodeId, UNUSED};
use crate::parse::{GivenUp, Parser};

type Expanded = Result<NodeId, GivenUp>;

/// `f(…)`
pub(crate) fn global(parser: &mut Parser, function: SmolStr, args: Vec<NodeId>, at: u32) -> Expanded {
    if let ("has", [arg]) = (function.as_str(), args.as_slice()) {
        return match parser.ast.kind(*arg).clone() {
            Kind::Select { operand, field, test: false } => parser.add(Kind::Select { operand, field, test: true }, at),
            _ => {
                let place = parser.ast.node(*arg).at;
                parser.fail(place, "invalid argument to has() macro")
            }
        };
    }
    parser.add(Kind::Call { function, target: None, args }, at)
}

/// `target.f(…)`
pub(crate) fn member(parser: &mut Parser, target: NodeId, function: SmolStr, args: Vec<NodeId>, at: u32) -> Expanded {
    let mut maker = Maker { parser, at };
    match (function.as_str(), args.as_slice()) {
        ("all" | "exists" | "exists_one" | "existsOne", [variable, predicate]) => {
            let variable = maker.variable(*variable, "argument must be a simple name")?;
            maker.quantifier(&function, target, variable, None, *predicate)
        }
        ("all" | "exists" | "exists_one" | "existsOne", [first, second, predicate]) => {
            let (first, second) = maker.variables(*first, *second)?;
            maker.quantifier(&function, target, first, Some(second), *predicate)
        }
        ("map", [variable, transform]) => maker.map(target, *variable, None, *transform),
        ("map", [variable, filter, transform]) => maker.map(target, *variable, Some(*filter), *transform),
        ("filter", [variable, filter]) => maker.filter(target, *variable, *filter),
        ("transformList" | "transformMap" | "transformMapEntry", [first, second, rest @ ..])
            if matches!(rest.len(), 1 | 2) =>
        {
            let (first, second) = maker.variables(*first, *second)?;
            let (filter, transform) =
                if let [filter, transform] = rest { (Some(*filter), *transform) } else { (None, rest[0]) };
            maker.transform(&function, target, first, second, filter, transform)
        }
        ("optMap" | "optFlatMap", [variable, transform]) => maker.opt_map(&function, target, *variable, *transform),
        ("sortBy", [_, _]) => maker.sort_by(target, &args),
        _ => parser.add(Kind::Call { function, target: Some(target), args }, at),
    }
}

struct Maker<'a> {
    parser: &'a mut Parser,
    at: u32,
}

impl Maker<'_> {
    fn add(&mut self, kind: Kind) -> Expanded {
        self.parser.add(kind, self.at)
    }

    fn call(&mut self, function: &str, args: Vec<NodeId>) -> Expanded {
        self.parser.call(function, args, self.at)
    }

    fn literal(&mut self, literal: Literal) -> Expanded {
        self.add(Kind::Literal(literal))
    }

    fn accumulator(&mut self) -> Expanded {
        self.add(Kind::Ident(ACCUMULATOR.into()))
    }

    fn list(&mut self, items: Vec<NodeId>) -> Expanded {
        let optional = vec![false; items.len()];
        self.add(Kind::List { items, optional })
    }

    fn variable(&mut self, id: NodeId, otherwise: &str) -> Result<SmolStr, GivenUp> {
        let node = self.parser.ast.node(id);
        let at = node.at;
        match node.kind.clone() {
            Kind::Ident(name) if name == "__result__" => {
                self.parser.fail(at, "iteration variable overwrites accumulator variable")
            }
            Kind::Ident(name) => Ok(name),
            _ => self.parser.fail(at, otherwise),
        }
    }

    fn variables(&mut self, first: NodeId, second: NodeId) -> Result<(SmolStr, SmolStr), GivenUp> {
        let one = self.variable(first, "argument must be a simple name")?;
        let two = self.variable(second, "argument must be a simple name")?;
        if one == two {
            let at = self.parser.ast.node(second).at;
            return self.parser.fail(at, format!("duplicate variable name: {one}"));
        }
        Ok((one, two))
    }

    fn quantifier(
        &mut self,
        which: &str,
        range: NodeId,
        variable: SmolStr,
        second: Option<SmolStr>,
        predicate: NodeId,
    ) -> Expanded {
        let accumulator = self.accumulator()?;
        let (init, condition, step, result) = match which {
            "all" => {
                let init = self.literal(Literal::Bool(true))?;
                let condition = self.call("@not_strictly_false", vec![accumulator])?;
                let step = self.call("_&&_", vec![accumulator, predicate])?;
                (init, condition, step, accumulator)
            }
            "exists" => {
                let init = self.literal(Literal::Bool(false))?;
                let not = self.call("!_", vec![accumulator])?;
                let condition = self.call("@not_strictly_false", vec![not])?;
                let step = self.call("_||_", vec![accumulator, predicate])?;
                (init, condition, step, accumulator)
            }
            _ => {
                let init = self.literal(Literal::Int(0))?;
                let condition = self.literal(Literal::Bool(true))?;
                let one = self.literal(Literal::Int(1))?;
                let more = self.call("_+_", vec![accumulator, one])?;
                let step = self.call("_?_:_", vec![predicate, more, accumulator])?;
                let result = self.call("_==_", vec![accumulator, one])?;
                (init, condition, step, result)
            }
        };
        self.add(Kind::Fold(Box::new(Fold {
            range,
            variable,
            second,
            accumulator: ACCUMULATOR.into(),
            init,
            condition,
            step,
            result,
        })))
    }

    /// A loop whose accumulator grows by `grown`, where `filter` says so.
    fn collect(
        &mut self,
        range: NodeId,
        (variable, second): (SmolStr, Option<SmolStr>),
        filter: Option<NodeId>,
        init: NodeId,
        grown: NodeId,
    ) -> Expanded {
        let accumulator = self.accumulator()?;
        let condition = self.literal(Literal::Bool(true))?;
        let step = match filter {
            Some(filter) => self.call("_?_:_", vec![filter, grown, accumulator])?,
            None => grown,
        };
        self.add(Kind::Fold(Box::new(Fold {
            range,
            variable,
            second,
            accumulator: ACCUMULATOR.into(),
            init,
            condition,
            step,
            result: accumulator,
        })))
    }

    fn appended(&mut self, item: NodeId) -> Expanded {
        let accumulator = self.accumulator()?;
        let one = self.list(vec![item])?;
        self.call("_+_", vec![accumulator, one])
    }

    fn map(&mut self, range: NodeId, variable: NodeId, filter: Option<NodeId>, transform: NodeId) -> Expanded {
        let variable = self.variable(variable, "argument is not an identifier")?;
        let init = self.list(Vec::new())?;
        let grown = self.appended(transform)?;
        self.collect(range, (variable, None), filter, init, grown)
    }

    fn filter(&mut self, range: NodeId, variable: NodeId, filter: NodeId) -> Expanded {
        let name = self.variable(variable, "argument is not an identifier")?;
        let init = self.list(Vec::new())?;
        let grown = self.appended(variable)?;
        self.collect(range, (name, None), Some(filter), init, grown)
    }

    fn transform(
        &mut self,
        which: &str,
        range: NodeId,
        first: SmolStr,
        second: SmolStr,
        filter: Option<NodeId>,
        transform: NodeId,
    ) -> Expanded {
        let (init, grown) = if which == "transformList" {
            (self.list(Vec::new())?, self.appended(transform)?)
        } else {
            let init = self.add(Kind::Map(Vec::new()))?;
            let mut args = vec![self.accumulator()?];
            if which == "transformMap" {
                args.push(self.add(Kind::Ident(first.clone()))?);
            }
            args.push(transform);
            (init, self.call("cel.@mapInsert", args)?)
        };
        self.collect(range, (first, Some(second)), filter, init, grown)
    }

    /// `name` stands for the value of `init` in `result`.
    fn bind(&mut self, name: SmolStr, init: NodeId, result: NodeId) -> Expanded {
        let range = self.list(Vec::new())?;
        let condition = self.literal(Literal::Bool(false))?;
        let step = self.add(Kind::Ident(name.clone()))?;
        self.add(Kind::Fold(Box::new(Fold {
            range,
            variable: UNUSED.into(),
            second: None,
            accumulator: name,
            init,
            condition,
            step,
            result,
        })))
    }

    fn opt_map(&mut self, which: &str, target: NodeId, variable: NodeId, transform: NodeId) -> Expanded {
        let words = format!("{which}() variable name must be a simple identifier");
        let name = self.variable(variable, &words)?;
        let member = |function: &str| Kind::Call { function: function.into(), target: Some(target), args: Vec::new() };
        let present = self.add(member("hasValue"))?;
        let value = self.add(member("value"))?;
        let mut bound = self.bind(name, value, transform)?;
        if which == "optMap" {
            bound = self.call("optional.of", vec![bound])?;
        }
        let none = self.call("optional.none", Vec::new())?;
        self.call("_?_:_", vec![present, bound, none])
    }

    fn sort_by(&mut self, target: NodeId, args: &[NodeId]) -> Expanded {
        if matches!(self.parser.ast.kind(target), Kind::Literal(_) | Kind::Map(_) | Kind::Struct(..)) {
            let at = self.parser.ast.node(target).at;
            let words = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
            return self.parser.fail(at, words);
        }
        let name = SmolStr::new_static("@__sortBy_input__");
        let input = self.add(Kind::Ident(name.clone()))?;
        let keys = self.map(input, args[0], None, args[1])?;
        let function = "@sortByAssociatedKeys".into();
        let sorted = self.add(Kind::Call { function, target: Some(input), args: vec![keys] })?;
        self.bind(name, target, sorted)
    }
}
