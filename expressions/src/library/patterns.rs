//! Regular expressions: `matches`, `find`, `findAll`.

use super::operators::list_of;
use super::{Evaluated, int, text};
use crate::environment::{Library, Overload};
use crate::evaluate::Meter;
use crate::types::Type;
use crate::value::Value;

pub(super) fn library() -> Library {
    use Type::{Bool, Int, String};
    let texts = || Type::list(String);
    let overloads = vec![
        Overload::global("matches", "matches", &[String, String], Bool, matches),
        Overload::member("matches", "matches_string", &[String, String], Bool, matches),
        Overload::member("find", "string_find_string", &[String, String], String, find),
        Overload::member("findAll", "string_find_all_string", &[String, String], texts(), find_all),
        Overload::member("findAll", "string_find_all_string_int", &[String, String, Int], texts(), find_all),
    ];
    Library { overloads, types: Vec::new() }
}

fn matches<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let pattern = meter.pattern(text(args, 1)?)?;
    Ok(Value::Bool(pattern.is_match(text(args, 0)?)))
}

fn find<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let pattern = meter.pattern(text(args, 1)?)?;
    Ok(Value::text(pattern.find(text(args, 0)?).map_or("", |found| found.as_str())))
}

fn find_all<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let pattern = meter.pattern(text(args, 1)?)?;
    let most = if args.len() > 2 { int(args, 2)? } else { -1 };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for part in pattern.find_iter(text(args, 0)?).take(most) {
        meter.work(1)?;
        found.push(Value::text(part.as_str()));
    }
    Ok(list_of(found))
}
