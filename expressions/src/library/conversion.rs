//! Conversions between types, and `type` and `dyn`.

use super::{A, Evaluated, text};
use crate::environment::{Library, Overload};
use crate::evaluate::{Failure, Meter};
use crate::number::{double_to_int, double_to_uint, format_double};
use crate::time::{SECONDS, format_duration, format_timestamp, parse_duration, parse_rfc3339};
use crate::types::Type;
use crate::value::{Text, Value};

const SECOND: i128 = 1_000_000_000;

pub(super) fn library() -> Library {
    use Type::{Bool, Bytes, Double, Duration, Int, String, Timestamp, Uint};
    let from = |function, id, of: Type, result: Type, run| Overload::global(function, id, &[of], result, run);
    let overloads = vec![
        from("type", "type", A(), Type::of_type(A()), type_of),
        from("dyn", "to_dyn", A(), Type::Dyn, same),
        from("bool", "bool_to_bool", Bool, Bool, same),
        from("bool", "string_to_bool", String, Bool, to_bool),
        from("bytes", "bytes_to_bytes", Bytes, Bytes, same),
        from("bytes", "string_to_bytes", String, Bytes, to_bytes),
        from("double", "double_to_double", Double, Double, same),
        from("double", "int64_to_double", Int, Double, to_double),
        from("double", "string_to_double", String, Double, to_double),
        from("double", "uint64_to_double", Uint, Double, to_double),
        from("duration", "duration_to_duration", Duration, Duration, same),
        from("duration", "int64_to_duration", Int, Duration, to_duration),
        from("duration", "string_to_duration", String, Duration, to_duration),
        from("int", "int64_to_int64", Int, Int, same),
        from("int", "double_to_int64", Double, Int, to_int),
        from("int", "duration_to_int64", Duration, Int, to_int),
        from("int", "string_to_int64", String, Int, to_int),
        from("int", "timestamp_to_int64", Timestamp, Int, to_int),
        from("int", "uint64_to_int64", Uint, Int, to_int),
        from("string", "string_to_string", String, String, same),
        from("string", "bool_to_string", Bool, String, to_string),
        from("string", "bytes_to_string", Bytes, String, to_string),
        from("string", "double_to_string", Double, String, to_string),
        from("string", "duration_to_string", Duration, String, to_string),
        from("string", "int64_to_string", Int, String, to_string),
        from("string", "timestamp_to_string", Timestamp, String, to_string),
        from("string", "uint64_to_string", Uint, String, to_string),
        from("timestamp", "timestamp_to_timestamp", Timestamp, Timestamp, same),
        from("timestamp", "int64_to_timestamp", Int, Timestamp, to_timestamp),
        from("timestamp", "string_to_timestamp", String, Timestamp, to_timestamp),
        from("uint", "uint64_to_uint64", Uint, Uint, same),
        from("uint", "double_to_uint64", Double, Uint, to_uint),
        from("uint", "int64_to_uint64", Int, Uint, to_uint),
        from("uint", "string_to_uint64", String, Uint, to_uint),
    ];
    Library { overloads, types: Vec::new() }
}

fn failed(from: &Value<'_>, to: &Type) -> Failure {
    Failure::error(format!("type conversion error from '{}' to '{}'", from.type_of().name(), to.name()))
}

fn same<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(args[0].clone())
}

fn type_of<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Type(args[0].type_of()))
}

fn to_bool<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    match text(args, 0)? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
        _ => Err(failed(&args[0], &Type::Bool)),
    }
}

fn to_bytes<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bytes(text(args, 0)?.as_bytes().into()))
}

fn to_double<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Double(match &args[0] {
        Value::Int(value) => *value as f64,
        Value::Uint(value) => *value as f64,
        Value::String(text) => text.as_str().parse().map_err(|_| failed(&args[0], &Type::Double))?,
        _ => return Err(Failure::no_such_overload()),
    }))
}

fn to_int<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let overflow = || Failure::error("integer overflow");
    Ok(Value::Int(match &args[0] {
        Value::Double(value) => double_to_int(*value).ok_or_else(overflow)?,
        Value::Uint(value) => i64::try_from(*value).map_err(|_| overflow())?,
        Value::Duration(value) => *value,
        Value::Timestamp(at) => i64::try_from(at.div_euclid(SECOND)).map_err(|_| overflow())?,
        Value::String(text) => text.as_str().parse().map_err(|_| failed(&args[0], &Type::Int))?,
        _ => return Err(Failure::no_such_overload()),
    }))
}

fn to_uint<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let overflow = || Failure::error("unsigned integer overflow");
    Ok(Value::Uint(match &args[0] {
        Value::Double(value) => double_to_uint(*value).ok_or_else(overflow)?,
        Value::Int(value) => u64::try_from(*value).map_err(|_| overflow())?,
        Value::String(text) => text.as_str().parse().map_err(|_| failed(&args[0], &Type::Uint))?,
        _ => return Err(Failure::no_such_overload()),
    }))
}

fn to_duration<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Duration(match &args[0] {
        Value::Int(value) => *value,
        Value::String(text) => parse_duration(text.as_str()).ok_or_else(|| failed(&args[0], &Type::Duration))?,
        _ => return Err(Failure::no_such_overload()),
    }))
}

fn to_timestamp<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Timestamp(match &args[0] {
        Value::Int(seconds) if SECONDS.contains(seconds) => i128::from(*seconds) * SECOND,
        Value::Int(_) => return Err(Failure::error("timestamp overflow")),
        Value::String(text) => parse_rfc3339(text.as_str()).ok_or_else(|| failed(&args[0], &Type::Timestamp))?,
        _ => return Err(Failure::no_such_overload()),
    }))
}

fn to_string<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    as_string(&args[0])
}

/// The text of a scalar.
pub(super) fn as_string<'d>(value: &Value<'d>) -> Evaluated<'d> {
    Ok(match value {
        Value::String(text) => Value::String(Text::clone(text)),
        Value::Bool(value) => Value::text(value.to_string()),
        Value::Int(value) => Value::text(value.to_string()),
        Value::Uint(value) => Value::text(value.to_string()),
        Value::Double(value) => Value::text(format_double(*value)),
        Value::Duration(value) => Value::text(format_duration(*value)),
        Value::Timestamp(at) => Value::text(format_timestamp(*at)),
        Value::Type(of) => Value::text(of.name()),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::text(text),
            Err(_) => return Err(Failure::error("invalid UTF-8 in bytes, cannot convert to string")),
        },
        _ => return Err(Failure::no_such_overload()),
    })
}
