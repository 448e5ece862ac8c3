//! What is known before the first evaluation: lists and maps of literals, conversions of literals, names of types.

use crate::ast::{Kind, Literal, NodeId};
use crate::check::Checked;
use crate::evaluate::{Failure, Limit, Meter};
use crate::value::{Entries, Map, Value};

/// A value that lives as long as its program.
pub(crate) type Constant = Value<'static>;

/// The constant that a node is, given those of the nodes below it.
pub(crate) fn of(checked: &Checked, id: NodeId, known: &[Option<Constant>]) -> Result<Option<Constant>, Failure> {
    if let Some(named) = checked.type_names.get(&id) {
        return Ok(Some(Value::Type(named.clone())));
    }
    let at = |id: &NodeId| known[*id as usize].clone();
    match checked.ast.kind(id) {
        Kind::Literal(literal) => Ok(Some(owned(literal))),
        Kind::List { items, optional } if !optional.contains(&true) => {
            Ok(items.iter().map(at).collect::<Option<Vec<_>>>().map(Value::list))
        }
        Kind::Map(entries) if entries.iter().all(|(.., optional)| !optional) => {
            let mut made = Entries::default();
            for (key, value, _) in entries {
                let (Some(key), Some(value)) = (at(key), at(value)) else { return Ok(None) };
                made.insert(key, value)?;
            }
            Ok(Some(Value::Map(Map::Values(made.into()))))
        }
        Kind::Call { function, target: None, args } if is_conversion(function) => {
            let [arg] = args.as_slice() else { return Ok(None) };
            match (at(arg), &checked.references[id as usize]) {
                (Some(arg), Some(reference)) => convert(reference, arg).map(Some),
                _ => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

fn is_conversion(function: &str) -> bool {
    matches!(
        function,
        "bool" | "bytes" | "double" | "duration" | "dyn" | "int" | "string" | "timestamp" | "type" | "uint"
    )
}

fn convert(reference: &crate::check::Reference, arg: Constant) -> Result<Constant, Failure> {
    let overloads = reference.overloads.iter().map(|at| &reference.function.overloads[*at]);
    let fitting = overloads.into_iter().find(|overload| overload.params.len() == 1 && arg.fits(&overload.params[0]));
    match fitting {
        Some(overload) => (overload.run)(&[arg], &mut Meter::new(Limit::per_call())),
        None => Err(Failure::no_such_overload()),
    }
}

fn owned(literal: &Literal) -> Constant {
    match literal {
        Literal::String(text) => Value::text(text.as_str()),
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone().into()),
    }
}
