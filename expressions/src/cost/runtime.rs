//! What calls cost when they run. The cost is charged before the work is done.

use super::range::{Range, scale};
use super::{CHECK, PATTERN, TRAVERSAL, is_nominal};
use crate::evaluate::{Failure, Meter};
use crate::types::Type;
use crate::value::{List, Value};

/// Charges a call whose arguments are known.
pub(crate) fn before(function: &str, overload: &str, args: &[Value<'_>], meter: &mut Meter<'_>) -> Result<(), Failure> {
    let cost = match kubernetes(function, overload, args, meter)? {
        Some(cost) => cost,
        None => standard(overload, args, meter)?,
    };
    meter.charge(cost)
}

fn size(args: &[Value<'_>], at: usize) -> u64 {
    args.get(at).map_or(1, Value::size)
}

/// Functions of Kubernetes' libraries, and of CEL's that it charges differently.
fn kubernetes(
    function: &str,
    overload: &str,
    args: &[Value<'_>],
    meter: &mut Meter<'_>,
) -> Result<Option<u64>, Failure> {
    let traversed = |at: usize, times: f64| scale(size(args, at), times * TRAVERSAL);
    if let Some(cost) = lists(overload, args) {
        return Ok(Some(cost));
    }
    if is_nominal(function) {
        return Ok(Some(1));
    }
    Ok(Some(match function {
        "check" => CHECK,
        "fieldSelector" | "labelSelector" => selector(Range::fixed(size(args, 1))).max,
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => traversal(&args[0], meter)?,
        "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "jsonpatch.escapeKey" => traversed(0, 1.0),
        "replace" | "split" => traversed(0, 2.0),
        "join" => scale(joined_size(args, meter)?, 2.0 * TRAVERSAL),
        "find" | "findAll" => product(scale(1 + size(args, 0), TRAVERSAL), scale(size(args, 1), PATTERN)),
        "ip" if overload == "cidr_ip" => 1,
        "ip" | "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => traversed(0, 1.0),
        "ip.isCanonical" => traversed(0, 2.0),
        "containsIP" | "containsCIDR" => {
            let mut cost = scale(2 * size(args, 0), TRAVERSAL);
            if function == "containsCIDR" {
                cost += traversed(0, 1.0) + 1;
            }
            if overload.ends_with("string") {
                cost += traversed(1, 1.0);
            }
            cost
        }
        "validate" => product(scale(1 + size(args, 1), TRAVERSAL), scale(size(args, 0), PATTERN)),
        "_==_" if matches!(args[0], Value::Opaque(_)) => 1,
        _ => return Ok(None),
    }))
}

/// The list functions of CEL's extension, and sets.
fn lists(overload: &str, args: &[Value<'_>]) -> Option<u64> {
    let pairs = || size(args, 0).saturating_mul(size(args, 1));
    let allocating = |cost: u64| cost.saturating_add(11);
    Some(match overload {
        "list_sets_contains_list" | "list_sets_intersects_list" => pairs().saturating_add(1),
        "list_sets_equivalent_list" => pairs().saturating_mul(2).saturating_add(1),
        "list_slice" => match (&args[1], &args[2]) {
            (Value::Int(start), Value::Int(end)) => allocating(end.saturating_sub(*start).max(0) as u64),
            _ => 1,
        },
        "lists_range" => match &args[0] {
            Value::Int(end) => allocating((*end).max(0) as u64),
            _ => 1,
        },
        "list_reverse" | "list_flatten" => allocating(size(args, 0)),
        "list_flatten_int" => match &args[1] {
            Value::Int(depth) => allocating(size(args, 0).saturating_mul((*depth).max(0) as u64)),
            _ => 1,
        },
        "list_distinct" => allocating(compared(&args[0])),
        id if id.starts_with("list_") && id.ends_with("_sort") => allocating(compared(&args[0])),
        id if id.ends_with("_sortByAssociatedKeys") => allocating(compared(&args[1])),
        _ => return None,
    })
}

/// Comparing each item of a list with each.
fn compared(list: &Value<'_>) -> u64 {
    let Value::List(list) = list else { return 0 };
    let count = list.len() as u64;
    let text = matches!(list.get(0), Some(Ok(Value::String(_) | Value::Bytes(_))));
    let factor = if text { 2.0 + TRAVERSAL } else { 2.0 };
    (count.saturating_mul(count) as f64 * factor) as u64
}

/// CEL's own functions.
fn standard(overload: &str, args: &[Value<'_>], meter: &mut Meter<'_>) -> Result<u64, Failure> {
    let smaller = || scale(size(args, 0).min(size(args, 1)), TRAVERSAL);
    Ok(match overload {
        "starts_with_string" | "ends_with_string" | "string_to_bytes" | "bytes_to_string" | "strings_quote"
        | "string_format" => scale(size(args, 0), TRAVERSAL),
        "in_list" => size(args, 1),
        "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes"
        | "equals"
        | "not_equals" => smaller(),
        "add_string" | "add_bytes" => scale(size(args, 0).saturating_add(size(args, 1)), TRAVERSAL),
        "matches" | "matches_string" => product(scale(1 + size(args, 0), TRAVERSAL), scale(size(args, 1), PATTERN)),
        "contains_string" => {
            meter.work(size(args, 0) / 64)?;
            product(scale(size(args, 0), TRAVERSAL), scale(size(args, 1), TRAVERSAL))
        }
        _ => 1,
    })
}

fn product(a: u64, b: u64) -> u64 {
    a.saturating_mul(b)
}

/// Parsing a selector: its text, and a requirement for each second character.
pub(crate) fn selector(length: Range) -> Range {
    let requirements = length.scaled(0.5).scaled(50.0);
    Range::fixed(10).plus(length.scaled(TRAVERSAL)).plus(requirements)
}

/// What walking through a value costs.
fn traversal(value: &Value<'_>, meter: &mut Meter<'_>) -> Result<u64, Failure> {
    meter.work(1)?;
    Ok(match value {
        Value::String(text) => (text.as_str().len() as f64 * TRAVERSAL) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * TRAVERSAL) as u64,
        Value::List(list) => {
            let mut cost = 0u64;
            for item in list.items(meter)? {
                cost = cost.saturating_add(traversal(&item, meter)?);
            }
            cost
        }
        Value::Map(map) => {
            let mut cost = 0u64;
            for key in map.keys() {
                let value = map.get(&key).transpose()?.unwrap_or(Value::Null);
                cost = cost.saturating_add(traversal(&key, meter)?).saturating_add(traversal(&value, meter)?);
            }
            cost
        }
        _ => 1,
    })
}

/// How many characters the joined text will have.
fn joined_size(args: &[Value<'_>], meter: &mut Meter<'_>) -> Result<u64, Failure> {
    let Value::List(list) = &args[0] else { return Ok(1) };
    let separators = (list.len() as u64).saturating_sub(1);
    let mut total = if args.len() > 1 { separators.saturating_mul(size(args, 1)) } else { 0 };
    for item in list.items(meter)? {
        total = total.saturating_add(item.size());
    }
    Ok(total)
}

/// Whether a constant list can be looked up like a set: then `in` is free.
pub(crate) fn is_set(value: &Value<'_>) -> bool {
    let Value::List(List::Values(items)) = value else { return false };
    let primitive = |of: Type| matches!(of, Type::Bool | Type::Int | Type::Uint | Type::Double | Type::String);
    items.iter().all(|item| primitive(item.type_of()))
}
