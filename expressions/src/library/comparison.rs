//! Equality, and the order of numbers, text, bytes, truth and time.

use std::cmp::Ordering;

use super::{A, Evaluated};
use crate::environment::{Library, Overload, Run};
use crate::evaluate::{Failure, Meter};
use crate::types::Type;
use crate::value::Value;

pub(super) fn library() -> Library {
    let mut overloads = vec![
        Overload::global("_==_", "equals", &[A(), A()], Type::Bool, equal),
        Overload::global("_!=_", "not_equals", &[A(), A()], Type::Bool, unequal),
    ];
    let names: [(&'static str, Run, [&'static str; 14]); 4] = [
        ("_<_", less, IDS_LESS),
        ("_<=_", less_equal, IDS_LESS_EQUALS),
        ("_>_", greater, IDS_GREATER),
        ("_>=_", greater_equal, IDS_GREATER_EQUALS),
    ];
    for (function, run, ids) in names {
        for (id, (a, b)) in ids.into_iter().zip(operands()) {
            overloads.push(Overload::global(function, id, &[a, b], Type::Bool, run));
        }
    }
    Library { overloads, types: Vec::new() }
}

fn operands() -> [(Type, Type); 14] {
    use Type::{Bool, Bytes, Double, Duration, Int, String, Timestamp, Uint};
    [
        (Bool, Bool),
        (Int, Int),
        (Int, Double),
        (Int, Uint),
        (Uint, Uint),
        (Uint, Double),
        (Uint, Int),
        (Double, Double),
        (Double, Int),
        (Double, Uint),
        (String, String),
        (Bytes, Bytes),
        (Timestamp, Timestamp),
        (Duration, Duration),
    ]
}

macro_rules! ids {
    ($prefix:literal) => {
        [
            concat!($prefix, "_bool"),
            concat!($prefix, "_int64"),
            concat!($prefix, "_int64_double"),
            concat!($prefix, "_int64_uint64"),
            concat!($prefix, "_uint64"),
            concat!($prefix, "_uint64_double"),
            concat!($prefix, "_uint64_int64"),
            concat!($prefix, "_double"),
            concat!($prefix, "_double_int64"),
            concat!($prefix, "_double_uint64"),
            concat!($prefix, "_string"),
            concat!($prefix, "_bytes"),
            concat!($prefix, "_timestamp"),
            concat!($prefix, "_duration"),
        ]
    };
}

const IDS_LESS: [&str; 14] = ids!("less");
const IDS_LESS_EQUALS: [&str; 14] = ids!("less_equals");
const IDS_GREATER: [&str; 14] = ids!("greater");
const IDS_GREATER_EQUALS: [&str; 14] = ids!("greater_equals");

fn equal<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    args[0].equals(&args[1], meter).map(Value::Bool)
}

fn unequal<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    args[0].equals(&args[1], meter).map(|same| Value::Bool(!same))
}

fn ordered<'d>(args: &[Value<'d>], holds: impl FnOnce(Ordering) -> bool) -> Evaluated<'d> {
    match args[0].compare(&args[1]) {
        Some(order) => Ok(Value::Bool(holds(order))),
        None if args[0].number().is_some() && args[1].number().is_some() => {
            Err(Failure::error("NaN values cannot be ordered"))
        }
        None => Err(Failure::no_such_overload()),
    }
}

fn less<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ordered(args, Ordering::is_lt)
}

fn less_equal<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ordered(args, Ordering::is_le)
}

fn greater<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ordered(args, Ordering::is_gt)
}

fn greater_equal<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    ordered(args, Ordering::is_ge)
}
