//! Functions of text: CEL's own and version 2 of its extension.

use super::operators::list_of;
use super::{Evaluated, format_text, int, list, room, text};
use crate::environment::{Library, Overload};
use crate::evaluate::{Failure, Meter};
use crate::types::Type;
use crate::value::Value;

pub(super) fn library() -> Library {
    use Type::{Bool, Int, String};
    let member = |function, id, params: &[Type], result: Type, run| Overload::member(function, id, params, result, run);
    let texts = || Type::list(String);
    let overloads = vec![
        member("contains", "contains_string", &[String, String], Bool, contains),
        member("endsWith", "ends_with_string", &[String, String], Bool, ends_with),
        member("startsWith", "starts_with_string", &[String, String], Bool, starts_with),
        member("charAt", "string_char_at_int", &[String, Int], String, char_at),
        member("indexOf", "string_index_of_string", &[String, String], Int, index_of),
        member("indexOf", "string_index_of_string_int", &[String, String, Int], Int, index_of),
        member("lastIndexOf", "string_last_index_of_string", &[String, String], Int, last_index_of),
        member("lastIndexOf", "string_last_index_of_string_int", &[String, String, Int], Int, last_index_of),
        member("lowerAscii", "string_lower_ascii", &[String], String, lower),
        member("upperAscii", "string_upper_ascii", &[String], String, upper),
        member("trim", "string_trim", &[String], String, trim),
        member("replace", "string_replace_string_string", &[String, String, String], String, replace),
        member("replace", "string_replace_string_string_int", &[String, String, String, Int], String, replace),
        member("split", "string_split_string", &[String, String], texts(), split),
        member("split", "string_split_string_int", &[String, String, Int], texts(), split),
        member("substring", "string_substring_int", &[String, Int], String, substring),
        member("substring", "string_substring_int_int", &[String, Int, Int], String, substring),
        member("join", "list_join", &[texts()], String, join),
        member("join", "list_join_string", &[texts(), String], String, join),
        member("format", "string_format", &[String, Type::list(Type::Dyn)], String, format_text::format),
        Overload::global("strings.quote", "strings_quote", &[String], String, quote),
    ];
    Library { overloads, types: Vec::new() }
}

fn out_of_range(at: i64) -> Failure {
    Failure::error(format!("index out of range: {at}"))
}

fn contains<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(text(args, 0)?.contains(text(args, 1)?)))
}

fn starts_with<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(text(args, 0)?.starts_with(text(args, 1)?)))
}

fn ends_with<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(text(args, 0)?.ends_with(text(args, 1)?)))
}

fn char_at<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let (whole, at) = (text(args, 0)?, int(args, 1)?);
    meter.work(whole.len() as u64 / 64)?;
    let position = usize::try_from(at).map_err(|_| out_of_range(at))?;
    match whole.chars().nth(position) {
        Some(found) => Ok(Value::text(found.to_string())),
        None if position == whole.chars().count() => Ok(Value::text("")),
        None => Err(out_of_range(at)),
    }
}

/// The byte at which the character of that index starts; the end for the index behind the last. `None` beyond.
fn byte_of(whole: &str, character: usize) -> Option<usize> {
    let mut starts = whole.char_indices().map(|(at, _)| at).chain([whole.len()]);
    starts.nth(character)
}

fn characters(part: &str) -> i64 {
    part.chars().count() as i64
}

fn index_of<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let (whole, part) = (text(args, 0)?, text(args, 1)?);
    let offset = if args.len() > 2 { int(args, 2)? } else { 0 };
    meter.work(whole.len() as u64 / 32)?;
    if part.is_empty() {
        return Ok(Value::Int(offset));
    }
    let from = usize::try_from(offset).map_err(|_| out_of_range(offset))?;
    let found = byte_of(whole, from).and_then(|start| {
        let at = whole[start..].find(part)?;
        Some(offset + characters(&whole[start..start + at]))
    });
    Ok(Value::Int(found.unwrap_or(-1)))
}

fn last_index_of<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let (whole, part) = (text(args, 0)?, text(args, 1)?);
    meter.work(whole.len() as u64 / 32)?;
    let length = characters(whole);
    let offset = if args.len() > 2 { int(args, 2)? } else { length - 1 };
    if part.is_empty() {
        return Ok(Value::Int(if args.len() > 2 { offset } else { length }));
    }
    if whole.len() < part.len() && args.len() == 2 {
        return Ok(Value::Int(-1));
    }
    if offset < 0 {
        return Err(out_of_range(offset));
    }
    if offset >= length {
        return Ok(Value::Int(-1));
    }
    // The part may begin at the offset, and end behind it.
    let end =
        usize::try_from(offset + characters(part)).ok().and_then(|end| byte_of(whole, end)).unwrap_or(whole.len());
    Ok(Value::Int(whole[..end].rfind(part).map_or(-1, |at| characters(&whole[..at]))))
}

fn lower<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::text(text(args, 0)?.to_ascii_lowercase()))
}

fn upper<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::text(text(args, 0)?.to_ascii_uppercase()))
}

fn trim<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::text(text(args, 0)?.trim()))
}

fn replace<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let (whole, from, to) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let most = if args.len() > 3 { usize::try_from(int(args, 3)?).unwrap_or(usize::MAX) } else { usize::MAX };
    meter.work(whole.len() as u64 / 16)?;
    let count = whole.matches(from).take(most).count();
    room(whole.len().saturating_add(count.saturating_mul(to.len())), meter)?;
    Ok(Value::text(whole.replacen(from, to, most)))
}

fn split<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let (whole, separator) = (text(args, 0)?, text(args, 1)?);
    let most = if args.len() > 2 { int(args, 2)? } else { -1 };
    meter.work(whole.len() as u64)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    if most == 0 {
        return Ok(list_of(Vec::new()));
    }
    let parts: Vec<Value<'d>> = if separator.is_empty() {
        // Each character, the rest in the last.
        let count = whole.chars().count().min(most);
        let last = byte_of(whole, count.saturating_sub(1)).unwrap_or(0);
        let single = whole[..last].chars().map(|each| Value::text(each.to_string()));
        single.chain((count > 0).then(|| Value::text(&whole[last..]))).collect()
    } else {
        whole.splitn(most, separator).map(Value::text).collect()
    };
    Ok(list_of(parts))
}

fn substring<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let (whole, start) = (text(args, 0)?, int(args, 1)?);
    meter.work(whole.len() as u64 / 32)?;
    let end = if args.len() > 2 { int(args, 2)? } else { characters(whole) };
    if args.len() > 2 && start > end {
        return Err(Failure::error(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let place = |at: i64| usize::try_from(at).ok().and_then(|at| byte_of(whole, at)).ok_or_else(|| out_of_range(at));
    let (from, to) = (place(start)?, place(end)?);
    Ok(Value::text(&whole[from..to]))
}

fn join<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let items = list(args, 0)?.items(meter)?;
    let separator = if args.len() > 1 { text(args, 1)? } else { "" };
    let mut bytes = separator.len().saturating_mul(items.len());
    let mut parts = Vec::with_capacity(items.len());
    for item in &items {
        let part = item
            .as_text()
            .ok_or_else(|| Failure::error(format!("join: invalid input: {}", crate::evaluate::shown(item))))?;
        bytes = bytes.saturating_add(part.len());
        parts.push(part);
    }
    room(bytes, meter)?;
    Ok(Value::text(parts.join(separator)))
}

fn quote<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let whole = text(args, 0)?;
    room(whole.len() * 2, meter)?;
    let mut out = String::with_capacity(whole.len() + 2);
    out.push('"');
    for character in whole.chars() {
        match character {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    Ok(Value::text(out))
}
