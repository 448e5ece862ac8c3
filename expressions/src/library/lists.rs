//! Functions of lists: those of Kubernetes (`isSorted`, `sum`, `min`, `max`, `indexOf`, `lastIndexOf`) and of CEL's extension
//! (`slice`, `flatten`, `reverse`, `distinct`, `lists.range`). `sort` has a file of its own.

use std::cmp::Ordering;

use super::operators::list_of;
use super::{A, Evaluated, LIST, int, list};
use crate::environment::{Library, Overload, Run};
use crate::evaluate::{Failure, Meter};
use crate::types::Type;
use crate::value::Value;

/// The names of the overloads for items of a type.
macro_rules! ids {
    ($name:literal) => {
        [
            concat!("list_", $name, "_is_sorted_bool"),
            concat!("list_", $name, "_max_", $name),
            concat!("list_", $name, "_min_", $name),
        ]
    };
}

pub(super) fn library() -> Library {
    use Type::{Bool, Bytes, Double, Duration, Int, String, Timestamp, Uint};
    let mut overloads = Vec::new();
    let mut member = |function, id, params: &[Type], result: Type, run: Run| {
        overloads.push(Overload::member(function, id, params, result, run));
    };
    let comparable = [
        (Int, ids!("int")),
        (Uint, ids!("uint")),
        (Double, ids!("double")),
        (Bool, ids!("bool")),
        (Duration, ids!("duration")),
        (Timestamp, ids!("timestamp")),
        (String, ids!("string")),
        (Bytes, ids!("bytes")),
    ];
    for (of, [sorted, largest, smallest]) in comparable {
        let list = [Type::list(of.clone())];
        member("isSorted", sorted, &list, Bool, is_sorted);
        member("max", largest, &list, of.clone(), max);
        member("min", smallest, &list, of, min);
    }
    member("sum", "list_int_sum_int", &[Type::list(Int)], Int, sum_int);
    member("sum", "list_uint_sum_uint", &[Type::list(Uint)], Uint, sum_uint);
    member("sum", "list_double_sum_double", &[Type::list(Double)], Double, sum_double);
    member("sum", "list_duration_sum_duration", &[Type::list(Duration)], Duration, sum_duration);
    member("indexOf", "list_a_index_of_int", &[LIST(), A()], Int, index_of);
    member("lastIndexOf", "list_a_last_index_of_int", &[LIST(), A()], Int, last_index_of);
    member("slice", "list_slice", &[LIST(), Int, Int], LIST(), slice);
    member("flatten", "list_flatten", &[Type::list(LIST())], LIST(), flatten);
    member("flatten", "list_flatten_int", &[Type::list(Type::Dyn), Int], Type::list(Type::Dyn), flatten);
    member("reverse", "list_reverse", &[LIST()], LIST(), reverse);
    member("distinct", "list_distinct", &[LIST()], LIST(), distinct);
    overloads.push(Overload::global("lists.range", "lists_range", &[Int], Type::list(Int), range));
    Library { overloads, types: Vec::new() }
}

fn compare(a: &Value<'_>, b: &Value<'_>) -> Result<Ordering, Failure> {
    a.compare(b).ok_or_else(Failure::no_such_overload)
}

fn is_sorted<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let items = list(args, 0)?.items(meter)?;
    for pair in items.windows(2) {
        if compare(&pair[0], &pair[1])? == Ordering::Greater {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn extreme<'d>(args: &[Value<'d>], meter: &mut Meter<'_>, name: &str, replaces: Ordering) -> Evaluated<'d> {
    let mut found: Option<Value<'d>> = None;
    for item in list(args, 0)?.items(meter)? {
        found = Some(match found {
            Some(known) if compare(&known, &item)? != replaces => known,
            _ => item,
        });
    }
    found.ok_or_else(|| Failure::error(format!("{name} called on empty list")))
}

fn max<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    extreme(args, meter, "max", Ordering::Less)
}

fn min<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    extreme(args, meter, "min", Ordering::Greater)
}

fn sum_int<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let mut sum = 0i64;
    for item in list(args, 0)?.items(meter)? {
        let Value::Int(value) = item else { return Err(Failure::no_such_overload()) };
        sum = sum.checked_add(value).ok_or_else(|| Failure::error("integer overflow"))?;
    }
    Ok(Value::Int(sum))
}

fn sum_uint<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let mut sum = 0u64;
    for item in list(args, 0)?.items(meter)? {
        let Value::Uint(value) = item else { return Err(Failure::no_such_overload()) };
        sum = sum.checked_add(value).ok_or_else(|| Failure::error("unsigned integer overflow"))?;
    }
    Ok(Value::Uint(sum))
}

fn sum_double<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let mut sum = 0.0;
    for item in list(args, 0)?.items(meter)? {
        let Value::Double(value) = item else { return Err(Failure::no_such_overload()) };
        sum += value;
    }
    Ok(Value::Double(sum))
}

fn sum_duration<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let mut sum = 0i64;
    for item in list(args, 0)?.items(meter)? {
        let Value::Duration(value) = item else { return Err(Failure::no_such_overload()) };
        sum = sum.checked_add(value).ok_or_else(|| Failure::error("duration overflow"))?;
    }
    Ok(Value::Duration(sum))
}

fn index_of<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    for (at, item) in list(args, 0)?.items(meter)?.iter().enumerate() {
        if item.equals(&args[1], meter)? {
            return Ok(Value::Int(at as i64));
        }
    }
    Ok(Value::Int(-1))
}

fn last_index_of<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    for (at, item) in list(args, 0)?.items(meter)?.iter().enumerate().rev() {
        if item.equals(&args[1], meter)? {
            return Ok(Value::Int(at as i64));
        }
    }
    Ok(Value::Int(-1))
}

fn slice<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let (list, start, end) = (list(args, 0)?, int(args, 1)?, int(args, 2)?);
    let refused = |why: &str| Err(Failure::error(format!("cannot slice({start}, {end}), {why}")));
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else {
        return refused("negative indexes not supported");
    };
    if from > to {
        return refused("start index must be less than or equal to end index");
    }
    if list.len() < to {
        return refused(&format!("list is length {}", list.len()));
    }
    meter.work((to - from) as u64)?;
    let items = (from..to).filter_map(|at| list.get(at)).collect::<Result<Vec<_>, _>>()?;
    Ok(list_of(items))
}

fn flatten<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let depth = if args.len() > 1 { int(args, 1)? } else { 1 };
    if depth < 0 {
        return Err(Failure::error("level must be non-negative"));
    }
    let mut flat = Vec::new();
    // Lists to take apart, how deep they are, and how far each has come.
    let mut open = vec![list(args, 0)?.items(meter)?.into_iter()];
    while let Some(items) = open.last_mut() {
        match items.next() {
            None => {
                open.pop();
            }
            Some(Value::List(inner)) if (open.len() as i64) <= depth => open.push(inner.items(meter)?.into_iter()),
            Some(item) => flat.push(item),
        }
    }
    Ok(list_of(flat))
}

fn reverse<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let mut items = list(args, 0)?.items(meter)?;
    items.reverse();
    Ok(list_of(items))
}

fn distinct<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let mut kept: Vec<Value<'d>> = Vec::new();
    for item in list(args, 0)?.items(meter)? {
        let mut seen = false;
        for known in &kept {
            if item.equals(known, meter)? {
                seen = true;
                break;
            }
        }
        if !seen {
            kept.push(item);
        }
    }
    Ok(list_of(kept))
}

fn range<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let end = int(args, 0)?.max(0);
    meter.work(end as u64)?;
    Ok(list_of((0..end).map(Value::Int).collect()))
}
