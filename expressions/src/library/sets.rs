//! Lists as sets.

use super::{Evaluated, LIST, list};
use crate::environment::{Library, Overload};
use crate::evaluate::Meter;
use crate::types::Type;
use crate::value::Value;

pub(super) fn library() -> Library {
    let two = [LIST(), LIST()];
    let overloads = vec![
        Overload::global("sets.contains", "list_sets_contains_list", &two, Type::Bool, contains),
        Overload::global("sets.equivalent", "list_sets_equivalent_list", &two, Type::Bool, equivalent),
        Overload::global("sets.intersects", "list_sets_intersects_list", &two, Type::Bool, intersects),
    ];
    Library { overloads, types: Vec::new() }
}

fn all_in<'d>(args: &[Value<'d>], of: usize, within: usize, meter: &mut Meter<'_>) -> Result<bool, crate::Failure> {
    for item in list(args, of)?.items(meter)? {
        if !list(args, within)?.contains(&item, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    all_in(args, 1, 0, meter).map(Value::Bool)
}

fn equivalent<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(all_in(args, 1, 0, meter)? && all_in(args, 0, 1, meter)?))
}

fn intersects<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    for item in list(args, 0)?.items(meter)? {
        if list(args, 1)?.contains(&item, meter)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
