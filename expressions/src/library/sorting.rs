//! `sort` and `sortBy`.

use std::cmp::Ordering;

use super::operators::list_of;
use super::{Evaluated, LIST, list};
use crate::environment::{Library, Overload};
use crate::evaluate::{Failure, Meter};
use crate::types::Type;
use crate::value::Value;

macro_rules! ids {
    ($name:literal) => {
        [concat!("list_", $name, "_sort"), concat!("list_", $name, "_sortByAssociatedKeys")]
    };
}

pub(super) fn library() -> Library {
    let comparable = [
        (Type::Int, ids!("int")),
        (Type::Uint, ids!("uint")),
        (Type::Double, ids!("double")),
        (Type::Bool, ids!("bool")),
        (Type::Duration, ids!("google.protobuf.Duration")),
        (Type::Timestamp, ids!("google.protobuf.Timestamp")),
        (Type::String, ids!("string")),
        (Type::Bytes, ids!("bytes")),
    ];
    let mut overloads = Vec::new();
    for (of, [plain, keyed]) in comparable {
        let keys = Type::list(of);
        overloads.push(Overload::member("sort", plain, std::slice::from_ref(&keys), keys.clone(), sort));
        overloads.push(Overload::member("@sortByAssociatedKeys", keyed, &[LIST(), keys], LIST(), sort));
    }
    Library { overloads, types: Vec::new() }
}

fn sort<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let items = list(args, 0)?.items(meter)?;
    let keys = list(args, args.len() - 1)?.items(meter)?;
    if items.len() != keys.len() {
        return Err(Failure::error("list elements and their keys differ in number"));
    }
    if let Some(first) = keys.first() {
        let of = first.type_of();
        if first.compare(first).is_none() && first.number().is_none() {
            return Err(Failure::error("list elements must be comparable"));
        }
        if keys.iter().any(|key| key.type_of() != of) {
            return Err(Failure::error("list elements must have the same type"));
        }
    }
    let mut pairs: Vec<(Value<'d>, Value<'d>)> = keys.into_iter().zip(items).collect();
    pairs.sort_by(|(a, _), (b, _)| total(a, b));
    Ok(list_of(pairs.into_iter().map(|(_, item)| item).collect()))
}

/// An order of all values of a type: NaN, which has none, comes first.
fn total(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    let is_nan = |value: &Value<'_>| matches!(value, Value::Double(value) if value.is_nan());
    a.compare(b).unwrap_or_else(|| is_nan(b).cmp(&is_nan(a)))
}
