//! `'%d of %s'.format([1, 'a'])`

use std::fmt::Write;

use super::{Evaluated, conversion::as_string, list, room, text};
use crate::evaluate::{Failure, Meter};
use crate::value::{Map, Value};

/// The most digits behind a point.
const PRECISION: usize = 1000;

pub(super) fn format<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let pattern = text(args, 0)?;
    let mut given = list(args, 1)?.items(meter)?.into_iter().enumerate();
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let precision = precision(&mut rest)?;
        let verb = rest.chars().next().ok_or_else(|| Failure::error("unexpected end of string"))?;
        rest = &rest[verb.len_utf8()..];
        let Some((index, value)) = given.next() else {
            return Err(Failure::error(format!("index {} out of range", list(args, 1)?.len())));
        };
        clause(&mut out, verb, precision, &value, meter).map_err(|failure| match failure {
            Failure::Error(words) => Failure::error(format!("error during formatting: {words}, argument {index}")),
            stopped => stopped,
        })?;
        room(out.len(), meter)?;
    }
    out.push_str(rest);
    room(out.len(), meter)?;
    Ok(Value::text(out))
}

/// `.3`
fn precision(rest: &mut &str) -> Result<usize, Failure> {
    let Some(after) = rest.strip_prefix('.') else { return Ok(6) };
    let end = after.find(|next: char| !next.is_ascii_digit()).unwrap_or(after.len());
    let digits = after[..end].parse().ok().filter(|digits| *digits <= PRECISION);
    *rest = &after[end..];
    digits.ok_or_else(|| Failure::error("error while converting precision to integer"))
}

fn clause(
    out: &mut String,
    verb: char,
    precision: usize,
    value: &Value<'_>,
    meter: &mut Meter<'_>,
) -> Result<(), Failure> {
    let wrong = |what: &str, types: &str| {
        let given = value.type_of();
        Failure::error(format!("{what} clause can only be used on {types}, was given {}", given.name()))
    };
    let written = match (verb, value) {
        ('s', value) => return string(out, value, meter),
        ('d', Value::Int(value)) => write!(out, "{value}"),
        ('d', Value::Uint(value)) => write!(out, "{value}"),
        ('d', _) => return Err(wrong("decimal", "integers")),
        ('f', value) => match double(value) {
            Some(value) if value.is_finite() => write!(out, "{value:.precision$}"),
            Some(value) => write!(out, "{}", odd(value)),
            None => return Err(wrong("fixed-point", "doubles")),
        },
        ('e', value) => match double(value) {
            Some(value) if value.is_finite() => write!(out, "{}", scientific(value, precision)),
            Some(value) => write!(out, "{}", odd(value)),
            None => return Err(wrong("scientific", "doubles")),
        },
        ('b', Value::Int(value)) => signed(out, *value, |out, value| write!(out, "{value:b}")),
        ('b', Value::Uint(value)) => write!(out, "{value:b}"),
        ('b', Value::Bool(value)) => write!(out, "{}", u8::from(*value)),
        ('b', _) => return Err(wrong("binary", "integers and bools")),
        ('o', Value::Int(value)) => signed(out, *value, |out, value| write!(out, "{value:o}")),
        ('o', Value::Uint(value)) => write!(out, "{value:o}"),
        ('o', _) => return Err(wrong("octal", "integers")),
        ('x', value) => {
            return hex(out, value, false).unwrap_or_else(|| Err(wrong("hex", "integers, byte buffers, and strings")));
        }
        ('X', value) => {
            return hex(out, value, true).unwrap_or_else(|| Err(wrong("hex", "integers, byte buffers, and strings")));
        }
        (other, _) => return Err(Failure::error(format!("unrecognized formatting clause \"{other}\""))),
    };
    written.map_err(|_| Failure::no_such_overload())
}

fn signed(out: &mut String, value: i64, digits: impl FnOnce(&mut String, u64) -> std::fmt::Result) -> std::fmt::Result {
    if value < 0 {
        out.push('-');
    }
    digits(out, value.unsigned_abs())
}

fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(value) => Some(*value),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn odd(value: f64) -> &'static str {
    match value {
        _ if value.is_nan() => "NaN",
        _ if value > 0.0 => "∞",
        _ => "-∞",
    }
}

/// `3.14×10⁰⁰`
fn scientific(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let number: i32 = exponent.parse().unwrap_or(0);
    let digits = format!("{:02}", number.unsigned_abs());
    let raised =
        digits.chars().map(|digit| ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize - '0' as usize]);
    let sign = if number < 0 { "⁻" } else { "" };
    format!("{mantissa}×10{sign}{}", raised.collect::<String>())
}

fn hex(out: &mut String, value: &Value<'_>, upper: bool) -> Option<Result<(), Failure>> {
    let start = out.len();
    let _ = match value {
        Value::Int(value) => signed(out, *value, |out, value| write!(out, "{value:x}")),
        Value::Uint(value) => write!(out, "{value:x}"),
        Value::String(text) => text.as_str().bytes().try_for_each(|byte| write!(out, "{byte:02x}")),
        Value::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
        _ => return None,
    };
    if upper {
        let raised = out[start..].to_uppercase();
        out.truncate(start);
        out.push_str(&raised);
    }
    Some(Ok(()))
}

fn string(out: &mut String, value: &Value<'_>, meter: &mut Meter<'_>) -> Result<(), Failure> {
    match value {
        Value::List(_) | Value::Map(_) => inside(out, value, meter),
        Value::Null => {
            out.push_str("null");
            Ok(())
        }
        Value::Struct(_) | Value::Optional(_) | Value::Opaque(_) => {
            let given = value.type_of();
            let words = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, \
                         durations, and timestamps, was given ";
            Err(Failure::error(format!("{words}{}", given.name())))
        }
        scalar => {
            out.push_str(as_string(scalar)?.as_text().unwrap_or_default());
            Ok(())
        }
    }
}

/// A value within a list or map.
fn inside(out: &mut String, value: &Value<'_>, meter: &mut Meter<'_>) -> Result<(), Failure> {
    room(out.len() / 64, meter)?;
    meter.work(1)?;
    if out.len() > super::LONGEST {
        return Err(Failure::Exhausted);
    }
    match value {
        Value::List(list) => {
            out.push('[');
            for (at, item) in list.items(meter)?.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                inside(out, item, meter)?;
            }
            out.push(']');
            Ok(())
        }
        Value::Map(map) => entries(out, map, meter),
        Value::String(text) => {
            let _ = write!(out, "{:?}", text.as_str());
            Ok(())
        }
        Value::Bytes(_) => {
            let _ = write!(out, "b{:?}", as_string(value)?.as_text().unwrap_or_default());
            Ok(())
        }
        Value::Double(number) => {
            let _ = if number.is_finite() { write!(out, "{number:.6}") } else { write!(out, "{:?}", odd(*number)) };
            Ok(())
        }
        Value::Timestamp(_) => {
            let _ = write!(out, "timestamp({:?})", as_string(value)?.as_text().unwrap_or_default());
            Ok(())
        }
        Value::Duration(_) => {
            let _ = write!(out, "duration({:?})", as_string(value)?.as_text().unwrap_or_default());
            Ok(())
        }
        other => string(out, other, meter),
    }
}

fn entries(out: &mut String, map: &Map<'_>, meter: &mut Meter<'_>) -> Result<(), Failure> {
    let mut pairs = Vec::with_capacity(map.len());
    for key in map.keys() {
        let value = map.get(&key).transpose()?.unwrap_or(Value::Null);
        let (mut left, mut right) = (String::new(), String::new());
        inside(&mut left, &key, meter)?;
        inside(&mut right, &value, meter)?;
        room(left.len() + right.len(), meter)?;
        pairs.push((left, right));
    }
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    out.push('{');
    out.push_str(&pairs.join(", "));
    out.push('}');
    Ok(())
}
