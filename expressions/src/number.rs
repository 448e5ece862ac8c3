//! Numbers of three types: comparing them across types, and arithmetic that notices overflow.

use std::cmp::Ordering;

/// A number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Int(i64),
    Uint(u64),
    Double(f64),
}

/// How two numbers are ordered, by value. NaN is ordered to nothing.
pub(crate) fn compare(a: Number, b: Number) -> Option<Ordering> {
    match (a, b) {
        (Number::Double(a), Number::Double(b)) => a.partial_cmp(&b),
        (Number::Double(a), b) => exact(b, a).map(Ordering::reverse),
        (a, Number::Double(b)) => exact(a, b),
        (a, b) => Some(wide(a).cmp(&wide(b))),
    }
}

fn wide(number: Number) -> i128 {
    match number {
        Number::Int(value) => value.into(),
        Number::Uint(value) => value.into(),
        Number::Double(_) => 0,
    }
}

/// A whole number against a double, without rounding the whole one.
fn exact(whole: Number, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    let whole = wide(whole);
    // Beyond any 64-bit number; the cast saturates.
    let floor = double.floor() as i128;
    let order = whole.cmp(&floor);
    Some(if order == Ordering::Equal && double > double.floor() { Ordering::Less } else { order })
}

/// A double as an int, if it is within range: towards zero.
pub(crate) fn double_to_int(value: f64) -> Option<i64> {
    (value.is_finite() && value > -9_223_372_036_854_775_808.0 && value < 9_223_372_036_854_775_808.0)
        .then_some(value as i64)
}

/// A double as a uint, if it is within range.
pub(crate) fn double_to_uint(value: f64) -> Option<u64> {
    (0.0..18_446_744_073_709_551_616.0).contains(&value).then_some(value as u64)
}

/// As Go's `strconv.FormatFloat(x, 'g', -1, 64)` writes it.
pub(crate) fn format_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..21).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}
