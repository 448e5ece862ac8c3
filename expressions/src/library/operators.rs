//! Operators: arithmetic, `in`, `size`, `!`, and those that the evaluator carries out itself.

use std::sync::Arc;

use super::{A, Evaluated, LIST, list, room, text};
use crate::environment::{Library, Overload};
use crate::evaluate::{Failure, Meter};
use crate::time::is_timestamp;
use crate::types::Type;
use crate::value::{List, Map, Value};

pub(super) fn library() -> Library {
    let mut overloads = arithmetic();
    overloads.extend(logic());
    overloads.extend(containers());
    let names = [
        Type::Bool,
        Type::Bytes,
        Type::Double,
        Type::Duration,
        Type::Int,
        Type::list(Type::Dyn),
        Type::map(Type::Dyn, Type::Dyn),
        Type::Null,
        Type::String,
        Type::Timestamp,
        Type::Type(None),
        Type::Uint,
    ];
    Library { overloads, types: names.into() }
}

fn arithmetic() -> Vec<Overload> {
    use Type::{Bytes, Double, Duration, Int, String, Timestamp, Uint};
    let op = |name, id, a: &Type, b: &Type, result: &Type, run| {
        Overload::global(name, id, &[a.clone(), b.clone()], result.clone(), run)
    };
    vec![
        op("_+_", "add_bytes", &Bytes, &Bytes, &Bytes, add),
        op("_+_", "add_double", &Double, &Double, &Double, add),
        op("_+_", "add_duration_duration", &Duration, &Duration, &Duration, add),
        op("_+_", "add_duration_timestamp", &Duration, &Timestamp, &Timestamp, add),
        op("_+_", "add_timestamp_duration", &Timestamp, &Duration, &Timestamp, add),
        op("_+_", "add_int64", &Int, &Int, &Int, add),
        op("_+_", "add_list", &LIST(), &LIST(), &LIST(), join),
        op("_+_", "add_string", &String, &String, &String, concatenate),
        op("_+_", "add_uint64", &Uint, &Uint, &Uint, add),
        op("_/_", "divide_double", &Double, &Double, &Double, divide),
        op("_/_", "divide_int64", &Int, &Int, &Int, divide),
        op("_/_", "divide_uint64", &Uint, &Uint, &Uint, divide),
        op("_%_", "modulo_int64", &Int, &Int, &Int, modulo),
        op("_%_", "modulo_uint64", &Uint, &Uint, &Uint, modulo),
        op("_*_", "multiply_double", &Double, &Double, &Double, multiply),
        op("_*_", "multiply_int64", &Int, &Int, &Int, multiply),
        op("_*_", "multiply_uint64", &Uint, &Uint, &Uint, multiply),
        op("_-_", "subtract_double", &Double, &Double, &Double, subtract),
        op("_-_", "subtract_duration_duration", &Duration, &Duration, &Duration, subtract),
        op("_-_", "subtract_int64", &Int, &Int, &Int, subtract),
        op("_-_", "subtract_timestamp_duration", &Timestamp, &Duration, &Timestamp, subtract),
        op("_-_", "subtract_timestamp_timestamp", &Timestamp, &Timestamp, &Duration, subtract),
        op("_-_", "subtract_uint64", &Uint, &Uint, &Uint, subtract),
        Overload::global("-_", "negate_double", &[Double], Double, negate),
        Overload::global("-_", "negate_int64", &[Int], Int, negate),
    ]
}

fn logic() -> Vec<Overload> {
    use Type::Bool;
    // The evaluator looks at their arguments one by one.
    let two = [Bool, Bool];
    vec![
        Overload::global("_?_:_", "conditional", &[Bool, A(), A()], A(), unreached),
        Overload::global("_&&_", "logical_and", &two, Bool, unreached),
        Overload::global("_||_", "logical_or", &two, Bool, unreached),
        Overload::global("@not_strictly_false", "not_strictly_false", &[Bool], Bool, unreached),
        Overload::global("!_", "logical_not", &[Bool], Bool, not),
    ]
}

fn containers() -> Vec<Overload> {
    let map = || Type::map(A(), Type::param("B"));
    let sized = |id, member: bool, of: Type| {
        if member {
            Overload::member("size", id, &[of], Type::Int, size)
        } else {
            Overload::global("size", id, &[of], Type::Int, size)
        }
    };
    vec![
        Overload::global("_[_]", "index_list", &[LIST(), Type::Int], A(), unreached),
        Overload::global("_[_]", "index_map", &[map(), A()], Type::param("B"), unreached),
        Overload::global("@in", "in_list", &[A(), LIST()], Type::Bool, contained),
        Overload::global("@in", "in_map", &[A(), map()], Type::Bool, contained),
        sized("size_bytes", false, Type::Bytes),
        sized("bytes_size", true, Type::Bytes),
        sized("size_list", false, LIST()),
        sized("list_size", true, LIST()),
        sized("size_map", false, map()),
        sized("map_size", true, map()),
        sized("size_string", false, Type::String),
        sized("string_size", true, Type::String),
        // What `transformMap` and `transformMapEntry` become.
        Overload::global("cel.@mapInsert", "@mapInsert_map_key_value", &[map(), A(), Type::param("B")], map(), insert),
        Overload::global("cel.@mapInsert", "@mapInsert_map_map", &[map(), map()], map(), insert),
    ]
}

fn unreached<'d>(_: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Err(Failure::no_such_overload())
}

fn overflow(what: &str) -> Failure {
    Failure::error(match what {
        "int" => "integer overflow",
        "uint" => "unsigned integer overflow",
        "duration" => "duration overflow",
        _ => "timestamp overflow",
    })
}

fn timestamp<'d>(at: i128) -> Evaluated<'d> {
    if is_timestamp(at) { Ok(Value::Timestamp(at)) } else { Err(overflow("timestamp")) }
}

fn add<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(match (&args[0], &args[1]) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(*b).ok_or_else(|| overflow("int"))?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_add(*b).ok_or_else(|| overflow("uint"))?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
        (Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(a.checked_add(*b).ok_or_else(|| overflow("duration"))?)
        }
        (Value::Timestamp(at), Value::Duration(by)) | (Value::Duration(by), Value::Timestamp(at)) => {
            return timestamp(at + i128::from(*by));
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            room(a.len() + b.len(), meter)?;
            Value::Bytes([a.as_ref(), b.as_ref()].concat().into())
        }
        _ => return Err(Failure::no_such_overload()),
    })
}

fn concatenate<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let (a, b) = (text(args, 0)?, text(args, 1)?);
    room(a.len() + b.len(), meter)?;
    Ok(Value::text([a, b].concat()))
}

fn join<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let (a, b) = (list(args, 0)?.clone(), list(args, 1)?.clone());
    a.join(b, meter).map(Value::List)
}

fn subtract<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(match (&args[0], &args[1]) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_sub(*b).ok_or_else(|| overflow("int"))?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_sub(*b).ok_or_else(|| overflow("uint"))?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a - b),
        (Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(a.checked_sub(*b).ok_or_else(|| overflow("duration"))?)
        }
        (Value::Timestamp(at), Value::Duration(by)) => return timestamp(at - i128::from(*by)),
        (Value::Timestamp(a), Value::Timestamp(b)) => {
            Value::Duration(i64::try_from(a - b).map_err(|_| overflow("duration"))?)
        }
        _ => return Err(Failure::no_such_overload()),
    })
}

fn multiply<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(match (&args[0], &args[1]) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_mul(*b).ok_or_else(|| overflow("int"))?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_mul(*b).ok_or_else(|| overflow("uint"))?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a * b),
        _ => return Err(Failure::no_such_overload()),
    })
}

fn divide<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(match (&args[0], &args[1]) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
            return Err(Failure::error("division by zero"));
        }
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_div(*b).ok_or_else(|| overflow("int"))?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a / b),
        (Value::Double(a), Value::Double(b)) => Value::Double(a / b),
        _ => return Err(Failure::no_such_overload()),
    })
}

fn modulo<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(match (&args[0], &args[1]) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
            return Err(Failure::error("modulus by zero"));
        }
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_rem(*b).ok_or_else(|| overflow("int"))?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a % b),
        _ => return Err(Failure::no_such_overload()),
    })
}

fn negate<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(match &args[0] {
        Value::Int(value) => Value::Int(value.checked_neg().ok_or_else(|| overflow("int"))?),
        Value::Double(value) => Value::Double(-value),
        _ => return Err(Failure::no_such_overload()),
    })
}

fn not<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    match &args[0] {
        Value::Bool(value) => Ok(Value::Bool(!value)),
        _ => Err(Failure::no_such_overload()),
    }
}

fn size<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Int(i64::try_from(args[0].size()).unwrap_or(i64::MAX)))
}

fn contained<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(match &args[1] {
        Value::List(list) => list.contains(&args[0], meter)?,
        Value::Map(map) => map.get(&args[0]).transpose()?.is_some(),
        _ => return Err(Failure::no_such_overload()),
    }))
}

fn insert<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let Value::Map(Map::Values(entries)) = &args[0] else { return Err(Failure::no_such_overload()) };
    meter.work(args[0].size())?;
    let mut made = entries.as_ref().clone();
    match args {
        [_, key, value] => made.insert(key.clone(), value.clone())?,
        [_, Value::Map(more)] => {
            meter.work(more.len() as u64)?;
            for key in more.keys() {
                let value = more.get(&key).transpose()?.unwrap_or(Value::Null);
                made.insert(key, value)?;
            }
        }
        _ => return Err(Failure::no_such_overload()),
    }
    Ok(Value::Map(Map::Values(Arc::new(made))))
}

/// For those that make lists of lists.
pub(super) fn list_of<'d>(items: Vec<Value<'d>>) -> Value<'d> {
    Value::List(List::Values(Arc::new(items)))
}
