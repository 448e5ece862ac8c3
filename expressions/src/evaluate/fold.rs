//! Loops. What only grows an accumulator grows it in place, so that a list of n items is made in n steps.

use std::sync::Arc;

use super::{Evaluated, Failure, Run};
use crate::ast::{ACCUMULATOR, Fold, Kind, NodeId};
use crate::value::{List, Map, Value};

impl<'d> Run<'_, 'd, '_> {
    pub(super) fn fold(&mut self, fold: &'d Fold) -> Evaluated<'d> {
        let range = self.evaluate(fold.range)?;
        let init = self.evaluate(fold.init);
        if let Err(failure @ (Failure::Exhausted | Failure::Interrupted)) = init {
            return Err(failure);
        }
        let base = self.scope.len();
        self.scope.push((&fold.accumulator, init));
        let result = self.iterate(fold, range).and_then(|()| self.evaluate(fold.result));
        self.scope.truncate(base);
        result
    }

    fn iterate(&mut self, fold: &'d Fold, range: Value<'d>) -> Result<(), Failure> {
        match range {
            Value::List(list) => {
                let mut at = 0;
                while let Some(item) = list.get(at) {
                    let first = if fold.second.is_some() { Ok(Value::Int(at as i64)) } else { item.clone() };
                    if !self.turn(fold, first, item)? {
                        break;
                    }
                    at += 1;
                }
                Ok(())
            }
            Value::Map(map) => {
                for key in map.keys() {
                    let value = match &fold.second {
                        Some(_) => map.get(&key).unwrap_or(Ok(Value::Null)),
                        None => Ok(Value::Null),
                    };
                    if !self.turn(fold, Ok(key), value)? {
                        break;
                    }
                }
                Ok(())
            }
            other => {
                let of = other.type_of();
                Err(Failure::error(format!("got '{}', expected iterable type", of.name())))
            }
        }
    }

    /// One turn of a loop; whether it went on.
    fn turn(&mut self, fold: &'d Fold, first: Evaluated<'d>, second: Evaluated<'d>) -> Result<bool, Failure> {
        let base = self.scope.len();
        self.scope.push((&fold.variable, first));
        if let Some(name) = &fold.second {
            self.scope.push((name, second));
        }
        let goes_on = self.evaluate(fold.condition).and_then(|condition| match condition {
            Value::Bool(goes_on) => Ok(goes_on),
            _ => Err(Failure::no_such_overload()),
        });
        let turned = match goes_on {
            Ok(true) => self.step(fold, base).map(|()| true),
            Ok(false) => Ok(false),
            Err(failure) => Err(failure),
        };
        self.scope.truncate(base);
        turned
    }

    fn step(&mut self, fold: &'d Fold, base: usize) -> Result<(), Failure> {
        let next = match self.kind(fold.step) {
            // A condition around it: what grows is not copied, what does not stays where it is.
            Kind::Call { function, args, .. } if function == "_?_:_" && self.grows(fold, args[1]) => {
                match self.evaluate(args[0]) {
                    Ok(Value::Bool(true)) => return self.grow(args[1], base),
                    Ok(Value::Bool(false)) => return Ok(()),
                    Ok(_) => Err(Failure::no_such_overload()),
                    Err(failure) => Err(failure),
                }
            }
            _ if self.grows(fold, fold.step) => return self.grow(fold.step, base),
            _ => self.evaluate(fold.step),
        };
        if let Err(failure @ (Failure::Exhausted | Failure::Interrupted)) = next {
            return Err(failure);
        }
        self.scope[base - 1].1 = next;
        Ok(())
    }

    /// Whether a step adds to the accumulator, and nothing else looks at it.
    fn grows(&self, fold: &Fold, step: NodeId) -> bool {
        let Kind::Call { function, target: None, args } = self.kind(step) else { return false };
        let adds = function == "_+_" && matches!(self.kind(args[1]), Kind::List { .. });
        (adds || (function == "cel.@mapInsert" && args.len() == 3))
            && matches!(self.kind(args[0]), Kind::Ident(name) if *name == fold.accumulator)
            && fold.accumulator == ACCUMULATOR
    }

    /// `accumulator + [item]` and inserting into a map, in place. Costs what the call would.
    fn grow(&mut self, step: NodeId, base: usize) -> Result<(), Failure> {
        let Kind::Call { args, .. } = self.kind(step) else { return Ok(()) };
        self.meter.charge(1)?;
        let mut values = Vec::with_capacity(2);
        for arg in &args[1..] {
            match self.evaluate(*arg) {
                Ok(value) => values.push(value),
                Err(Failure::Error(message)) => {
                    self.meter.charge(1)?;
                    self.scope[base - 1].1 = Err(Failure::Error(message));
                    return Ok(());
                }
                Err(stopped) => return Err(stopped),
            }
        }
        self.meter.charge(1)?;
        let accumulator = &mut self.scope[base - 1].1;
        let outcome = match (accumulator, values.as_slice()) {
            (Ok(Value::List(List::Values(items))), [Value::List(List::Values(more))]) => {
                Arc::make_mut(items).extend(more.iter().cloned());
                Ok(())
            }
            (Ok(Value::Map(Map::Values(entries))), [key, value]) => {
                Arc::make_mut(entries).insert(key.clone(), value.clone())
            }
            _ => return Ok(()),
        };
        match outcome {
            Err(Failure::Error(message)) => self.scope[base - 1].1 = Err(Failure::Error(message)),
            Err(stopped) => return Err(stopped),
            Ok(()) => {}
        }
        Ok(())
    }
}
