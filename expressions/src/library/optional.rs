//! Optional values.

use std::sync::Arc;

use super::operators::list_of;
use super::{A, Evaluated, LIST, list};
use crate::environment::{Library, Overload};
use crate::evaluate::{Failure, Meter};
use crate::types::Type;
use crate::value::Value;

pub(super) fn library() -> Library {
    let optional = || Type::optional(A());
    let map = || Type::map(Type::param("K"), A());
    let key = || Type::param("K");
    let optional_list = || Type::list(optional());
    let overloads = vec![
        Overload::global("optional.of", "optional_of", &[A()], optional(), of),
        Overload::global("optional.ofNonZeroValue", "optional_ofNonZeroValue", &[A()], optional(), of_non_zero),
        Overload::global("optional.none", "optional_none", &[], optional(), none),
        Overload::member("value", "optional_value", &[optional()], A(), value),
        Overload::member("hasValue", "optional_hasValue", &[optional()], Type::Bool, has_value),
        // The evaluator looks at the other value only where it is needed, and so it does with selections.
        Overload::member("or", "optional_or_optional", &[optional(), optional()], optional(), none),
        Overload::member("orValue", "optional_orValue_value", &[optional(), A()], A(), none),
        Overload::global("_[?_]", "list_optindex_optional_int", &[LIST(), Type::Int], optional(), none),
        Overload::global(
            "_[?_]",
            "optional_list_optindex_optional_int",
            &[Type::optional(LIST()), Type::Int],
            optional(),
            none,
        ),
        Overload::global("_[?_]", "map_optindex_optional_value", &[map(), key()], optional(), none),
        Overload::global(
            "_[?_]",
            "optional_map_optindex_optional_value",
            &[Type::optional(map()), key()],
            optional(),
            none,
        ),
        Overload::global("_[_]", "optional_list_index_int", &[Type::optional(LIST()), Type::Int], optional(), none),
        Overload::global("_[_]", "optional_map_index_value", &[Type::optional(map()), key()], optional(), none),
        Overload::member("last", "list_last", &[LIST()], optional(), last),
        Overload::member("first", "list_first", &[LIST()], optional(), first),
        Overload::global("optional.unwrap", "optional_unwrap", &[optional_list()], LIST(), unwrap),
        Overload::member("unwrapOpt", "optional_unwrapOpt", &[optional_list()], LIST(), unwrap),
    ];
    Library { overloads, types: vec![Type::optional(Type::Dyn)] }
}

fn of<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::some(args[0].clone()))
}

fn of_non_zero<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let zero = match &args[0] {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Duration(0) => true,
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.as_str().is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Struct(value) => value.fields.is_empty(),
        _ => false,
    };
    Ok(if zero { Value::Optional(None) } else { Value::some(args[0].clone()) })
}

fn none<'d>(_: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Optional(None))
}

fn value<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    match &args[0] {
        Value::Optional(Some(inner)) => Ok(Value::clone(inner)),
        Value::Optional(None) => Err(Failure::error("optional.none() dereference")),
        _ => Err(Failure::no_such_overload()),
    }
}

fn has_value<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    match &args[0] {
        Value::Optional(inner) => Ok(Value::Bool(inner.is_some())),
        _ => Err(Failure::no_such_overload()),
    }
}

fn first<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Optional(list(args, 0)?.get(0).transpose()?.map(Arc::new)))
}

fn last<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let list = list(args, 0)?;
    let at = list.len().checked_sub(1);
    Ok(Value::Optional(at.and_then(|at| list.get(at)).transpose()?.map(Arc::new)))
}

fn unwrap<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let mut items = Vec::new();
    for item in list(args, 0)?.items(meter)? {
        match item {
            Value::Optional(inner) => items.extend(inner.map(|inner| Value::clone(&inner))),
            _ => return Err(Failure::error("value is not optional")),
        }
    }
    Ok(list_of(items))
}
